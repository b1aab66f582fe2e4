//! The server halves of the transports: how lines leave a log.
//!
//! Transports differ in one question: who waits for the next line? Each is one file; its client half has the same stem
//! in `clients/src/transports/`. A transport uses nothing of the store but a [`Reader`](crate::reader::Reader).

#[doc(hidden)]
pub mod bench;
mod endless;
pub mod long_poll;
pub mod ndjson;
pub mod short_poll;
mod silence;
pub mod sse;
pub mod websocket;

use actix_web::http::Method;
use actix_web::http::header::{CACHE_CONTROL, ETAG, HeaderValue};
use actix_web::{HttpResponse, HttpResponseBuilder, web};
use wirelab_clients::wire::{DeploymentId, InvalidToken, Outcome, Transport};

use crate::context::Context;
use crate::exchange::asked::{Answer, Asked, gets, not_allowed};
use crate::exchange::compression::Coding;
use crate::exchange::problem::Refusal;
use crate::exchange::request::no_such_deployment;
use crate::reader::FramedBatch;

/// Answers a request for the lines of a deployment by one transport.
pub(crate) async fn answer(
    transport: Transport,
    asked: Asked,
    id: Result<DeploymentId, InvalidToken>,
    context: web::Data<Context>,
) -> Result<Answer, Refusal> {
    let method = &asked.head().method;
    let (may, allowed) = match transport {
        Transport::ShortPoll | Transport::LongPoll => (gets(method), "GET, HEAD"),
        Transport::Sse | Transport::Ndjson | Transport::Websocket => (*method == Method::GET, "GET"),
    };
    if !may {
        return Err(not_allowed(asked.head(), allowed));
    }
    let id = id.map_err(no_such_deployment)?;
    match transport {
        Transport::ShortPoll => short_poll::answer(asked, id, context).await,
        Transport::LongPoll => long_poll::answer(asked, id, context).await,
        Transport::Sse => sse::answer(asked, id, context).await,
        Transport::Ndjson => ndjson::answer(asked, id, context).await,
        Transport::Websocket => websocket::answer(asked, id, context).await,
    }
}

/// Makes the 200 answer of both polls: the JSON of the batch and its entity tag.
fn batch_answer(batch: FramedBatch, tag: String, cache_control: &'static str, coding: Coding) -> Answer {
    let outcome = if batch.line_count == 0 { Outcome::Empty } else { Outcome::Data };
    let mut response = tagged(HttpResponse::Ok(), tag, cache_control, coding);
    let json = HeaderValue::from_static("application/json");
    Answer { response: coding.whole(response.content_type(json), batch.bytes), outcome }
}

/// Adds to a poll's answer the entity tag that holds the client's next cursor. The tag is weak if the body is coded.
fn tagged(
    mut response: HttpResponseBuilder,
    tag: String,
    cache_control: &'static str,
    coding: Coding,
) -> HttpResponseBuilder {
    response
        .insert_header((ETAG, coding.tag(tag)))
        .insert_header((CACHE_CONTROL, HeaderValue::from_static(cache_control)));
    coding.vary(&mut response);
    response
}

#[cfg(test)]
mod tests;
