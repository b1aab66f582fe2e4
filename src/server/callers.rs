//! Who may ask: the name by which a request calls the server, and the origin of the page that sends it.
//!
//! `server` applies these rules to every request; what is mounted knows nothing of them. The lab has a guard of its own
//! behind them.

use std::net::SocketAddr;

use actix_web::dev::RequestHead;
use actix_web::http::header::{HOST, ORIGIN, UPGRADE};
use actix_web::http::{Method, StatusCode, Uri};

use crate::context::Context;
use crate::exchange::host;
use crate::exchange::problem::Refusal;
use crate::lab;

/// Checks the name by which the request calls the server. Over HTTP/1.1 it must be one name.
///
/// A server that listens on the loopback alone is not meant for other names. A page of any server can be given the
/// loopback's address later (DNS rebinding). Its browser then takes this server for the page's own.
pub(super) fn check_host(head: &RequestHead, context: &Context) -> Result<(), Refusal> {
    if calls_by_address(head, context.address) {
        return Ok(());
    }
    let names = host::names(head).map_err(Refusal::bad_request)?;
    if !context.address.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    let is_named = |name: &str| {
        let named = &context.options.hosts;
        host::parts(name).is_some_and(|(name, _)| named.iter().any(|named| named.eq_ignore_ascii_case(name)))
    };
    match names.iter().find(|name| !host::is_loopback(name) && !is_named(name)) {
        None => Ok(()),
        Some(name) => {
            let bare = host::parts(name).map_or(*name, |(bare, _)| bare);
            Err(Refusal::new(
                StatusCode::MISDIRECTED_REQUEST,
                format!(
                    "this server answers at this machine only, by the loopback's names, and {name:?} is not one of these; \
                     open http://localhost:{}, or start the server with --host {bare} if a proxy passes on that name",
                    context.address.port()
                ),
            ))
        }
    }
}

/// Tells whether a request calls the server by its own address on the loopback and by nothing else, as most programs do.
fn calls_by_address(head: &RequestHead, address: SocketAddr) -> bool {
    let mut hosts = head.headers.get_all(HOST);
    let (host, another) = (hosts.next(), hosts.next());
    let called = host.and_then(|host| host.to_str().ok()?.parse().ok());
    address.ip().is_loopback()
        && another.is_none()
        && head.uri.authority().is_none()
        && called == Some(address)
}

/// Checks that writes and WebSocket upgrades come from the server's own pages, from listed origins, or from programs.
pub(super) fn check_origin(head: &RequestHead, allowed: &[String]) -> Result<(), Refusal> {
    let upgrade = head.headers.contains_key(UPGRADE);
    let reads_only = matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS);
    let Some(origin) = head.headers.get(ORIGIN) else { return Ok(()) };
    if reads_only && !upgrade {
        return Ok(());
    }
    let origin = origin.to_str().unwrap_or_default();
    if allowed.iter().any(|allowed| allowed == origin) || is_same_origin(head, origin) {
        return Ok(());
    }
    let remedy = match head.uri.path().starts_with(lab::PREFIX) {
        // The lab's guard allows no origin but the server's own, so no option of the server helps.
        true => "open the page that this server serves".to_owned(),
        false => format!("start the server with --allow-origin {origin} to allow it"),
    };
    Err(Refusal::new(StatusCode::FORBIDDEN, format!("origin {origin:?} is not allowed to do this; {remedy}")))
}

/// Tells whether `origin` is the server's own. Host and port must agree; the scheme may differ, since a proxy may have
/// ended TLS.
fn is_same_origin(head: &RequestHead, origin: &str) -> bool {
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    let Ok(origin) = origin.parse::<Uri>() else { return false };
    let port = match origin.scheme_str() {
        Some("http") => 80,
        Some("https") => 443,
        _ => return false,
    };
    let with_port = |authority: &actix_web::http::uri::Authority| {
        (authority.host().to_ascii_lowercase(), authority.port_u16().unwrap_or(port))
    };
    match (origin.authority(), host.and_then(|host| host.parse().ok())) {
        (Some(origin), Some(host)) => with_port(origin) == with_port(&host),
        _ => false,
    }
}
