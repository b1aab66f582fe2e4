//! Room for appends: what a store holds of them until its disk has them, bounded for each log and for all.
//!
//! A publisher's body is reserved for before it is parsed: 200 KB of short lines are 40 MB once parsed, encoded and queued.
//! A body that finds no room waits as it came. Bodies that wait are bounded as well, and more are refused. A store whose
//! appends never wait reserves nothing.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use wirelab_clients::wire::json_bytes_max;

use super::StoreError;

/// Room that an append takes in its store; given back when the last clone is dropped.
#[derive(Debug, Clone, Default)]
pub struct Reservation(Option<Arc<[OwnedSemaphorePermit; 2]>>);

impl Reservation {
    /// Tells whether room was taken at all.
    pub(super) fn is_taken(&self) -> bool {
        self.0.is_some()
    }
}

/// Room of one log or of all: for what is queued, and for bodies that wait until they may be.
#[derive(Debug)]
pub(super) struct Capacity {
    held: Arc<Semaphore>,
    held_max: usize,
    waiting: Arc<Semaphore>,
}

/// Bytes of memory that one log's queue takes, unless a single append needs more: one of the most lines that a body may
/// have, or several of the largest bodies.
pub(super) const LOG_HELD_BYTES_MAX: usize = 64 << 20;
/// Bytes of memory that the queues of all logs take.
const ALL_HELD_BYTES_MAX: usize = 256 << 20;
/// Bytes of bodies that wait for one log: four of the largest size.
const LOG_WAITING_BYTES_MAX: usize = 32 << 20;
/// Bytes of bodies that wait for all logs.
const ALL_WAITING_BYTES_MAX: usize = 128 << 20;
/// Bytes that a body counts at least while it waits: its request and its task take memory, too.
const WAITER_BYTES_MIN: usize = 4 << 10;
/// Memory of a line beside three times its text: as it was parsed, its record with frame and checksum in a buffer that
/// grows by doubling, its JSON and its entry, with what the allocator adds to each.
const LINE_HELD_BYTES_MAX: usize = 512;
/// Memory of an append beside its lines: a header with a key and a digest.
const APPEND_HELD_BYTES_MAX: usize = 1_024;

impl Capacity {
    pub(super) fn of_a_log() -> Self {
        Self::new(LOG_HELD_BYTES_MAX, LOG_WAITING_BYTES_MAX)
    }

    pub(super) fn of_all_logs() -> Self {
        Self::new(ALL_HELD_BYTES_MAX, ALL_WAITING_BYTES_MAX)
    }

    fn new(held_max: usize, waiting_max: usize) -> Self {
        let waiting = Arc::new(Semaphore::new(waiting_max));
        Self { held: Arc::new(Semaphore::new(held_max)), held_max, waiting }
    }

    /// Takes room for an append of `body`, first of its log and then of all. Waits while there is none, unless too much
    /// waits already: that is [`StoreError::Crowded`].
    pub(super) async fn reserve(&self, all: &Self, body: Size) -> Result<Reservation, StoreError> {
        let _waits = (self.wait(body)?, all.wait(body)?);
        let held = [self.take(body).await, all.take(body).await];
        Ok(Reservation(Some(Arc::new(held))))
    }

    fn wait(&self, body: Size) -> Result<OwnedSemaphorePermit, StoreError> {
        let bytes = body.bytes.max(WAITER_BYTES_MIN) as u32;
        self.waiting.clone().try_acquire_many_owned(bytes).map_err(|_| StoreError::Crowded)
    }

    async fn take(&self, body: Size) -> OwnedSemaphorePermit {
        // One that exceeds the bound by itself waits until nothing else is held.
        let bytes = body.held_bytes.min(self.held_max) as u32;
        self.held.clone().acquire_many_owned(bytes).await.expect("the semaphore is never closed")
    }

    #[cfg(test)]
    pub(super) fn is_unused(&self) -> bool {
        self.held.available_permits() == self.held_max
    }
}

/// Memory that an append takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    /// As it came.
    bytes: usize,
    /// Once it is queued, at most.
    held_bytes: usize,
}

impl Size {
    /// Returns the size of a body that is not parsed yet. Each LF may end a line.
    pub(super) fn of_body(body: &[u8]) -> Self {
        Self::of(body.len(), memchr::memchr_iter(b'\n', body).count() + 1, json_bytes_max(body))
    }

    /// Returns the size of lines that no body was reserved for.
    pub(super) fn of_lines(lines: &[wirelab_clients::wire::NewLine]) -> Self {
        let texts = || {
            lines
                .iter()
                .flat_map(|line| [line.text.as_bytes(), line.level.as_deref().unwrap_or("").as_bytes()])
        };
        Self::of(texts().map(<[u8]>::len).sum(), lines.len(), texts().map(json_bytes_max).sum())
    }

    fn of(bytes: usize, line_count: usize, json_bytes: usize) -> Self {
        Self { bytes, held_bytes: APPEND_HELD_BYTES_MAX + line_count * LINE_HELD_BYTES_MAX + 3 * json_bytes }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    async fn reserved(log: &Capacity, all: &Capacity, body: &[u8]) -> Result<Reservation, StoreError> {
        timeout(Duration::ZERO, log.reserve(all, Size::of_body(body))).await.expect("it waits")
    }

    #[tokio::test]
    async fn bodies_beyond_what_is_held_wait_and_beyond_that_are_refused() {
        let (log, all) = (Capacity::of_a_log(), Capacity::of_all_logs());
        let body = vec![b'x'; 8 << 20];
        let held = [reserved(&log, &all, &body).await.unwrap(), reserved(&log, &all, &body).await.unwrap()];
        let mut waiting: Vec<_> = (0..4).map(|_| Box::pin(log.reserve(&all, Size::of_body(&body)))).collect();
        for wait in &mut waiting {
            assert!(timeout(Duration::ZERO, wait).await.is_err(), "a third fits");
        }
        assert!(matches!(reserved(&log, &all, &body).await, Err(StoreError::Crowded)));
        let other = Capacity::of_a_log();
        let others = [reserved(&other, &all, &body).await, reserved(&other, &all, &body).await];
        assert!(others.iter().all(Result::is_ok), "one log's publishers are in the way of another's");
        drop(held);
        for wait in waiting.drain(..2) {
            timeout(Duration::ZERO, wait).await.expect("there is room").unwrap();
        }
        drop((waiting, others));
        assert!(log.is_unused() && all.is_unused());
    }

    #[tokio::test]
    async fn short_lines_count_as_what_they_become() {
        let (log, all) = (Capacity::of_a_log(), Capacity::of_all_logs());
        let body = b"x\n".repeat(100_000);
        let held = reserved(&log, &all, &body).await.unwrap();
        assert!(timeout(Duration::ZERO, log.reserve(&all, Size::of_body(&body))).await.is_err());
        drop(held);
    }

    #[tokio::test]
    async fn one_append_beyond_the_bound_waits_for_nothing_but_the_others() {
        let (log, all) = (Capacity::of_a_log(), Capacity::of_all_logs());
        let largest = reserved(&log, &all, &vec![0; 8 << 20]).await.unwrap();
        assert!(largest.is_taken());
        assert!(timeout(Duration::ZERO, log.reserve(&all, Size::of_body(b"x"))).await.is_err());
    }
}
