//! The socket of one connection: what passes through it is counted, and its stalls are bounded.
//!
//! Without TLS these are the bytes of HTTP; with it they are those of TLS, and [`MeteredStream`](super::MeteredStream)
//! counts those of HTTP above it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::Ledger;
use super::linked::LinkedSocket;

/// A socket that counts its bytes in a ledger. It fails when a write makes no progress for too long.
pub(crate) struct CountedSocket {
    pub(super) linked: LinkedSocket,
    ledger: Arc<Ledger>,
    write_timeout: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl CountedSocket {
    pub(super) fn new(linked: LinkedSocket, ledger: Arc<Ledger>, write_timeout: Duration) -> Self {
        Self { linked, ledger, write_timeout, stalled: None }
    }

    pub(super) fn ledger(&self) -> Arc<Ledger> {
        self.ledger.clone()
    }

    fn after_write(
        &mut self,
        cx: &mut Context<'_>,
        wrote: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if wrote.is_pending() {
            let timeout = self.write_timeout;
            let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(timeout)));
            ready!(stalled.as_mut().poll(cx));
            let what = format!("a write made no progress for {timeout:?}");
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, what)));
        }
        self.stalled = None;
        wrote
    }
}

impl AsyncRead for CountedSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(self.linked.poll_read(cx, buf))?;
        self.ledger.read(buf.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for CountedSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = self.linked.poll_write(cx, buf);
        self.after_write(cx, wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = self.linked.poll_write_vectored(cx, bufs);
        self.after_write(cx, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.linked.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.linked.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.linked.poll_shutdown(cx)
    }
}
