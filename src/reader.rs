//! A cursor on a log that can read and wait: all that a transport may use of a store.
//!
//! Each connection reads from its own cursor when the head of the log moves; nothing is queued per subscriber. A slow
//! reader slows only itself, a resumed reader misses nothing, and a burst is read in batches. Readers at the same cursor
//! share the framed bytes of their batch, which `frames` keeps for a while.

mod frames;

use std::fmt::Write;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::sync::watch;
use tokio::time::{Duration, Instant, timeout_at};
use wirelab_clients::wire::{
    BATCH_BYTES_MAX, BATCH_LINES_MAX, Cursor, DeploymentId, Epoch, Gap, Position, Seq, Status,
};

use self::frames::{Frame, FrameKey};
pub use self::frames::{Frames, FramingName, LineFraming};
use crate::store::{DeploymentLog, EncodedLine, Head, ReadLimit, StoreError};

/// Bound on one batch, which is what one read returns at most.
pub const BATCH_LIMIT: ReadLimit = ReadLimit { lines: BATCH_LINES_MAX, bytes: BATCH_BYTES_MAX };

/// A batch of lines that are already encoded, to be framed.
#[derive(Debug, Clone)]
pub struct EncodedBatch {
    /// Lines after the reader's cursor, in order.
    pub lines: Vec<Arc<EncodedLine>>,
    /// Cursor after the last line of the batch.
    pub next: Cursor,
    /// Whether more lines could be read at once: the batch was cut at its bound.
    pub more: bool,
    /// How the log ended, if it has ended and `next` is its last cursor.
    pub finished: Option<Status>,
}

/// The JSON object of a batch: `{"lines":[…],"next":"k3x9.42","more":false,"finished":false}`.
pub enum Json {}

impl LineFraming for Json {
    const NAME: FramingName = FramingName::Json;

    fn frame(_: &DeploymentId, batch: &EncodedBatch) -> Bytes {
        let lines_bytes: usize = batch.lines.iter().map(|line| line.json.len() + 1).sum();
        let mut json = BytesMut::with_capacity(lines_bytes + 96);
        json.put_slice(b"{\"lines\":[");
        for (i, line) in batch.lines.iter().enumerate() {
            if i > 0 {
                json.put_u8(b',');
            }
            json.put_slice(&line.json);
        }
        let (more, finished) = (batch.more, batch.finished.is_some());
        let ends = write!(json, "],\"next\":\"{}\",\"more\":{more},\"finished\":{finished}}}", batch.next);
        ends.expect("a buffer grows as it must");
        json.freeze()
    }
}

/// The bytes of a batch in one framing, shared with every reader that asks for the same.
#[derive(Debug, Clone)]
pub struct FramedBatch {
    /// The lines as the framing writes them.
    pub bytes: Bytes,
    /// Number of lines.
    pub line_count: usize,
    /// Cursor after the last line of the batch.
    pub next: Cursor,
    /// Whether the batch was cut at its bound: another one can be read at once.
    pub is_full: bool,
    /// How the log ended, if it has ended and `next` is its last cursor.
    pub finished: Option<Status>,
}

/// Error of opening a reader at a position.
#[derive(Debug)]
pub enum OpenError {
    /// The position has another epoch, lies before the first kept line, or lies beyond the end.
    Gone {
        /// Range of the log that can be read.
        gap: Gap,
        /// Cursor from the request.
        asked: Cursor,
    },
    /// The store could not open the log.
    Store(StoreError),
}

/// Error that ends reading.
#[derive(Debug)]
pub enum ReadError {
    /// Retention dropped lines that this reader had not read yet.
    Gap(Gap),
    /// The deployment was deleted.
    Deleted(DeploymentId),
    /// The store failed.
    Store(StoreError),
}

/// A cursor on one log.
pub struct Reader {
    log: Arc<dyn DeploymentLog>,
    /// Framed batches that are shared with the other readers; `None`: this one shares nothing.
    frames: Option<Arc<Frames>>,
    after: Seq,
    head: watch::Receiver<Head>,
    /// Whether the last read reached the end of the log as it was when its bytes were made.
    is_at_tail: bool,
    /// Until when lines gather after a first one; `None` while none has come.
    gathers_until: Option<Instant>,
}

impl Reader {
    /// Opens a log at a position; lines with a larger seq follow (docs/protocol.md, "Position").
    /// It shares the framed batches in `frames` with the other readers of the server.
    pub fn open(
        log: Arc<dyn DeploymentLog>,
        position: Position,
        frames: Arc<Frames>,
    ) -> Result<Self, OpenError> {
        let epoch = log.epoch();
        let head = log.head();
        let now = *head.borrow();
        let after = match position {
            Position::Start => now.first,
            Position::Now => now.last,
            // "<epoch>.0" means the first kept line, for clients that compose cursors.
            Position::After(Cursor { epoch: asked, after: 0 }) if asked == *epoch => now.first,
            Position::After(Cursor { epoch: asked, after })
                if asked == *epoch && (now.first..=now.last).contains(&after) =>
            {
                after
            }
            Position::After(asked) => return Err(OpenError::Gone { gap: gap(epoch, now), asked }),
        };
        let is_at_tail = after == now.last;
        Ok(Self { log, frames: Some(frames), after, head, is_at_tail, gathers_until: None })
    }

    /// Shares no bytes with other readers from now on: each batch is read from the log itself.
    pub fn apart(self) -> Self {
        Self { frames: None, ..self }
    }

    /// Returns the id of the deployment that is read.
    pub fn id(&self) -> &DeploymentId {
        self.log.id()
    }

    /// Returns the cursor of this reader: the last line that it has read.
    pub fn cursor(&self) -> Cursor {
        self.cursor_at(self.after)
    }

    /// Returns how the log ended, if it has ended and this reader has read all of it.
    pub fn finished(&self) -> Option<Status> {
        let head = *self.head.borrow();
        head.ended.filter(|_| self.after == head.last)
    }

    /// Returns a watch on the log's head, by which the metrics tell how far readers are behind.
    pub fn head(&self) -> watch::Receiver<Head> {
        self.head.clone()
    }

    /// Reads the lines after the cursor, at most `limit`, and moves the cursor behind them. Never waits for lines.
    pub async fn read<F: LineFraming>(&mut self, limit: ReadLimit) -> Result<FramedBatch, ReadError> {
        // The head is taken before the read: all lines up to it are readable, so fewer lines mean that the batch was
        // cut.
        let head = *self.head.borrow_and_update();
        if head.deleted {
            return Err(ReadError::Deleted(self.id().clone()));
        }
        if self.after < head.first {
            if let Some(frames) = &self.frames {
                frames.forget_before(self.id(), head.first);
            }
            return Err(ReadError::Gap(gap(self.log.epoch(), head)));
        }
        let frame = if self.after < head.last {
            let key = FrameKey { log: self.id().clone(), after: self.after, limit, framing: F::NAME };
            match self.frames.as_ref().and_then(|frames| frames.get(&key, head)) {
                Some(frame) => frame,
                None => {
                    let frame = self.make::<F>(head, limit).await?;
                    if let Some(frames) = self.frames.as_ref().filter(|_| frame.line_count > 0) {
                        frames.keep(key, &frame);
                    }
                    frame
                }
            }
        } else {
            self.framed::<F>(head, Vec::new())
        };
        let Frame { bytes, line_count, last, is_full, finished: _ } = frame;
        self.after = last;
        // Lines that came after a shared frame was made are new to this reader: they may gather.
        self.is_at_tail = !is_full;
        self.gathers_until = None;
        let finished = head.ended.filter(|_| last == head.last);
        Ok(FramedBatch { bytes, line_count, next: self.cursor(), is_full, finished })
    }

    /// Reads the lines after the cursor from the log, and frames them.
    async fn make<F: LineFraming>(&self, head: Head, limit: ReadLimit) -> Result<Frame, ReadError> {
        let lines = self.log.read_after(self.after, limit).await.map_err(|error| match error {
            StoreError::Trimmed { .. } => ReadError::Gap(gap(self.log.epoch(), *self.head.borrow())),
            StoreError::NotFound(id) => ReadError::Deleted(id),
            error => ReadError::Store(error),
        })?;
        Ok(self.framed::<F>(head, lines))
    }

    /// Frames lines that were read when the log's head was `head`.
    fn framed<F: LineFraming>(&self, head: Head, lines: Vec<Arc<EncodedLine>>) -> Frame {
        let last = lines.last().map_or(self.after, |line| line.seq);
        let (is_full, finished) = (last < head.last, head.ended.filter(|_| last == head.last));
        let batch = EncodedBatch { lines, next: self.cursor_at(last), more: is_full, finished };
        let bytes = F::frame(self.id(), &batch);
        Frame { bytes, line_count: batch.lines.len(), last, is_full, finished }
    }

    fn cursor_at(&self, after: Seq) -> Cursor {
        Cursor { epoch: self.log.epoch().clone(), after }
    }

    /// Waits until there is a line after the cursor, or the log has ended or was deleted. Cancel-safe.
    pub async fn wait(&mut self) {
        let after = self.after;
        self.head
            .wait_for(|head| head.last > after || head.ended.is_some() || head.deleted)
            .await
            .expect("the log, which this reader holds, holds the sender");
    }

    /// Waits like [`wait`](Self::wait), then gathers lines for `linger` after the first one.
    ///
    /// Gathering is cut short by the end of the log, its deletion, or [`BATCH_LINES_MAX`] lines. The bound in bytes and
    /// a smaller limit of the read are not considered. Lines that were there before this reader caught up are not
    /// delayed. Cancel-safe: a repeated call counts `linger` from the same first line.
    pub async fn wait_and_gather(&mut self, linger: Duration) {
        self.wait().await;
        if linger.is_zero() || !self.is_at_tail {
            return;
        }
        let until = *self.gathers_until.get_or_insert_with(|| Instant::now() + linger);
        let full = self.after + BATCH_LINES_MAX as u64;
        let enough = self.head.wait_for(|head| head.ended.is_some() || head.deleted || head.last >= full);
        // Whichever comes first, there is something to read.
        let _ = timeout_at(until, enough).await;
    }
}

fn gap(epoch: &Epoch, head: Head) -> Gap {
    let cursor = |after| Cursor { epoch: epoch.clone(), after };
    Gap { earliest: cursor(head.first), latest: cursor(head.last) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use wirelab_clients::wire::NewLine;

    use super::*;
    use crate::store::{AppendRequest, LogStore, memory::MemoryStore};

    async fn log() -> Arc<dyn DeploymentLog> {
        MemoryStore::new(0).create("test".to_owned(), None).await.unwrap()
    }

    fn open(log: &Arc<dyn DeploymentLog>) -> Reader {
        Reader::open(log.clone(), Position::Start, Arc::default()).unwrap()
    }

    async fn append(log: &Arc<dyn DeploymentLog>) {
        log.append(AppendRequest::new(vec![NewLine::plain("x")], None)).await.unwrap();
    }

    /// L4. The clock is paused: a missed wake-up would sleep for ever, so the timeout fires at once.
    #[tokio::test(start_paused = true)]
    async fn an_append_between_check_and_park_is_not_missed() {
        for turns in 0..4 {
            let log = log().await;
            let mut reader = open(&log);
            assert!(reader.read::<Json>(BATCH_LIMIT).await.unwrap().line_count == 0);
            let writer = async {
                for _ in 0..turns {
                    tokio::task::yield_now().await;
                }
                append(&log).await;
            };
            let waited = tokio::time::timeout(Duration::from_secs(60), async {
                tokio::join!(reader.wait(), writer);
            });
            waited.await.expect("the append was missed");
            assert_eq!(reader.read::<Json>(BATCH_LIMIT).await.unwrap().line_count, 1);
        }
    }

    #[tokio::test]
    async fn a_log_is_read_in_batches_and_the_last_one_is_finished() {
        let log = log().await;
        for _ in 0..BATCH_LINES_MAX + 1 {
            append(&log).await;
        }
        log.finish(Status::Failed).await.unwrap();
        let mut reader = open(&log);
        for shape in [(BATCH_LINES_MAX, true, None), (1, false, Some(Status::Failed))] {
            reader.wait().await;
            let batch = reader.read::<Json>(BATCH_LIMIT).await.unwrap();
            assert_eq!((batch.line_count, batch.is_full, batch.finished), shape);
        }
    }
}
