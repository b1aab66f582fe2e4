//! The rooms of one socket: a reader for each deployment that the socket follows, read one batch at a time.
//!
//! Both engines read from here, and only when the socket can take more. Nothing is queued: a room that is behind reads
//! on from its own cursor when its turn comes.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll};
use std::time::Duration;

use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_stream::StreamMap;
use wirelab_clients::wire::{DeploymentId, Transport};

use crate::metrics::{Metrics, Waiting};
use crate::reader::{BATCH_LIMIT, EncodedBatch, ReadError, Reader};

/// Result of a room's read: a batch, or the reason why no more will come.
type Read = Result<EncodedBatch, ReadError>;

/// The live rooms. As a stream, it yields the next batch of any room; every room gets its turn.
pub(super) struct Rooms {
    streams: StreamMap<DeploymentId, BoxStream<'static, Read>>,
    paused: watch::Sender<bool>,
    metrics: Arc<Metrics>,
    linger: Duration,
}

/// The state of one room.
struct Room {
    reader: Reader,
    paused: watch::Receiver<bool>,
    waiting: Waiting,
    linger: Duration,
    /// Permit from the server's bound on rooms; the room of the path needs none.
    _permit: Option<OwnedSemaphorePermit>,
}

impl Rooms {
    pub(super) fn new(metrics: Arc<Metrics>, linger: Duration) -> Self {
        Self { streams: StreamMap::new(), paused: watch::Sender::new(false), metrics, linger }
    }

    /// Starts to follow a log.
    pub(super) fn enter(&mut self, reader: Reader, permit: Option<OwnedSemaphorePermit>) {
        let id = reader.id().clone();
        let waiting = self.metrics.wait(Transport::Websocket, reader.cursor().after, reader.head());
        let (paused, linger) = (self.paused.subscribe(), self.linger);
        let room = Room { reader, paused, waiting, linger, _permit: permit };
        self.streams.insert(id, stream::unfold(Some(room), Room::next).boxed());
    }

    /// Stops following a log.
    pub(super) fn leave(&mut self, id: &DeploymentId) {
        self.streams.remove(id);
    }

    /// Stops following all logs.
    pub(super) fn leave_all(&mut self) {
        self.streams.clear();
    }

    /// Stops all rooms from reading. A room that is reading keeps its batch until [`Self::resume`].
    pub(super) fn pause(&mut self) {
        self.paused.send_replace(true);
    }

    /// Lets all rooms go on where [`Self::pause`] stopped them.
    pub(super) fn resume(&mut self) {
        self.paused.send_replace(false);
    }
}

impl Stream for Rooms {
    type Item = (DeploymentId, Read);

    /// Polls the rooms; `None` if there is no room now.
    fn poll_next(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Option<Self::Item>> {
        self.streams.poll_next_unpin(task)
    }
}

impl Room {
    /// Reads the next batch of a room; `None` after the end or an error.
    async fn next(room: Option<Self>) -> Option<(Read, Option<Self>)> {
        let mut room = room?;
        room.unpaused().await;
        room.reader.wait_and_gather(room.linger).await;
        let read = room.reader.read(BATCH_LIMIT).await;
        if read.as_ref().is_ok_and(|batch| batch.more) {
            // A room that catches up always has a batch ready; other streams of this thread get a turn between two
            // batches.
            tokio::task::yield_now().await;
        }
        // A pause may have begun meanwhile; after it no line may be sent.
        room.unpaused().await;
        let over = match &read {
            Ok(batch) => {
                room.waiting.delivered(batch.next.after, batch.lines.len());
                batch.finished.is_some()
            }
            Err(_) => true,
        };
        Some((read, (!over).then_some(room)))
    }

    async fn unpaused(&mut self) {
        // An error means that all rooms are gone, with this one.
        let _ = self.paused.wait_for(|paused| !paused).await;
    }
}
