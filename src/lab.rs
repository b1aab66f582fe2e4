//! The lab: what a teacher does to the server itself, for the class to see.
//!
//! Mounted by the server under `/api/lab`, all of it behind one [`guard`]: only who sits at this machine may ask, and
//! with `--no-lab` nobody. Knows no transport; nothing here is needed to serve a log.

mod guard;
mod outage;
mod results;

use std::path::PathBuf;

use actix_web::http::StatusCode;
use actix_web::middleware::from_fn;
use actix_web::{HttpResponse, web};
use serde::Serialize;

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
}

impl Default for Lab {
    fn default() -> Self {
        Self { results: "results".into() }
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
}

impl Default for LabBounds {
    fn default() -> Self {
        Self {
            outage_s_min: outage::REFUSE_S_MIN,
            outage_s_max: outage::REFUSE_S_MAX,
            results_listed_max: results::LISTED_MAX,
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
                .service(resource("/outage", "POST").route(web::post().to(outage::begin)))
                .service(resource("/results", "GET, HEAD").route(get().to(results::list)))
                .service(resource("/results/{folder}/{file}", "GET, HEAD").route(get().to(results::file)))
                .service(resource("/results/{plan}/{run}/{file}", "GET, HEAD").route(get().to(results::file)))
                .service(
                    resource("/results/{plan}/{run}/{folder}/{file}", "GET, HEAD")
                        .route(get().to(results::file)),
                )
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
