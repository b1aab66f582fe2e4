//! The threads that read and check logs at a start: one for each core, at most eight, shared by all logs.
//!
//! Ten thousand short logs are read side by side, and so are the segments of one long log. The threads end with the
//! work: a running server has none of them. Knows no file.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Most threads that read at once. Each holds one segment in memory, and more do not make a disk faster.
const READERS_MAX: usize = 8;

/// Threads that may still be started.
#[derive(Debug)]
pub(super) struct Readers {
    free: AtomicUsize,
    at_once: usize,
}

/// A thread's right to run.
struct Place<'a>(&'a Readers);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.free.fetch_add(1, Ordering::Relaxed);
    }
}

impl Readers {
    /// Allows one thread for each core, at most [`READERS_MAX`].
    pub(super) fn of_machine() -> Self {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        Self { free: AtomicUsize::new(cores.min(READERS_MAX) - 1), at_once: READERS_MAX }
    }

    /// Leaves all work to the calling thread: one file is open at a time.
    pub(super) fn alone() -> Self {
        Self { free: AtomicUsize::new(0), at_once: 1 }
    }

    /// Returns how many items should be given to [`each`](Self::each) when their results take memory.
    pub(super) fn at_once(&self) -> usize {
        self.at_once
    }

    /// Does `work` for each of `items`, on the calling thread and on as many others as are free. Returns the results in
    /// the order of the items.
    pub(super) fn each<T: Sync, R: Send>(&self, items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
        let next = AtomicUsize::new(0);
        let take = || {
            let mut done = Vec::new();
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                let Some(item) = items.get(i) else { return done };
                done.push((i, work(item)));
            }
        };
        let mut done = thread::scope(|scope| {
            let places = self.places(items.len().saturating_sub(1));
            let start = |place| {
                scope.spawn(|| {
                    // Given back by the thread itself: it may end long before the others do.
                    let _place = place;
                    take()
                })
            };
            let others: Vec<_> = places.into_iter().map(start).collect();
            let mut done = take();
            for other in others {
                done.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
            }
            done
        });
        done.sort_unstable_by_key(|(i, _)| *i);
        done.into_iter().map(|(_, result)| result).collect()
    }

    /// Takes the places that are free, at most `max`.
    fn places(&self, max: usize) -> Vec<Place<'_>> {
        let one_less = |free: usize| free.checked_sub(1);
        let is_free = || self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok();
        (0..max).map_while(|_| is_free().then(|| Place(self))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_their_order_and_threads_their_bound_also_for_work_inside_work() {
        let readers = Readers { free: AtomicUsize::new(2), at_once: READERS_MAX };
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let items: Vec<usize> = (0..20).collect();
        let done = readers.each(&items, |&outer| {
            readers.each(&items, |&inner| {
                let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(now, Ordering::SeqCst);
                thread::yield_now();
                running.fetch_sub(1, Ordering::SeqCst);
                (outer, inner)
            })
        });
        for (outer, done) in done.iter().enumerate() {
            assert!(done.iter().enumerate().all(|(inner, at)| *at == (outer, inner)), "{done:?}");
        }
        assert!(most.into_inner() <= 3);
        assert_eq!(readers.free.into_inner(), 2);
        assert_eq!(Readers::alone().each(&items, |item| *item), items);
    }
}
