//! The lab: what a teacher does to the server itself, for the class to see.
//!
//! Mounted by the server under `/api/lab`, all of it behind one `guard`: only who sits at this machine may ask, and
//! with `--no-lab` nobody. Knows no transport; nothing here is needed to serve a log.

mod child;
pub(crate) mod crowds;
mod guard;
mod outage;
mod results;
pub(crate) mod runs;

use std::path::PathBuf;

use actix_web::http::StatusCode;
use actix_web::middleware::from_fn;
use actix_web::{HttpResponse, web};
use serde::Serialize;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use wirelab_clients::harness::crowd::SUBSCRIBERS_MAX;

use self::crowds::Crowds;
use self::runs::Runs;
use crate::api::{get, resource};
use crate::problem::Refusal;
use crate::server::no_store;

pub(crate) use outage::OutageTerms;
pub(crate) use results::ResultsFolder;

/// Where the lab is; the paths below are relative to it.
pub(crate) const PREFIX: &str = "/api/lab";

const NONE: &str = "this server has no lab: it was started with --no-lab; start it without to have one";

/// What the lab works with; every one is a flag of `wirelab serve`.
#[derive(Debug, Clone)]
pub struct Lab {
    /// The folder that runs are written to.
    pub results: PathBuf,
    /// The folder with plans, and what they name.
    pub data: PathBuf,
    /// wirelab itself: what crowds and runs are processes of.
    pub program: PathBuf,
}

impl Default for Lab {
    fn default() -> Self {
        // Without a path of its own nothing can be started, which is told to whoever asks.
        let program = std::env::current_exe().unwrap_or_default();
        Self { results: "results".into(), data: "data".into(), program }
    }
}

/// The processes that the lab has started.
#[derive(Debug)]
pub(crate) struct Children {
    crowds: Crowds,
    runs: Runs,
}

impl Children {
    /// None yet; all are told to stop when `shutdown` is cancelled. Must be called inside a tokio runtime that lives as
    /// long as the server.
    pub(crate) fn none(shutdown: CancellationToken) -> Self {
        let runtime = Handle::current();
        Self { crowds: Crowds::new(runtime.clone(), shutdown.clone()), runs: Runs::new(runtime, shutdown) }
    }
}

/// Answer of `/api/lab`: what there is, with its bounds.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct LabBounds {
    /// Shortest outage, s.
    outage_s_min: f64,
    /// Longest outage, s.
    outage_s_max: f64,
    /// Folders in `/api/lab/results`, the newest.
    results_listed_max: usize,
    /// Crowds at the same time.
    crowds_max: usize,
    /// Subscribers of one crowd.
    crowd_subscribers_max: u32,
}

impl Default for LabBounds {
    fn default() -> Self {
        Self {
            outage_s_min: outage::REFUSE_S_MIN,
            outage_s_max: outage::REFUSE_S_MAX,
            results_listed_max: results::LISTED_MAX,
            crowds_max: crowds::CROWDS_MAX,
            crowd_subscribers_max: SUBSCRIBERS_MAX,
        }
    }
}

/// The lab's calls behind their guard, or the one sentence that there are none.
pub(crate) fn mount(config: &mut web::ServiceConfig, lab: Option<&Lab>) {
    match lab {
        None => config.service(web::scope(PREFIX).default_service(web::to(there_is_none))),
        Some(_) => config.service(
            web::scope(PREFIX)
                .wrap(from_fn(guard::admit))
                .service(resource("", "GET, HEAD").route(get().to(show)))
                .configure(outage::mount)
                .configure(results::mount)
                .configure(crowds::mount)
                .configure(runs::mount)
                .default_service(web::to(crate::server::no_such_path)),
        ),
    };
}

async fn there_is_none() -> Result<HttpResponse, Refusal> {
    Err(Refusal::new(StatusCode::NOT_FOUND, NONE))
}

async fn show() -> HttpResponse {
    no_store(HttpResponse::Ok()).json(LabBounds::default())
}

/// Reads files: off the worker's thread, so that streams go on.
async fn off_the_worker<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let stopping = |_| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping");
    web::block(read).await.map_err(stopping)?
}
