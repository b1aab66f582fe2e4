//! The verbs on deployments: create, open a reader, append, finish, list, delete.
//!
//! The API works with all of them; a transport is given readers only. Feeds deployments that have a source.

pub mod sources;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use prometheus_client::metrics::counter::Counter;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use wirelab_clients::recording::{self, RecordingError};
use wirelab_clients::wire::{Appended, Deployment, DeploymentId, Position, RecordingInfo, Source, Status};

use self::sources::{Feed, SourceError};
use crate::reader::{OpenError, Reader};
use crate::store::{self, AppendRequest, DeploymentLog, LogStore, StoreError};

/// Every deployment of one server.
pub struct Deployments {
    store: Arc<dyn LogStore>,
    recordings: PathBuf,
    /// Runs the feeders: they outlive the request that created them.
    runtime: Handle,
    feeders: Feeders,
    appended: Counter,
}

type Feeders = Arc<Mutex<HashMap<DeploymentId, AbortHandle>>>;

/// Why a deployment was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// Its source cannot be.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why lines were not appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The server itself feeds this deployment.
    #[error("deployment {0} is fed by its source; append to a deployment created without one")]
    Sourced(DeploymentId),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Deployments {
    /// The deployments of a store. Those that were being fed when the last server died are cancelled: nobody
    /// feeds them any more. Must be called inside a tokio runtime, which then runs the feeders.
    pub async fn new(store: Arc<dyn LogStore>, recordings: PathBuf) -> Result<Self, StoreError> {
        for log in store.list(usize::MAX).await? {
            if log.source().is_some() && log.info().ended.is_none() {
                log.finish(Status::Cancelled).await?;
            }
        }
        Ok(Self {
            store,
            recordings,
            runtime: Handle::current(),
            feeders: Feeders::default(),
            appended: Counter::default(),
        })
    }

    /// Creates a deployment and, if it has a source, starts feeding it.
    ///
    /// Runs to its end also when the caller goes away: a deployment that nobody feeds would run for ever.
    pub async fn create(&self, name: String, source: Option<Source>) -> Result<Deployment, CreateError> {
        let (store, recordings) = (self.store.clone(), self.recordings.clone());
        let (feeders, appended) = (self.feeders.clone(), self.appended.clone());
        let created = self.runtime.spawn(async move {
            // Before anything is created: a source that cannot be leaves nothing behind.
            let feed = match source.clone() {
                Some(source) => Some(load(source, recordings).await?),
                None => None,
            };
            let log = store.create(name, source).await?;
            let info = log.info();
            if let Some(feed) = feed {
                feed_in_background(feed, log, feeders, appended);
            }
            Ok(info)
        });
        created.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }

    /// A cursor on a deployment's log.
    pub async fn reader(&self, id: &DeploymentId, position: Position) -> Result<Reader, OpenError> {
        Reader::open(self.log(id).await.map_err(OpenError::Store)?, position)
    }

    /// Appends lines for somebody outside.
    pub async fn append(&self, id: &DeploymentId, request: AppendRequest) -> Result<Appended, AppendError> {
        let log = self.log(id).await?;
        if log.source().is_some() {
            return Err(AppendError::Sourced(id.clone()));
        }
        Ok(store::append(&*log, request, &self.appended).await?)
    }

    /// Ends a deployment.
    pub async fn finish(&self, id: &DeploymentId, status: Status) -> Result<Deployment, StoreError> {
        let log = self.log(id).await?;
        log.finish(status).await?;
        self.stop_feeder(id);
        Ok(log.info())
    }

    /// One deployment as it is now.
    pub async fn get(&self, id: &DeploymentId) -> Result<Deployment, StoreError> {
        Ok(self.log(id).await?.info())
    }

    /// The newest deployments, newest first.
    pub async fn list(&self, limit: usize) -> Result<Vec<Deployment>, StoreError> {
        Ok(self.store.list(limit).await?.iter().map(|log| log.info()).collect())
    }

    /// Forgets a deployment; its feeder stops, its readers are told.
    pub async fn delete(&self, id: &DeploymentId) -> Result<(), StoreError> {
        self.store.delete(id).await?;
        self.stop_feeder(id);
        Ok(())
    }

    /// What a replay can name. Files that are no recordings are left out.
    pub fn recordings(&self) -> Result<Vec<RecordingInfo>, RecordingError> {
        Ok(recording::list(&self.recordings)?.recordings)
    }

    /// The store's name and whether what it acknowledges survives power loss.
    pub fn store(&self) -> (&'static str, bool) {
        (self.store.name(), self.store.durable())
    }

    /// Whether every deployment can be written; else which one cannot, and why.
    pub fn check(&self) -> Result<(), StoreError> {
        self.store.check()
    }

    /// Lines appended and acknowledged since the start, by anybody.
    pub fn lines_appended(&self) -> Counter {
        self.appended.clone()
    }

    async fn log(&self, id: &DeploymentId) -> Result<Arc<dyn DeploymentLog>, StoreError> {
        self.store.open(id).await
    }

    fn stop_feeder(&self, id: &DeploymentId) {
        if let Some(feeder) = self.feeders.lock().expect("no holder panics").remove(id) {
            feeder.abort();
        }
    }
}

/// Reads a recording of any size: on a thread where no stream waits behind it.
async fn load(source: Source, recordings: PathBuf) -> Result<Feed, SourceError> {
    let loaded = tokio::task::spawn_blocking(move || sources::feed(&source, &recordings)).await;
    loaded.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

fn feed_in_background(feed: Feed, log: Arc<dyn DeploymentLog>, feeders: Feeders, appended: Counter) {
    let id = log.info().id;
    let (others, own_id) = (feeders.clone(), id.clone());
    // The lock is held until the handle is in, so a feeder that ends at once still finds it to remove.
    let mut running = others.lock().expect("no holder panics");
    let task = tokio::spawn(async move {
        sources::run(feed, &*log, &appended).await;
        feeders.lock().expect("no holder panics").remove(&own_id);
    });
    running.insert(id, task.abort_handle());
}
