//! The processes that the lab has started: crowds and runs, beside the server.
//!
//! The state belongs to the lab's own scope; the rest of the server does not depend on it.

use actix_web::web;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::crowds::Crowds;
use super::runs::Runs;

/// The processes that the lab has started; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Children {
    pub(super) crowds: web::Data<Crowds>,
    pub(super) runs: web::Data<Runs>,
}

impl Children {
    /// Makes an empty set of processes. Processes that are started later are told to stop when `shutdown` is cancelled.
    /// Must be called inside a tokio runtime that lives as long as the server.
    pub(crate) fn new(shutdown: CancellationToken) -> Self {
        let runtime = Handle::current();
        let crowds = Crowds::new(runtime.clone(), shutdown.clone());
        Self { crowds: web::Data::new(crowds), runs: web::Data::new(Runs::new(runtime, shutdown)) }
    }
}
