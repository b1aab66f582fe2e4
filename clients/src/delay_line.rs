//! Delay lines: a TCP socket whose bytes take their time, in the client's socket or in the server's.
//!
//! Each chunk carries the time at which it arrived, and leaves at that time plus the link's delay. So delays do not add
//! up, however many chunks are on the way. A line needs no privileges and works with every server. It delays bytes and
//! not packets: [`CANNOT_SHOW`] lists what that hides.
//!
//! A line may fall silent: bytes vanish and sockets stay open. TCP would send lost bytes again, but a line cannot. So a
//! connection that has lost bytes is reset once the silence is over, as by a router that forgot it.

mod deadlines;
mod leaving;
mod socket;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::watch;

pub use self::deadlines::until;
pub use self::socket::DelayedSocket;
use crate::link::{Draws, Link, OneWay, Rate};

/// What a delay line cannot show, for people.
pub const CANNOT_SHOW: &str = "lost SYNs, retransmissions, congestion windows, delayed ACKs";

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
    /// Told when a silence begins, or ends before its time.
    silences: watch::Sender<()>,
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
            silences: watch::Sender::default(),
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

    /// Makes the line silent from now on for `length`, whatever was said before: bytes vanish in both directions. A
    /// length of zero ends a silence that is on.
    pub fn fall_silent(&self, length: Duration) {
        let from = Instant::now();
        {
            let mut state = self.state.write().expect("no holder panics");
            state.silent = Some(Silence { from, until: from + length });
            self.is_active.store(true, Ordering::Release);
        }
        self.silences.send_replace(());
    }

    /// Tells whether the line is silent now.
    pub fn is_silent(&self) -> bool {
        self.silence().is_some()
    }

    /// Waits while the line is silent, also if the silence is ended early or prolonged. Returns when it was over: now, if
    /// the line is not silent.
    pub async fn until_heard(&self) -> Instant {
        // Subscribed before the first look: a change in between is either seen or wakes this task.
        let mut changed = self.silences.subscribe();
        let mut over = None;
        while let Some(silence) = self.silence() {
            over = tokio::select! {
                () = until(silence.until) => Some(silence.until),
                // The line has the sender.
                _ = changed.changed() => None,
            };
        }
        over.unwrap_or_else(Instant::now)
    }

    /// Returns the silence that is on.
    fn silence(&self) -> Option<Silence> {
        let silence = self.state.read().expect("no holder panics").silent?;
        silence.is_on(Instant::now()).then_some(silence)
    }

    /// Tells whether the link does anything to bytes.
    pub fn is_active(&self) -> bool {
        self.is_active.load(Ordering::Acquire)
    }

    /// Waits as long as the line prolongs the opening of a connection that the machine has opened: one round trip, after a
    /// silence that is on.
    pub async fn connects(&self) {
        let from = self.until_heard().await;
        let link = self.link();
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

#[cfg(test)]
mod tests;
