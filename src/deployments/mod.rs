//! The operations on deployments: create, open a reader, append, finish, list, delete.
//!
//! A deployment is one run of a build or a release; its log holds the lines that it prints. The API uses all
//! operations; a transport gets readers only. A deployment may have a source, by which the server itself feeds it.

mod creation_keys;
mod listing;
mod places;
pub mod sources;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use prometheus_client::metrics::counter::Counter;
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::AbortHandle;
use wirelab_clients::recording::{self, RecordingError};
use wirelab_clients::wire::{
    Appended, Deployment, DeploymentId, NewLine, Position, RecordingInfo, Source, Status,
};

use self::creation_keys::{Claim, CreationKeys};
pub use self::listing::{Listing, State};
use self::places::Places;
pub use self::places::{Full, RUNNING_MAX_DEFAULT, SOURCES_MAX};
use self::sources::{Feed, SourceError};
use crate::reader::{Frames, OpenError, Reader};
use crate::store::{AppendRequest, DeploymentLog, IdempotencyKey, LogStore, StoreError};

/// Time that a start waits until deployments that are no longer fed are cancelled. A disk that works needs less.
const CANCEL_WAIT: Duration = Duration::from_secs(1);

/// All deployments of one server.
pub struct Deployments {
    store: Arc<dyn LogStore>,
    recordings: PathBuf,
    /// Runtime of the feeders: they outlive the request that created them.
    runtime: Handle,
    feeders: Feeders,
    keys: Arc<CreationKeys>,
    places: Arc<Places>,
    /// Framed batches that the readers of all logs share.
    frames: Arc<Frames>,
}

type Feeders = Arc<Mutex<HashMap<DeploymentId, AbortHandle>>>;

/// A deployment to create.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateRequest {
    /// Name of the deployment.
    pub name: String,
    /// Source that feeds the deployment.
    pub source: Option<Source>,
    /// Idempotency key, which makes it safe to repeat the request.
    pub key: Option<IdempotencyKey>,
}

/// Error of creating a deployment.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The source of the deployment is not valid.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Nothing more may run.
    #[error(transparent)]
    Full(#[from] Full),
    /// The store could not create the log, or the idempotency key was used for another deployment.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Error of appending lines.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The deployment has a source, so only the server appends to it.
    #[error("deployment {0} is fed by its source; append to a deployment that was created without a source")]
    Sourced(DeploymentId),
    /// The store could not append the lines.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Deployments {
    /// Opens the deployments of a store. Deployments that had a source when the last server stopped are finished as
    /// cancelled, since they are no longer fed; one that cannot be written yet, once it can. Must be called inside a tokio
    /// runtime, which then runs the feeders.
    pub async fn new(store: Arc<dyn LogStore>, recordings: PathBuf) -> Result<Self, StoreError> {
        let (keys, mut cancelled) = (CreationKeys::default(), Vec::new());
        for log in store.list(usize::MAX).await?.into_iter().rev() {
            if let Some(key) = log.creation_key() {
                keys.remember(key, log.id().clone());
            }
            if log.source().is_some() && log.info().ended.is_none() {
                cancelled.push(tokio::spawn(async move { sources::cancel(&*log).await }));
            }
        }
        // On a full disk they wait for room, which the server must not do.
        let _ = tokio::time::timeout(CANCEL_WAIT, join_all(cancelled)).await;
        let places = Arc::new(Places::new(RUNNING_MAX_DEFAULT, store.tally()));
        Ok(Self {
            store,
            recordings,
            runtime: Handle::current(),
            feeders: Feeders::default(),
            keys: Arc::new(keys),
            places,
            frames: Arc::default(),
        })
    }

    /// Lets at most `running_max` deployments run at once. More that run already go on.
    pub fn running_at_most(self, running_max: usize) -> Self {
        let places = Arc::new(Places::new(running_max, self.store.tally()));
        Self { places, ..self }
    }

    /// Creates a deployment and, if it has a source, starts feeding it. When `until` is over first, the deployment is
    /// finished as cancelled; without a source `until` is not awaited.
    ///
    /// A key that has created a deployment before returns that one as it is now, and `until` is dropped.
    ///
    /// Goes on to its end even if the caller drops the future: a deployment with a source but without a feeder would
    /// run for ever.
    pub async fn create(
        &self,
        request: CreateRequest,
        until: impl Future<Output = ()> + Send + 'static,
    ) -> Result<Deployment, CreateError> {
        let creation = Creation {
            store: self.store.clone(),
            recordings: self.recordings.clone(),
            feeders: self.feeders.clone(),
            places: self.places.clone(),
        };
        let keys = self.keys.clone();
        let created = self.runtime.spawn(async move {
            let Some(key) = request.key.clone() else { return creation.run(request, until).await };
            let digest = key.digest;
            loop {
                match keys.claim(&key).await? {
                    Claim::Mine(claimed) => {
                        let created = creation.run(request, until).await?;
                        claimed.created(digest, created.id.clone());
                        return Ok(created);
                    }
                    Claim::Used(id) => match creation.store.open(&id).await {
                        Ok(log) => return Ok(log.info()),
                        // It is being deleted, and its key with it.
                        Err(StoreError::NotFound(_)) => keys.forget(&key.key, &id),
                        Err(error) => return Err(error.into()),
                    },
                }
            }
        });
        created.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }

    /// Opens a reader on a deployment's log.
    pub async fn reader(&self, id: &DeploymentId, position: Position) -> Result<Reader, OpenError> {
        Reader::open(self.log(id).await.map_err(OpenError::Store)?, position, self.frames.clone())
    }

    /// Appends the lines of a publisher's body. `split` parses it once there is room for what becomes of it.
    pub async fn append<E: From<AppendError>>(
        &self,
        id: &DeploymentId,
        body: impl AsRef<[u8]>,
        split: impl FnOnce(&[u8]) -> Result<Vec<NewLine>, E>,
        key: Option<IdempotencyKey>,
    ) -> Result<Appended, E> {
        let log = self.log(id).await.map_err(AppendError::Store)?;
        if log.source().is_some() {
            return Err(AppendError::Sourced(id.clone()).into());
        }
        let reservation = log.reserve(body.as_ref()).await.map_err(AppendError::Store)?;
        let lines = split(body.as_ref())?;
        // The lines are copies, and may wait for the disk.
        drop(body);
        let stored = log.append(AppendRequest { lines, key, reservation }).await;
        Ok(stored.map_err(AppendError::Store)?.into_appended())
    }

    /// Finishes a deployment with a status and stops its feeder.
    pub async fn finish(&self, id: &DeploymentId, status: Status) -> Result<Deployment, StoreError> {
        let log = self.log(id).await?;
        log.finish(status).await?;
        self.stop_feeder(id);
        Ok(log.info())
    }

    /// Returns one deployment as it is now.
    pub async fn get(&self, id: &DeploymentId) -> Result<Deployment, StoreError> {
        Ok(self.log(id).await?.info())
    }

    /// Returns the newest deployments that `listing` chooses, newest first, at most `limit`.
    pub async fn list(&self, listing: &Listing, limit: usize) -> Result<Vec<Deployment>, StoreError> {
        let looked_at = if listing.is_everything() { limit } else { usize::MAX };
        listing.of(&self.store.list(looked_at).await?, limit)
    }

    /// Deletes a deployment. Its feeder stops; its readers see the deletion. Its idempotency key is free again.
    pub async fn delete(&self, id: &DeploymentId) -> Result<(), StoreError> {
        let key = self.log(id).await?.creation_key();
        self.store.delete(id).await?;
        self.frames.forget(id);
        if let Some(key) = key {
            self.keys.forget(&key.key, id);
        }
        self.stop_feeder(id);
        Ok(())
    }

    /// Lists the recordings that a replay can name. Files that are not recordings are skipped.
    pub fn recordings(&self) -> Result<Vec<RecordingInfo>, RecordingError> {
        Ok(recording::list(&self.recordings)?.recordings)
    }

    /// Returns the store's name and whether its acknowledged lines survive power loss.
    pub fn store(&self) -> (&'static str, bool) {
        (self.store.name(), self.store.durable())
    }

    /// Checks that deployments can be written now. The error says why they cannot.
    pub async fn check(&self) -> Result<(), StoreError> {
        self.store.check().await
    }

    /// Returns the counter of lines that were appended since the start, by publishers and sources.
    pub fn lines_appended(&self) -> Counter {
        self.store.tally().lines_appended()
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

/// What a creation needs, apart from the request.
struct Creation {
    store: Arc<dyn LogStore>,
    recordings: PathBuf,
    feeders: Feeders,
    places: Arc<Places>,
}

impl Creation {
    async fn run(
        &self,
        CreateRequest { name, source, key }: CreateRequest,
        until: impl Future<Output = ()> + Send + 'static,
    ) -> Result<Deployment, CreateError> {
        let _place = self.places.reserve()?;
        // Loaded before anything is created: an invalid source leaves nothing behind.
        let feed = match source.clone() {
            Some(source) => Some((self.places.source()?, load(source, self.recordings.clone()).await?)),
            None => None,
        };
        let log = self.store.create_keyed(name, source, key).await?;
        let info = log.info();
        if let Some((place, feed)) = feed {
            feed_in_background(feed, log, until, self.feeders.clone(), place);
        }
        Ok(info)
    }
}

/// Loads a source on a blocking thread: a recording may be large, and no stream should wait for it.
async fn load(source: Source, recordings: PathBuf) -> Result<Feed, SourceError> {
    let loaded = tokio::task::spawn_blocking(move || sources::feed(&source, &recordings)).await;
    loaded.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

fn feed_in_background(
    feed: Feed,
    log: Arc<dyn DeploymentLog>,
    until: impl Future<Output = ()> + Send + 'static,
    feeders: Feeders,
    place: OwnedSemaphorePermit,
) {
    let id = log.id().clone();
    let (others, own_id) = (feeders.clone(), id.clone());
    // The lock is held until the handle is stored, so that a feeder that ends at once finds the handle to remove.
    let mut running = others.lock().expect("no holder panics");
    let task = tokio::spawn(async move {
        let _place = place;
        tokio::select! {
            () = sources::run(feed, &*log) => {}
            () = until => sources::cancel(&*log).await,
        }
        feeders.lock().expect("no holder panics").remove(&own_id);
    });
    running.insert(id, task.abort_handle());
}
