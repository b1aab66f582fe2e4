//! The page that asks, as its browser names it: `Origin` and `Sec-Fetch-Site`, which no page can change. Pure.
//!
//! The server checks writes by them, and so does the lab's guard. Programs send neither.

use actix_web::dev::RequestHead;
use actix_web::http::Uri;
use actix_web::http::header::{HOST, HeaderMap};
use actix_web::http::uri::Authority;

/// Values of `Sec-Fetch-Site` that a request of the server's own page has, or one of a person who typed the address
/// (W3C Fetch Metadata §2.3).
const OWN_SITES: [&str; 2] = ["same-origin", "none"];

/// Tells whether `origin` is the server's own. Host and port must agree; the scheme may differ, since a proxy may have
/// ended TLS.
pub(crate) fn is_own(head: &RequestHead, origin: &str) -> bool {
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    let Ok(origin) = origin.parse::<Uri>() else { return false };
    let port = match origin.scheme_str() {
        Some("http") => 80,
        Some("https") => 443,
        _ => return false,
    };
    let with_port =
        |authority: &Authority| (authority.host().to_ascii_lowercase(), authority.port_u16().unwrap_or(port));
    match (origin.authority(), host.and_then(|host| host.parse().ok())) {
        (Some(origin), Some(host)) => with_port(origin) == with_port(&host),
        _ => false,
    }
}

/// Returns the first `Sec-Fetch-Site` that names another site than the server's own, if there is one.
pub(crate) fn foreign_site(headers: &HeaderMap) -> Option<&str> {
    values(headers, "sec-fetch-site").find(|site| !OWN_SITES.contains(site))
}

/// Returns the values of all fields with this name. Bytes that are not text become a value that no rule allows.
pub(crate) fn values<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).map(|value| value.to_str().unwrap_or("\u{fffd}"))
}
