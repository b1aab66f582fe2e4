//! How long a connection of HTTP/1.1 is read from although no request comes of it: after a refused body, and between
//! requests.
//!
//! actix bounds neither. The stream asks here whenever it reads; time that is up looks like the end of what the client
//! sends, which closes the connection.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Silence after which the rest of a refused body is no longer awaited. Its client has read the answer, or is gone.
const REFUSED_SILENCE_MAX: Duration = Duration::from_secs(2);
/// Bytes of a refused body that are read and dropped: a client that sends without looking is heard to the end of most
/// files.
const REFUSED_BYTES_MAX: usize = 64 << 20;
/// Time for the rest of a refused body: 50 MB at 40 Mbit/s. actix keeps this time.
pub(crate) const REFUSED_TIME_MAX: Duration = Duration::from_secs(10);

/// What the connection is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Awaited {
    /// A request, its body, or the client's end while an answer goes out.
    Anything,
    /// The rest of a refused body.
    RefusedRest,
    /// The next request, after this many.
    NextAfter(u64),
    /// Nothing more.
    Nothing,
}

/// Patience of one connection.
#[derive(Debug)]
pub(super) struct Patience {
    /// Time for a whole request after the last answer. An idle connection is closed earlier, so it ends those that have
    /// sent half a head.
    next_request: Duration,
    waiting: Option<Box<Waiting>>,
}

#[derive(Debug)]
struct Waiting {
    awaited: Awaited,
    dropped_bytes: usize,
    timer: Pin<Box<Sleep>>,
}

impl Patience {
    pub(super) fn new(next_request: Duration) -> Self {
        Self { next_request, waiting: None }
    }

    /// Notes that `bytes` came. Returns whether they were too many.
    pub(super) fn heard(&mut self, awaited: Awaited, bytes: usize) -> bool {
        if awaited != Awaited::RefusedRest {
            return false;
        }
        let waiting = self.wait(awaited);
        waiting.dropped_bytes += bytes;
        waiting.timer.as_mut().reset(Instant::now() + REFUSED_SILENCE_MAX);
        waiting.dropped_bytes > REFUSED_BYTES_MAX
    }

    /// Notes that `bytes` of an answer have left: a client that is still reading cannot ask for more yet.
    pub(super) fn answered(&mut self, bytes: usize) {
        if let Some(waiting) = &mut self.waiting
            && matches!(waiting.awaited, Awaited::NextAfter(_))
            && bytes > 0
        {
            waiting.timer.as_mut().reset(Instant::now() + self.next_request);
        }
    }

    /// Waits for the end of patience. To be polled when nothing comes.
    pub(super) fn poll(&mut self, awaited: Awaited, task: &mut Context<'_>) -> Poll<()> {
        match awaited {
            Awaited::Anything => Poll::Pending,
            Awaited::Nothing => Poll::Ready(()),
            Awaited::RefusedRest | Awaited::NextAfter(_) => self.wait(awaited).timer.as_mut().poll(task),
        }
    }

    fn wait(&mut self, awaited: Awaited) -> &mut Waiting {
        let patience = match awaited {
            Awaited::RefusedRest => REFUSED_SILENCE_MAX,
            Awaited::Anything | Awaited::NextAfter(_) | Awaited::Nothing => self.next_request,
        };
        let due = Instant::now() + patience;
        let waiting = self.waiting.get_or_insert_with(|| {
            Box::new(Waiting { awaited, dropped_bytes: 0, timer: Box::pin(sleep_until(due)) })
        });
        if waiting.awaited != awaited {
            waiting.awaited = awaited;
            waiting.timer.as_mut().reset(due);
        }
        waiting
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const NEXT_REQUEST: Duration = Duration::from_secs(80);

    async fn is_over_after(patience: &mut Patience, awaited: Awaited) -> u64 {
        let began = Instant::now();
        poll_fn(|task| patience.poll(awaited, task)).await;
        began.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn each_next_request_has_its_time_and_its_bytes_do_not_prolong_it() {
        let mut patience = Patience::new(NEXT_REQUEST);
        assert!(!patience.heard(Awaited::NextAfter(1), 1));
        let looked = tokio::time::timeout(
            Duration::from_secs(50),
            poll_fn(|task| patience.poll(Awaited::NextAfter(1), task)),
        );
        assert!(looked.await.is_err());
        assert!(!patience.heard(Awaited::NextAfter(1), 1));
        assert_eq!(is_over_after(&mut patience, Awaited::NextAfter(1)).await, 30);
        assert_eq!(is_over_after(&mut patience, Awaited::NextAfter(2)).await, 80);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_still_reads_its_answer_has_time() {
        let mut patience = Patience::new(NEXT_REQUEST);
        for _ in 0..3 {
            let seventy = Duration::from_secs(70);
            let looked = poll_fn(|task| patience.poll(Awaited::NextAfter(1), task));
            assert!(tokio::time::timeout(seventy, looked).await.is_err(), "it reads, and is cut");
            patience.answered(1);
        }
        assert_eq!(is_over_after(&mut patience, Awaited::NextAfter(1)).await, 80);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_body_is_dropped_while_it_comes_up_to_its_bound() {
        let mut patience = Patience::new(NEXT_REQUEST);
        for _ in 0..REFUSED_BYTES_MAX >> 20 {
            assert!(!patience.heard(Awaited::RefusedRest, 1 << 20));
        }
        assert!(patience.heard(Awaited::RefusedRest, 1));
        assert_eq!(is_over_after(&mut patience, Awaited::RefusedRest).await, 2);
    }
}
