//! Framed batches that readers of a log share: (log, cursor, limit, framing) → bytes, made once.
//!
//! Readers that stand at the same cursor ask for the same batch when the head moves. The first of them makes its bytes,
//! the others take a reference. Only [`Reader`](super::Reader) uses it. No reader waits for another one, and nothing is
//! kept for a particular reader: one that stands elsewhere makes its own bytes.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;
use foldhash::fast::RandomState;
use wirelab_clients::wire::{DeploymentId, Seq, Status};

use super::EncodedBatch;
use crate::store::{Head, ReadLimit};

/// Most frames that one server keeps. A frame is of use from an append until its readers have woken, some
/// milliseconds, so these are for the logs that grow in that time.
const FRAMES_MAX: usize = 256;
/// Most bytes of the frames that one server keeps: some twenty full batches, for groups of readers that catch up.
const FRAMES_BYTES_MAX: usize = 8 << 20;

/// Name of the way in which a transport writes lines: batches of different framings have different bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FramingName {
    /// The JSON object of a batch, which answers a poll.
    Json,
    /// An event per line.
    Sse,
    /// A record per line.
    Ndjson,
    /// A text frame per line.
    Websocket,
    /// A text frame per line, compressed by itself.
    WebsocketDeflated,
}

/// A way to write the lines of a batch.
pub trait LineFraming {
    /// Name of the framing, by which its bytes are found again.
    const NAME: FramingName;

    /// Writes a batch of the log `deployment`. The bytes depend on nothing else, since all readers share them.
    fn frame(deployment: &DeploymentId, batch: &EncodedBatch) -> Bytes;
}

/// What a frame was made for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct FrameKey {
    /// Log of the lines. An id is never used again.
    pub(super) log: DeploymentId,
    /// Seq before the first line.
    pub(super) after: Seq,
    /// Bound on the batch.
    pub(super) limit: ReadLimit,
    /// Framing of the bytes.
    pub(super) framing: FramingName,
}

/// The bytes of a batch, with what its reader must know of it.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) bytes: Bytes,
    pub(super) line_count: usize,
    /// Seq of the last line.
    pub(super) last: Seq,
    /// Whether the batch was cut at its bound.
    pub(super) is_full: bool,
    /// How the log had ended there, as the bytes of [`FramingName::Json`] say it.
    pub(super) finished: Option<Status>,
}

impl Frame {
    /// Tells whether a reader that sees `head` may have this frame.
    ///
    /// The JSON of a batch says whether more lines follow and whether the log has ended, so both must still be true.
    /// Other framings say nothing of what follows. There a frame that is a little older keeps readers together: they
    /// stand at one cursor afterwards, although lines came while they woke one after the other. But a frame that has
    /// less than half of the lines would let a reader that was away catch up in many small steps.
    fn suits(&self, framing: FramingName, head: Head) -> bool {
        match framing {
            FramingName::Json => {
                self.is_full == (self.last < head.last)
                    && self.finished == head.ended.filter(|_| self.last == head.last)
            }
            FramingName::Sse
            | FramingName::Ndjson
            | FramingName::Websocket
            | FramingName::WebsocketDeflated => {
                self.is_full || head.last.saturating_sub(self.last) <= self.line_count as u64
            }
        }
    }
}

/// The newest frames of all logs of one server.
#[derive(Debug, Default)]
pub struct Frames(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    frames: HashMap<FrameKey, Frame, RandomState>,
    /// The keys of `frames`, in the order in which they first came.
    order: VecDeque<FrameKey>,
    bytes: usize,
}

impl Frames {
    /// Returns the frame that was made for `key`, if a reader that sees `head` may have it.
    pub(super) fn get(&self, key: &FrameKey, head: Head) -> Option<Frame> {
        self.kept().frames.get(key).filter(|frame| frame.suits(key.framing, head)).cloned()
    }

    /// Keeps a frame in place of an older one with that key. Those whose keys came first leave when there are too many.
    pub(super) fn keep(&self, key: FrameKey, frame: &Frame) {
        let mut kept = self.kept();
        kept.bytes += frame.bytes.len();
        match kept.frames.insert(key.clone(), frame.clone()) {
            Some(replaced) => kept.bytes -= replaced.bytes.len(),
            None => kept.order.push_back(key),
        }
        while kept.order.len() > FRAMES_MAX || kept.bytes > FRAMES_BYTES_MAX {
            let oldest = kept.order.pop_front().expect("over the bound, so not empty");
            let frame = kept.frames.remove(&oldest).expect("each key in order has its frame");
            kept.bytes -= frame.bytes.len();
        }
    }

    /// Drops the frames of a log that was deleted.
    pub fn forget(&self, log: &DeploymentId) {
        self.drop_frames(|key| key.log == *log);
    }

    /// Drops the frames of lines that a log no longer keeps. Such a frame is not given to a reader in any case.
    pub(super) fn forget_before(&self, log: &DeploymentId, first: Seq) {
        self.drop_frames(|key| key.log == *log && key.after < first);
    }

    fn drop_frames(&self, is_dropped: impl Fn(&FrameKey) -> bool) {
        let mut kept = self.kept();
        let Kept { frames, order, bytes } = &mut *kept;
        order.retain(|key| {
            let is_dropped = is_dropped(key);
            if is_dropped {
                *bytes -= frames.remove(key).expect("each key in order has its frame").bytes.len();
            }
            !is_dropped
        });
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().expect("no holder panics")
    }
}

#[cfg(test)]
mod tests;
