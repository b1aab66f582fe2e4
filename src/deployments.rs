//! The verbs on deployments: create, open a reader, append, finish, list, delete.
//!
//! The API works with all of them; a transport is given readers only. Feeds deployments that have a source.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use wirelab_clients::recording::{self, RecordingError};
use wirelab_clients::wire::{
    Appended, Deployment, DeploymentId, From as Position, RecordingInfo, Source, Status,
};

use crate::reader::{OpenError, Reader};
use crate::sources::{self, SourceError};
use crate::store::{AppendRequest, DeploymentLog, LogStore, StoreError};

/// Every deployment of one server.
pub struct Deployments {
    store: Arc<dyn LogStore>,
    recordings: PathBuf,
    /// Runs the feeders: they outlive the request that created them.
    runtime: Handle,
    feeders: Arc<Mutex<HashMap<DeploymentId, AbortHandle>>>,
}

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
        Ok(Self { store, recordings, runtime: Handle::current(), feeders: Arc::default() })
    }

    /// Creates a deployment and, if it has a source, starts feeding it.
    pub async fn create(&self, name: String, source: Option<Source>) -> Result<Deployment, CreateError> {
        // Before anything is created: a source that cannot be leaves nothing behind.
        let feed = match &source {
            Some(source) => Some(sources::feed(source, &self.recordings)?),
            None => None,
        };
        let log = self.store.create(name, source).await?;
        let info = log.info();
        if let Some(feed) = feed {
            let (feeders, id) = (self.feeders.clone(), info.id.clone());
            // The lock is held until the handle is in, so a feeder that ends at once still finds it to remove.
            let mut running = self.feeders.lock().expect("no holder panics");
            let task = self.runtime.spawn(async move {
                sources::run(feed, &*log).await;
                feeders.lock().expect("no holder panics").remove(&id);
            });
            running.insert(info.id.clone(), task.abort_handle());
        }
        Ok(info)
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
        Ok(log.append(request).await?)
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

    async fn log(&self, id: &DeploymentId) -> Result<Arc<dyn DeploymentLog>, StoreError> {
        self.store.open(id).await
    }

    fn stop_feeder(&self, id: &DeploymentId) {
        if let Some(feeder) = self.feeders.lock().expect("no holder panics").remove(id) {
            feeder.abort();
        }
    }
}
