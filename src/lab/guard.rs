//! The guard of the lab: it admits only requests from this machine, from a page of this server, without a proxy in
//! between. On a server with tokens, it admits the owner from anywhere, but no page of another server.
//!
//! It wraps every path of the lab and nothing else. It checks the connection and those headers of a browser that a page
//! cannot change. It asks for no token: the server does so before, and lets none but an owner come here. Without tokens a
//! lab that is reachable from elsewhere is a mistake, not a feature.
//!
//! Each rule closes one way in:
//!
//! - The peer's address keeps out other machines.
//! - The name in `Host` keeps out foreign names that were made to lead here (DNS rebinding).
//! - Marks of a proxy, and HTTP/1.0, keep out proxies here, whose clients all look local. nginx spoke HTTP/1.0
//!   to its upstreams until 1.29.7. A proxy that leaves no mark is not noticed.
//! - `Origin` and `Sec-Fetch-Site` keep out pages of other servers in a browser on this machine.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue, ORIGIN};
use actix_web::http::{StatusCode, Version};
use actix_web::middleware::Next;
use actix_web::{Error, HttpRequest, ResponseError, web};

use crate::context::Context;
use crate::exchange::problem::Refusal;
use crate::exchange::{host, origin};

/// Header fields that only proxies add, apart from those that begin with [`FORWARDED_PREFIX`].
const FORWARDED: [&str; 3] = ["forwarded", "via", "x-real-ip"];
const FORWARDED_PREFIX: &str = "x-forwarded-";

/// Lets a request through, or answers 403 with the rule that it breaks.
pub(super) async fn admit(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let context =
        request.app_data::<web::Data<Context>>().expect("the server gives every handler its context");
    let scheme = context.options.scheme();
    let checked = match context.options.access.tokens() {
        Some(_) => check_page(request.request())
            .map_err(|rule| format!("the lab answers only to the page of this server, and {rule}; open that page")),
        None => check(request.request(), scheme).map_err(|rule| {
            format!(
                "the lab answers only at the machine that the server runs on, and {rule}; open the page there at \
                 {scheme}://localhost, without a proxy in between"
            )
        }),
    };
    if let Err(detail) = checked {
        return Ok(request.into_response(Refusal::new(StatusCode::FORBIDDEN, detail).error_response()));
    }
    let mut response = next.call(request).await?.map_into_boxed_body();
    // No other page may embed what it cannot read.
    let policy = HeaderName::from_static("cross-origin-resource-policy");
    response.headers_mut().insert(policy, HeaderValue::from_static("same-origin"));
    Ok(response)
}

/// Checks the rules against pages of other servers, whatever their browser holds.
fn check_page(request: &HttpRequest) -> Result<(), String> {
    let headers = request.headers();
    if let Some(origin) =
        origin::values(headers, ORIGIN.as_str()).find(|origin| !origin::is_own(request.head(), origin))
    {
        return Err(format!("the page that asks has the origin {origin:?}"));
    }
    check_site(headers)
}

fn check_site(headers: &HeaderMap) -> Result<(), String> {
    match origin::foreign_site(headers) {
        None => Ok(()),
        Some(site) => Err(format!("the page that asks belongs to another site: Sec-Fetch-Site is {site:?}")),
    }
}

/// Checks the rules of a server without tokens; the error says in words which one is broken.
fn check(request: &HttpRequest, scheme: &str) -> Result<(), String> {
    let headers = request.headers();
    match request.peer_addr().map(|peer| peer.ip().to_canonical()) {
        Some(peer) if peer.is_loopback() => {}
        Some(peer) => return Err(format!("this request comes from {peer}")),
        None => return Err("the peer of this request is not known".to_owned()),
    }
    if request.version() < Version::HTTP_11 {
        return Err("this request uses HTTP/1.0, as proxies do".to_owned());
    }
    let host = of_this_machine(request)?;
    if let Some(name) = headers.keys().find(|name| is_of_a_proxy(name)) {
        return Err(format!("this request came through a proxy: it has the field {name}"));
    }
    let own = format!("{scheme}://{host}");
    if let Some(origin) =
        origin::values(headers, ORIGIN.as_str()).find(|origin| !origin.eq_ignore_ascii_case(&own))
    {
        return Err(format!("the page that asks has the origin {origin:?} instead of {own:?}"));
    }
    check_site(headers)
}

/// Returns the name in `Host` if there is one and every name of the request is one of the loopback.
fn of_this_machine(request: &HttpRequest) -> Result<&str, String> {
    let names = host::names(request.head())?;
    match names.iter().find(|name| !host::is_loopback(name)) {
        Some(name) => {
            Err(format!("this request calls the server {name:?}, which is not a name of the loopback"))
        }
        None => names.first().copied().ok_or_else(|| "this request does not have a Host field".to_owned()),
    }
}

fn is_of_a_proxy(name: &HeaderName) -> bool {
    FORWARDED.contains(&name.as_str()) || name.as_str().starts_with(FORWARDED_PREFIX)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HOST;
    use actix_web::test::TestRequest;

    use super::*;

    fn request(peer: &str) -> TestRequest {
        TestRequest::get().uri("/").peer_addr(peer.parse().unwrap()).insert_header((HOST, "localhost:8080"))
    }

    #[test]
    fn only_the_loopback_is_this_machine_however_its_address_is_written() {
        for peer in ["127.0.0.1:5000", "127.9.9.9:5000", "[::1]:5000", "[::ffff:127.0.0.1]:5000"] {
            assert_eq!(check(&request(peer).to_http_request(), "http"), Ok(()), "{peer}");
        }
        for peer in ["192.0.2.2:5000", "[fd00::2]:5000", "[::ffff:192.0.2.2]:5000", "0.0.0.0:5000"] {
            let refused = check(&request(peer).to_http_request(), "http").unwrap_err();
            assert!(refused.contains("comes from"), "{peer}: {refused}");
        }
        let unknown = TestRequest::get().insert_header((HOST, "localhost")).to_http_request();
        assert!(check(&unknown, "http").is_err());
    }
}
