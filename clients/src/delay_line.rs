//! Delay lines: a TCP socket whose bytes take their time, in the client's socket or in the server's.
//!
//! Each chunk carries the time at which it arrived, and leaves at that time plus the link's delay. So delays do not add
//! up, however many chunks are on the way. A line needs no privileges and works with every server. It delays bytes and
//! not packets: [`CANNOT_SHOW`] lists what that hides.
//!
//! A line may fall silent: bytes vanish and sockets stay open. TCP would send lost bytes again, but a line cannot. So a
//! connection that has lost bytes is reset once the silence is over, as by a router that forgot it.

mod deadlines;

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

pub use self::deadlines::until;
use self::deadlines::wake_at;
use crate::link::{Draws, Link, OneWay, Rate};

/// What a delay line cannot show, for people.
pub const CANNOT_SHOW: &str = "lost SYNs, retransmissions, congestion windows, delayed ACKs";

/// Bytes that may be on the way in one direction of a connection: what Linux lets a TCP connection have by default.
const ON_THE_WAY_BYTES_MAX: usize = 4 << 20;
/// Bytes of a chunk on a link with a rate: those of a full packet.
const PACKET_BYTES: usize = 1_448;
/// Bytes that are read at once.
const READ_BYTES: usize = 16 << 10;

/// A delay line that many connections share. Its link can be changed while they are open.
#[derive(Debug)]
pub struct Line {
    state: RwLock<State>,
    /// Whether the link does anything; read for each chunk of a server without a link.
    is_active: AtomicBool,
    /// Connections so far: each draws its own jitter.
    connections: AtomicU64,
}

#[derive(Debug, Clone)]
struct State {
    link: Arc<Link>,
    silent: Option<Silence>,
}

/// A time in which bytes vanish.
#[derive(Debug, Clone, Copy)]
struct Silence {
    from: Instant,
    until: Instant,
}

impl Silence {
    fn is_on(&self, now: Instant) -> bool {
        (self.from..self.until).contains(&now)
    }
}

impl Line {
    /// Makes a line with this link.
    pub fn new(link: Link) -> Arc<Self> {
        let is_active = link != Link::default();
        let state = State { link: Arc::new(link), silent: None };
        Arc::new(Self {
            state: RwLock::new(state),
            is_active: is_active.into(),
            connections: AtomicU64::new(0),
        })
    }

    /// Returns the link as it is now.
    pub fn link(&self) -> Arc<Link> {
        self.state().link
    }

    /// Changes the link: what is on the way keeps its time, and what comes later does not overtake it.
    pub fn set(&self, link: Link) {
        let mut state = self.state.write().expect("no holder panics");
        let is_silent = state.silent.is_some_and(|silence| silence.until > Instant::now());
        self.is_active.store(link != Link::default() || is_silent, Ordering::Release);
        state.link = Arc::new(link);
    }

    /// Makes the line silent from now on for `length`: bytes vanish in both directions.
    pub fn fall_silent(&self, length: Duration) {
        let from = Instant::now();
        let mut state = self.state.write().expect("no holder panics");
        state.silent = Some(Silence { from, until: from + length });
        self.is_active.store(true, Ordering::Release);
    }

    /// Returns how long the line is still silent.
    pub fn silent_for(&self) -> Option<Duration> {
        let now = Instant::now();
        let silence = self.state().silent?;
        silence.is_on(now).then(|| silence.until - now)
    }

    /// Tells whether the link does anything to bytes.
    pub fn is_active(&self) -> bool {
        self.is_active.load(Ordering::Acquire)
    }

    /// Waits as long as opening a connection takes: one round trip, after a silence that is on.
    pub async fn connects(&self, began: Instant) {
        let State { link, silent } = self.state();
        let from = silent.map_or(began, |silence| if silence.is_on(began) { silence.until } else { began });
        let [mut up, mut down] = self.draws(&link);
        until(from + up.delay(&link.up) + down.delay(&link.down)).await;
    }

    fn state(&self) -> State {
        self.state.read().expect("no holder panics").clone()
    }

    fn draws(&self, link: &Link) -> [Draws; 2] {
        let stream = 2 * self.connections.fetch_add(1, Ordering::Relaxed);
        [link.up.draws(link.seed, stream), link.down.draws(link.seed, stream + 1)]
    }
}

/// End of the link at which a socket stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The client's: what it reads comes down.
    Client,
    /// The server's: what it reads comes up.
    Server,
}

/// Direction of bytes at a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Toward {
    Reader,
    Writer,
}

impl End {
    fn way(self, toward: Toward, link: &Link) -> &OneWay {
        match (self, toward) {
            (Self::Client, Toward::Reader) | (Self::Server, Toward::Writer) => &link.down,
            (Self::Client, Toward::Writer) | (Self::Server, Toward::Reader) => &link.up,
        }
    }
}

/// Bytes on their way.
#[derive(Debug)]
struct Chunk {
    bytes: Bytes,
    /// When they reach the other end.
    due: Instant,
}

/// The times of one direction of one connection.
#[derive(Debug)]
struct Times {
    draws: Draws,
    /// When the last chunk is due: none arrives before it.
    last_due: Instant,
    /// When the link has taken everything that waits for it, or opens: nothing leaves before it.
    free_at: Instant,
}

impl Times {
    fn new(draws: Draws) -> Self {
        let now = Instant::now();
        Self { draws, last_due: now, free_at: now }
    }

    /// Returns when bytes that arrive `now` are due.
    fn due(&mut self, way: &OneWay, bytes: usize, now: Instant) -> Instant {
        let leaves = match &way.rate {
            None => self.free_at.max(now),
            Some(rate) => {
                self.free_at = self.free_at.max(now) + rate.time_of(bytes);
                self.free_at
            }
        };
        self.last_due = self.last_due.max(leaves + self.draws.delay(way));
        self.last_due
    }

    /// Returns when the queue before the link has room for a packet. `None`: it has.
    fn full_until(&self, way: &OneWay, now: Instant) -> Option<Instant> {
        let rate = way.rate.as_ref()?;
        let queue = rate.time_of(usize::try_from(rate.queue_bytes).unwrap_or(usize::MAX));
        let room_at = self.free_at.checked_sub(queue)?;
        (room_at > now).then_some(room_at)
    }
}

/// Bytes taken into one chunk: on a link with a rate each packet has its own time.
fn chunk_bytes(rate: Option<&Rate>) -> usize {
    rate.map_or(READ_BYTES, |_| PACKET_BYTES)
}

/// A TCP connection behind a delay line.
///
/// Reading is driven by the reader. Writing is moved on by a task of its own: a caller that has written need not come
/// back for its bytes to arrive.
#[derive(Debug)]
pub struct DelayedSocket {
    line: Arc<Line>,
    end: End,
    read: OwnedReadHalf,
    arriving: VecDeque<Chunk>,
    arriving_bytes: usize,
    arriving_times: Times,
    /// How the other side ended, and when that arrives.
    ended: Option<(Result<(), io::ErrorKind>, Instant)>,
    /// Deadline for which the reader's waker is set, and that waker.
    alarm: Option<(Instant, Waker)>,
    leaving: Arc<Leaving>,
    out: Option<UnboundedSender<Chunk>>,
    leaving_times: Times,
    /// Task that writes; `None` once it has ended.
    mover: Option<JoinHandle<()>>,
    /// When this connection lost bytes first: the end of that silence breaks it.
    broken_at: Option<Instant>,
}

/// What the socket and the task that moves its bytes share.
struct Leaving {
    /// Locked around each write, so that nothing is written after the connection was closed.
    state: Mutex<LeavingState>,
    bytes: AtomicUsize,
    /// The writer: it waits for room, or for the last byte to leave.
    writer: AtomicWaker,
    wrote: Box<dyn Fn(usize) + Send + Sync>,
}

impl std::fmt::Debug for Leaving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Leaving").field("state", &self.state).field("bytes", &self.bytes).finish()
    }
}

#[derive(Debug, Default)]
struct LeavingState {
    is_closed: bool,
    failed: Option<io::ErrorKind>,
    /// When a connection that its owner left ends without goodbye.
    broken_at: Option<Instant>,
}

/// The half of the socket that writes. When a task is aborted, the half goes without a word: a goodbye would come before
/// the reset of a connection that is cut.
struct Writing(Option<OwnedWriteHalf>);

impl Writing {
    fn half(&self) -> &OwnedWriteHalf {
        self.0.as_ref().expect("taken only at the end")
    }

    /// Says goodbye: nothing more comes.
    fn finish(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if let Some(half) = self.0.take() {
            half.forget();
        }
    }
}

impl DelayedSocket {
    /// Puts a connection behind the line. `wrote` is called with the bytes that entered the socket, when they do. Must
    /// be called inside a tokio runtime.
    pub fn new(
        socket: TcpStream,
        line: Arc<Line>,
        end: End,
        wrote: impl Fn(usize) + Send + Sync + 'static,
    ) -> Self {
        let link = line.link();
        let [up, down] = line.draws(&link);
        let (arriving, leaving) = match end {
            End::Client => (down, up),
            End::Server => (up, down),
        };
        let (read, write) = socket.into_split();
        let (out, chunks) = unbounded_channel();
        let shared = Arc::new(Leaving {
            state: Mutex::default(),
            bytes: AtomicUsize::new(0),
            writer: AtomicWaker::new(),
            wrote: Box::new(wrote),
        });
        let mover = tokio::spawn(move_on(Writing(Some(write)), chunks, shared.clone()));
        Self {
            line,
            end,
            read,
            arriving: VecDeque::new(),
            arriving_bytes: 0,
            arriving_times: Times::new(arriving),
            ended: None,
            alarm: None,
            leaving: shared,
            out: Some(out),
            leaving_times: Times::new(leaving),
            mover: Some(mover),
            broken_at: None,
        }
    }

    /// Lets nothing arrive before `at` plus the delay: a client that connects waits for a round trip first.
    pub fn opens_at(&mut self, at: Instant) {
        self.arriving_times.free_at = at;
        self.arriving_times.last_due = at;
    }

    /// Puts the connection behind another line: what is on the way keeps its time, and nothing overtakes it.
    pub fn follow(&mut self, line: &Arc<Line>) {
        if !Arc::ptr_eq(&self.line, line) {
            self.line = line.clone();
        }
    }

    /// Returns the socket for a look at it. Bytes that are read from it directly are not delayed.
    pub fn socket(&self) -> &TcpStream {
        self.read.as_ref()
    }

    /// Tells whether bytes of this connection were lost.
    pub fn has_lost(&self) -> bool {
        self.broken_at.is_some()
    }

    /// Leaves the connection: what is on the way still arrives, then the connection ends. In a silence it ends after it,
    /// and without goodbye.
    pub fn leave(mut self) {
        let state = self.line.state();
        let silent = state.silent.filter(|silence| silence.is_on(Instant::now()));
        let broken_at = self.broken_at.or(silent.map(|silence| silence.until));
        self.leaving.state.lock().expect("no holder panics").broken_at = broken_at;
        self.out = None;
        // It goes on without this end, which would abort it.
        self.mover = None;
    }

    /// Counts the bytes that came out of the socket and have not reached the reader.
    pub fn unreleased_bytes(&self) -> usize {
        self.arriving_bytes
    }

    /// Ends the connection: what is on the way up is lost. When this returns, nothing is written any more.
    pub fn close(&self) {
        self.leaving.state.lock().expect("no holder panics").is_closed = true;
        if let Some(mover) = &self.mover {
            mover.abort();
        }
    }

    /// Fails when the connection lost bytes in a silence that is over. Otherwise the waker is set for its end.
    fn check(&mut self, waker: &Waker) -> io::Result<()> {
        let Some(broken_at) = self.broken_at else { return Ok(()) };
        if Instant::now() < broken_at {
            self.set_alarm(broken_at, waker);
            return Ok(());
        }
        self.close();
        // The other side hears a reset, not a goodbye. The socket may be closed already.
        let _ = self.socket().set_zero_linger();
        let what = "the network was silent, and bytes of this connection were lost";
        Err(io::Error::new(io::ErrorKind::ConnectionReset, what))
    }

    fn set_alarm(&mut self, at: Instant, waker: &Waker) {
        let is_set = self.alarm.as_ref().is_some_and(|(set, told)| *set == at && told.will_wake(waker));
        if !is_set {
            wake_at(at, waker);
            self.alarm = Some((at, waker.clone()));
        }
    }

    /// Takes what has come out of the socket, with the time at which it did.
    fn fill(&mut self, cx: &mut Context<'_>) {
        thread_local! {
            static READ: std::cell::RefCell<Vec<u8>> = std::cell::RefCell::new(vec![0; READ_BYTES]);
        }
        READ.with_borrow_mut(|scratch| {
            while self.ended.is_none() && self.arriving_bytes < ON_THE_WAY_BYTES_MAX {
                let now = Instant::now();
                let State { link, silent } = self.line.state();
                let way = self.end.way(Toward::Reader, &link);
                if let Some(room_at) = self.arriving_times.full_until(way, now) {
                    wake_at(room_at, cx.waker());
                    return;
                }
                let mut buffer = ReadBuf::new(&mut scratch[..chunk_bytes(way.rate.as_ref())]);
                let read = match Pin::new(&mut self.read).poll_read(cx, &mut buffer) {
                    Poll::Pending => return,
                    Poll::Ready(read) => read,
                };
                let bytes = buffer.filled();
                let now = Instant::now();
                let due = self.arriving_times.due(way, bytes.len(), now);
                self.arriving_bytes += bytes.len();
                if bytes.is_empty() {
                    self.ended = Some((read.map_err(|error| error.kind()), due));
                }
                match silent.filter(|silence| silence.is_on(now)) {
                    // It came out of the socket, and reaches nobody.
                    Some(silence) => {
                        self.broken_at.get_or_insert(silence.until);
                    }
                    None if bytes.is_empty() => {}
                    None => self.arriving.push_back(Chunk { bytes: Bytes::copy_from_slice(bytes), due }),
                }
            }
        });
    }
}

/// Writes each chunk into the socket at its time, until there are no more.
async fn move_on(write: Writing, mut chunks: UnboundedReceiver<Chunk>, leaving: Arc<Leaving>) {
    while let Some(Chunk { mut bytes, due }) = chunks.recv().await {
        until(due).await;
        while !bytes.is_empty() {
            let wrote = {
                let mut state = leaving.state.lock().expect("no holder panics");
                if state.is_closed {
                    return;
                }
                match write.half().try_write(&bytes) {
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
                    leaving.bytes.fetch_sub(count, Ordering::AcqRel);
                    leaving.writer.wake();
                }
                // A socket that fails is writable, and the next write says why.
                None => drop(write.half().writable().await),
            }
        }
    }
    let broken_at = leaving.state.lock().expect("no holder panics").broken_at;
    match broken_at {
        None => write.finish(),
        Some(at) => {
            until(at).await;
            // The socket may be closed already.
            let _ = write.half().as_ref().set_zero_linger();
        }
    }
}

impl Drop for DelayedSocket {
    fn drop(&mut self) {
        // Without a task everything has left, or the task goes on alone.
        if self.mover.is_some() {
            self.close();
        }
    }
}

impl AsyncRead for DelayedSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(cx.waker())?;
        self.fill(cx);
        let (now, before) = (Instant::now(), buf.filled().len());
        while let Some(chunk) = self.arriving.front_mut().filter(|chunk| chunk.due <= now) {
            let count = chunk.bytes.len().min(buf.remaining());
            buf.put_slice(&chunk.bytes.split_to(count));
            let is_empty = chunk.bytes.is_empty();
            self.arriving_bytes -= count;
            if is_empty {
                self.arriving.pop_front();
            }
            if buf.remaining() == 0 {
                break;
            }
        }
        if buf.filled().len() > before || buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        match (self.arriving.front().map(|chunk| chunk.due), self.ended) {
            (Some(due), _) => self.set_alarm(due, cx.waker()),
            // What was lost on the way is missing: the end does not arrive either.
            (None, Some(_) | None) if self.broken_at.is_some() => {}
            (None, Some((ended, due))) if due <= now => {
                return Poll::Ready(ended.map_err(io::Error::from));
            }
            (None, Some((_, due))) => self.set_alarm(due, cx.waker()),
            (None, None) => {}
        }
        // Bytes may have been lost just now: the end of the silence must wake the reader.
        self.check(cx.waker())?;
        Poll::Pending
    }
}

impl AsyncWrite for DelayedSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check(cx.waker())?;
        self.leaving.writer.register(cx.waker());
        if let Some(failed) = self.leaving.state.lock().expect("no holder panics").failed {
            return Poll::Ready(Err(failed.into()));
        }
        let now = Instant::now();
        let State { link, silent } = self.line.state();
        if let Some(silence) = silent.filter(|silence| silence.is_on(now)) {
            self.broken_at.get_or_insert(silence.until);
            // TCP takes them, since it does not know yet.
            return Poll::Ready(Ok(buf.len()));
        }
        let way = self.end.way(Toward::Writer, &link);
        if let Some(room_at) = self.leaving_times.full_until(way, now) {
            wake_at(room_at, cx.waker());
            return Poll::Pending;
        }
        let room = ON_THE_WAY_BYTES_MAX.saturating_sub(self.leaving.bytes.load(Ordering::Acquire));
        let count = buf.len().min(room).min(chunk_bytes(way.rate.as_ref()));
        if count == 0 && !buf.is_empty() {
            return Poll::Pending;
        }
        let due = self.leaving_times.due(way, count, now);
        self.leaving.bytes.fetch_add(count, Ordering::AcqRel);
        let chunk = Chunk { bytes: Bytes::copy_from_slice(&buf[..count]), due };
        match self.out.as_ref().map(|out| out.send(chunk)) {
            Some(Ok(())) => Poll::Ready(Ok(count)),
            Some(Err(_)) | None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    /// Is ready at once: what was written is on its way, and TCP says no more than that either.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.leaving.writer.register(cx.waker());
        // Without a sender the task ends after the last chunk, and its half of the socket says so to the other side.
        self.out = None;
        let Some(mover) = &mut self.mover else { return Poll::Ready(Ok(())) };
        let moved = ready!(Pin::new(mover).poll(cx));
        self.mover = None;
        Poll::Ready(moved.map_err(io::Error::other))
    }
}

#[cfg(test)]
mod tests;
