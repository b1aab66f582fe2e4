//! Replay: feeds a recording to a log with its own gaps, bursts and silences.

use std::path::Path;

use tokio::time::{Instant, sleep_until};
use wirelab_clients::recording::{Recording, RecordingError};

use super::{append, finish, one};
use crate::store::{DeploymentLog, StoreError};

/// A recording with the speed of its replay.
#[derive(Debug)]
pub struct Replay {
    recording: Recording,
    speed: f64,
}

impl Replay {
    pub(super) fn load(folder: &Path, name: &str, speed: f64) -> Result<Self, RecordingError> {
        Ok(Self { recording: Recording::find(folder, name)?, speed })
    }

    pub(super) async fn run(self, log: &dyn DeploymentLog) -> Result<(), StoreError> {
        let start = Instant::now();
        for recorded in self.recording.lines {
            // Times are absolute, so that the durations of appends do not add up.
            sleep_until(start + recorded.offset.div_f64(self.speed)).await;
            append(log, one(recorded.line)).await?;
        }
        sleep_until(start + self.recording.ended.offset.div_f64(self.speed)).await;
        finish(log, self.recording.ended.status).await
    }
}
