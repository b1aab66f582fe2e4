//! Deadlines: wakes tasks at a time, more precisely than the runtime's timer, which counts whole milliseconds.
//!
//! One thread of its own sleeps to absolute deadlines, as the publisher does. It ends with the process.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::pin::Pin;
use std::sync::{Condvar, LazyLock, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Instant;

use crate::os;

/// The thread, started when the first deadline is set.
static DEADLINES: LazyLock<&'static Deadlines> = LazyLock::new(Deadlines::start);

struct Deadlines {
    set: Mutex<Set>,
    /// Notified when a deadline is set that comes before all others.
    earlier: Condvar,
}

/// The deadlines that are not over. A delay line sets one per chunk at most and chunks are bounded by bytes, so the set
/// is bounded too.
#[derive(Default)]
struct Set {
    next: BinaryHeap<Reverse<Entry>>,
    set_count: u64,
}

struct Entry {
    at: Instant,
    /// Order of equal deadlines.
    number: u64,
    waker: Waker,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl Deadlines {
    fn start() -> &'static Self {
        let deadlines: &'static Self =
            Box::leak(Box::new(Self { set: Mutex::default(), earlier: Condvar::new() }));
        let started = thread::Builder::new().name("deadlines".to_owned()).spawn(|| deadlines.keep());
        started.expect("a process that has sockets may have one more thread");
        deadlines
    }

    /// Wakes each task at its deadline, for ever.
    fn keep(&self) {
        os::fine_timers();
        let mut set = self.set.lock().expect("no holder panics");
        loop {
            let now = Instant::now();
            let mut due = Vec::new();
            while set.next.peek().is_some_and(|Reverse(entry)| entry.at <= now) {
                due.extend(set.next.pop().map(|Reverse(entry)| entry.waker));
            }
            if !due.is_empty() {
                // Woken without the lock: a task may set its next deadline at once.
                drop(set);
                due.into_iter().for_each(Waker::wake);
                set = self.set.lock().expect("no holder panics");
                continue;
            }
            set = match set.next.peek() {
                None => self.earlier.wait(set).expect("no holder panics"),
                Some(Reverse(entry)) => {
                    let left = entry.at.saturating_duration_since(now);
                    self.earlier.wait_timeout(set, left).expect("no holder panics").0
                }
            };
        }
    }

    fn add(&self, at: Instant, waker: Waker) {
        let mut set = self.set.lock().expect("no holder panics");
        let is_earliest = set.next.peek().is_none_or(|Reverse(entry)| at < entry.at);
        let number = set.set_count;
        set.set_count += 1;
        set.next.push(Reverse(Entry { at, number, waker }));
        drop(set);
        if is_earliest {
            self.earlier.notify_one();
        }
    }
}

/// Wakes `waker` at `at`, or at once if that is over.
pub(super) fn wake_at(at: Instant, waker: &Waker) {
    DEADLINES.add(at, waker.clone());
}

/// Returns a future that is ready at `at`.
pub fn until(at: Instant) -> Until {
    Until { at, told: None }
}

/// A sleep to an absolute time. See [`until`].
#[derive(Debug)]
pub struct Until {
    at: Instant,
    /// The waker that is woken at the deadline.
    told: Option<Waker>,
}

impl Future for Until {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.at {
            return Poll::Ready(());
        }
        if !self.told.as_ref().is_some_and(|told| told.will_wake(cx.waker())) {
            wake_at(self.at, cx.waker());
            self.told = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn deadlines_are_kept_in_any_order() {
        let start = Instant::now();
        let sleeps = [30, 10, 20, 0].map(|ms| {
            tokio::spawn(async move {
                let at = start + Duration::from_millis(ms);
                until(at).await;
                (ms, Instant::now())
            })
        });
        let mut woken = Vec::new();
        for sleep in sleeps {
            let (ms, at) = sleep.await.unwrap();
            assert!(at >= start + Duration::from_millis(ms), "{ms} ms is not over");
            woken.push((at, ms));
        }
        woken.sort_unstable();
        assert_eq!(woken.iter().map(|(_, ms)| *ms).collect::<Vec<_>>(), [0, 10, 20, 30]);
    }
}
