//! HTTP/2 for the client halves: one connection, driven by the task that waits for its answer.
//!
//! hyper asks for an executor to run the connection's tasks on. Ours collects them instead, and [`Driver`] polls them
//! in the task that waits for the answer. So a chunk is looked at in the same poll that read it, as with HTTP/1.1. Used
//! by [`http`](crate::http) only.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::rt::Executor;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::stream::Stream;

/// Bytes read at once of a server's goodbye, which is a few frames of 17 bytes.
const GOODBYE_BYTES: usize = 256;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Begins HTTP/2 by prior knowledge (RFC 9113 §3.3), or as ALPN has agreed: no upgrade, the preface is sent at once.
pub(crate) async fn handshake(socket: Stream) -> Result<(SendRequest<Empty<Bytes>>, Driver), hyper::Error> {
    let (tasks, turn) = (Tasks::default(), Turn::default());
    let socket = OneReadATurn { socket, turn: turn.clone() };
    let (sender, connection) = http2::Builder::new(tasks.clone()).handshake(TokioIo::new(socket)).await?;
    let requests: Task = Box::pin(async move {
        // The caller that waits for an answer learns how the connection ended.
        let _ = connection.await;
    });
    Ok((sender, Driver { turn, spawned: tasks, running: vec![requests] }))
}

/// Future that runs everything a connection does: takes requests, reads and writes frames, hands answers over. Ready
/// when the connection has ended.
pub(crate) struct Driver {
    turn: Turn,
    spawned: Tasks,
    /// Tasks that have not ended, a handful: one takes requests, one has the socket, one waits for the answer.
    running: Vec<Task>,
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.turn.begin();
        loop {
            self.running.retain_mut(|task| task.as_mut().poll(cx).is_pending());
            let spawned = self.spawned.take();
            if spawned.is_empty() {
                return if self.running.is_empty() { Poll::Ready(()) } else { Poll::Pending };
            }
            // A request was sent: the task that writes it stands before the task that waits for its answer.
            self.running.extend(spawned);
        }
    }
}

/// Executor that runs nothing: it keeps tasks for the [`Driver`].
#[derive(Clone, Default)]
struct Tasks(Arc<Mutex<Vec<Task>>>);

impl Tasks {
    fn take(&self) -> Vec<Task> {
        std::mem::take(&mut *self.0.lock().expect("no holder panics"))
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        self.0.lock().expect("no holder panics").push(Box::pin(task));
    }
}

/// Whether the socket was read since the driver was last polled.
#[derive(Clone, Default)]
struct Turn(Arc<AtomicBool>);

impl Turn {
    fn begin(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// Socket that allows one read at each turn of its driver.
///
/// Left alone, h2 reads for as long as there is something to read. Frames of earlier reads would then carry the time
/// stamp of the last one. With one read a turn, the waiting task sees what a read brought before the next read.
struct OneReadATurn {
    socket: Stream,
    turn: Turn,
}

impl AsyncRead for OneReadATurn {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.turn.0.load(Ordering::Relaxed) {
            // There may be more to read, and the kernel will not wake this task for it again.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let read = ready!(Pin::new(&mut self.socket).poll_read(cx, buf));
        self.turn.0.store(true, Ordering::Relaxed);
        Poll::Ready(read)
    }
}

impl AsyncWrite for OneReadATurn {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    /// Says that nothing follows, then reads on to the other side's end. The server's goodbye (a GOAWAY or two) may
    /// still be on the way, and every byte is counted.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.socket).poll_shutdown(cx))?;
        let mut goodbye = [0; GOODBYE_BYTES];
        loop {
            let mut goodbye = ReadBuf::new(&mut goodbye);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut goodbye))?;
            if goodbye.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::{Layer, Meter, MeteredSocket};
    use std::task::Wake;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_turn_is_one_read_and_the_rest_is_not_forgotten() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let socket =
            Stream::Plain(MeteredSocket::connect(&authority, Layer::Http, Meter::new()).await.unwrap());
        let (mut server, _) = listener.accept().await.unwrap();
        let turn = Turn::default();
        let mut socket = OneReadATurn { socket, turn: turn.clone() };

        server.write_all(b"firstthen").await.unwrap();
        let mut bytes = [0; 5];
        socket.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"first");
        let woken = Arc::new(Woken::default());
        let waker = woken.clone().into();
        let mut more = Box::pin(socket.read_u32());
        assert!(more.as_mut().poll(&mut Context::from_waker(&waker)).is_pending(), "the same turn");
        assert!(woken.0.load(Ordering::Relaxed), "nobody will come back for the rest");
        turn.begin();
        assert_eq!(more.await.unwrap().to_be_bytes(), *b"then");
    }

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}
