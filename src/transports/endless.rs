//! A response that does not end before its log does: the common part of SSE and NDJSON.
//!
//! Both wait for ever and differ only in how they write a line, so each is a [`Framing`] and this module is the rest.
//! It sends the first bytes at once, a batch whenever the log has grown, and a sign of life in silence. The last bytes
//! tell the reason of the end. The position is kept in the reader. A client that reads slowly is polled less often, and
//! nothing is queued for it.

use std::convert::Infallible;

use actix_web::web::{self, Bytes};
use futures_util::stream;
use wirelab_clients::wire::{Finished, Gap, Hello, Outcome, Transport};

use super::silence::Silence;
use crate::context::Context;
use crate::exchange::asked::{Answer, Asked};
use crate::exchange::compression::{Coding, Encoder};
use crate::exchange::route;
use crate::exchange::stopping::Stopping;
use crate::metrics::Waiting;
use crate::reader::{BATCH_LIMIT, LineFraming, ReadError, Reader};
use crate::terminal::complain;

/// How a stream encodes what it sends, beside its lines. Each returned value is flushed as one piece.
pub(super) trait Framing: LineFraming + 'static {
    const TRANSPORT: Transport;
    const CONTENT_TYPE: &'static str;

    /// Encodes the first bytes, which are sent at once even on a silent log.
    fn hello(&self, hello: &Hello) -> Bytes;
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
    let (silence, stopping) = (Silence::begin(context.options.heartbeat), Stopping::of(&context.shutdown));
    let coding = Coding::agreed(asked.request(), context.options.compression);
    let mut response = route::endless(F::CONTENT_TYPE);
    coding.vary(&mut response);
    let encoder = coding.start(&mut response);
    // In a box: the stream moves its state in and out for each piece.
    let endless = Box::new(Endless {
        reader,
        framing,
        context,
        waiting,
        silence,
        stopping,
        encoder,
        next: Next::Hello,
    });
    let body = stream::unfold(endless, |mut endless| async {
        let bytes = endless.piece().await?;
        Some((Ok::<_, Infallible>(bytes), endless))
    });
    Answer { response: response.streaming(body), outcome: Outcome::Data }
}

/// The state of one stream. Its timer and its wait for the shutdown last as long as the stream: they are not made anew
/// for each batch.
struct Endless<F> {
    reader: Reader,
    framing: F,
    context: web::Data<Context>,
    waiting: Waiting,
    silence: Silence,
    stopping: Stopping,
    encoder: Encoder,
    next: Next,
}

enum Next {
    Hello,
    Lines,
    Finished(Finished),
    End,
}

impl<F: Framing> Endless<F> {
    /// Returns the next bytes to flush, coded; `None` ends the body.
    async fn piece(&mut self) -> Option<Bytes> {
        match self.next().await {
            Some(bytes) => Some(self.encoder.piece(bytes)),
            None => self.encoder.end(),
        }
    }

    /// Returns the next bytes before their coding; `None` after the last.
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
        self.silence.broken();
        let linger = self.context.options.linger;
        tokio::select! {
            biased;
            () = &mut self.stopping => {
                self.next = Next::End;
                return self.framing.goodbye();
            }
            () = self.reader.wait_and_gather(linger) => {}
            () = self.silence.lasts() => return self.framing.heartbeat(),
        }
        match self.reader.read::<F>(BATCH_LIMIT).await {
            Ok(batch) => {
                self.waiting.delivered(batch.next.after, batch.line_count);
                if batch.is_full {
                    // A reader that catches up always has a batch ready; other streams of this thread get a turn
                    // between two batches.
                    tokio::task::yield_now().await;
                }
                let finished = batch.finished.map(|status| Finished { cursor: batch.next.clone(), status });
                match finished {
                    Some(finished) if batch.line_count == 0 => {
                        self.next = Next::End;
                        self.framing.finished(&finished)
                    }
                    finished => {
                        self.next = finished.map_or(Next::Lines, Next::Finished);
                        batch.bytes
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
