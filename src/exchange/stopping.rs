//! The wait for the server's stop, as a task waits for it that is woken thousands of times a second for other reasons.
//!
//! The token's own future takes two locks and looks at its place among all that wait, whenever it is polled. Here one lock
//! is left: the place is looked at only when the task changes. Connections and streams use it.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// A future that is ready when the server stops. It may be polled again after that.
pub(crate) struct Stopping {
    shutdown: CancellationToken,
    wait: Pin<Box<WaitForCancellationFutureOwned>>,
    /// The task that `wait` wakes.
    waker: Option<Waker>,
}

impl Stopping {
    pub(crate) fn of(shutdown: &CancellationToken) -> Self {
        let wait = Box::pin(shutdown.clone().cancelled_owned());
        Self { shutdown: shutdown.clone(), wait, waker: None }
    }
}

impl Future for Stopping {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<()> {
        if self.shutdown.is_cancelled() {
            return Poll::Ready(());
        }
        if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(task.waker())) {
            // If the server stops between the two looks, `wait` is ready at once.
            if self.wait.as_mut().poll(task).is_ready() {
                return Poll::Ready(());
            }
            self.waker = Some(task.waker().clone());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Task(AtomicBool);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_task_that_polled_last_is_woken() {
        let shutdown = CancellationToken::new();
        let tasks = [(); 2].map(|()| Arc::new(Task::default()));
        let [first, second] = tasks.clone().map(Waker::from);
        let mut stopping = Box::pin(Stopping::of(&shutdown));
        let mut poll = |waker: &Waker| stopping.as_mut().poll(&mut Context::from_waker(waker));
        for waker in [&first, &first, &second, &second] {
            assert!(poll(waker).is_pending());
        }
        shutdown.cancel();
        assert_eq!(tasks.map(|task| task.0.load(Ordering::Relaxed)), [false, true]);
        assert!(poll(&first).is_ready() && poll(&second).is_ready());
    }
}
