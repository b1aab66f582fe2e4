//! Generate: numbered lines at a fixed rate, until the deployment is finished or deleted.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tokio::time::{Instant, sleep_until};
use wirelab_clients::wire::NewLine;

use super::append;
use crate::store::{AppendRequest, DeploymentLog, StoreError};

/// Lines in one append after a pause: a second's worth at the highest rate.
const APPEND_LINES_MAX: usize = 10_000;

/// A source of numbered lines at `rate_hz` lines per second.
#[derive(Debug)]
pub struct Generate {
    pub(super) rate_hz: f64,
}

impl Generate {
    pub(super) async fn run(self, log: &dyn DeploymentLog, appended: &Counter) -> Result<(), StoreError> {
        let start = Instant::now();
        let due = |number: u64| start + Duration::from_secs_f64((number - 1) as f64 / self.rate_hz);
        let mut next = 1;
        loop {
            sleep_until(due(next)).await;
            // All lines that are due go into one append. The timer has steps of 1 ms and a disk takes time, but the
            // rate is kept.
            let now = Instant::now();
            let mut lines = Vec::new();
            while due(next) <= now && lines.len() < APPEND_LINES_MAX {
                lines.push(NewLine::plain(format!("generated line {next}")));
                next += 1;
            }
            append(log, AppendRequest::new(lines, None), appended).await?;
        }
    }
}
