//! How long nothing was sent on a stream, by one timer that is seldom touched.
//!
//! Streams that the server keeps open use it to send a sign of life. The timer is not moved whenever something is sent:
//! it fires once a heartbeat, and only then is looked whether the stream was silent. Nothing is sent from here.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// The silence of one stream.
pub(super) struct Silence {
    heartbeat: Duration,
    /// When the last bytes were sent.
    since: Instant,
    /// Fires a heartbeat after some bytes were sent, but not always the last ones.
    alarm: Pin<Box<Sleep>>,
    /// When the alarm fires next, and the task that it wakes: kept outside of the timer, which is seldom touched while
    /// lines come.
    fires: Instant,
    woken: Option<Waker>,
}

impl Silence {
    /// Begins a silence now, which is over after `heartbeat`.
    pub(super) fn begin(heartbeat: Duration) -> Self {
        let since = Instant::now();
        let fires = since + heartbeat;
        Self { heartbeat, since, alarm: Box::pin(sleep_until(fires)), fires, woken: None }
    }

    /// Notes that bytes are sent: the silence begins again.
    pub(super) fn broken(&mut self) {
        self.since = Instant::now();
    }

    /// Waits until nothing was sent for a heartbeat. Cancel-safe.
    pub(super) async fn lasts(&mut self) {
        poll_fn(|task| {
            // A timer never fires early, so it will still wake this task.
            let is_armed = self.woken.as_ref().is_some_and(|woken| woken.will_wake(task.waker()))
                && Instant::now() < self.fires;
            if is_armed { Poll::Pending } else { self.poll_alarm(task) }
        })
        .await;
    }

    fn poll_alarm(&mut self, task: &mut Context<'_>) -> Poll<()> {
        loop {
            self.woken = None;
            if self.alarm.as_mut().poll(task).is_pending() {
                self.woken = Some(task.waker().clone());
                return Poll::Pending;
            }
            let due = self.since + self.heartbeat;
            if due <= Instant::now() {
                return Poll::Ready(());
            }
            self.alarm.as_mut().reset(due);
            self.fires = due;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const HEARTBEAT: Duration = Duration::from_secs(15);

    /// The clock is paused: it moves only as far as the waits do.
    #[tokio::test(start_paused = true)]
    async fn a_silence_lasts_a_heartbeat_from_the_last_bytes() {
        let started = Instant::now();
        let mut silence = Silence::begin(HEARTBEAT);
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_secs(10)).await;
            silence.broken();
        }
        silence.lasts().await;
        assert_eq!(started.elapsed().as_secs(), 45);
        // A wait that was given up begins no new silence.
        silence.broken();
        let given_up = timeout(Duration::from_secs(14), silence.lasts()).await;
        assert!(given_up.is_err());
        silence.lasts().await;
        assert_eq!(started.elapsed().as_secs(), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn an_alarm_that_fired_while_nothing_waited_for_it_is_heard_afterwards() {
        let mut silence = Silence::begin(HEARTBEAT);
        for broken_first in [true, false] {
            assert!(timeout(Duration::from_secs(1), silence.lasts()).await.is_err());
            // It fires meanwhile, and wakes a wait that is over.
            if broken_first {
                silence.broken();
            }
            tokio::time::sleep(HEARTBEAT).await;
            timeout(Duration::from_millis(10), silence.lasts()).await.expect("the silence is not heard");
            silence.broken();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_task_that_waited_last_is_woken() {
        let mut silence = Silence::begin(HEARTBEAT);
        {
            let mut first = Box::pin(silence.lasts());
            let mut task = Context::from_waker(Waker::noop());
            assert!(first.as_mut().poll(&mut task).is_pending());
            assert!(first.as_mut().poll(&mut task).is_pending());
        }
        timeout(2 * HEARTBEAT, silence.lasts()).await.expect("another task was woken");
    }
}
