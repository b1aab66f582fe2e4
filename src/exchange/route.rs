//! Routes: the methods that a path allows, and the bodies and headers that several calls share.
//!
//! Everything that is mounted uses it: calls, transports, lanes, the lab, the page. It depends on no state of the
//! server.

use actix_web::guard;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, Resource, Route, web};
use serde::de::DeserializeOwned;

use super::asked::{gets, not_allowed};
use super::problem::Refusal;
use super::request;

/// Makes a resource that answers 405 with `Allow` to methods other than those in `allowed`.
pub(crate) fn resource(path: &str, allowed: &'static str) -> Resource {
    web::resource(path).default_service(web::to(move |request: HttpRequest| async move {
        Err::<HttpResponse, _>(not_allowed(request.head(), allowed))
    }))
}

/// Makes a route for GET and for HEAD, which is GET without the body.
pub(crate) fn get() -> Route {
    web::route().guard(guard::fn_guard(|context| gets(&context.head().method)))
}

/// Parses the body as the JSON object of a call; a refusal shows `example`.
pub(crate) async fn json_body<T: DeserializeOwned>(
    payload: web::Payload,
    example: &str,
) -> Result<T, Refusal> {
    parsed(&request::body(payload.into_inner()).await?, example)
}

/// Parses a body that has arrived as the JSON object of a call; a refusal shows `example`.
pub(crate) fn parsed<T: DeserializeOwned>(body: &[u8], example: &str) -> Result<T, Refusal> {
    request::json_object(request::without_mark(body)).map_err(|error| {
        Refusal::bad_request(format!("the body is not valid for this call: {error}; an example: {example}"))
    })
}

/// Tells caches not to keep the answer. For streams and snapshots.
pub(crate) fn no_store(mut response: HttpResponseBuilder) -> HttpResponseBuilder {
    response.insert_header((CACHE_CONTROL, "no-store"));
    response
}

/// The head of an answer that never ends by itself, each piece of which is to arrive at once.
pub(crate) fn endless(content_type: &'static str) -> HttpResponseBuilder {
    let mut response = no_store(HttpResponse::Ok());
    // nginx would keep pieces back to fill its buffers.
    response.content_type(content_type).insert_header(("x-accel-buffering", "no"));
    response
}
