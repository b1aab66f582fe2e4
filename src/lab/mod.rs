//! The lab: what a teacher does to the server itself, for the class to see.
//!
//! The server mounts it under `/api/lab`, all of it behind one `guard`: only a request from this machine is admitted,
//! and none with `--no-lab`. It depends on no transport, and serving a log does not depend on it.

mod child;
mod children;
pub(crate) mod crowds;
mod guard;
mod network;
mod outage;
mod results;
pub(crate) mod run_progress;
pub(crate) mod runs;

use actix_web::http::StatusCode;
use actix_web::middleware::from_fn;
use actix_web::{HttpResponse, web};
use serde::Serialize;
use wirelab_clients::harness::crowd::SUBSCRIBERS_MAX;

use crate::context::no_such_path;
use crate::exchange::problem::Refusal;
use crate::exchange::route::{get, no_store, resource};

pub(crate) use children::Children;
pub(crate) use network::NewNetwork;
pub(crate) use outage::OutageTerms;
pub(crate) use results::ResultsFolder;

/// Path of the lab; the paths of its calls are relative to it.
pub(crate) const PREFIX: &str = "/api/lab";

const NONE: &str = "this server has no lab, since it was started with --no-lab; start it without that option";

/// Answer of `/api/lab`: the bounds of the lab's calls.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct LabBounds {
    /// Shortest outage, s.
    outage_s_min: f64,
    /// Longest outage, s.
    outage_s_max: f64,
    /// Folders that `/api/lab/results` lists, the newest.
    results_listed_max: usize,
    /// Crowds that may run at the same time.
    crowds_max: usize,
    /// Subscribers that one crowd may have.
    crowd_subscribers_max: u32,
    /// Longest delay of the network each way, ms.
    network_delay_ms_max: f64,
    /// Slowest link of the network, kbit/s.
    network_link_kbit_s_min: u64,
    /// Fastest link of the network, kbit/s.
    network_link_kbit_s_max: u64,
    /// Longest silence of the network, s.
    network_silence_s_max: f64,
}

impl Default for LabBounds {
    fn default() -> Self {
        Self {
            outage_s_min: outage::REFUSE_S_MIN,
            outage_s_max: outage::REFUSE_S_MAX,
            results_listed_max: results::LISTED_MAX,
            crowds_max: crowds::CROWDS_MAX,
            crowd_subscribers_max: SUBSCRIBERS_MAX,
            network_delay_ms_max: network::DELAY_MS_MAX,
            network_link_kbit_s_min: network::LINK_KBIT_S_MIN,
            network_link_kbit_s_max: network::LINK_KBIT_S_MAX,
            network_silence_s_max: network::SILENCE_S_MAX,
        }
    }
}

/// Mounts the lab's calls behind their guard, with what it has started. Without a lab, every path below the prefix
/// answers 404 with the reason.
pub(crate) fn mount(config: &mut web::ServiceConfig, children: Option<Children>) {
    match children {
        None => config.service(web::scope(PREFIX).default_service(web::to(there_is_none))),
        Some(Children { crowds, runs }) => config.service(
            web::scope(PREFIX)
                .app_data(crowds)
                .app_data(runs)
                .wrap(from_fn(guard::admit))
                .service(resource("", "GET, HEAD").route(get().to(show)))
                .configure(outage::mount)
                .configure(network::mount)
                .configure(results::mount)
                .configure(crowds::mount)
                .configure(runs::mount)
                .default_service(web::to(no_such_path)),
        ),
    };
}

async fn there_is_none() -> Result<HttpResponse, Refusal> {
    Err(Refusal::new(StatusCode::NOT_FOUND, NONE))
}

async fn show() -> HttpResponse {
    no_store(HttpResponse::Ok()).json(LabBounds::default())
}
