//! A response that does not end before its log does: the common part of SSE and NDJSON.
//!
//! Both wait for ever and differ only in how they write a line, so each is a [`Framing`] and this module is the rest.
//! It sends the first bytes at once, a batch whenever the log has grown, and a sign of life in silence. The last bytes
//! tell the reason of the end. The position is kept in the reader. A client that reads slowly is polled less often, and
//! nothing is queued for it.

use std::convert::Infallible;
use std::time::Duration;

use actix_web::web::{self, Bytes};
use futures_util::stream;
use tokio::time::timeout;
use wirelab_clients::wire::{Cursor, Finished, Gap, Hello, Outcome, Transport};

use crate::context::Context;
use crate::exchange::asked::{Answer, Asked};
use crate::exchange::compression::Coding;
use crate::exchange::route;
use crate::metrics::Waiting;
use crate::reader::{BATCH_LIMIT, EncodedBatch, ReadError, Reader};
use crate::terminal::complain;

/// How a stream encodes what it sends. Each returned value is flushed as one piece.
pub(super) trait Framing: 'static {
    const TRANSPORT: Transport;
    const CONTENT_TYPE: &'static str;

    /// Encodes the first bytes, which are sent at once even on a silent log.
    fn hello(&self, hello: &Hello) -> Bytes;
    /// Encodes a batch: one event or record per line.
    fn batch(&self, batch: &EncodedBatch) -> Bytes;
    /// Encodes the end of the log, after its last line was sent.
    fn finished(&self, finished: &Finished) -> Bytes;
    /// Encodes a gap: lines after the reader's cursor are no longer kept.
    fn gap(&self, gap: &Gap) -> Bytes;
    /// Encodes the deletion of the deployment.
    fn deleted(&self) -> Bytes;
    /// Encodes a sign of life that no parser takes for a line.
    fn heartbeat(&self) -> Bytes;
    /// Encodes the last bytes before the server stops.
    fn goodbye(&self) -> Bytes;
}

/// Answers with the lines after the reader's cursor, until the log ends.
pub(super) fn respond<F: Framing>(
    asked: &Asked,
    reader: Reader,
    framing: F,
    context: web::Data<Context>,
) -> Answer {
    let waiting = context.metrics.wait(F::TRANSPORT, reader.cursor().after, reader.head());
    let heartbeat = context.options.heartbeat;
    let coding = Coding::agreed(asked.request(), context.options.compression);
    let endless = Endless { reader, framing, context, waiting, heartbeat, next: Next::Hello };
    let mut response = route::endless(F::CONTENT_TYPE);
    coding.vary(&mut response);
    let encoder = coding.start(&mut response);
    let body = stream::unfold((endless, encoder), |(mut endless, mut encoder)| async {
        let bytes = match endless.next().await {
            Some(bytes) => encoder.piece(bytes),
            None => encoder.end()?,
        };
        Some((Ok::<_, Infallible>(bytes), (endless, encoder)))
    });
    Answer { response: response.streaming(body), outcome: Outcome::Data }
}

struct Endless<F> {
    reader: Reader,
    framing: F,
    context: web::Data<Context>,
    waiting: Waiting,
    heartbeat: Duration,
    next: Next,
}

enum Next {
    Hello,
    Lines,
    Finished(Finished),
    End,
}

impl<F: Framing> Endless<F> {
    /// Returns the next bytes to flush; `None` ends the body.
    async fn next(&mut self) -> Option<Bytes> {
        match std::mem::replace(&mut self.next, Next::Lines) {
            Next::Hello => Some(self.framing.hello(&Hello { cursor: self.reader.cursor() })),
            Next::Lines => Some(self.lines().await),
            Next::Finished(finished) => {
                self.next = Next::End;
                Some(self.framing.finished(&finished))
            }
            Next::End => {
                self.next = Next::End;
                None
            }
        }
    }

    async fn lines(&mut self) -> Bytes {
        let (shutdown, linger) = (self.context.shutdown.clone(), self.context.options.linger);
        let waited = tokio::select! {
            waited = timeout(self.heartbeat, self.reader.wait_and_gather(linger)) => waited,
            () = shutdown.cancelled() => {
                self.next = Next::End;
                return self.framing.goodbye();
            }
        };
        if waited.is_err() {
            return self.framing.heartbeat();
        }
        match self.reader.read(BATCH_LIMIT).await {
            Ok(batch) => {
                self.waiting.delivered(batch.next.after, batch.lines.len());
                if batch.more {
                    // A reader that catches up always has a batch ready; other streams of this thread get a turn
                    // between two batches.
                    tokio::task::yield_now().await;
                }
                let finished = batch.finished.map(|status| Finished { cursor: batch.next.clone(), status });
                match finished {
                    Some(finished) if batch.lines.is_empty() => {
                        self.next = Next::End;
                        self.framing.finished(&finished)
                    }
                    finished => {
                        self.next = finished.map_or(Next::Lines, Next::Finished);
                        self.framing.batch(&batch)
                    }
                }
            }
            Err(error) => {
                self.next = Next::End;
                match error {
                    ReadError::Gap(gap) => self.framing.gap(&gap),
                    ReadError::Deleted(_) => self.framing.deleted(),
                    // Without `finished` or `gap` the client reconnects from its cursor.
                    ReadError::Store(error) => {
                        complain(format!("a stream ended early: {error}"));
                        Bytes::new()
                    }
                }
            }
        }
    }
}

/// Returns the cursor after the line `seq` of a batch, which is the id of its event.
pub(super) fn cursor_at(batch: &EncodedBatch, seq: u64) -> Cursor {
    Cursor { epoch: batch.next.epoch.clone(), after: seq }
}
