//! The meter: counts what one subscriber asks and every byte of its socket, and stamps each read.
//!
//! The caller makes it and keeps a handle, so that traffic can be read while the subscriber waits.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

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

    /// An attempt failed. The first reason of an outage is kept.
    pub(crate) fn failed(&self, why: &str) {
        self.outage.send_if_modified(|outage| {
            let begins = outage.is_none();
            outage.get_or_insert_with(|| why.to_owned());
            begins
        });
    }

    /// The server answered well.
    pub(crate) fn succeeded(&self) {
        self.outage.send_if_modified(|outage| outage.take().is_some());
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

/// A TCP connection that counts into a meter.
pub(crate) struct MeteredSocket {
    socket: TcpStream,
    meter: Arc<Meter>,
}

impl MeteredSocket {
    /// Connects to `host:port`, without Nagle's delay.
    pub(crate) async fn connect(authority: &str, meter: Arc<Meter>) -> io::Result<Self> {
        let socket = TcpStream::connect(authority).await?;
        socket.set_nodelay(true)?;
        meter.connections_opened.fetch_add(1, Ordering::Relaxed);
        Ok(Self { socket, meter })
    }
}

impl AsyncRead for MeteredSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buf))?;
        // Stamped here, before anything is parsed: parsing is the client's time, not the network's.
        let at = ORIGIN.elapsed();
        self.meter.last_read_ns.store(at.as_nanos() as u64, Ordering::Relaxed);
        self.meter.down_bytes.fetch_add((buf.filled().len() - before) as u64, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for MeteredSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = ready!(Pin::new(&mut self.socket).poll_write(cx, buf))?;
        self.meter.up_bytes.fetch_add(wrote as u64, Ordering::Relaxed);
        Poll::Ready(Ok(wrote))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
