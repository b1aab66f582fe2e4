//! Short polling: the client waits, between requests.
//!
//! Every request is answered at once with what there is after the client's cursor, often nothing. A client that
//! sends back the entity tag of its last answer gets 304 without a body instead of an empty batch.

use actix_web::{HttpRequest, HttpResponse, web};
use wirelab_clients::wire::{Outcome, Transport, entity_tag};

use super::{batch_answer, counted, tagged};
use crate::problem::Refusal;
use crate::request;
use crate::server::Context;

/// Caches may keep the answer but must ask each time (RFC 9111 §5.2.2.4).
const CACHE_CONTROL: &str = "no-cache";

/// `GET …/short-poll?from=&limit=`: 200 with a batch, or 304.
pub async fn answer(request: HttpRequest, context: web::Data<Context>) -> Result<HttpResponse, Refusal> {
    let (id, limit) = (request::deployment_id(&request)?, request::limit(&request)?);
    let mut reader = context.deployments.reader(&id, request::position(&request)?).await?;
    let batch = reader.read(limit).await?;
    if request::knows(&request, &entity_tag(&batch.next, batch.finished.is_some())) {
        return Ok(counted(
            tagged(HttpResponse::NotModified(), &batch, CACHE_CONTROL).finish(),
            Outcome::Empty,
        ));
    }
    context.metrics.of(Transport::ShortPoll).lines_delivered.inc_by(batch.lines.len() as u64);
    Ok(batch_answer(&batch, CACHE_CONTROL))
}
