//! Sources: what feeds a deployment when the server does it itself.
//!
//! One file per kind. A source is prepared before its deployment exists, so that an invalid one leaves nothing behind.
//! Then one task feeds the log until the source ends, or the deployment ends or is deleted.

mod generate;
mod replay;

use std::path::Path;
use std::time::Duration;

use wirelab_clients::recording::RecordingError;
use wirelab_clients::wire::{Source, Status};

use crate::store::{AppendRequest, DeploymentLog, StoreError};
use crate::terminal::complain;

/// Range of replay speeds: from a second that takes 100 s to a day that takes 86 s.
const SPEED: std::ops::RangeInclusive<f64> = 0.01..=1000.0;
/// Range of rates that one task can feed.
const RATE_HZ: std::ops::RangeInclusive<f64> = 0.01..=10_000.0;
/// Range of times for which a generator runs: up to a week. A generator that was forgotten ends by itself.
const FOR_S: std::ops::RangeInclusive<f64> = 0.1..=604_800.0;

/// Time between two tries of what could not be written.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Error of preparing a source.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A number is outside its range.
    #[error("the source's {what} {given} is out of range; give {} to {}", range.start(), range.end())]
    OutOfRange {
        /// Name of the member.
        what: &'static str,
        /// Value that was given.
        given: f64,
        /// Range that is allowed.
        range: std::ops::RangeInclusive<f64>,
    },
    /// The recording cannot be read.
    #[error("{0}; GET /api/recordings lists what can be replayed")]
    Recording(#[from] RecordingError),
}

/// A source that is ready to run.
#[derive(Debug)]
pub enum Feed {
    /// A recording with its own timing.
    Replay(replay::Replay),
    /// Numbered lines at a fixed rate.
    Generate(generate::Generate),
}

/// Checks a source and loads what it needs.
pub fn feed(source: &Source, recordings: &Path) -> Result<Feed, SourceError> {
    match source {
        Source::Replay { recording, speed } => {
            let speed = in_range("speed", *speed, SPEED)?;
            Ok(Feed::Replay(replay::Replay::load(recordings, recording, speed)?))
        }
        Source::Generate { rate_hz, for_s } => Ok(Feed::Generate(generate::Generate {
            rate_hz: in_range("rate_hz", *rate_hz, RATE_HZ)?,
            lasting: Duration::from_secs_f64(in_range("for_s", *for_s, FOR_S)?),
        })),
    }
}

/// Feeds a log until the source or the log ends.
pub async fn run(feed: Feed, log: &dyn DeploymentLog) {
    let fed = match feed {
        Feed::Replay(replay) => replay.run(log).await,
        Feed::Generate(generate) => generate.run(log).await,
    };
    told(fed);
}

/// Finishes a log as cancelled, because what it was fed for is over. Waits while a trouble lasts that passes.
pub async fn cancel(log: &dyn DeploymentLog) {
    told(finish(log, Status::Cancelled).await);
}

/// Appends lines, again and again while a trouble lasts that passes: no client would repeat it for a source.
async fn append(log: &dyn DeploymentLog, request: AppendRequest) -> Result<(), StoreError> {
    loop {
        match log.append(request.clone()).await {
            Err(error) if error.passes() => tokio::time::sleep(RETRY_PAUSE).await,
            done => return done.map(|_| ()),
        }
    }
}

/// Finishes a log, as patiently as [`append`].
async fn finish(log: &dyn DeploymentLog, status: Status) -> Result<(), StoreError> {
    loop {
        match log.finish(status).await {
            Err(error) if error.passes() => tokio::time::sleep(RETRY_PAUSE).await,
            done => return done,
        }
    }
}

fn told(result: Result<(), StoreError>) {
    match result {
        // A source is stopped by finishing or deleting its deployment.
        Ok(()) | Err(StoreError::Ended { .. } | StoreError::NotFound(_)) => {}
        Err(error) => complain(format!("the source of a deployment stopped: {error}")),
    }
}

fn in_range(
    what: &'static str,
    given: f64,
    range: std::ops::RangeInclusive<f64>,
) -> Result<f64, SourceError> {
    if range.contains(&given) { Ok(given) } else { Err(SourceError::OutOfRange { what, given, range }) }
}

fn one(line: wirelab_clients::wire::NewLine) -> AppendRequest {
    AppendRequest::new(vec![line], None)
}
