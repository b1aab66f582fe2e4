//! How long a publisher asks a server in trouble again: until the command's end, and within bounds after it.
//!
//! [`Patience`] makes each call of the [`publisher`](super::publisher), tells trouble that passes from a refusal, and says
//! when to give up. It knows nothing of lines.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use wirelab_clients::api::ApiError;
use wirelab_clients::backoff;
use wirelab_clients::wire::{DeploymentId, Status};

use super::HOLD_UP_MAX;
use super::backlog::{Backlog, HoldUp};
use crate::commands::Failure;
use crate::terminal::complain;

/// Longest wait for one answer: an append waits for a disk, and a call without an answer can be repeated.
const CALL_MAX: Duration = Duration::from_secs(10);
/// Time after the end of the output, and after the last progress, in which publishing and finishing go on: a restart of the
/// server fits in.
const WITHOUT_PROGRESS_MAX: Duration = Duration::from_secs(10);
/// Time after the end of a command, even with progress: a slow server must not hold up what comes after the command.
const AFTER_COMMAND_MAX: Duration = Duration::from_secs(30);
/// Time after the end of the output if no server has ever answered: nothing was begun that must be ended.
const UNREACHED_MAX: Duration = Duration::from_secs(1);
/// Time in which finishing is tried, when all other time is used up or a signal has cut it.
const LAST_TRY_MAX: Duration = Duration::from_secs(1);
/// Ceilings of the back-off after the first failure and after many: a restart of a server takes less than a second, and
/// one that is back is noticed soon enough.
const FIRST_PAUSE_MAX: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// How the output ended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum OutputEnd {
    With(Status),
    /// The command could not be started.
    NeverBegun,
}

/// What the task is told from outside.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Orders {
    pub(super) ended: Option<(OutputEnd, Instant)>,
    pub(super) hurried: Option<Instant>,
}

/// Reason why nothing more is tried.
#[derive(Debug, thiserror::Error)]
pub(super) enum GivenUp {
    /// The server would refuse again.
    #[error(transparent)]
    Refused(ApiError),
    /// There is no deployment with the URL that was given.
    #[error(transparent)]
    Absent(Failure),
    /// The deployment that was named has ended.
    #[error("deployment {0} has ended ({1}); publish to another name")]
    Ended(DeploymentId, Status),
    /// The backlog was full for too long.
    #[error("the server is too slow: it has held up the output for {} s", HOLD_UP_MAX.as_secs())]
    HeldUp,
    /// The time after the end is over.
    #[error("the server was not back in time")]
    OutOfTime,
}

impl GivenUp {
    /// Whether the deployment takes no lines any more: another client has finished or deleted it, or a source feeds it.
    pub(super) fn is_of_deployment(&self) -> bool {
        matches!(self, Self::Refused(ApiError::Refused { problem, .. }) if matches!(problem.status, 404 | 409 | 410))
    }
}

/// What is being tried.
#[derive(Debug, Clone, Copy)]
pub(super) enum Phase {
    Begin,
    Append,
    Finish { since: Instant },
}

/// Decides how long a server in trouble is asked again.
pub(super) struct Patience {
    backlog: Arc<Backlog>,
    ordered: watch::Receiver<Orders>,
    progressed: Option<Instant>,
    was_answered: bool,
    failures: u32,
}

impl Patience {
    pub(super) fn new(backlog: Arc<Backlog>, ordered: watch::Receiver<Orders>) -> Self {
        Self { backlog, ordered, progressed: None, was_answered: false, failures: 0 }
    }

    /// Forgets the failures so far, before calls of another kind: their first failure is said, and its pause is short.
    pub(super) fn begin_anew(&mut self) {
        self.failures = 0;
    }

    /// Waits for the answer to one call. `None`: it failed in a way that may pass, and the pause is over.
    pub(super) async fn attempt<T>(
        &mut self,
        phase: Phase,
        call: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<Option<T>, GivenUp> {
        let answer = tokio::select! {
            answer = timeout(CALL_MAX, call) => answer,
            given_up = self.out(phase, None) => return Err(given_up),
        };
        let (trouble, advised) = match answer {
            Ok(Ok(done)) => {
                self.answered(phase);
                return Ok(Some(done));
            }
            Ok(Err(error)) if error.passes() => {
                self.was_answered |= !matches!(error, ApiError::Unreachable { .. });
                (error.to_string(), error.retry_after())
            }
            Ok(Err(error)) => return Err(GivenUp::Refused(error)),
            Err(_) => (format!("the server gave no answer within {} s", CALL_MAX.as_secs()), None),
        };
        self.failures += 1;
        if self.failures == 1 {
            let meanwhile = match phase {
                Phase::Begin => "what is printed waits for the server",
                Phase::Append | Phase::Finish { .. } => "trying again",
            };
            complain(format!("wirelab: {trouble}; {meanwhile}"));
        }
        let again = Instant::now() + backoff::wait(FIRST_PAUSE_MAX, PAUSE_MAX, self.failures, advised);
        tokio::select! {
            () = sleep_until(again) => Ok(None),
            given_up = self.out(phase, advised.map(|_| again)) => Err(given_up),
        }
    }

    fn answered(&mut self, phase: Phase) {
        self.was_answered = true;
        self.failures = 0;
        match phase {
            Phase::Append => {
                self.progressed = Some(Instant::now());
                self.backlog.progressed();
            }
            Phase::Begin | Phase::Finish { .. } => {}
        }
    }

    /// Waits until it is time to give up: at once if the server itself has said that it will not be `back` in time.
    /// Cancel-safe.
    async fn out(&mut self, phase: Phase, back: Option<Instant>) -> GivenUp {
        loop {
            let deadline = self.deadline(phase);
            if deadline.is_some_and(|deadline| back.is_some_and(|back| deadline < back)) {
                return GivenUp::OutOfTime;
            }
            tokio::select! {
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    return GivenUp::OutOfTime;
                }
                () = self.backlog.given_up(), if !matches!(phase, Phase::Finish { .. }) => return GivenUp::HeldUp,
                ordered = self.ordered.changed() => if ordered.is_err() {
                    return GivenUp::OutOfTime;
                },
            }
        }
    }

    /// Returns when trying ends; `None`: not yet.
    fn deadline(&self, phase: Phase) -> Option<Instant> {
        let Orders { ended, hurried } = *self.ordered.borrow();
        let (_, ended) = ended?;
        let without_progress =
            self.progressed.map_or(ended, |progressed| progressed.max(ended)) + WITHOUT_PROGRESS_MAX;
        let deadline = match (phase, self.backlog.hold_up()) {
            (Phase::Begin, _) if !self.was_answered => ended + UNREACHED_MAX,
            (_, HoldUp::InTotal(_)) => without_progress.min(ended + AFTER_COMMAND_MAX),
            (_, HoldUp::WithoutProgress(_)) => without_progress,
        };
        let deadline = hurried.map_or(deadline, |hurried| deadline.min(hurried));
        Some(match phase {
            Phase::Begin | Phase::Append => deadline,
            Phase::Finish { since } => deadline.max(since + LAST_TRY_MAX),
        })
    }

    /// Waits until the output has ended.
    pub(super) async fn output_end(&mut self) -> OutputEnd {
        let ordered = self.ordered.wait_for(|orders| orders.ended.is_some()).await;
        let ended = ordered.ok().and_then(|orders| orders.ended);
        ended.map_or(OutputEnd::NeverBegun, |(end, _)| end)
    }
}
