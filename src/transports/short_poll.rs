//! Short polling: the client waits, between requests.
//!
//! Every request is answered at once with the lines after the client's cursor, often none. A client that sends back the
//! entity tag of its last answer gets 304 without a body instead of an empty batch.

use actix_web::http::header::{HeaderValue, RETRY_AFTER};
use actix_web::{HttpResponse, web};
use wirelab_clients::wire::{DeploymentId, Outcome, Transport, entity_tag};

use super::{batch_answer, tagged};
use crate::context::{Context, ServerOptions};
use crate::exchange::asked::{Answer, Asked};
use crate::exchange::compression::Coding;
use crate::exchange::problem::Refusal;
use crate::exchange::request;
use crate::reader::{FramedBatch, Json};

/// Caches may keep the answer but must validate it each time (RFC 9111 §5.2.2.4).
const CACHE_CONTROL: &str = "no-cache";

/// Answers `GET …/short-poll?from=&limit=`: 200 with a batch, or 304.
pub(super) async fn answer(
    asked: Asked,
    id: DeploymentId,
    context: web::Data<Context>,
) -> Result<Answer, Refusal> {
    let limit = request::limit(asked.head())?;
    let mut reader = context.deployments.reader(&id, request::position(asked.head())?).await?;
    let batch = reader.read::<Json>(limit).await?;
    let coding = Coding::agreed(asked.request(), context.options.compression);
    let tag = entity_tag(&batch.next, batch.finished.is_some());
    if request::knows(asked.head(), &tag) {
        let response = tagged(HttpResponse::NotModified(), tag, CACHE_CONTROL, coding).finish();
        return Ok(advised(Answer { response, outcome: Outcome::Empty }, &batch, &context.options));
    }
    context.metrics.of(Transport::ShortPoll).lines_delivered.inc_by(batch.line_count as u64);
    Ok(advised(batch_answer(batch.clone(), tag, CACHE_CONTROL, coding), &batch, &context.options))
}

/// Adds the interval that the server advises to pollers, if there was no line and more may come. `Retry-After` is
/// standard for 503 and redirects; on 200 and 304 it is an extension of this server.
fn advised(mut answer: Answer, batch: &FramedBatch, options: &ServerOptions) -> Answer {
    if let Some(interval) = options.poll_advice
        && batch.line_count == 0
        && batch.finished.is_none()
    {
        answer.response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(interval.as_secs()));
    }
    answer
}
