//! A response that never ends by itself: what SSE and NDJSON have in common.
//!
//! Both wait for ever and differ only in how a line is written down, so each is a [`Framing`] and this is the
//! rest: first bytes at once, a batch whenever the log has grown, a sign of life in silence, an end that says
//! why. Position lives in the reader; a client that reads slowly is polled less, and nothing queues up for it.

use std::convert::Infallible;
use std::time::Duration;

use actix_web::web::{self, Bytes};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream;
use tokio::time::timeout;
use wirelab_clients::wire::{Cursor, Finished, Gap, Hello, Outcome, Transport};

use super::counted;
use crate::context::Context;
use crate::exchange::compression::Coding;
use crate::exchange::route;
use crate::metrics::Waiting;
use crate::reader::{BATCH_LIMIT, EncodedBatch, ReadError, Reader};

/// How a stream writes things down. Everything it returns is flushed as one piece.
pub(super) trait Framing: 'static {
    const TRANSPORT: Transport;
    const CONTENT_TYPE: &'static str;

    /// The first bytes, sent at once even on a silent log.
    fn hello(&self, hello: &Hello) -> Bytes;
    /// One event or record per line.
    fn batch(&self, batch: &EncodedBatch) -> Bytes;
    /// The log has ended and all of it was sent.
    fn finished(&self, finished: &Finished) -> Bytes;
    /// Lines the reader wanted are gone.
    fn gap(&self, gap: &Gap) -> Bytes;
    /// The deployment is gone.
    fn deleted(&self) -> Bytes;
    /// A sign of life that no parser mistakes for a line.
    fn heartbeat(&self) -> Bytes;
    /// The last bytes before the server stops.
    fn goodbye(&self) -> Bytes;
}

/// Answers with the rest of the log, for ever.
pub(super) fn respond<F: Framing>(
    request: &HttpRequest,
    reader: Reader,
    framing: F,
    context: web::Data<Context>,
) -> HttpResponse {
    let waiting = context.metrics.wait(F::TRANSPORT, reader.cursor().after, reader.head());
    let heartbeat = context.options.heartbeat;
    let coding = Coding::agreed(request, context.options.compression);
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
    counted(response.streaming(body), Outcome::Data)
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
    /// The next bytes to flush; `None` ends the body.
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
                    // Who catches up always has a batch ready: the others on this thread get a turn between two.
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
                    // Neither finished nor gap: the client reconnects from its cursor.
                    ReadError::Store(error) => {
                        eprintln!("a stream ended early: {error}");
                        Bytes::new()
                    }
                }
            }
        }
    }
}

/// The cursor behind each line of a batch: what an event's id says.
pub(super) fn cursor_at(batch: &EncodedBatch, seq: u64) -> Cursor {
    Cursor { epoch: batch.next.epoch.clone(), after: seq }
}
