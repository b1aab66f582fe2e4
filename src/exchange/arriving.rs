//! Bounds on what has arrived in part: request bodies and WebSocket messages that have begun and not ended.
//!
//! The code that collects such bytes holds an `Arriving`, which reserves them and watches their pace. Reservations of
//! one connection come from its `Share`, and those of all connections from one `Pool`. Nothing is read or answered here.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Bytes that must come in each [`ArrivingBounds::step`]: 1 KiB/s by default. The slowest links in use carry more.
pub const STEP_BYTES: usize = 10 << 10;
/// Beginning of a body or message that may use the whole pool. Larger ones leave a quarter of the pool to small ones,
/// so that a few large bodies cannot keep out the usual append of some lines.
const SMALL_BYTES: usize = 64 << 10;

/// Bounds of one server on what has arrived in part.
#[derive(Debug, Clone, Copy)]
pub struct ArrivingBounds {
    /// Time in which at least [`STEP_BYTES`] must come, again and again until the end. Ten seconds: a lost packet on a
    /// bad line may cost several.
    pub step: Duration,
    /// Longest time from the first look at a body or message to its end. Two minutes: 8 MiB at 70 kB/s.
    pub total: Duration,
    /// Bytes of all unfinished bodies and messages of the server. 64 MiB: eight of the largest.
    pub server_bytes: usize,
    /// Bytes of all unfinished bodies of one connection: over HTTP/2 it may carry a hundred. 16 MiB: two of the largest.
    pub connection_bytes: usize,
}

impl Default for ArrivingBounds {
    fn default() -> Self {
        Self {
            step: Duration::from_secs(10),
            total: Duration::from_secs(120),
            server_bytes: 64 << 20,
            connection_bytes: 16 << 20,
        }
    }
}

/// Reason why no more of a body or message is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Hindrance {
    /// Too little has come for too long.
    #[error("it came too slowly")]
    TooSlow,
    /// The server, or this connection, holds as many unfinished bytes as it may.
    #[error("as many unfinished bytes are held as may be")]
    NoRoom,
    /// The announced length is above the bound of a body.
    #[error("it is announced to be too long")]
    TooLong,
}

/// All bytes that have arrived in part at one server.
#[derive(Debug)]
pub(crate) struct Pool {
    bounds: ArrivingBounds,
    held: AtomicUsize,
}

impl Pool {
    pub(crate) fn new(bounds: ArrivingBounds) -> Arc<Self> {
        Arc::new(Self { bounds, held: AtomicUsize::new(0) })
    }

    /// Returns the share of a new connection.
    pub(crate) fn share(self: &Arc<Self>) -> Share {
        Share { pool: self.clone(), held: AtomicUsize::new(0) }
    }
}

/// Part of the pool that one connection uses.
#[derive(Debug)]
pub(crate) struct Share {
    pool: Arc<Pool>,
    held: AtomicUsize,
}

impl Share {
    /// Reserves `bytes` for a body or message that has `before` already.
    fn reserve(&self, before: usize, bytes: usize) -> Result<(), Hindrance> {
        let ArrivingBounds { server_bytes, connection_bytes, .. } = self.pool.bounds;
        let is_small = before + bytes <= SMALL_BYTES;
        let of_server = if is_small { server_bytes } else { server_bytes - server_bytes / 4 };
        add_below(&self.held, bytes, connection_bytes)?;
        add_below(&self.pool.held, bytes, of_server).inspect_err(|_| {
            self.held.fetch_sub(bytes, Ordering::Relaxed);
        })
    }

    fn release(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
        self.pool.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

fn add_below(held: &AtomicUsize, bytes: usize, max: usize) -> Result<(), Hindrance> {
    let added = held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
        held.checked_add(bytes).filter(|held| *held <= max)
    });
    added.map(|_| ()).map_err(|_| Hindrance::NoRoom)
}

/// One body or message that has begun: its reserved bytes and its pace. Dropping it gives the bytes back.
#[derive(Debug)]
pub(crate) struct Arriving {
    share: Arc<Share>,
    bytes: usize,
    begun: Instant,
    step_began: Instant,
    step_bytes: usize,
    /// Set at the first wait; most bodies come with their heads.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Arriving {
    /// Begins, without a byte.
    pub(crate) fn begin(share: Arc<Share>) -> Self {
        let now = Instant::now();
        Self { share, bytes: 0, begun: now, step_began: now, step_bytes: 0, timer: None }
    }

    /// Reserves more bytes, which have come.
    pub(crate) fn more(&mut self, bytes: usize) -> Result<(), Hindrance> {
        self.share.reserve(self.bytes, bytes)?;
        self.bytes += bytes;
        self.step_bytes += bytes;
        Ok(())
    }

    /// Sets the number of bytes that are held now; those beyond the last number have come since.
    pub(crate) fn hold(&mut self, bytes: usize) -> Result<(), Hindrance> {
        match bytes.checked_sub(self.bytes) {
            Some(more) => self.more(more),
            None => {
                self.share.release(self.bytes - bytes);
                self.bytes = bytes;
                Ok(())
            }
        }
    }

    /// Waits until the pace is broken. To be polled whenever nothing more is there.
    pub(crate) fn poll_hindrance(&mut self, task: &mut Context<'_>) -> Poll<Hindrance> {
        let ArrivingBounds { step, total, .. } = self.share.pool.bounds;
        let last = self.begun + total;
        loop {
            let due = last.min(self.step_began + step);
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
            ready!(timer.as_mut().poll(task));
            if due == last || self.step_bytes < STEP_BYTES {
                return Poll::Ready(Hindrance::TooSlow);
            }
            (self.step_began, self.step_bytes) = (Instant::now(), 0);
            timer.as_mut().reset(last.min(self.step_began + step));
        }
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        self.share.release(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::{advance, timeout};

    use super::*;

    fn pool(server_bytes: usize, connection_bytes: usize) -> Arc<Pool> {
        Pool::new(ArrivingBounds { server_bytes, connection_bytes, ..ArrivingBounds::default() })
    }

    #[tokio::test]
    async fn one_connection_takes_no_more_than_its_part_and_gives_it_back() {
        let pool = pool(64 << 20, 16 << 20);
        let share = Arc::new(pool.share());
        let mut first = Arriving::begin(share.clone());
        first.more(15 << 20).unwrap();
        let mut second = Arriving::begin(share.clone());
        second.more(1 << 20).unwrap();
        assert_eq!(second.more(1), Err(Hindrance::NoRoom));
        // Another connection has its own part.
        Arriving::begin(Arc::new(pool.share())).more(1 << 20).unwrap();
        drop(first);
        second.more(15 << 20).unwrap();
        second.hold(3).unwrap();
        drop(second);
        assert_eq!((share.held.load(Ordering::Relaxed), pool.held.load(Ordering::Relaxed)), (0, 0));
    }

    #[tokio::test]
    async fn large_bodies_leave_room_for_small_ones() {
        let pool = pool(4 << 20, 4 << 20);
        let begin = || Arriving::begin(Arc::new(pool.share()));
        let (mut large, mut another, mut small) = (begin(), begin(), begin());
        large.more(3 << 20).unwrap();
        assert_eq!(another.more(SMALL_BYTES + 1), Err(Hindrance::NoRoom));
        small.more(SMALL_BYTES).unwrap();
        assert_eq!(small.more(1), Err(Hindrance::NoRoom));
    }

    #[tokio::test(start_paused = true)]
    async fn what_keeps_the_pace_may_take_its_time_and_what_does_not_is_over_after_a_step() {
        let share = Arc::new(pool(64 << 20, 64 << 20).share());
        let mut slow = Arriving::begin(share.clone());
        slow.more(1).unwrap();
        let began = Instant::now();
        assert_eq!(poll_fn(|task| slow.poll_hindrance(task)).await, Hindrance::TooSlow);
        assert_eq!(began.elapsed().as_secs(), 10);

        let (mut steady, began) = (Arriving::begin(share), Instant::now());
        while began.elapsed() < Duration::from_secs(118) {
            steady.more(STEP_BYTES / 4).unwrap();
            let looked = timeout(Duration::from_millis(1), poll_fn(|task| steady.poll_hindrance(task))).await;
            assert!(looked.is_err(), "after {:?}", began.elapsed());
            advance(Duration::from_secs(2)).await;
        }
        assert_eq!(poll_fn(|task| steady.poll_hindrance(task)).await, Hindrance::TooSlow);
        assert_eq!(began.elapsed().as_secs(), 120);
    }
}
