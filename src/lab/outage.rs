//! An outage: every open connection is cut without goodbye, and so is every new one for some seconds.
//!
//! The page asks for it to show how each transport comes back. Deployments are not affected: their sources go on, and
//! missed lines can be read afterwards. The connections themselves do the cutting.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::context::Context;
use crate::exchange::problem::Refusal;
use crate::exchange::route::{json_body, no_store, resource};

/// Shortest outage, s; a shorter one would not be seen.
pub(super) const REFUSE_S_MIN: f64 = 0.1;
/// Longest outage, s: the longest wait of our clients between two attempts, so that all of them notice it.
pub(super) const REFUSE_S_MAX: f64 = 30.0;
/// Delay before the cut, in which the answer is sent.
const ANSWER_TIME: Duration = Duration::from_millis(100);

/// Body of `POST /api/lab/outage` and of its answer.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct OutageTerms {
    /// Time for which new connections are refused, s.
    #[schema(minimum = 0.1, maximum = 30)]
    refuse_s: f64,
}

/// Mounts the call on outages, relative to the lab's path.
pub(super) fn mount(config: &mut web::ServiceConfig) {
    config.service(resource("/outage", "POST").route(web::post().to(begin)));
}

/// Answers, then begins the outage.
async fn begin(payload: web::Payload, context: web::Data<Context>) -> Result<HttpResponse, Refusal> {
    let terms: OutageTerms = json_body(payload, r#"{"refuse_s":5}"#).await?;
    if !(REFUSE_S_MIN..=REFUSE_S_MAX).contains(&terms.refuse_s) {
        return Err(Refusal::bad_request(format!(
            "refuse_s {} is out of range; give {REFUSE_S_MIN} to {REFUSE_S_MAX} seconds",
            terms.refuse_s
        )));
    }
    let Some(outage) = context.connections.announce_outage() else {
        let detail = "another outage is under way; wait until it is over";
        return Err(Refusal::new(StatusCode::CONFLICT, detail));
    };
    // The task ends with the server, if the server stops first.
    actix_rt::spawn(async move {
        sleep(ANSWER_TIME).await;
        outage.begin();
        sleep(Duration::from_secs_f64(terms.refuse_s)).await;
        drop(outage);
    });
    Ok(no_store(HttpResponse::Accepted()).json(terms))
}
