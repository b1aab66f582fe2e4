//! What leaves over a delay line: the task that writes each chunk into the socket at its time.
//!
//! The socket of the line hands it chunks and shares what [`Leaving`] holds. It never decides when a chunk is due.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::{Buf, Bytes};
use futures_util::task::AtomicWaker;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::mpsc::UnboundedReceiver;

use super::Line;
use super::deadlines::until;
use super::socket::CHUNK_WEIGHT;

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
    pub(super) wrote: Box<dyn Fn(usize) + Send + Sync>,
}

impl std::fmt::Debug for Leaving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Leaving").field("state", &self.state).field("weight", &self.weight).finish()
    }
}

#[derive(Debug, Default)]
pub(super) struct LeavingState {
    pub(super) is_closed: bool,
    pub(super) failed: Option<io::ErrorKind>,
    pub(super) ending: Ending,
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
pub(super) async fn move_on(
    mut write: WriteEnd,
    mut chunks: UnboundedReceiver<Chunk>,
    leaving: Arc<Leaving>,
) {
    let Some(half) = &write.0 else { return };
    while let Some(Chunk { mut bytes, due }) = chunks.recv().await {
        until(due).await;
        while !bytes.is_empty() {
            let wrote = {
                let mut state = leaving.state.lock().expect("no holder panics");
                if state.is_closed {
                    return;
                }
                match half.try_write(&bytes) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
                    Err(error) => {
                        state.failed = Some(error.kind());
                        drop(state);
                        leaving.writer.wake();
                        return;
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
