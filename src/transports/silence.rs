//! How long nothing was sent on a stream, by one timer that is seldom touched.
//!
//! Streams that the server keeps open use it to send a sign of life. The timer is not moved whenever something is sent:
//! it fires once a heartbeat, and only then is looked whether the stream was silent. Nothing is sent from here.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// The silence of one stream.
pub(super) struct Silence {
    heartbeat: Duration,
    /// When the last bytes were sent.
    since: Instant,
    /// Fires a heartbeat after some bytes were sent, but not always the last ones.
    alarm: Pin<Box<Sleep>>,
}

impl Silence {
    /// Begins a silence now, which is over after `heartbeat`.
    pub(super) fn begin(heartbeat: Duration) -> Self {
        Self { heartbeat, since: Instant::now(), alarm: Box::pin(sleep(heartbeat)) }
    }

    /// Notes that bytes are sent: the silence begins again.
    pub(super) fn broken(&mut self) {
        self.since = Instant::now();
    }

    /// Waits until nothing was sent for a heartbeat. Cancel-safe.
    pub(super) async fn lasts(&mut self) {
        loop {
            self.alarm.as_mut().await;
            let due = self.since + self.heartbeat;
            if due <= Instant::now() {
                return;
            }
            self.alarm.as_mut().reset(due);
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
