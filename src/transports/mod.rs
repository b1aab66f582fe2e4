//! The server halves of the transports: how lines leave a log.
//!
//! Transports differ in one question: who waits for the next line? Each is one file; its client half has the same stem
//! in `clients/src/transports/`. A transport uses nothing of the store but a [`Reader`](crate::reader::Reader).

mod endless;
pub mod long_poll;
pub mod ndjson;
pub mod short_poll;
mod silence;
pub mod sse;
pub mod websocket;

use actix_web::http::header::{CACHE_CONTROL, ETAG, HeaderValue};
use actix_web::{HttpResponse, HttpResponseBuilder, web};
use wirelab_clients::wire::{Outcome, Transport, entity_tag};

use crate::exchange::compression::Coding;
use crate::exchange::route::{get, resource};
use crate::reader::FramedBatch;

/// Mounts the transports that are served, each at its path.
pub fn mount(config: &mut web::ServiceConfig, served: &[Transport]) {
    for transport in served {
        let path = transport.path();
        config.service(match transport {
            Transport::ShortPoll => resource(&path, "GET, HEAD").route(get().to(short_poll::answer)),
            Transport::LongPoll => resource(&path, "GET, HEAD").route(get().to(long_poll::answer)),
            Transport::Sse => resource(&path, "GET").route(web::get().to(sse::answer)),
            Transport::Ndjson => resource(&path, "GET").route(web::get().to(ndjson::answer)),
            Transport::Websocket => resource(&path, "GET").route(web::get().to(websocket::answer)),
        });
    }
}

/// Makes the 200 answer of both polls: the JSON of the batch and its entity tag.
fn batch_answer(batch: FramedBatch, cache_control: &'static str, coding: Coding) -> HttpResponse {
    let outcome = if batch.line_count == 0 { Outcome::Empty } else { Outcome::Data };
    let mut response = tagged(HttpResponse::Ok(), &batch, cache_control, coding);
    counted(coding.whole(response.content_type("application/json"), batch.bytes), outcome)
}

/// Adds to a poll's answer the entity tag that holds the client's next cursor. The tag is weak if the body is coded.
fn tagged(
    mut response: HttpResponseBuilder,
    batch: &FramedBatch,
    cache_control: &'static str,
    coding: Coding,
) -> HttpResponseBuilder {
    response
        .insert_header((ETAG, coding.tag(entity_tag(&batch.next, batch.finished.is_some()))))
        .insert_header((CACHE_CONTROL, HeaderValue::from_static(cache_control)));
    coding.vary(&mut response);
    response
}

/// Sets the outcome of a request for the counters, where the status alone does not tell it.
fn counted(mut response: HttpResponse, outcome: Outcome) -> HttpResponse {
    response.extensions_mut().insert(outcome);
    response
}

#[cfg(test)]
mod tests;
