//! The meter: counts the requests of one subscriber and every byte of its socket, and stamps each read and request.
//!
//! The caller makes it and keeps a handle. So traffic can be read while the subscriber waits, and the subscriber's
//! connection can be cut under it.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::os::{self, TcpInfo};
use crate::timing::{Exchange, Question, SharedTiming};
use crate::traffic::{Packets, Requests, Traffic};
use crate::wire::Outcome;

/// Instant that time stamps count from: an atomic holds nanoseconds, not an `Instant`.
static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Counters of one subscriber, shared with the caller that measures it.
#[derive(Debug, Default)]
pub struct Meter {
    outcomes: [AtomicU64; Outcome::ALL.len()],
    connections_opened: AtomicU64,
    up_bytes: AtomicU64,
    down_bytes: AtomicU64,
    last_read_ns: AtomicU64,
    outage: watch::Sender<Option<String>>,
    standing: watch::Sender<Standing>,
    /// Cuts so far; a socket that was connected before the last one is dead.
    cuts: AtomicU64,
    /// Connections that a cut ended.
    connections_cut: AtomicU64,
    /// Whether the subscriber reads nothing, as in a page that is asleep.
    stalled: AtomicBool,
    /// Tasks that wait for the socket: a cut must wake them, since the kernel will not.
    reader: AtomicWaker,
    writer: AtomicWaker,
    connections: Mutex<WatchedConnections>,
    /// Whether the next write begins a request.
    asking: AtomicBool,
    exchange: Mutex<Exchange>,
    timing: Option<Arc<SharedTiming>>,
}

/// Connections that the kernel is asked about, and the sum of those that have ended.
#[derive(Debug)]
struct WatchedConnections {
    open: Vec<WatchedConnection>,
    /// Packets of the connections that have ended. `None`: one could not be read.
    ended: Option<Packets>,
}

impl Default for WatchedConnections {
    fn default() -> Self {
        Self { open: Vec::new(), ended: Some(Packets::default()) }
    }
}

/// Descriptor of an open connection, valid as long as it is listed.
type WatchedConnection = RawFd;

/// Returns what TCP did on one connection so far.
fn packets_of(socket: WatchedConnection) -> Option<(Packets, TcpInfo)> {
    let info = os::tcp_info(socket)?;
    let packets = Packets {
        connections: 1,
        segments_up: info.segments_out,
        segments_down: info.segments_in,
        retransmits: info.retransmits,
        bytes_up: info.written_bytes,
        bytes_down: info.received_bytes.saturating_sub(info.unread_bytes),
        retransmitted_bytes: info.retransmitted_bytes,
        unsent_bytes: info.unsent_bytes,
        unread_bytes: info.unread_bytes,
    };
    Some((packets, info))
}

/// Returns what TCP did on a connection that ends, of which `read_bytes` were read. The kernel counts the other side's
/// FIN as a byte. Once both directions are closed it no longer says whether there was a FIN or a reset. Only then the
/// bytes that were read decide about that one byte.
fn last_packets_of(socket: WatchedConnection, read_bytes: u64) -> Option<Packets> {
    let (mut packets, info) = packets_of(socket)?;
    if info.is_closed && packets.bytes_down == read_bytes + 1 {
        packets.bytes_down = read_bytes;
    }
    Some(packets)
}

/// State of a subscriber on its transport: whether it is served, and its failures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Whether the server has answered well: a stream said hello, or a poll got its answer.
    pub(crate) was_served: bool,
    /// Failures in a row.
    pub(crate) failures: u32,
}

impl Meter {
    /// Creates a meter at zero.
    pub fn new() -> Arc<Self> {
        LazyLock::force(&ORIGIN);
        Arc::default()
    }

    /// Creates a meter at zero that also times its subscriber's requests.
    pub fn timed(timing: Arc<SharedTiming>) -> Arc<Self> {
        LazyLock::force(&ORIGIN);
        Arc::new(Self { timing: Some(timing), ..Self::default() })
    }

    /// Returns what TCP did on all connections so far, open ones included. `None` where the kernel does not tell.
    ///
    /// On an open connection, what waits in the kernel's buffers is on its way: it counts as written, and not yet as
    /// read. Segments say little on loopback, where one may carry 32 768 bytes and more.
    pub fn packets(&self) -> Option<Packets> {
        let connections = self.connections();
        let so_far = |(packets, _)| Packets { unsent_bytes: 0, unread_bytes: 0, ..packets };
        let open = connections.open.iter().map(|socket| packets_of(*socket).map(so_far));
        open.fold(connections.ended, |sum, packets| Some(sum? + packets?))
    }

    /// Counts the connections that are open now.
    pub fn connections_open(&self) -> u64 {
        self.connections().open.len() as u64
    }

    fn connections(&self) -> MutexGuard<'_, WatchedConnections> {
        self.connections.lock().expect("no holder panics")
    }

    /// Returns the requests, connections and bytes that were counted so far.
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

    /// Watches why the subscriber is not served at the moment; `None` while it is. For display only: nothing is
    /// measured by it.
    pub fn outage(&self) -> watch::Receiver<Option<String>> {
        self.outage.subscribe()
    }

    /// Watches how well the subscriber is served, for the [`Ladder`](crate::Ladder), which may choose another
    /// transport.
    pub(crate) fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Notes that another transport is tried: the standing starts anew.
    pub(crate) fn begins_anew(&self) {
        self.standing.send_replace(Standing::default());
    }

    /// Notes that an attempt failed. The first reason of an outage is kept.
    pub(crate) fn failed(&self, why: &str) {
        self.standing.send_modify(|standing| standing.failures += 1);
        self.time(|exchange, _| exchange.failed());
        self.outage.send_if_modified(|outage| {
            let begins = outage.is_none();
            outage.get_or_insert_with(|| why.to_owned());
            begins
        });
    }

    /// Notes that the server answered well.
    pub(crate) fn succeeded(&self) {
        let well = Standing { was_served: true, failures: 0 };
        self.standing.send_if_modified(|standing| std::mem::replace(standing, well) != well);
        self.outage.send_if_modified(|outage| outage.take().is_some());
    }

    /// Cuts the connection, if there is one: its next read or write fails as after a reset, and the socket is closed.
    /// Tasks that wait for the socket are woken. Connections made later work.
    pub fn cut(&self) {
        self.cuts.fetch_add(1, Ordering::AcqRel);
        self.reader.wake();
        self.writer.wake();
    }

    /// Stops reading: what the server sends stays in the kernel's buffers, and then in the server's.
    pub fn stall(&self) {
        self.stalled.store(true, Ordering::Release);
    }

    /// Reads again after [`Self::stall`].
    pub fn resume(&self) {
        self.stalled.store(false, Ordering::Release);
        self.reader.wake();
    }

    /// Counts the connections that were open when they were cut.
    pub fn connections_cut(&self) -> u64 {
        self.connections_cut.load(Ordering::Relaxed)
    }

    /// Notes that the subscriber is about to ask `question`: the next write is that request. Called before connecting,
    /// where the request needs a new connection.
    pub(crate) fn asks(&self, question: Question) {
        self.time(|exchange, _| exchange.asks(question));
        self.asking.store(self.timing.is_some(), Ordering::Relaxed);
    }

    /// Notes that the head of an answer is there: a stream is open.
    pub(crate) fn opened(&self) {
        self.time(|exchange, timing| exchange.opened(self.last_read(), timing));
    }

    /// Notes that a whole answer was read, its last byte at `at`.
    pub(crate) fn answered(&self, at: Instant) {
        self.time(|exchange, timing| exchange.answered(at, timing));
    }

    fn time(&self, step: impl FnOnce(&mut Exchange, &SharedTiming)) {
        if let Some(timing) = &self.timing {
            step(&mut self.exchange.lock().expect("no holder panics"), timing);
        }
    }

    /// Counts one request that ended with `outcome`.
    pub(crate) fn count(&self, outcome: Outcome) {
        let index = Outcome::ALL.iter().position(|o| *o == outcome).expect("ALL holds every outcome");
        self.outcomes[index].fetch_add(1, Ordering::Relaxed);
    }

    /// Returns when the socket was last read: the arrival time of what is parsed next.
    pub(crate) fn last_read(&self) -> Instant {
        *ORIGIN + Duration::from_nanos(self.last_read_ns.load(Ordering::Relaxed))
    }
}

/// A TCP connection that counts into a meter and can be cut by it.
pub(crate) struct MeteredSocket {
    /// The TCP socket; `None` once it is cut.
    socket: Option<TcpStream>,
    meter: Arc<Meter>,
    /// The meter's cuts when the socket was connected.
    cuts_before: u64,
    read_bytes: u64,
}

impl MeteredSocket {
    /// Connects to `host:port`, without Nagle's delay.
    pub(crate) async fn connect(authority: &str, meter: Arc<Meter>) -> io::Result<Self> {
        meter.time(|exchange, _| exchange.connects(Instant::now()));
        let socket = TcpStream::connect(authority).await?;
        meter.time(|exchange, timing| exchange.connected(Instant::now(), timing));
        socket.set_nodelay(true)?;
        meter.connections_opened.fetch_add(1, Ordering::Relaxed);
        let cuts_before = meter.cuts.load(Ordering::Acquire);
        meter.connections().open.push(socket.as_raw_fd());
        Ok(Self { socket: Some(socket), meter, cuts_before, read_bytes: 0 })
    }

    /// Closes the socket, after a last look at what TCP did. Returns whether there was one.
    fn close(&mut self) -> bool {
        let Some(socket) = self.socket.take() else { return false };
        let mut connections = self.meter.connections();
        // Unlisted before it is closed: afterwards the descriptor's number may belong to another file.
        if let Some(at) = connections.open.iter().position(|open| *open == socket.as_raw_fd()) {
            let last = last_packets_of(connections.open.swap_remove(at), self.read_bytes);
            connections.ended = connections.ended.zip(last).map(|(ended, last)| ended + last);
        }
        true
    }

    /// Returns the socket. Closes it and returns an error if it was cut.
    fn socket(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        if self.meter.cuts.load(Ordering::Acquire) != self.cuts_before && self.close() {
            self.meter.connections_cut.fetch_add(1, Ordering::Relaxed);
        }
        match &mut self.socket {
            Some(socket) => Ok(Pin::new(socket)),
            None => Err(io::Error::new(io::ErrorKind::ConnectionReset, "the cable was cut")),
        }
    }
}

impl Drop for MeteredSocket {
    fn drop(&mut self) {
        self.close();
    }
}

impl AsyncRead for MeteredSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Registered before the cuts are looked at: a cut in between is either seen or wakes this task.
        self.meter.reader.register(cx.waker());
        // Looked at before a stall: a subscriber that reads nothing can be cut too.
        self.socket()?;
        if self.meter.stalled.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        let before = buf.filled().len();
        ready!(self.socket()?.poll_read(cx, buf))?;
        // Stamped here, before anything is parsed: parsing is the client's time, not the network's.
        let at = ORIGIN.elapsed();
        self.meter.last_read_ns.store(at.as_nanos() as u64, Ordering::Relaxed);
        let read = buf.filled().len() - before;
        self.meter.down_bytes.fetch_add(read as u64, Ordering::Relaxed);
        self.read_bytes += read as u64;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for MeteredSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.meter.writer.register(cx.waker());
        if self.meter.asking.swap(false, Ordering::Relaxed) {
            // Stamped on entry into the write: the kernel's time for it is part of the request.
            self.meter.time(|exchange, timing| exchange.writes(Instant::now(), timing));
        }
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

    /// Checks that the wrapper and the kernel counted alike, and returns the kernel's counts.
    #[cfg(target_os = "linux")]
    #[track_caller]
    fn both_counts_agree(meter: &Meter) -> Packets {
        let (traffic, packets) = (meter.traffic(), meter.packets().unwrap());
        assert_eq!(
            (packets.bytes_up, packets.bytes_down),
            (traffic.up_bytes, traffic.down_bytes),
            "{packets:?}"
        );
        packets
    }

    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn every_byte_that_the_wrapper_counts_the_kernel_counts_too() {
        let meter = Meter::new();
        assert_eq!((meter.packets(), meter.connections_open()), (Some(Packets::default()), 0));
        let (mut socket, mut server) = connected(&meter).await;
        let mut bytes = [0; 64];
        for _ in 0..10 {
            socket.write_all(b"question").await.unwrap();
            server.read_exact(&mut bytes[..8]).await.unwrap();
            server.write_all(b"the answer").await.unwrap();
            socket.read_exact(&mut bytes[..10]).await.unwrap();
            both_counts_agree(&meter);
        }
        let open = both_counts_agree(&meter);
        assert_eq!((open.bytes_up, open.bytes_down, meter.connections_open()), (80, 100, 1));
        // SYN, acknowledgement and ten questions; the other's SYN and ten answers.
        assert!(open.segments_up >= 12 && open.segments_down >= 11, "{open:?}");

        // The server ends first, and this side reads its end: that is no byte.
        drop(server);
        assert_eq!(socket.read(&mut bytes).await.unwrap(), 0);
        socket.shutdown().await.unwrap();
        drop(socket);
        let ended = both_counts_agree(&meter);
        assert_eq!((ended.bytes_down, ended.unread_bytes, meter.connections_open()), (100, 0, 0));
        assert!(ended.segments_up >= open.segments_up);
    }

    /// After both ends the kernel no longer knows them, and has counted one of them as a byte.
    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn a_connection_that_both_sides_have_ended_has_no_byte_more() {
        let meter = Meter::new();
        let (mut socket, mut server) = connected(&meter).await;
        server.write_all(b"bytes").await.unwrap();
        socket.read_exact(&mut [0; 5]).await.unwrap();
        socket.shutdown().await.unwrap();
        drop(server);
        let descriptor = socket.socket.as_ref().unwrap().as_raw_fd();
        while !os::tcp_info(descriptor).unwrap().is_closed {
            tokio::task::yield_now().await;
        }
        drop(socket);
        assert_eq!(both_counts_agree(&meter).bytes_down, 5);
    }

    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn what_was_never_read_is_counted_apart_and_a_cut_connection_too() {
        let meter = Meter::new();
        let (mut socket, mut server) = connected(&meter).await;
        server.write_all(b"twelve bytes").await.unwrap();
        let mut bytes = [0; 64];
        socket.read_exact(&mut bytes[..6]).await.unwrap();
        meter.cut();
        assert!(socket.read(&mut bytes).await.is_err());
        let cut = both_counts_agree(&meter);
        assert_eq!((cut.bytes_down, cut.unread_bytes, meter.connections_open()), (6, 6, 0));
        assert_eq!(cut.ip().down_bytes, 12 + 52 * cut.segments_down + 8);
    }

    #[tokio::test]
    async fn a_question_is_timed_from_its_write_and_only_with_a_timed_meter() {
        let timing = SharedTiming::new();
        timing.measure(Instant::now()..Instant::now() + Duration::from_secs(3_600));
        let meter = Meter::timed(timing.clone());
        let intended = Instant::now();
        meter.asks(Question::Scheduled { intended, interval: None });
        let (mut socket, mut server) = connected(&meter).await;
        socket.write_all(b"question").await.unwrap();
        server.read_exact(&mut [0; 8]).await.unwrap();
        server.write_all(b"answer").await.unwrap();
        socket.read_exact(&mut [0; 6]).await.unwrap();
        meter.opened();
        meter.answered(meter.last_read());
        let counts = timing.timing();
        assert_eq!(
            (counts.request_service.len(), counts.request_response.len(), counts.handshake.len()),
            (1, 1, 1)
        );
        let (service, response) = (
            counts.request_service.quantile_us(1.0).unwrap(),
            counts.request_response.quantile_us(1.0).unwrap(),
        );
        assert!(service <= response, "{service} {response}");
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
        meter.stall();
        let mut reading = std::pin::pin!(socket.read(&mut bytes));
        assert!(futures_util::poll!(&mut reading).is_pending());
        meter.cut();
        assert_eq!(reading.await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn a_reader_in_another_task_is_woken_by_the_cut() {
        let meter = Meter::new();
        let (mut socket, _server) = connected(&meter).await;
        let reading = tokio::spawn(async move { socket.read(&mut [0; 8]).await });
        // The task waits once its waker is there; the waker is taken and put back.
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
