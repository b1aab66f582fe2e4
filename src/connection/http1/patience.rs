//! How long a connection of HTTP/1.1 waits for its client: for the first request, for the next one, and for the rest of
//! a body that nothing reads.
//!
//! The loop asks whenever it has nothing else to do. A timer stays armed when its time moves on, and is armed again when
//! it has run down: a request sets no timer.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Silence after which the rest of a refused body is no longer awaited. Its client has read the answer, or is gone.
const REFUSED_SILENCE_MAX: Duration = Duration::from_secs(2);
/// Bytes of a refused body that are read and dropped: a client that sends without looking is heard to the end of most
/// files.
const REFUSED_BYTES_MAX: usize = 64 << 20;
/// Time for the rest of a refused body: 50 MB at 40 Mbit/s.
const REFUSED_TIME_MAX: Duration = Duration::from_secs(10);

/// A timer for one time at a time.
#[derive(Debug, Default)]
pub(super) struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    /// Waits until `due`, or for ever.
    pub(super) fn poll(&mut self, due: Option<Instant>, task: &mut Context<'_>) -> Poll<()> {
        let Some(due) = due else {
            self.0.take_if(|timer| timer.is_elapsed());
            return Poll::Pending;
        };
        let timer = self.0.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if timer.deadline() > due {
            timer.as_mut().reset(due);
        }
        ready!(timer.as_mut().poll(task));
        if timer.deadline() < due {
            timer.as_mut().reset(due);
            ready!(timer.as_mut().poll(task));
        }
        self.0 = None;
        Poll::Ready(())
    }
}

/// The rest of what a client sends, which is read and dropped: closing TCP with unread bytes would reset it, and the
/// client could lose the answer (RFC 9112 §9.6).
#[derive(Debug)]
pub(super) struct Rest {
    begun: Instant,
    patience: Duration,
    silent_since: Instant,
    dropped_bytes: usize,
}

impl Rest {
    /// Begins to drop the rest of a body.
    pub(super) fn of_body(now: Instant) -> Self {
        Self { begun: now, patience: REFUSED_SILENCE_MAX, silent_since: now, dropped_bytes: 0 }
    }

    /// Drops what has come already, and waits for nothing.
    pub(super) fn nothing_more(now: Instant) -> Self {
        Self { patience: Duration::ZERO, ..Self::of_body(now) }
    }

    /// Notes that `bytes` were dropped.
    pub(super) fn dropped(&mut self, bytes: usize, now: Instant) {
        self.dropped_bytes += bytes;
        self.silent_since = now;
    }

    /// Returns when no more of it is awaited.
    pub(super) fn due(&self) -> Instant {
        if self.dropped_bytes > REFUSED_BYTES_MAX || self.patience.is_zero() {
            return self.begun;
        }
        (self.silent_since + self.patience).min(self.begun + REFUSED_TIME_MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_timer_follows_a_time_that_moves_and_rings_once() {
        let (mut timer, began) = (Timer::default(), Instant::now());
        let mut due = began + 10 * SECOND;
        let looked = tokio::time::timeout(SECOND, poll_fn(|task| timer.poll(Some(due), task)));
        assert!(looked.await.is_err());
        due += 20 * SECOND;
        poll_fn(|task| timer.poll(Some(due), task)).await;
        assert_eq!(began.elapsed().as_secs(), 30);
        due = began + 100 * SECOND;
        let looked = tokio::time::timeout(SECOND, poll_fn(|task| timer.poll(Some(due), task)));
        assert!(looked.await.is_err());
        due = began + 40 * SECOND;
        poll_fn(|task| timer.poll(Some(due), task)).await;
        assert_eq!(began.elapsed().as_secs(), 40);
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_that_is_no_longer_needed_gives_its_memory_back() {
        let mut timer = Timer::default();
        let due = Instant::now() + SECOND;
        let looked = tokio::time::timeout(SECOND / 2, poll_fn(|task| timer.poll(Some(due), task)));
        assert!(looked.await.is_err());
        let looked = tokio::time::timeout(SECOND, poll_fn(|task| timer.poll(None, task)));
        assert!(looked.await.is_err());
        assert!(timer.0.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn the_rest_of_a_body_is_awaited_while_it_comes_up_to_its_bounds() {
        let began = Instant::now();
        let mut rest = Rest::of_body(began);
        assert_eq!(rest.due(), began + REFUSED_SILENCE_MAX);
        for seconds in 1..10 {
            rest.dropped(1, began + seconds * SECOND);
            assert!(rest.due() > began + seconds * SECOND);
        }
        rest.dropped(1, began + 10 * SECOND);
        assert_eq!(rest.due(), began + REFUSED_TIME_MAX);

        let mut rest = Rest::of_body(began);
        rest.dropped(REFUSED_BYTES_MAX, began + SECOND);
        assert!(rest.due() > began + SECOND);
        rest.dropped(1, began + SECOND);
        assert!(rest.due() <= began + SECOND);
        assert_eq!(Rest::nothing_more(began).due(), began);
    }
}
