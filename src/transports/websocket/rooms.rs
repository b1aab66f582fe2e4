//! The rooms of one socket: a reader for each deployment that the socket follows, read one batch at a time.
//!
//! Both engines read from here, and only when the socket can take more. Nothing is queued: a room that is behind reads
//! on from its own cursor when its turn comes.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll};
use std::time::Duration;

use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use tokio::sync::OwnedSemaphorePermit;
use tokio_stream::StreamMap;
use wirelab_clients::wire::{DeploymentId, Transport};

use super::frames::{DeflatedLineFrames, LineFrames, RoomFrames};
use crate::metrics::{Metrics, Waiting};
use crate::reader::{BATCH_LIMIT, FramedBatch, ReadError, Reader};

/// Result of a room's read: a batch, or the reason why no more will come.
type Read = Result<FramedBatch, ReadError>;

/// The live rooms. As a stream, it yields the next batch of any room; every room gets its turn.
pub(super) struct Rooms {
    streams: StreamMap<DeploymentId, BoxStream<'static, Read>>,
    pace: Pace,
    frames: RoomFrames,
    metrics: Arc<Metrics>,
    linger: Duration,
}

/// Whether rooms may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    Live,
    Paused,
}

/// The state of one room.
struct Room {
    reader: Reader,
    waiting: Waiting,
    frames: RoomFrames,
    linger: Duration,
    /// Permit from the server's bound on rooms; the room of the path needs none.
    _permit: Option<OwnedSemaphorePermit>,
}

impl Rooms {
    pub(super) fn new(frames: RoomFrames, metrics: Arc<Metrics>, linger: Duration) -> Self {
        Self { streams: StreamMap::new(), pace: Pace::Live, frames, metrics, linger }
    }

    /// Starts to follow a log.
    pub(super) fn enter(&mut self, reader: Reader, permit: Option<OwnedSemaphorePermit>) {
        let id = reader.id().clone();
        let waiting = self.metrics.wait(Transport::Websocket, reader.cursor().after, reader.head());
        let room = Room { reader, waiting, frames: self.frames, linger: self.linger, _permit: permit };
        self.streams.insert(id, stream::unfold(Some(Box::new(room)), Room::next).boxed());
    }

    /// Stops following a log.
    pub(super) fn leave(&mut self, id: &DeploymentId) {
        self.streams.remove(id);
    }

    /// Stops following all logs.
    pub(super) fn leave_all(&mut self) {
        self.streams.clear();
    }

    /// Stops all rooms: none is polled until [`Self::resume`], and one that is reading keeps its batch so long.
    pub(super) fn pause(&mut self) {
        self.pace = Pace::Paused;
    }

    /// Lets all rooms go on where [`Self::pause`] stopped them.
    pub(super) fn resume(&mut self) {
        self.pace = Pace::Live;
    }
}

impl Stream for Rooms {
    type Item = (DeploymentId, Read);

    /// Polls the rooms; `None` if there is no room now. While they are paused nothing comes: the caller, which resumes
    /// them, polls again after it.
    fn poll_next(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Option<Self::Item>> {
        match self.pace {
            Pace::Live => self.streams.poll_next_unpin(task),
            Pace::Paused => Poll::Pending,
        }
    }
}

impl Room {
    /// Reads the next batch of a room; `None` after the end or an error.
    async fn next(room: Option<Box<Self>>) -> Option<(Read, Option<Box<Self>>)> {
        let mut room = room?;
        room.reader.wait_and_gather(room.linger).await;
        let read = match room.frames {
            RoomFrames::Plain => room.reader.read::<LineFrames>(BATCH_LIMIT).await,
            RoomFrames::Deflated => room.reader.read::<DeflatedLineFrames>(BATCH_LIMIT).await,
        };
        if read.as_ref().is_ok_and(|batch| batch.is_full) {
            // A room that catches up always has a batch ready; other streams of this thread get a turn between two
            // batches.
            tokio::task::yield_now().await;
        }
        let over = match &read {
            Ok(batch) => {
                room.waiting.delivered(batch.next.after, batch.line_count);
                batch.finished.is_some()
            }
            Err(_) => true,
        };
        Some((read, (!over).then_some(room)))
    }
}
