//! Publishes what waits in a [`Backlog`]: finds or creates the deployment, appends, and finishes.
//!
//! It works beside the command, which never waits for it but through a full backlog. How long it asks a server in trouble
//! again stands in [`patience`](super::patience). Once given up, nothing more is published, so that a log has no gap; the deployment is finished all
//! the same.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use wirelab_clients::api::{Api, ApiError, idempotency_key};
use wirelab_clients::wire::{Deployment, DeploymentId, NewLine, Status, json_bytes_max};

use super::backlog::{Backlog, Next};
use super::lines::{Lines, OutputLine, Repairs};
pub(crate) use super::patience::OutputEnd;
use super::patience::{GivenUp, Orders, Patience, Phase};
use super::signals::Signals;
use super::unless_twice_interrupted;
use crate::commands::Failure;
use crate::commands::wanted::Wanted;
use crate::terminal::complain;

/// Bytes of one append, about 10,000 short lines: few appends for what has piled up, and yet one that a line of 1 Mbit/s
/// brings to the server within the wait for one answer. Only a single line may be longer.
const APPEND_BYTES_MAX: usize = 1 << 20;
/// Largest JSON of a line beside its text: the member names, and the stream.
const JSON_FRAME_BYTES_MAX: usize = 64;
/// What happens to the deployment at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AtEnd {
    Finish,
    KeepOpen,
}

/// What became of the output at the server.
#[derive(Debug, Default)]
pub(crate) struct Published {
    /// Lines that the server has taken. A line that was cut counts once.
    pub(crate) lines: u64,
    /// Lines of an append of which the server did not say whether it took them: they may be in the log.
    pub(crate) doubtful_lines: u64,
    /// Whether the deployment ended as the output did, or stays open as it was to.
    pub(crate) is_ended: bool,
    /// Repairs of the lines.
    pub(crate) repairs: Repairs,
}

/// A task that publishes.
pub(crate) struct Publisher {
    orders: watch::Sender<Orders>,
    begun: watch::Receiver<bool>,
    task: JoinHandle<Published>,
}

impl Publisher {
    /// Starts to publish to the deployment `wanted` what comes into `backlog`.
    pub(crate) fn start(api: Api, wanted: Wanted, at_end: AtEnd, backlog: Arc<Backlog>) -> Self {
        let (orders, ordered) = watch::channel(Orders::default());
        let (tell_begun, begun) = watch::channel(false);
        let publishing = Publishing {
            api,
            wanted,
            at_end,
            backlog: backlog.clone(),
            patience: Patience::new(backlog, ordered),
            lines: Lines::new(),
            held_back: None,
            is_over: false,
            published: Published::default(),
        };
        Self { orders, begun, task: tokio::spawn(publishing.run(tell_begun)) }
    }

    /// Waits until the deployment is found or created, or cannot be, at most until `limit`. Cancel-safe.
    pub(crate) async fn begun_before(&mut self, limit: Instant) {
        // Neither the limit nor a task that has ended is a failure here.
        let _ = timeout_at(limit, self.begun.wait_for(|begun| *begun)).await;
    }

    /// Says how the output ended, and waits for the task. A signal cuts its time; a second one ends the wait, and then
    /// nothing is known.
    pub(crate) async fn end(self, end: OutputEnd, signals: &mut Signals) -> Option<Published> {
        let Self { orders, begun: _, task } = self;
        orders.send_modify(|orders| orders.ended = Some((end, Instant::now())));
        let hurry = || orders.send_modify(|orders| orders.hurried = Some(Instant::now()));
        unless_twice_interrupted(task, signals, hurry).await?.ok()
    }
}

/// The task.
struct Publishing {
    api: Api,
    wanted: Wanted,
    at_end: AtEnd,
    backlog: Arc<Backlog>,
    patience: Patience,
    lines: Lines,
    /// A line that would have made the last body too large.
    held_back: Option<OutputLine>,
    /// Whether all pieces were taken.
    is_over: bool,
    published: Published,
}

/// Whether this program created the deployment that it publishes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Found,
    Created,
}

/// Lines of one append.
#[derive(Debug, Default)]
struct Batch {
    lines: Vec<NewLine>,
    /// Lines whose end is in the batch.
    whole_lines: u64,
    body_bytes_max: usize,
}

impl Publishing {
    async fn run(mut self, tell_begun: watch::Sender<bool>) -> Published {
        let mut creation = Creation { key: idempotency_key(), is_in_doubt: false };
        let begun = self.begin(&mut creation).await;
        match &begun {
            Ok((deployment, _)) => {
                let Deployment { id, name, .. } = deployment;
                complain(format!("publishing to {}/api/deployments/{id} ({name})", self.api.server()));
            }
            Err(why) => {
                complain(format!("wirelab: {why}; nothing is published"));
                self.backlog.give_up();
            }
        }
        tell_begun.send_replace(true);
        match begun {
            Ok((deployment, origin)) => {
                self.published.is_ended = self.publish(&deployment.id, origin).await;
            }
            Err(_) if creation.is_in_doubt => self.end_doubtful(&creation.key).await,
            Err(_) => {}
        }
        let repairs = self.lines.into_repairs();
        Published { repairs, ..self.published }
    }

    /// Finds or creates the deployment.
    async fn begin(&mut self, creation: &mut Creation) -> Result<(Deployment, Origin), GivenUp> {
        loop {
            let found = find_or_create(&mut self.api, &self.wanted, creation);
            let Some(found) = self.patience.attempt(Phase::Begin, found).await? else {
                continue;
            };
            let (deployment, origin) = found.map_err(GivenUp::Absent)?;
            return match deployment.ended {
                Some(status) => Err(GivenUp::Ended(deployment.id, status)),
                None => Ok((deployment, origin)),
            };
        }
    }

    /// Appends until the output has ended or nothing more can be published, then finishes. Returns whether the deployment
    /// ended as the output did, or stays open as it was to.
    async fn publish(&mut self, id: &DeploymentId, origin: Origin) -> bool {
        let appended = self.append_all(id).await;
        if let Err(why) = &appended {
            complain(format!("wirelab: {why}; from here on nothing is published"));
            self.backlog.give_up();
            if why.is_of_deployment() {
                return false;
            }
        }
        let outcome = match (self.patience.output_end().await, origin) {
            (OutputEnd::With(status), _) => status,
            // If it stayed open, the next attempt would publish into it.
            (OutputEnd::NeverBegun, Origin::Created) => Status::Failed,
            (OutputEnd::NeverBegun, Origin::Found) => return true,
        };
        match self.at_end {
            AtEnd::KeepOpen => return true,
            AtEnd::Finish => {}
        }
        let status = if appended.is_ok() { outcome } else { of_a_part(outcome) };
        self.patience.begin_anew();
        self.finish(id, status, Phase::Finish { since: Instant::now() }).await && status == outcome
    }

    /// Returns whether the deployment is finished.
    async fn finish(&mut self, id: &DeploymentId, status: Status, phase: Phase) -> bool {
        loop {
            match self.patience.attempt(phase, self.api.finish(id, status)).await {
                Ok(Some(_)) => return true,
                Ok(None) => {}
                Err(why) => {
                    complain(format!("wirelab: deployment {id} was not finished: {why}"));
                    return false;
                }
            }
        }
    }

    /// Ends the deployment of a creation whose answer never came: if it stayed open, it would run for ever, and the next
    /// attempt would publish into it.
    async fn end_doubtful(&mut self, key: &str) {
        let outcome = self.patience.output_end().await;
        match self.at_end {
            AtEnd::KeepOpen => return,
            AtEnd::Finish => {}
        }
        let Ok(name) = self.wanted.name_of_a_new_one() else { return };
        let status = match outcome {
            OutputEnd::With(status) => of_a_part(status),
            OutputEnd::NeverBegun => Status::Failed,
        };
        self.patience.begin_anew();
        let phase = Phase::Finish { since: Instant::now() };
        let deployment = loop {
            // The key tells the server that this is the same creation.
            match self.patience.attempt(phase, self.api.create_once(name, None, key)).await {
                Ok(Some(deployment)) => break deployment,
                Ok(None) => {}
                Err(why) => {
                    complain(format!("wirelab: a deployment {name} may be left running: {why}"));
                    return;
                }
            }
        };
        let Deployment { id, name, ended, .. } = deployment;
        if ended.is_none() && self.finish(&id, status, phase).await {
            complain(format!(
                "deployment {id} ({name}) was created all the same; it is ended, without a line"
            ));
        }
    }

    async fn append_all(&mut self, id: &DeploymentId) -> Result<(), GivenUp> {
        while let Some(batch) = self.gather().await? {
            // The key tells the server that a repeated append is the same append.
            let key = idempotency_key();
            let mut is_in_doubt = false;
            loop {
                let api = &mut self.api;
                let appended =
                    noting_doubt(&mut is_in_doubt, api, async |api| api.append(id, &batch.lines, &key).await);
                match self.patience.attempt(Phase::Append, appended).await {
                    Ok(Some(_)) => break,
                    Ok(None) => {}
                    Err(why) => {
                        if is_in_doubt {
                            self.published.doubtful_lines = batch.whole_lines;
                        }
                        return Err(why);
                    }
                }
            }
            self.published.lines += batch.whole_lines;
        }
        Ok(())
    }

    /// Gathers the lines that have piled up into one append: one append per round trip, however fast lines come. Waits for
    /// the first one; `None` at the end.
    async fn gather(&mut self) -> Result<Option<Batch>, GivenUp> {
        let mut batch = Batch::default();
        loop {
            while let Some(read) = self.next_line() {
                if !batch.has_room_for(&read.line) {
                    self.held_back = Some(read);
                    return Ok(Some(batch));
                }
                batch.add(read);
            }
            if self.is_over {
                return Ok((!batch.lines.is_empty()).then_some(batch));
            }
            let next = if batch.lines.is_empty() { self.backlog.next().await } else { self.backlog.take() };
            match next {
                Next::Piece(piece) => self.lines.feed(piece),
                Next::Nothing => return Ok(Some(batch)),
                Next::Ended => self.is_over = true,
                Next::GivenUp => return Err(GivenUp::HeldUp),
            }
        }
    }

    fn next_line(&mut self) -> Option<OutputLine> {
        let lines = &mut self.lines;
        self.held_back
            .take()
            .or_else(|| lines.next())
            .or_else(|| if self.is_over { lines.last() } else { None })
    }
}

impl Batch {
    fn has_room_for(&self, line: &NewLine) -> bool {
        let body_bytes_max = self.body_bytes_max + record_bytes_max(line);
        self.lines.is_empty() || body_bytes_max <= APPEND_BYTES_MAX
    }

    fn add(&mut self, read: OutputLine) {
        self.body_bytes_max += record_bytes_max(&read.line);
        self.whole_lines += u64::from(!read.is_cut);
        self.lines.push(read.line);
    }
}

fn record_bytes_max(line: &NewLine) -> usize {
    json_bytes_max(line.text.as_bytes()) + JSON_FRAME_BYTES_MAX
}

/// The one creation that a publisher may make, tried once or often.
struct Creation {
    key: String,
    /// Whether a deployment may have been created without this program knowing.
    is_in_doubt: bool,
}

/// Finds the deployment, or creates it if it was named and not given by its URL.
async fn find_or_create(
    api: &mut Api,
    wanted: &Wanted,
    creation: &mut Creation,
) -> Result<Result<(Deployment, Origin), Failure>, ApiError> {
    let Creation { key, is_in_doubt } = creation;
    // It would find what it may have created itself, and take it for that of another client.
    if !*is_in_doubt && let Some(deployment) = wanted.find_running(api).await? {
        return Ok(Ok((deployment, Origin::Found)));
    }
    let name = match wanted.name_of_a_new_one() {
        Ok(name) => name,
        Err(absent) => return Ok(Err(absent)),
    };
    let created = noting_doubt(is_in_doubt, api, async |api| api.create_once(name, None, key).await).await?;
    Ok(Ok((created, Origin::Created)))
}

/// Makes a call that may have been made before, and notes whether the server may have done it without saying so: also
/// when the call is dropped. Only a success takes the doubt away.
async fn noting_doubt<T>(
    is_in_doubt: &mut bool,
    api: &mut Api,
    call: impl AsyncFnOnce(&mut Api) -> Result<T, ApiError>,
) -> Result<T, ApiError> {
    let was_in_doubt = std::mem::replace(is_in_doubt, true);
    let answer = call(api).await;
    *is_in_doubt = answer.is_err() && (was_in_doubt || api.is_in_doubt());
    answer
}

/// Returns what a deployment ends with whose output had this outcome, and whose log is not whole: not as a success.
fn of_a_part(outcome: Status) -> Status {
    match outcome {
        Status::Succeeded | Status::Cancelled => Status::Cancelled,
        Status::Failed => Status::Failed,
    }
}
