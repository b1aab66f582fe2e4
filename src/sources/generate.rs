//! Generate: numbered lines at a fixed rate, until the deployment is finished or deleted.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use wirelab_clients::wire::NewLine;

use super::one;
use crate::store::{DeploymentLog, StoreError};

/// How many lines a second.
#[derive(Debug)]
pub struct Generate {
    pub(super) rate_hz: f64,
}

impl Generate {
    pub(super) async fn run(self, log: &dyn DeploymentLog) -> Result<(), StoreError> {
        let mut ticks = interval(Duration::from_secs_f64(1.0 / self.rate_hz));
        // tokio's timer has a grain of 1 ms: above 1 kHz several ticks are due at once, and none may be lost.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for number in 1_u64.. {
            ticks.tick().await;
            log.append(one(NewLine::plain(format!("generated line {number}")))).await?;
        }
        Ok(())
    }
}
