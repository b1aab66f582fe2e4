//! An outage: every connection is cut without goodbye, and whatever connects, until some seconds have passed.
//!
//! Asked for by the page, to show how each transport comes back. Deployments know nothing of it: they are fed on, and
//! what was missed is there to be read. The connections themselves do the cutting.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::context::Context;
use crate::exchange::problem::Refusal;
use crate::exchange::route::{json_body, no_store, resource};

/// Shortest outage: below it, nobody would see that there was one.
pub(super) const REFUSE_S_MIN: f64 = 0.1;
/// Longest outage, as long as clients of ours wait at most between two attempts: all have noticed it by then.
pub(super) const REFUSE_S_MAX: f64 = 30.0;
/// For the answer to leave before its connection is cut.
const ANSWER_TIME: Duration = Duration::from_millis(100);

/// What is asked of `/api/lab/outage`, and answered.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct OutageTerms {
    /// How long whatever connects is refused, s.
    #[schema(minimum = 0.1, maximum = 30)]
    refuse_s: f64,
}

/// The path of outages, relative to the lab's.
pub(super) fn mount(config: &mut web::ServiceConfig) {
    config.service(resource("/outage", "POST").route(web::post().to(begin)));
}

/// Answers first, then cuts.
async fn begin(payload: web::Payload, context: web::Data<Context>) -> Result<HttpResponse, Refusal> {
    let terms: OutageTerms = json_body(payload, r#"{"refuse_s":5}"#).await?;
    if !(REFUSE_S_MIN..=REFUSE_S_MAX).contains(&terms.refuse_s) {
        return Err(Refusal::bad_request(format!(
            "refuse_s is {REFUSE_S_MIN} to {REFUSE_S_MAX} seconds, not {}",
            terms.refuse_s
        )));
    }
    let Some(outage) = context.connections.announce_outage() else {
        let detail = "there is an outage already; wait until it is over";
        return Err(Refusal::new(StatusCode::CONFLICT, detail));
    };
    // Ends with the server, if that stops first.
    actix_rt::spawn(async move {
        sleep(ANSWER_TIME).await;
        outage.begin();
        sleep(Duration::from_secs_f64(terms.refuse_s)).await;
        drop(outage);
    });
    Ok(no_store(HttpResponse::Accepted()).json(terms))
}
