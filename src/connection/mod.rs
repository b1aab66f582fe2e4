//! One TCP connection of the server: its bytes are counted, its stalls bounded.
//!
//! actix does not show the bytes of a socket, so the server is built on a counting stream. Bytes read belong to the
//! request that follows them: they are kept until that request is known, or until its answer is written. All bytes are
//! booked on the metrics of the request's transport, and on the ledger of the request's lane if it has one. (A lane is
//! a part of a page that shows one transport.) Inside of TLS the bytes of HTTP are counted, and those of TLS beside them.

mod connections;
pub(crate) mod http1;
pub(crate) mod http2;
mod linked;
mod network;
pub(crate) mod protocol;
mod socket;

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_http::body::BoxBody;
use actix_http::{Request, Response};
use actix_rt::net::TcpStream;
use futures_util::future::{AbortHandle, AbortRegistration};
use rustls::{ServerConfig, ServerConnection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

pub(crate) use self::connections::Connections;
use self::connections::Entered;
use self::linked::LinkedSocket;
pub(crate) use self::linked::Opening;
pub(crate) use self::network::Network;
use self::socket::CountedSocket;
use crate::access::addresses::Visit;
use crate::exchange::arriving::Share;
use crate::lanes::Lane;
use crate::metrics::{Caller, Metrics};
use crate::tls::HTTP_2;

/// Bytes of TLS that wait for a socket which takes nothing. One record is longer only by its frame (RFC 8446 §5.1).
const UNSENT_TLS_BYTES_MAX: usize = 16 << 10;
/// Number of lanes that a connection remembers it has carried. A connection that carries more may be counted again for
/// the oldest of them. Browsers share a connection among the lanes of a page, which shows far fewer at once.
const LANES_REMEMBERED_MAX: usize = 64;

/// Time limits of one connection, and what it may do in one turn.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    /// Time for the first bytes of a connection, and again for its first request.
    pub(crate) head_timeout: Duration,
    /// Time without an open request after which the connection ends.
    pub(crate) keep_alive: Duration,
    /// Time without any progress of an answer after which it is cut.
    pub(crate) write_timeout: Duration,
    /// Requests of HTTP/1.1 in a row that are answered before other connections get a turn.
    pub(crate) turn_requests: usize,
    /// Cancelled when the server stops.
    pub(crate) shutdown: CancellationToken,
}

/// The account of one connection: its last user, and the bytes that belong to no request yet.
pub(crate) struct Ledger {
    metrics: Arc<Metrics>,
    connections: Arc<Connections>,
    /// Key of this connection among the open connections.
    key: u64,
    cut: AbortHandle,
    user: Mutex<User>,
    /// Bytes of HTTP. Some are written before the first request: HTTP/2 sends its settings unasked.
    unclaimed: Unclaimed,
    /// Bytes of TLS. The handshake belongs to the first request.
    unclaimed_tls: Unclaimed,
    is_tls: AtomicBool,
    /// Whether the connection is beyond the bound: then every request on it is refused.
    refused: AtomicBool,
    /// This connection among those of its address.
    visit: Visit,
    /// What this connection holds of bodies and messages that have not ended.
    share: Arc<Share>,
    /// Requests of HTTP/1.1 that have begun, and those whose answer is over.
    begun_count: AtomicU64,
    answered_count: AtomicU64,
    /// Whether the last request of HTTP/1.1 passes beside the server's link.
    is_beside: AtomicBool,
}

/// Bytes that belong to no request yet.
#[derive(Default)]
struct Unclaimed {
    up: AtomicU64,
    down: AtomicU64,
}

impl Unclaimed {
    /// Returns the bytes up and down, which belong to a request now.
    fn take(&self) -> (u64, u64) {
        (self.up.swap(0, Ordering::Relaxed), self.down.swap(0, Ordering::Relaxed))
    }
}

/// What answers the requests of all connections of a thread, whatever their protocol.
pub(crate) trait Answers: 'static {
    /// Answers a request that came on the connection of `ledger`.
    fn answer(
        self: Rc<Self>,
        request: Request,
        ledger: Arc<Ledger>,
    ) -> impl Future<Output = Response<BoxBody>> + 'static;
}

/// A request of HTTP/1.1 whose answer is not complete.
struct Answering(Arc<Ledger>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.answered_count.fetch_add(1, Ordering::Relaxed);
    }
}

/// The user of a connection: the caller and the lane of its last request.
#[derive(Default)]
struct User {
    caller: Option<Caller>,
    lane: Option<Arc<Lane>>,
    /// Lanes that the connection has carried; takes no memory as long as no request has a lane.
    lanes_carried: Vec<Weak<Lane>>,
}

impl User {
    fn take_lane(&mut self, lane: Option<Arc<Lane>>) {
        let is_same = match (&self.lane, &lane) {
            (None, None) => true,
            (Some(before), Some(lane)) => Arc::ptr_eq(before, lane),
            (None, Some(_)) | (Some(_), None) => false,
        };
        if is_same {
            return;
        }
        if let Some(before) = self.lane.take() {
            before.lost();
        }
        if let Some(lane) = &lane {
            let known = Arc::downgrade(lane);
            if self.lanes_carried.iter().any(|carried| carried.ptr_eq(&known)) {
                lane.regained();
            } else {
                if self.lanes_carried.len() == LANES_REMEMBERED_MAX {
                    self.lanes_carried.remove(0);
                }
                self.lanes_carried.push(known);
                lane.connected();
            }
        }
        self.lane = lane;
    }
}

impl Ledger {
    pub(crate) fn open(
        metrics: Arc<Metrics>,
        connections: Arc<Connections>,
        peer: Option<IpAddr>,
    ) -> (Arc<Self>, AbortRegistration) {
        let Entered { key, beyond, visit, cut, registration } = connections.enter(peer);
        let share = Arc::new(connections.share());
        let ledger = Self {
            metrics,
            connections,
            key,
            cut,
            user: Mutex::default(),
            unclaimed: Unclaimed::default(),
            unclaimed_tls: Unclaimed::default(),
            is_tls: AtomicBool::new(false),
            refused: beyond.into(),
            visit,
            share,
            begun_count: AtomicU64::new(0),
            answered_count: AtomicU64::new(0),
            is_beside: AtomicBool::new(false),
        };
        (Arc::new(ledger), registration)
    }

    /// Assigns the connection to `caller` and `lane`, whose request begins, with the bytes since the last answer.
    pub(crate) fn claim(&self, caller: Caller, lane: Option<Arc<Lane>>) {
        let mut user = self.user.lock().expect("no holder panics");
        if user.caller != Some(caller) {
            match user.caller {
                Some(before) => {
                    self.metrics.of(before).connections.dec();
                }
                None => {
                    self.metrics.of(caller).connections_opened.inc();
                }
            }
            self.metrics.of(caller).connections.inc();
            user.caller = Some(caller);
        }
        user.take_lane(lane);
        self.book(caller, user.lane.as_deref());
    }

    /// Returns what this connection may hold of bodies and messages that have not ended.
    pub(crate) fn share(&self) -> Arc<Share> {
        self.share.clone()
    }

    /// Notes that a request of HTTP/1.1 for this path begins. It lasts until the returned value is dropped.
    fn begin(self: &Arc<Self>, path: &str) -> Answering {
        self.set_beside(linked::passes_beside(path.as_bytes()));
        self.begun_count.fetch_add(1, Ordering::Relaxed);
        Answering(self.clone())
    }

    /// Tells whether this connection is beyond the bound.
    pub(crate) fn is_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    /// Returns this connection among those of its address.
    pub(crate) fn visit(&self) -> &Visit {
        &self.visit
    }

    /// Returns the number of the next request of HTTP/1.1 while none is under way.
    fn between_requests(&self) -> Option<u64> {
        let answered = self.answered_count.load(Ordering::Relaxed);
        (answered == self.begun_count.load(Ordering::Relaxed)).then_some(answered)
    }

    /// Notes whether what is read and written from now on passes beside the server's link.
    fn set_beside(&self, is_beside: bool) {
        self.is_beside.store(is_beside, Ordering::Relaxed);
    }

    /// Tells whether the last request passes beside the server's link.
    fn passes_beside(&self) -> bool {
        self.is_beside.load(Ordering::Relaxed)
    }

    /// Tells whether the connection was cut.
    fn is_cut(&self) -> bool {
        self.cut.is_aborted()
    }

    /// Counts bytes that came out of the socket.
    fn read(&self, bytes: usize) {
        self.of_socket().up.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts bytes that went into the socket.
    fn wrote(&self, bytes: usize) {
        self.of_socket().down.fetch_add(bytes as u64, Ordering::Relaxed);
        self.book_on_user();
    }

    /// Counts bytes of HTTP that came out of TLS.
    fn deciphered(&self, bytes: usize) {
        self.unclaimed.up.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts bytes of HTTP that went into TLS.
    fn enciphered(&self, bytes: usize) {
        self.unclaimed.down.fetch_add(bytes as u64, Ordering::Relaxed);
        self.book_on_user();
    }

    fn of_socket(&self) -> &Unclaimed {
        if self.is_tls.load(Ordering::Relaxed) { &self.unclaimed_tls } else { &self.unclaimed }
    }

    fn book_on_user(&self) {
        let user = self.user.lock().expect("no holder panics");
        if let Some(caller) = user.caller {
            self.book(caller, user.lane.as_deref());
        }
    }

    fn book(&self, caller: Caller, lane: Option<&Lane>) {
        let metrics = self.metrics.of(caller);
        if self.is_tls.load(Ordering::Relaxed) {
            let (up, down) = self.unclaimed_tls.take();
            metrics.tls_bytes_up.inc_by(up);
            metrics.tls_bytes_down.inc_by(down);
        }
        let (up, down) = self.unclaimed.take();
        metrics.bytes_up.inc_by(up);
        metrics.bytes_down.inc_by(down);
        if let Some(lane) = lane
            && (up, down) != (0, 0)
        {
            lane.moved(up, down);
        }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        let User { caller, lane, .. } = std::mem::take(self.user.get_mut().expect("no holder panics"));
        // Bytes are booked before the gauges fall: when a connection is no longer counted, all of its bytes are.
        self.book(caller.unwrap_or(Caller::of_path("")), lane.as_deref());
        if let Some(caller) = caller {
            self.metrics.of(caller).connections.dec();
        }
        if let Some(lane) = lane {
            lane.lost();
        }
        self.connections.leave(self.key);
    }
}

/// The stream of one connection: HTTP, perhaps inside of TLS.
pub(crate) enum MeteredStream {
    /// Without TLS. The socket counts.
    Plain(CountedSocket),
    /// Inside of TLS.
    Secure(Box<Secure>),
}

/// A stream inside of TLS, whose bytes of HTTP are counted here.
pub(crate) struct Secure {
    session: TlsStream<CountedSocket>,
    ledger: Arc<Ledger>,
}

impl MeteredStream {
    /// Makes the stream, and the registration that ends its future when the connection is cut.
    pub(crate) fn new(
        socket: TcpStream,
        metrics: Arc<Metrics>,
        connections: Arc<Connections>,
        write_timeout: Duration,
    ) -> (Self, AbortRegistration) {
        let peer = socket.peer_addr().ok().map(|peer| peer.ip());
        let (ledger, cut) = Ledger::open(metrics, connections, peer);
        let linked = LinkedSocket::new(socket, ledger.connections.line(), ledger.clone());
        (Self::Plain(CountedSocket::new(linked, ledger, write_timeout)), cut)
    }

    /// Does the handshake of TLS. From now on the ledger counts what passes through the socket as bytes of TLS.
    pub(crate) async fn secure(self, config: Arc<ServerConfig>) -> io::Result<Self> {
        let Self::Plain(socket) = self else { return Ok(self) };
        let ledger = socket.ledger();
        ledger.is_tls.store(true, Ordering::Relaxed);
        let bound = |session: &mut ServerConnection| session.set_buffer_limit(Some(UNSENT_TLS_BYTES_MAX));
        let session = TlsAcceptor::from(config).accept_with(socket, bound).await?;
        Ok(Self::Secure(Box::new(Secure { session, ledger })))
    }

    /// Tells whether client and server have agreed on HTTP/2 by ALPN. Without TLS nothing is agreed on.
    pub(crate) fn agreed_on_http2(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Secure(secure) => secure.session.get_ref().1.alpn_protocol() == Some(HTTP_2),
        }
    }

    fn counted(&self) -> &CountedSocket {
        match self {
            Self::Plain(socket) => socket,
            Self::Secure(secure) => secure.session.get_ref().0,
        }
    }

    /// Returns the socket for a look at it. Bytes that are read from it directly are not counted.
    pub(crate) fn socket(&self) -> &TcpStream {
        self.counted().linked.socket()
    }

    /// Opens the connection over the server's link, if there is one. The first bytes must be there.
    pub(crate) async fn open(&mut self) -> Opening {
        match self {
            Self::Plain(socket) => socket.linked.open().await,
            Self::Secure(_) => Opening::Open,
        }
    }

    pub(crate) fn ledger(&self) -> Arc<Ledger> {
        self.counted().ledger()
    }
}

impl AsyncRead for MeteredStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Secure(secure) => {
                let before = buf.filled().len();
                ready!(Pin::new(&mut secure.session).poll_read(cx, buf))?;
                secure.ledger.deciphered(buf.filled().len() - before);
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl AsyncWrite for MeteredStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, buf),
            Self::Secure(secure) => {
                let wrote = ready!(Pin::new(&mut secure.session).poll_write(cx, buf))?;
                secure.ledger.enciphered(wrote);
                Poll::Ready(Ok(wrote))
            }
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, bufs),
            Self::Secure(secure) => {
                let wrote = ready!(Pin::new(&mut secure.session).poll_write_vectored(cx, bufs))?;
                secure.ledger.enciphered(wrote);
                Poll::Ready(Ok(wrote))
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(socket) => socket.is_write_vectored(),
            Self::Secure(secure) => secure.session.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Self::Secure(secure) => Pin::new(&mut secure.session).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Secure(secure) => Pin::new(&mut secure.session).poll_shutdown(cx),
        }
    }
}
