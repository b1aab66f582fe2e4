//! Deadlines: wakes tasks at a time, more precisely than the runtime's timer, which counts whole milliseconds.
//!
//! One thread of its own sleeps to absolute deadlines, as the publisher does. It ends with the process.

use std::collections::BTreeMap;
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

/// The deadlines that are not over: one per [`Alarm`] at most, however often tasks are polled.
#[derive(Default)]
struct Set {
    next: BTreeMap<Key, Waker>,
    /// Alarms set so far.
    count: u64,
}

/// Place of a deadline: its time, and a number that tells equal times apart.
type Key = (Instant, u64);

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
            while let Some(entry) = set.next.first_entry().filter(|entry| entry.key().0 <= now) {
                due.push(entry.remove());
            }
            if !due.is_empty() {
                // Woken without the lock: a task may set its next deadline at once.
                drop(set);
                due.into_iter().for_each(Waker::wake);
                set = self.set.lock().expect("no holder panics");
                continue;
            }
            set = match set.next.first_key_value() {
                None => self.earlier.wait(set).expect("no holder panics"),
                Some(((at, _), _)) => {
                    let left = at.saturating_duration_since(now);
                    self.earlier.wait_timeout(set, left).expect("no holder panics").0
                }
            };
        }
    }

    /// Puts a deadline in the place of another one, which may be over.
    fn replace(&self, old: Option<Key>, at: Instant, waker: Waker) -> Key {
        let mut set = self.set.lock().expect("no holder panics");
        let dropped = old.and_then(|old| set.next.remove(&old));
        let key = (at, set.count);
        set.count += 1;
        set.next.insert(key, waker);
        let is_earliest = set.next.first_key_value().is_some_and(|(first, _)| *first == key);
        drop(set);
        if is_earliest {
            self.earlier.notify_one();
        }
        // After the lock: a waker that is dropped may drop its task, and that task its alarms.
        drop(dropped);
        key
    }

    fn remove(&self, key: Key) {
        let dropped = self.set.lock().expect("no holder panics").next.remove(&key);
        drop(dropped);
    }
}

/// An alarm: wakes one task at one time. An alarm that is dropped wakes no task.
#[derive(Debug, Default)]
pub(super) struct Alarm(Option<(Key, Waker)>);

impl Alarm {
    /// Lets `waker` be woken at `at`, or at once if that is over, and no more at the time that was set before.
    pub(super) fn set(&mut self, at: Instant, waker: &Waker) {
        let is_set = self.0.as_ref().is_some_and(|(key, set)| key.0 == at && set.will_wake(waker));
        if !is_set {
            let old = self.0.take().map(|(key, _)| key);
            self.0 = Some((DEADLINES.replace(old, at, waker.clone()), waker.clone()));
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if let Some((key, _)) = self.0.take() {
            DEADLINES.remove(key);
        }
    }
}

/// Counts the deadlines that are set in this process.
#[cfg(test)]
pub(super) fn deadlines_count() -> usize {
    DEADLINES.set.lock().expect("no holder panics").next.len()
}

/// Returns a future that is ready at `at`.
pub fn until(at: Instant) -> Until {
    Until { at, alarm: Alarm::default() }
}

/// A sleep to an absolute time. See [`until`].
#[derive(Debug)]
pub struct Until {
    at: Instant,
    alarm: Alarm,
}

impl Future for Until {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.at {
            return Poll::Ready(());
        }
        let at = self.at;
        self.alarm.set(at, cx.waker());
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
