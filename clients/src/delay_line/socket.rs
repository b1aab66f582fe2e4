//! The socket of a delay line: a TCP connection whose bytes arrive later than the kernel brings them.
//!
//! The metered socket of each client and the connections of a server are made of it. It never sends a byte twice, drops
//! one outside of a silence, or lets one overtake another.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use super::deadlines::Alarm;
use super::leaving::{CHUNK_WEIGHT, Chunk, Ending, Leaving, WriteEnd, move_on};
use super::{End, Line, READ_BYTES, State, Times, Toward, chunk_bytes};

/// Weight of what may be on the way in one direction of a connection: what Linux lets a TCP connection have by default.
pub(super) const WEIGHT_MAX: usize = 4 << 20;

/// A TCP connection behind a delay line.
///
/// Reading is driven by the reader: bytes are stamped when it asks for them, so one that stays away adds its absence to
/// their delay. Writing is moved on by a task of its own: a caller that has written need not come back for its bytes to
/// arrive. A connection that is dropped loses what is on its way; [`shutdown`](AsyncWrite::poll_shutdown) waits for it.
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
    /// Wakes the reader when something arrives.
    reader: Alarm,
    leaving: Arc<Leaving>,
    out: Option<UnboundedSender<Chunk>>,
    leaving_times: Times,
    /// Wakes the writer when the queue before the link has room.
    writer: Alarm,
    /// Task that writes; `None` once it has ended.
    mover: Option<JoinHandle<()>>,
    /// Task that wakes reader and writer when the silence is over in which bytes of this connection were lost. `None`:
    /// none were.
    breaking: Option<JoinHandle<()>>,
    /// Whether the end of that silence was seen.
    is_broken: bool,
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
            weight: AtomicUsize::new(0),
            reader: AtomicWaker::new(),
            writer: AtomicWaker::new(),
            left: Notify::new(),
            wrote: Box::new(wrote),
        });
        let mover = tokio::spawn(move_on(WriteEnd(Some(write)), chunks, shared.clone()));
        Self {
            line,
            end,
            read,
            arriving: VecDeque::new(),
            arriving_bytes: 0,
            arriving_times: Times::new(arriving),
            ended: None,
            reader: Alarm::default(),
            leaving: shared,
            out: Some(out),
            leaving_times: Times::new(leaving),
            writer: Alarm::default(),
            mover: Some(mover),
            breaking: None,
            is_broken: false,
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

    /// Tells whether bytes of this connection were lost.
    pub fn has_lost(&self) -> bool {
        self.breaking.is_some()
    }

    /// Leaves the connection: what is on the way still arrives, then the connection ends. In a silence it ends after it,
    /// and without goodbye. A client that does not take what has arrived is reset after a while.
    pub fn leave(mut self) {
        if self.has_lost() || self.line.is_silent() {
            self.leaving.state.lock().expect("no holder panics").ending =
                Ending::ResetAfter(self.line.clone());
        }
        self.send_the_end();
        self.leaving.state.lock().expect("no holder panics").last_due = Some(self.leaving_times.last_due);
        self.leaving.left.notify_one();
        // It goes on without this end, which would abort it.
        self.mover = None;
    }

    /// Returns the socket for a look at it. Bytes that are read from it directly are not delayed.
    pub fn socket(&self) -> &TcpStream {
        self.read.as_ref()
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
        self.leaving.writer.wake();
    }

    /// Takes note that bytes of this connection were lost: the end of the silence breaks it, for whoever waits then.
    fn lose(&mut self) {
        if self.breaking.is_none() {
            let (line, leaving) = (self.line.clone(), self.leaving.clone());
            self.breaking = Some(tokio::spawn(async move {
                line.until_heard().await;
                leaving.reader.wake();
                leaving.writer.wake();
            }));
        }
    }

    /// Fails when the connection lost bytes in a silence that is over.
    fn check(&mut self) -> io::Result<()> {
        if !self.has_lost() || (!self.is_broken && self.line.is_silent()) {
            return Ok(());
        }
        self.is_broken = true;
        self.close();
        // The other side hears a reset, not a goodbye. The socket may be closed already.
        let _ = self.socket().set_zero_linger();
        let what = "the network was silent, and bytes of this connection were lost";
        Err(io::Error::new(io::ErrorKind::ConnectionReset, what))
    }

    /// Takes what has come out of the socket, with the time at which it did. Returns when to go on, if the queue before
    /// the link is full; otherwise the socket wakes the reader, or what has arrived does.
    fn fill(&mut self, cx: &mut Context<'_>) -> Option<Instant> {
        thread_local! {
            static READ: std::cell::RefCell<Vec<u8>> = std::cell::RefCell::new(vec![0; READ_BYTES]);
        }
        READ.with_borrow_mut(|scratch| {
            while self.ended.is_none() && self.arriving_weight() < WEIGHT_MAX {
                let State { link, silent } = self.line.state();
                let way = self.end.way(Toward::Reader, &link);
                if let Some(room_at) = self.arriving_times.full_until(way, Instant::now()) {
                    return Some(room_at);
                }
                let mut buffer = ReadBuf::new(&mut scratch[..chunk_bytes(way.rate.as_ref())]);
                let read = match Pin::new(&mut self.read).poll_read(cx, &mut buffer) {
                    Poll::Pending => return None,
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
                    // It came out of the socket, and the reader never gets it.
                    Some(_) => self.lose(),
                    None if bytes.is_empty() => {}
                    None => self.arriving.push_back(Chunk { bytes: Bytes::copy_from_slice(bytes), due }),
                }
            }
            None
        })
    }

    fn arriving_weight(&self) -> usize {
        self.arriving_bytes + CHUNK_WEIGHT * self.arriving.len()
    }

    /// Hands over what is due by `now`.
    fn release(&mut self, now: Instant, buf: &mut ReadBuf<'_>) {
        while let Some(chunk) = self.arriving.front_mut().filter(|chunk| chunk.due <= now) {
            let count = chunk.bytes.len().min(buf.remaining());
            buf.put_slice(&chunk.bytes.split_to(count));
            self.arriving_bytes -= count;
            if !chunk.bytes.is_empty() {
                break;
            }
            self.arriving.pop_front();
        }
    }

    /// Sends the end on its way, once.
    fn send_the_end(&mut self) {
        if self.out.is_some() {
            let now = Instant::now();
            let link = self.line.link();
            let way = self.end.way(Toward::Writer, &link);
            let due = self.leaving_times.due(way, 0, now);
            // An end that is lost is not sent again: the other side learns it when the connection breaks.
            if self.line.is_silent() {
                self.lose();
                self.leaving.state.lock().expect("no holder panics").ends_after(&self.line);
            }
            // Without a task the end goes nowhere: the task has failed, and what it met is told by a write.
            let _ = self.send(Bytes::new(), due);
            // Without a sender the task ends after the last chunk, and its half of the socket says so to the other side.
            self.out = None;
        }
    }

    /// Sends a chunk on its way; one without bytes is the end.
    fn send(&mut self, bytes: Bytes, due: Instant) -> io::Result<()> {
        let weight = bytes.len() + CHUNK_WEIGHT;
        let out = self.out.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        self.leaving.weight.fetch_add(weight, Ordering::AcqRel);
        out.send(Chunk { bytes, due }).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Drop for DelayedSocket {
    fn drop(&mut self) {
        // Without a task everything has left, or the task goes on alone.
        if self.mover.is_some() {
            self.close();
        }
        if let Some(breaking) = &self.breaking {
            breaking.abort();
        }
    }
}

impl AsyncRead for DelayedSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Registered before the silence is looked at: its end in between is either seen or wakes this task.
        self.leaving.reader.register(cx.waker());
        self.check()?;
        let room_at = self.fill(cx);
        let (now, before) = (Instant::now(), buf.filled().len());
        self.release(now, buf);
        if buf.filled().len() > before || buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let next_due = match (self.arriving.front(), self.ended) {
            (Some(chunk), _) => Some(chunk.due),
            // What was lost on the way is missing: the end does not arrive either.
            (None, Some(_)) if self.has_lost() => None,
            (None, Some((ended, due))) if due <= now => {
                return Poll::Ready(ended.map_err(io::Error::from));
            }
            (None, Some((_, due))) => Some(due),
            (None, None) => None,
        };
        // With none of these times the socket wakes the reader: `fill` asked it until it had nothing.
        if let Some(at) = [room_at, next_due].into_iter().flatten().min() {
            self.reader.set(at, cx.waker());
        }
        Poll::Pending
    }
}

impl AsyncWrite for DelayedSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        // Registered before room and silence are looked at: a change in between is either seen or wakes this task.
        self.leaving.writer.register(cx.waker());
        self.check()?;
        if let Some(failed) = self.leaving.state.lock().expect("no holder panics").failed {
            return Poll::Ready(Err(failed.into()));
        }
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let now = Instant::now();
        let State { link, silent } = self.line.state();
        if silent.is_some_and(|silence| silence.is_on(now)) {
            self.lose();
            // TCP takes them, since it does not know yet.
            return Poll::Ready(Ok(buf.len()));
        }
        let way = self.end.way(Toward::Writer, &link);
        let room_at = self.leaving_times.full_until(way, now);
        let room = WEIGHT_MAX.saturating_sub(self.leaving.weight.load(Ordering::Acquire));
        if room_at.is_some() || room <= CHUNK_WEIGHT {
            if let Some(room_at) = room_at {
                self.writer.set(room_at, cx.waker());
            }
            return Poll::Pending;
        }
        let count = buf.len().min(room - CHUNK_WEIGHT).min(chunk_bytes(way.rate.as_ref()));
        let due = self.leaving_times.due(way, count, now);
        self.send(Bytes::copy_from_slice(&buf[..count]), due)?;
        Poll::Ready(Ok(count))
    }

    /// Is ready at once: what was written is on its way, and TCP says no more than that either.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Is ready when everything has left, and the end behind it.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.send_the_end();
        let Some(mover) = &mut self.mover else { return Poll::Ready(Ok(())) };
        let moved = ready!(Pin::new(mover).poll(cx));
        self.mover = None;
        Poll::Ready(moved.map_err(io::Error::other))
    }
}
