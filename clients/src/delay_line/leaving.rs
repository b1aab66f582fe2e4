//! What leaves over a delay line: the task that writes each chunk into the socket at its time.
//!
//! The socket of the line hands it chunks and shares what [`Leaving`] holds. It never decides when a chunk is due.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use futures_util::task::AtomicWaker;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::sleep_until;

use super::Line;
use super::deadlines::until;

/// Weight of a chunk beside its bytes. Linux charges a socket about as much for each packet: without it, single bytes
/// would take fifty times the memory that is allowed.
pub(super) const CHUNK_WEIGHT: usize = 256;
/// Time for the other side to take what a connection that its owner left had on the way, counted from the moment at
/// which the last of it is due. A server waits as long for a write that makes no progress.
pub(super) const LEAVING_MAX: Duration = Duration::from_secs(30);

/// Bytes on their way, or the end of them when there are none.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) bytes: Bytes,
    /// When they reach the other end.
    pub(super) due: Instant,
}

/// What the socket and the task that moves its bytes share.
pub(super) struct Leaving {
    /// Locked around each write, so that nothing is written after the connection was closed.
    pub(super) state: Mutex<LeavingState>,
    /// Weight of what is on the way.
    pub(super) weight: AtomicUsize,
    /// The reader: it waits for the end of a silence in which bytes were lost.
    pub(super) reader: AtomicWaker,
    /// The writer: it waits for that too, or for room.
    pub(super) writer: AtomicWaker,
    /// Told when the owner has left.
    pub(super) left: Notify,
    pub(super) wrote: Box<dyn Fn(usize) + Send + Sync>,
}

impl std::fmt::Debug for Leaving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Leaving").field("state", &self.state).field("weight", &self.weight).finish()
    }
}

impl Leaving {
    /// Waits until the owner has left and the other side has had [`LEAVING_MAX`].
    async fn is_over_late(&self) {
        self.left.notified().await;
        let last_due = self.state.lock().expect("no holder panics").last_due;
        sleep_until((last_due.unwrap_or_else(Instant::now) + LEAVING_MAX).into()).await;
    }
}

#[derive(Debug, Default)]
pub(super) struct LeavingState {
    pub(super) is_closed: bool,
    pub(super) failed: Option<io::ErrorKind>,
    pub(super) ending: Ending,
    /// When the last chunk is due, once the owner has left.
    pub(super) last_due: Option<Instant>,
}

/// What follows the last chunk.
#[derive(Debug, Default, Clone)]
pub(super) enum Ending {
    /// The end, as the other side expects it.
    #[default]
    Goodbye,
    /// The end, once the line is not silent any more.
    GoodbyeAfter(Arc<Line>),
    /// No goodbye: the connection is reset once the line is not silent any more.
    ResetAfter(Arc<Line>),
}

impl LeavingState {
    /// Lets the end, or the reset, come after the silence of this line.
    pub(super) fn ends_after(&mut self, line: &Arc<Line>) {
        self.ending = match self.ending {
            Ending::Goodbye | Ending::GoodbyeAfter(_) => Ending::GoodbyeAfter(line.clone()),
            Ending::ResetAfter(_) => Ending::ResetAfter(line.clone()),
        };
    }
}

/// The half of the socket that is written. A half that is dropped says to the other side that it ends. A connection that
/// is closed says so itself, perhaps by a reset.
pub(super) struct WriteEnd(pub(super) Option<OwnedWriteHalf>);

impl Drop for WriteEnd {
    fn drop(&mut self) {
        if let Some(half) = self.0.take() {
            half.forget();
        }
    }
}

/// Writes each chunk into the socket at its time, until there are no more, and then the end.
pub(super) async fn move_on(mut write: WriteEnd, chunks: UnboundedReceiver<Chunk>, leaving: Arc<Leaving>) {
    let Some(half) = &write.0 else { return };
    let moved = tokio::select! {
        moved = write_all(half, chunks, &leaving) => moved,
        () = leaving.is_over_late() => {
            // Nothing is kept for a client that does not read. The socket may be closed already.
            let _ = half.as_ref().set_zero_linger();
            return;
        }
    };
    if moved == Moved::NotAll {
        return;
    }
    let ending = leaving.state.lock().expect("no holder panics").ending.clone();
    if let Ending::GoodbyeAfter(line) | Ending::ResetAfter(line) = &ending {
        line.until_heard().await;
    }
    match ending {
        // The socket may be closed already.
        Ending::ResetAfter(_) => drop(half.as_ref().set_zero_linger()),
        Ending::Goodbye | Ending::GoodbyeAfter(_) => {
            if !leaving.state.lock().expect("no holder panics").is_closed {
                drop(write.0.take());
            }
        }
    }
}

/// What became of the chunks.
#[derive(Debug, PartialEq, Eq)]
enum Moved {
    /// All of them were written.
    All,
    /// The connection was closed, or a write failed.
    NotAll,
}

/// Writes each chunk at its time, until there are no more.
async fn write_all(half: &OwnedWriteHalf, mut chunks: UnboundedReceiver<Chunk>, leaving: &Leaving) -> Moved {
    while let Some(Chunk { mut bytes, due }) = chunks.recv().await {
        until(due).await;
        while !bytes.is_empty() {
            let wrote = {
                let mut state = leaving.state.lock().expect("no holder panics");
                if state.is_closed {
                    return Moved::NotAll;
                }
                match half.try_write(&bytes) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
                    Err(error) => {
                        state.failed = Some(error.kind());
                        drop(state);
                        leaving.writer.wake();
                        return Moved::NotAll;
                    }
                    Ok(count) => {
                        (leaving.wrote)(count);
                        Some(count)
                    }
                }
            };
            match wrote {
                Some(count) => {
                    bytes.advance(count);
                    leaving.weight.fetch_sub(count, Ordering::AcqRel);
                    leaving.writer.wake();
                }
                // A socket that fails is writable, and the next write says why.
                None => drop(half.writable().await),
            }
        }
        leaving.weight.fetch_sub(CHUNK_WEIGHT, Ordering::AcqRel);
        leaving.writer.wake();
    }
    Moved::All
}
