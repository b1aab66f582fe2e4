//! The network: distance, jitter, rate and silence between this server and all of its clients.
//!
//! The page asks for it to show what distance costs each transport. The server's connections do the delaying, and
//! requests of the lab pass beside it. It ends with the page that set it.

use std::borrow::Cow;
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use tokio::time::sleep;

use crate::context::Context;
use crate::exchange::problem::Refusal;
use crate::exchange::request::parameter;
use crate::exchange::route::{get, json_body, no_store, resource};

/// Longest delay each way, ms: a satellite in geostationary orbit, 36 000 km up and down again at the speed of light,
/// with time to spare.
pub(super) const DELAY_MS_MAX: f64 = 300.0;
/// Slowest link, kbit/s: a modem. On a slower one this page would take minutes to load.
pub(super) const LINK_KBIT_S_MIN: u64 = 32;
/// Fastest link, kbit/s: on a faster one the machine is what is seen.
pub(super) const LINK_KBIT_S_MAX: u64 = 1_000_000;
/// Longest silence, s: that of an outage, so that the page and its clients are as patient.
pub(super) const SILENCE_S_MAX: f64 = super::outage::REFUSE_S_MAX;
/// Delay before a silence, in which the answer is sent.
const ANSWER_TIME: Duration = Duration::from_millis(100);

const EXAMPLE: &str = r#"{"delay_ms":100,"jitter_ms":0,"link_kbit_s":null,"silence_s":0}"#;

/// Body of `PUT /api/lab/network`. What is absent is 0 or null.
#[derive(Debug, Clone, Copy, Default, Deserialize, utoipa::ToSchema)]
// A name with a mistake in it would take the network away.
#[serde(default, deny_unknown_fields)]
pub(crate) struct NewNetwork {
    /// Time from one end to the other, each way, ms.
    #[schema(minimum = 0, maximum = 300)]
    delay_ms: f64,
    /// Largest difference from that time, ms; at most `delay_ms`.
    #[schema(minimum = 0, maximum = 300)]
    jitter_ms: f64,
    /// Rate of the link in each direction and for each connection, kbit/s; null: as fast as the machine.
    #[schema(minimum = 32, maximum = 1_000_000)]
    link_kbit_s: Option<u64>,
    /// Time for which nothing arrives, s. It begins 0.1 s after the answer; 0 ends a silence. When it is absent or null, a
    /// silence goes on.
    #[schema(minimum = 0, maximum = 30)]
    silence_s: Option<f64>,
}

impl NewNetwork {
    fn check(&self) -> Result<(), Refusal> {
        let Self { delay_ms, jitter_ms, link_kbit_s, silence_s } = *self;
        let refuse = |detail: String| Err(Refusal::bad_request(detail));
        if !(0.0..=DELAY_MS_MAX).contains(&delay_ms) {
            return refuse(format!(
                "delay_ms {delay_ms} is out of range; give 0 to {DELAY_MS_MAX} ms each way"
            ));
        }
        if !(0.0..=delay_ms).contains(&jitter_ms) {
            return refuse(format!(
                "jitter_ms {jitter_ms} is out of range; give 0 to {delay_ms}, which is delay_ms: no byte arrives before \
                 it leaves"
            ));
        }
        if let Some(rate) = link_kbit_s
            && !(LINK_KBIT_S_MIN..=LINK_KBIT_S_MAX).contains(&rate)
        {
            return refuse(format!(
                "link_kbit_s {rate} is out of range; give {LINK_KBIT_S_MIN} to {LINK_KBIT_S_MAX} kbit/s, or null for a \
                 link as fast as the machine"
            ));
        }
        match silence_s {
            Some(silence_s) if !(0.0..=SILENCE_S_MAX).contains(&silence_s) => {
                refuse(format!("silence_s {silence_s} is out of range; give 0 to {SILENCE_S_MAX} seconds"))
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// Mounts the calls on the network, relative to the lab's path.
pub(super) fn mount(config: &mut web::ServiceConfig) {
    config.service(
        resource("/network", "GET, HEAD, PUT, DELETE")
            .route(get().to(show))
            .route(web::put().to(set))
            .route(web::delete().to(take_away)),
    );
}

async fn show(context: web::Data<Context>) -> HttpResponse {
    no_store(HttpResponse::Ok()).json(context.connections.network().state())
}

/// Sets the network, until the page that asks is gone.
async fn set(
    request: HttpRequest,
    payload: web::Payload,
    context: web::Data<Context>,
) -> Result<HttpResponse, Refusal> {
    let asked: NewNetwork = json_body(payload, EXAMPLE).await?;
    asked.check()?;
    let gone = context.until_page_is_gone(&request)?;
    let page = parameter(request.head(), "page")?.map(Cow::into_owned);
    let NewNetwork { delay_ms, jitter_ms, link_kbit_s, silence_s } = asked;
    let replaced = context.connections.network().set_link(delay_ms, jitter_ms, link_kbit_s, page);
    let network = context.connections.network().clone();
    // The tasks end with the server, if the server stops first. One of each lives at a time.
    actix_rt::spawn(async move {
        tokio::select! {
            () = replaced.cancelled() => {}
            // It may be set anew in this moment: that one stays.
            () = gone => network.end_with_page(&replaced),
        }
    });
    if let Some(silence_s) = silence_s {
        let length = Duration::from_secs_f64(silence_s);
        let answered = if length.is_zero() { Duration::ZERO } else { ANSWER_TIME };
        let broken = context.connections.network().announce_silence(length + answered);
        let network = context.connections.network().clone();
        actix_rt::spawn(async move {
            let silence = async {
                sleep(answered).await;
                network.fall_silent(&broken);
                sleep(length).await;
                network.end_silence(&broken);
            };
            tokio::select! {
                () = broken.cancelled() => {}
                () = silence => {}
            }
        });
    }
    Ok(no_store(HttpResponse::Ok()).json(context.connections.network().state()))
}

/// Takes the network away. With `?page=PAGE` only if that page has set it.
async fn take_away(request: HttpRequest, context: web::Data<Context>) -> Result<HttpResponse, Refusal> {
    let page = parameter(request.head(), "page")?;
    context.connections.network().take_away(page.as_deref());
    Ok(no_store(HttpResponse::Ok()).json(context.connections.network().state()))
}
