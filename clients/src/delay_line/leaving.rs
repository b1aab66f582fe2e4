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
    /// The writer: it waits for room.
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
    /// When a connection that its owner left ends without goodbye.
    pub(super) broken_at: Option<Instant>,
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
    let (is_closed, broken_at) = {
        let state = leaving.state.lock().expect("no holder panics");
        (state.is_closed, state.broken_at)
    };
    if let Some(broken_at) = broken_at {
        until(broken_at).await;
        // The socket may be closed already.
        let _ = half.as_ref().set_zero_linger();
    } else if !is_closed {
        drop(write.0.take());
    }
}
