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
    /// When the alarm fires next, and the task that it wakes. They are beside it: on a stream with many lines it is
    /// seldom touched.
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
        let mut is_first = true;
        poll_fn(|task| {
            // When it fires after the last bytes, it will wake this task, which then asks again.
            let is_armed = self.since < self.fires
                && self.woken.as_ref().is_some_and(|woken| woken.will_wake(task.waker()));
            if std::mem::take(&mut is_first) && is_armed {
                return Poll::Pending;
            }
            self.poll_alarm(task)
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
        let given_up = tokio::time::timeout(Duration::from_secs(14), silence.lasts()).await;
        assert!(given_up.is_err());
        silence.lasts().await;
        assert_eq!(started.elapsed().as_secs(), 60);
    }
}
