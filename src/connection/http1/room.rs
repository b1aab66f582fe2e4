//! Room for bytes that are read and written at this moment, shared by all connections of a thread.
//!
//! A connection that waits holds no buffer. It reads into the room of its thread and keeps what has come, no byte more.
//! It writes from the room, and keeps what the socket does not take. The loop of HTTP/1.1 is the only user.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::connection::MeteredStream;

/// Bytes of one read: all that a socket buffer usually has.
pub(super) const READ_BYTES_MAX: usize = 64 << 10;
/// Bytes that a thread keeps for writing. A longer answer has a buffer of its own, which is given back when it has left.
const KEPT_BYTES_MAX: usize = 64 << 10;

thread_local! {
    static READ: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES_MAX].into());
    static WRITE: Cell<BytesMut> = Cell::new(BytesMut::new());
}

/// Reads once and appends what came to `received`. Zero bytes are the end.
pub(super) fn poll_read(
    stream: &mut MeteredStream,
    received: &mut BytesMut,
    task: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    READ.with_borrow_mut(|room| {
        let mut read = ReadBuf::new(room);
        ready!(Pin::new(stream).poll_read(task, &mut read))?;
        if received.is_empty() {
            // Memory of its own and of exactly this length: requests keep their heads in it.
            *received = BytesMut::from(read.filled());
        } else {
            received.extend_from_slice(read.filled());
        }
        Poll::Ready(Ok(read.filled().len()))
    })
}

/// Bytes on their way to a socket.
#[derive(Debug, Default)]
pub(super) struct Unsent {
    bytes: BytesMut,
    written_bytes: usize,
    /// Whether `bytes` is the room of the thread.
    is_room: bool,
}

impl Unsent {
    /// Takes the room of this thread, until [`Self::give_back`]. What has not left before stays where it is.
    pub(super) fn take_room(&mut self) {
        if !self.bytes.is_empty() {
            return;
        }
        (self.bytes, self.is_room) = (WRITE.take(), true);
        if self.bytes.capacity() == 0 {
            self.bytes.reserve(KEPT_BYTES_MAX);
        }
    }

    /// Gives the room back, and keeps what has not left.
    pub(super) fn give_back(&mut self) {
        if !std::mem::replace(&mut self.is_room, false) {
            if self.bytes.is_empty() {
                self.bytes = BytesMut::new();
            }
            return;
        }
        let rest = BytesMut::from(&self.bytes[self.written_bytes..]);
        let mut room = std::mem::replace(&mut self.bytes, rest);
        self.written_bytes = 0;
        room.clear();
        if room.capacity() <= 2 * KEPT_BYTES_MAX {
            WRITE.set(room);
        }
    }

    /// Returns the buffer to which answers are appended.
    pub(super) fn bytes(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    /// Returns how many bytes wait here.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.written_bytes
    }

    /// Writes until nothing is left.
    pub(super) fn poll_flush(
        &mut self,
        stream: &mut MeteredStream,
        task: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.bytes.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while self.len() > 0 {
            let left = &self.bytes[self.written_bytes..];
            match ready!(Pin::new(&mut *stream).poll_write(task, left))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                bytes => self.written_bytes += bytes,
            }
        }
        self.bytes.clear();
        self.written_bytes = 0;
        Pin::new(stream).poll_flush(task)
    }

    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.bytes.capacity()
    }
}
