//! The meter: counts what one subscriber asks and every byte of its socket, and stamps each read.
//!
//! The caller makes it and keeps a handle, so that traffic can be read while the subscriber waits, and so that the
//! subscriber's connection can be cut under it.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::traffic::{Requests, Traffic};
use crate::wire::Outcome;

/// Where stamps count from: an atomic holds nanoseconds, not an `Instant`.
static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Counters of one subscriber, shared with whoever measures it.
#[derive(Debug, Default)]
pub struct Meter {
    outcomes: [AtomicU64; Outcome::ALL.len()],
    connections_opened: AtomicU64,
    up_bytes: AtomicU64,
    down_bytes: AtomicU64,
    last_read_ns: AtomicU64,
    outage: watch::Sender<Option<String>>,
    standing: watch::Sender<Standing>,
    /// How often the cable was cut; a socket that was connected before is dead.
    cuts: AtomicU64,
    /// Connections that a cut ended.
    connections_cut: AtomicU64,
    /// Whether the subscriber reads nothing, as one does whose page is asleep.
    stalled: AtomicBool,
    /// Who waits for the socket: a cut must wake them, since the kernel will not.
    reader: AtomicWaker,
    writer: AtomicWaker,
}

/// How a subscriber fares on its transport.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The server has answered well: a stream said hello, a poll got its answer.
    pub(crate) was_served: bool,
    /// Failures in a row.
    pub(crate) failures: u32,
}

impl Meter {
    /// A meter at zero.
    pub fn new() -> Arc<Self> {
        LazyLock::force(&ORIGIN);
        Arc::default()
    }

    /// What was counted so far.
    pub fn traffic(&self) -> Traffic {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let [data, empty, timeout, refused, error] = &self.outcomes;
        let connections_opened = read(&self.connections_opened);
        Traffic {
            requests: Requests {
                data: read(data),
                empty: read(empty),
                timeout: read(timeout),
                refused: read(refused),
                error: read(error),
            },
            connections_opened,
            reconnects: connections_opened.saturating_sub(1),
            up_bytes: read(&self.up_bytes),
            down_bytes: read(&self.down_bytes),
        }
    }

    /// Why the subscriber is not served at the moment; `None` while it is. For people who wait: nothing is
    /// measured by it.
    pub fn outage(&self) -> watch::Receiver<Option<String>> {
        self.outage.subscribe()
    }

    /// How it goes, for whoever may choose another transport.
    pub(crate) fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Another transport is tried.
    pub(crate) fn begins_anew(&self) {
        self.standing.send_replace(Standing::default());
    }

    /// An attempt failed. The first reason of an outage is kept.
    pub(crate) fn failed(&self, why: &str) {
        self.standing.send_modify(|standing| standing.failures += 1);
        self.outage.send_if_modified(|outage| {
            let begins = outage.is_none();
            outage.get_or_insert_with(|| why.to_owned());
            begins
        });
    }

    /// The server answered well.
    pub(crate) fn succeeded(&self) {
        let well = Standing { was_served: true, failures: 0 };
        self.standing.send_if_modified(|standing| std::mem::replace(standing, well) != well);
        self.outage.send_if_modified(|outage| outage.take().is_some());
    }

    /// Cuts the connection, if there is one: its next read or write fails as a reset does, and the socket is closed.
    /// Whoever waits for it is woken. Connections made later work.
    pub fn cut(&self) {
        self.cuts.fetch_add(1, Ordering::AcqRel);
        self.reader.wake();
        self.writer.wake();
    }

    /// Reads nothing from now on: what the server sends stays in the kernel's buffers, and then in the server's.
    pub fn stall(&self) {
        self.stalled.store(true, Ordering::Release);
    }

    /// Reads again.
    pub fn resume(&self) {
        self.stalled.store(false, Ordering::Release);
        self.reader.wake();
    }

    /// Connections that were open when they were cut.
    pub fn connections_cut(&self) -> u64 {
        self.connections_cut.load(Ordering::Relaxed)
    }

    /// One request ended.
    pub(crate) fn count(&self, outcome: Outcome) {
        let index = Outcome::ALL.iter().position(|o| *o == outcome).expect("ALL holds every outcome");
        self.outcomes[index].fetch_add(1, Ordering::Relaxed);
    }

    /// When the socket was last read: the moment whatever is parsed next arrived.
    pub(crate) fn last_read(&self) -> Instant {
        *ORIGIN + Duration::from_nanos(self.last_read_ns.load(Ordering::Relaxed))
    }
}

/// A TCP connection that counts into a meter and can be cut by it.
pub(crate) struct MeteredSocket {
    /// `None` once it is cut.
    socket: Option<TcpStream>,
    meter: Arc<Meter>,
    /// The meter's cuts when it was connected.
    cuts_before: u64,
}

impl MeteredSocket {
    /// Connects to `host:port`, without Nagle's delay.
    pub(crate) async fn connect(authority: &str, meter: Arc<Meter>) -> io::Result<Self> {
        let socket = TcpStream::connect(authority).await?;
        socket.set_nodelay(true)?;
        meter.connections_opened.fetch_add(1, Ordering::Relaxed);
        let cuts_before = meter.cuts.load(Ordering::Acquire);
        Ok(Self { socket: Some(socket), meter, cuts_before })
    }

    /// The socket, unless it was cut: then it is closed here.
    fn socket(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        if self.meter.cuts.load(Ordering::Acquire) != self.cuts_before && self.socket.take().is_some() {
            self.meter.connections_cut.fetch_add(1, Ordering::Relaxed);
        }
        match &mut self.socket {
            Some(socket) => Ok(Pin::new(socket)),
            None => Err(io::Error::new(io::ErrorKind::ConnectionReset, "the cable was cut")),
        }
    }
}

impl AsyncRead for MeteredSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Registered before the cuts are looked at: a cut in between is seen or wakes.
        self.meter.reader.register(cx.waker());
        if self.meter.stalled.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        let before = buf.filled().len();
        ready!(self.socket()?.poll_read(cx, buf))?;
        // Stamped here, before anything is parsed: parsing is the client's time, not the network's.
        let at = ORIGIN.elapsed();
        self.meter.last_read_ns.store(at.as_nanos() as u64, Ordering::Relaxed);
        self.meter.down_bytes.fetch_add((buf.filled().len() - before) as u64, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for MeteredSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.meter.writer.register(cx.waker());
        let wrote = ready!(self.socket()?.poll_write(cx, buf))?;
        self.meter.up_bytes.fetch_add(wrote as u64, Ordering::Relaxed);
        Poll::Ready(Ok(wrote))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket()?.poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    async fn connected(meter: &Arc<Meter>) -> (MeteredSocket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let socket = MeteredSocket::connect(&authority, meter.clone()).await.unwrap();
        (socket, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn a_cut_wakes_who_waits_closes_the_socket_and_spares_the_next_one() {
        let meter = Meter::new();
        let (mut socket, mut server) = connected(&meter).await;
        let mut bytes = [0; 8];
        {
            let mut reading = std::pin::pin!(socket.read(&mut bytes));
            assert!(futures_util::poll!(&mut reading).is_pending());
            meter.cut();
            assert_eq!(reading.await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        }
        assert_eq!(server.read(&mut bytes).await.unwrap(), 0, "the server sees the end");
        assert_eq!(socket.write(b"x").await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(meter.connections_cut(), 1);

        let (mut next, mut server) = connected(&meter).await;
        server.write_all(b"hello").await.unwrap();
        assert_eq!(next.read(&mut bytes).await.unwrap(), 5);
        assert_eq!((meter.connections_cut(), meter.traffic().reconnects), (1, 1));
    }

    #[tokio::test]
    async fn who_stalls_reads_nothing_until_it_resumes() {
        let meter = Meter::new();
        let (mut socket, mut server) = connected(&meter).await;
        server.write_all(b"hello").await.unwrap();
        let mut bytes = [0; 8];
        meter.stall();
        {
            let mut reading = std::pin::pin!(socket.read(&mut bytes));
            assert!(futures_util::poll!(&mut reading).is_pending());
            meter.resume();
            assert_eq!(reading.await.unwrap(), 5);
        }
    }

    #[tokio::test]
    async fn a_reader_in_another_task_is_woken_by_the_cut() {
        let meter = Meter::new();
        let (mut socket, _server) = connected(&meter).await;
        let reading = tokio::spawn(async move { socket.read(&mut [0; 8]).await });
        // It waits once its waker is there; taken, it is put back as it was.
        let waker = loop {
            match meter.reader.take() {
                Some(waker) => break waker,
                None => tokio::task::yield_now().await,
            }
        };
        meter.reader.register(&waker);
        meter.cut();
        assert_eq!(reading.await.unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }
}
