//! Generate: numbered lines at a fixed rate, for a time that is given.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use wirelab_clients::wire::{NewLine, Status};

use super::{append, finish};
use crate::store::{AppendRequest, DeploymentLog, StoreError};

/// Lines in one append after a pause: a second's worth at the highest rate.
const APPEND_LINES_MAX: usize = 10_000;

/// A source of numbered lines at `rate_hz` lines per second, which ends after `lasting`.
#[derive(Debug)]
pub struct Generate {
    pub(super) rate_hz: f64,
    pub(super) lasting: Duration,
}

impl Generate {
    pub(super) async fn run(self, log: &dyn DeploymentLog) -> Result<(), StoreError> {
        let start = Instant::now();
        let end = start + self.lasting;
        let due = |number: u64| start + Duration::from_secs_f64((number - 1) as f64 / self.rate_hz);
        let mut next = 1;
        while due(next) < end {
            sleep_until(due(next)).await;
            // All lines that are due go into one append. The timer has steps of 1 ms and a disk takes time, but the
            // rate is kept.
            let now = Instant::now();
            let mut lines = Vec::new();
            while due(next) <= now && due(next) < end && lines.len() < APPEND_LINES_MAX {
                lines.push(NewLine::plain(format!("generated line {next}")));
                next += 1;
            }
            append(log, AppendRequest::new(lines, None)).await?;
        }
        sleep_until(end).await;
        finish(log, Status::Succeeded).await
    }
}
