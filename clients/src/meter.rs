//! The meter: counts the requests of one subscriber and every byte of its socket, and stamps each read and request.
//!
//! The caller makes it and keeps a handle. So traffic can be read while the subscriber waits, and the subscriber's
//! connection can be cut under it.

mod socket;

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;
use rustls::client::Resumption;
use tokio::sync::watch;

pub(crate) use self::socket::MeteredSocket;

use crate::os::{self, TcpInfo};
use crate::route::Route;
use crate::timing::{Exchange, Question, SharedTiming};
use crate::tls::ClientTls;
use crate::traffic::{Packets, Requests, Traffic};
use crate::wire::Outcome;

/// Instant that time stamps count from: an atomic holds nanoseconds, not an `Instant`.
static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Counters of one subscriber, shared with the caller that measures it.
#[derive(Debug, Default)]
pub struct Meter {
    outcomes: [AtomicU64; Outcome::ALL.len()],
    connections_opened: AtomicU64,
    http: Bytes,
    tls: Bytes,
    /// Sessions of TLS that the subscriber may resume.
    sessions: OnceLock<Resumption>,
    /// Bytes of open connections that came out of the socket and are still in a delay line.
    delayed_bytes: AtomicU64,
    /// Way of the connections to the server.
    route: Route,
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

/// What bytes are counted as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layer {
    /// Bytes of HTTP.
    Http,
    /// Bytes of TLS, which carry those of HTTP.
    Tls,
}

/// Bytes of one layer.
#[derive(Debug, Default)]
struct Bytes {
    up: AtomicU64,
    down: AtomicU64,
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
        Self::over(Route::Direct)
    }

    /// Creates a meter at zero whose connections take this route.
    pub fn over(route: Route) -> Arc<Self> {
        LazyLock::force(&ORIGIN);
        Arc::new(Self { route, ..Self::default() })
    }

    /// Creates a meter at zero whose connections take this route, and that also times its subscriber's requests.
    pub fn timed(timing: Arc<SharedTiming>, route: Route) -> Arc<Self> {
        LazyLock::force(&ORIGIN);
        Arc::new(Self { timing: Some(timing), route, ..Self::default() })
    }

    /// Returns what TCP did on all connections so far, open ones included. `None` where the kernel does not tell.
    ///
    /// On an open connection, what waits in the kernel's buffers or in a delay line is on its way: it counts as
    /// written, and not yet as read. Segments say little on loopback, where one may carry 32 768 bytes and more.
    pub fn packets(&self) -> Option<Packets> {
        let connections = self.connections();
        let so_far = |(packets, _)| Packets { unsent_bytes: 0, unread_bytes: 0, ..packets };
        let delayed_bytes = self.delayed_bytes.load(Ordering::Relaxed);
        let open = connections.open.iter().map(|socket| packets_of(*socket).map(so_far));
        let sum = open.fold(connections.ended, |sum, packets| Some(sum? + packets?))?;
        Some(Packets { bytes_down: sum.bytes_down.saturating_sub(delayed_bytes), ..sum })
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
            up_bytes: read(&self.http.up),
            down_bytes: read(&self.http.down),
            tls_up_bytes: read(&self.tls.up),
            tls_down_bytes: read(&self.tls.down),
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

    /// Returns the sessions that this subscriber may resume.
    pub(crate) fn sessions(&self, tls: &ClientTls) -> Resumption {
        self.sessions.get_or_init(|| tls.own_sessions()).clone()
    }

    fn bytes(&self, layer: Layer) -> &Bytes {
        match layer {
            Layer::Http => &self.http,
            Layer::Tls => &self.tls,
        }
    }

    /// Counts bytes that were read.
    pub(crate) fn read(&self, layer: Layer, bytes: usize) {
        self.bytes(layer).down.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts bytes that were written.
    pub(crate) fn wrote(&self, layer: Layer, bytes: usize) {
        self.bytes(layer).up.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Notes that bytes of HTTP are about to be written. The first ones of a question are its request.
    pub(crate) fn writes(&self) {
        if self.asking.swap(false, Ordering::Relaxed) {
            // Stamped on entry into the write: the kernel's time for it is part of the request.
            self.time(|exchange, timing| exchange.writes(Instant::now(), timing));
        }
    }

    /// Notes that a connection is there, its handshakes done.
    pub(crate) fn connected(&self, at: Instant) {
        self.time(|exchange, timing| exchange.connected(at, timing));
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

#[cfg(test)]
mod tests;
