//! Who may ask: the name by which a request calls the server, and the origin of the page that sends it.
//!
//! `server` applies these rules to every request; what is mounted knows nothing of them. The lab has a guard of its own
//! behind them.

use std::net::SocketAddr;

use actix_web::dev::RequestHead;
use actix_web::http::header::{HOST, ORIGIN, UPGRADE};
use actix_web::http::{Method, StatusCode};

use crate::context::{Context, ServerOptions};
use crate::exchange::problem::Refusal;
use crate::exchange::{host, origin};
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
pub(super) fn check_origin(head: &RequestHead, options: &ServerOptions) -> Result<(), Refusal> {
    let Some(origin) = head.headers.get(ORIGIN) else { return Ok(()) };
    if only_reads(head) {
        return Ok(());
    }
    let origin = origin.to_str().unwrap_or_default();
    if options.lists(origin) || origin::is_own(head, origin) {
        return Ok(());
    }
    let remedy = match head.uri.path().starts_with(lab::PREFIX) {
        // The lab's guard allows no origin but the server's own, so no option of the server helps.
        true => "open the page that this server serves".to_owned(),
        false => format!("start the server with --allow-origin {origin} to allow it"),
    };
    Err(Refusal::new(StatusCode::FORBIDDEN, format!("origin {origin:?} is not allowed to do this; {remedy}")))
}

/// Checks that a write or an upgrade which is admitted by a cookie comes from a page that may use it.
///
/// A browser adds the cookie to whatever a page of the same site makes it send, also one of another port. So the browser
/// must say that the page is this server's own, or one whose origin is listed for credentials. A request without any such
/// word has no claim to a person's cookie: programs send a token.
pub(super) fn check_use_of_cookie(head: &RequestHead, options: &ServerOptions) -> Result<(), Refusal> {
    if only_reads(head) {
        return Ok(());
    }
    let origin = head.headers.get(ORIGIN).map(|origin| origin.to_str().unwrap_or_default());
    let is_listed =
        origin.is_some_and(|origin| options.allow_credentials.iter().any(|listed| listed == origin));
    let has_site = head.headers.contains_key("sec-fetch-site");
    let is_own = match origin {
        Some(origin) => origin::is_own(head, origin),
        None => has_site,
    };
    if is_listed || (is_own && origin::foreign_site(&head.headers).is_none()) {
        return Ok(());
    }
    Err(Refusal::new(
        StatusCode::FORBIDDEN,
        "the cookie of a login counts for this call only if the page of this server asks, and the browser says so by \
         Origin or Sec-Fetch-Site; open that page, or send a token as `Authorization: Bearer TOKEN`",
    ))
}

/// Tells whether a request changes nothing and opens no WebSocket.
fn only_reads(head: &RequestHead) -> bool {
    matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS) && !head.headers.contains_key(UPGRADE)
}
