//! Runs that the page starts: one plan at a time, in a process of its own, with its progress as events.
//!
//! The page reads the plans at `/api/lab/plans`, starts a run at `/api/lab/runs` and follows it at
//! `/api/lab/runs/progress`. The process is `wirelab run`, as a person would type it. Nothing is measured in this
//! process.

use std::convert::Infallible;
use std::ffi::OsString;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::web::{self, Bytes};
use actix_web::{HttpResponse, ResponseError};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use wirelab_clients::data_files::DataFile;
use wirelab_clients::harness::cell::Server;
use wirelab_clients::harness::plan::{Plan, PlanError, Size};

use super::PREFIX;
use super::child::{self, off_the_worker};
use crate::context::{Context, Lab};
use crate::exchange::problem::Refusal;
use crate::exchange::route::{endless, get, json_body, no_store, resource};
use crate::lab::run_progress::{RunEnded, RunLine, RunProgress};
use wirelab_clients::harness::plan_files::{self, PlanFilesError};

/// Time for a run that was told to stop; then it is killed. The run writes all its files once more, which takes long on
/// a slow disk, and waits for its open calls to servers.
const STOP_MAX: Duration = Duration::from_secs(60);

/// One plan that the page can start, or the reason why it cannot.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub(crate) struct LabPlan {
    /// Name of the plan.
    name: String,
    /// Question of the plan.
    question: Option<String>,
    /// Size of the run: `smoke` if the plan has a short form, else `full`.
    size: Option<&'static str>,
    /// Number of runs of the plan.
    runs: Option<usize>,
    /// Estimated duration, s.
    estimate_s: Option<f64>,
    /// Why the plan cannot be started; all members but `name` are then null.
    problem: Option<String>,
}

impl LabPlan {
    fn broken(name: String, error: &PlanFilesError) -> Self {
        let problem = Some(error.to_string());
        Self { name, question: None, size: None, runs: None, estimate_s: None, problem }
    }
}

/// Body of `POST /api/lab/runs`.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub(crate) struct NewRun {
    /// Name of a plan in `/api/lab/plans`.
    plan: String,
}

/// A plan that the page has run, or runs.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub(crate) struct LabRun {
    /// Name of the plan.
    plan: String,
    /// How the run ended; null while it is under way.
    ended: Option<RunEnded>,
}

/// Progress of the newest run, or its end.
#[derive(Debug, Clone)]
enum State {
    Runs(RunProgress),
    Ended(RunEnded),
}

/// The newest run that the lab has started.
#[derive(Debug)]
pub(crate) struct Runs {
    runtime: Handle,
    /// Cancelled when the server stops, which stops the run.
    shutdown: CancellationToken,
    newest: Mutex<Option<Newest>>,
}

#[derive(Debug, Clone)]
struct Newest {
    plan: String,
    state: watch::Receiver<State>,
    stop: CancellationToken,
}

impl Newest {
    /// Tells whether the run is under way. A task that is gone no longer holds the sender of the state.
    fn runs(&self) -> bool {
        let is_told = matches!(*self.state.borrow(), State::Ended(_));
        !is_told && self.state.has_changed().is_ok()
    }
}

impl Runs {
    /// Makes the state before any run. The process of a later run is watched on `runtime`.
    pub(super) fn new(runtime: Handle, shutdown: CancellationToken) -> Self {
        Self { runtime, shutdown, newest: Mutex::default() }
    }

    /// Starts a plan. Only one at a time, since two would disturb each other's measurement.
    fn start(&self, lab: &Lab, plan: &Chosen) -> Result<RunProgress, Refusal> {
        let mut newest = self.newest();
        if newest.as_ref().is_some_and(Newest::runs) {
            return Err(Refusal::new(
                StatusCode::CONFLICT,
                format!(
                    "a run is under way, and two would disturb each other; wait, or stop it: DELETE {PREFIX}/runs"
                ),
            ));
        }
        let option = |name: &str, value: &Path| {
            let mut option = OsString::from(name);
            option.push("=");
            option.push(value);
            option
        };
        let arguments = [
            OsString::from("run"),
            format!("--size={}", plan.size.name()).into(),
            "--progress=json".into(),
            "--stop-at-stdin-end".into(),
            option("--results", &lab.results),
            option("--data", &lab.data),
            // A plan's file name may begin with a dash; it must not be read as an option.
            "--".into(),
            plan.name.clone().into(),
        ];
        let _in_runtime = self.runtime.enter();
        // A run starts servers of its own and never calls this one.
        let process = child::start(&lab.program, &arguments, None)?;
        let first = RunProgress {
            plan: plan.name.clone(),
            run_id: String::new(),
            run: 0,
            runs: plan.runs,
            received: 0,
            expected: 0,
            folder: None,
        };
        let (latest, state) = watch::channel(State::Runs(first.clone()));
        let stop = self.shutdown.child_token();
        self.runtime.spawn(listen(process, stop.clone(), latest, lab.clone()));
        *newest = Some(Newest { plan: plan.name.clone(), state, stop });
        Ok(first)
    }

    /// Returns the newest run in a list, which is empty if none was started.
    fn listed(&self) -> Vec<LabRun> {
        let newest = self.newest();
        let listed = newest.iter().map(|Newest { plan, state, .. }| {
            let ended = match &*state.borrow() {
                State::Runs(_) => None,
                State::Ended(ended) => Some(ended.clone()),
            };
            LabRun { plan: plan.clone(), ended }
        });
        listed.collect()
    }

    /// Tells the run to stop. Its progress tells when and how it has ended.
    fn cancel(&self) -> Result<(), Refusal> {
        match self.newest().as_ref().filter(|newest| newest.runs()) {
            Some(newest) => {
                newest.stop.cancel();
                Ok(())
            }
            None => Err(none_yet("no run is under way")),
        }
    }

    fn newest(&self) -> MutexGuard<'_, Option<Newest>> {
        self.newest.lock().expect("no holder panics")
    }
}

fn none_yet(what: &str) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, format!("{what}; POST {PREFIX}/runs starts one"))
}

/// Keeps the latest state of a run until its process has ended.
async fn listen(
    process: tokio::process::Child,
    stop: CancellationToken,
    latest: watch::Sender<State>,
    lab: Lab,
) {
    let (mut ended, mut known) = (None, None);
    let exit = child::watch(process, stop, STOP_MAX, |line| match serde_json::from_str(line) {
        Ok(RunLine::Progress(progress)) => {
            let folder = progress.folder.map(|folder| below(&lab.results, &folder));
            known.clone_from(&folder);
            latest.send_replace(State::Runs(RunProgress { folder, ..progress }));
        }
        Ok(RunLine::Ended { ended: last }) => ended = Some(last),
        Err(_) => {}
    })
    .await;
    let ended = match ended {
        Some(ended) => RunEnded { folder: ended.folder.map(|folder| below(&lab.results, &folder)), ..ended },
        None => RunEnded {
            exit,
            meaning: "the run's process ended early".to_owned(),
            problem: Some("it did not say how it ended; see the server's terminal for the reason".to_owned()),
            folder: known,
        },
    };
    // Sent only after the process is gone: a reader may start the next run at once.
    latest.send_replace(State::Ended(ended));
}

/// Returns a results folder relative to the lab's folder of results.
fn below(results: &Path, folder: &str) -> String {
    let below = Path::new(folder).strip_prefix(results);
    below.map_or_else(|_| folder.to_owned(), |below| below.display().to_string())
}

/// Lists the plans that can be started: all that measure this program alone, in their short form if they have one. A
/// plan that cannot be read is listed with its problem: it must not hide the others.
fn plans(data: &Path) -> Result<Vec<LabPlan>, PlanFilesError> {
    let mut plans = Vec::new();
    for (name, file) in plan_files::all(data)? {
        match offered(&name, &file, data).and_then(|plan| plan.map(|plan| described(&plan, data)).transpose())
        {
            Ok(Some(described)) => plans.push(LabPlan { name, ..described }),
            Ok(None) => {}
            Err(error) => plans.push(LabPlan::broken(name, &error)),
        }
    }
    Ok(plans)
}

/// Reads a plan in its short form if it has one; `None` if it needs other servers than this program.
fn offered(name: &str, file: &DataFile, data: &Path) -> Result<Option<Plan>, PlanFilesError> {
    let plan = match plan_files::read(name, file, Size::Smoke, data) {
        // Any other error must not start the long form: it may be a mistake in the short one.
        Err(PlanFilesError::Plan(PlanError::NoSmoke { .. })) => {
            plan_files::read(name, file, Size::Full, data)
        }
        read => read,
    }?;
    Ok(Some(plan).filter(|plan| plan.targets.iter().all(|target| *target == Server::Wirelab)))
}

/// Describes a plan. The name is replaced by that of its file.
fn described(plan: &Plan, data: &Path) -> Result<LabPlan, PlanFilesError> {
    Ok(LabPlan {
        name: plan.name.clone(),
        question: Some(plan.question.clone()),
        size: Some(plan.size.name()),
        runs: Some(plan.cells().len()),
        estimate_s: Some(plan_files::duration(plan, data)?.as_secs_f64()),
        problem: None,
    })
}

/// A plan that was chosen by the name of its file. Other plans are not read: their problems do not matter here.
#[derive(Debug)]
struct Chosen {
    name: String,
    size: Size,
    runs: usize,
}

fn chosen(wanted: &str, data: &Path) -> Result<Chosen, Refusal> {
    let files = plan_files::all(data).map_err(|error| refusal(&error))?;
    // A plan is found by name only: a path would let the page read any file.
    let Some((name, file)) = files.get_key_value(wanted) else {
        let known: Vec<_> = files.keys().map(String::as_str).collect();
        return Err(Refusal::bad_request(format!("unknown plan {wanted:?}; one of {}", known.join(", "))));
    };
    match offered(name, file, data).map_err(|error| refusal(&error))? {
        Some(plan) => Ok(Chosen { name: name.clone(), size: plan.size, runs: plan.cells().len() }),
        None => Err(Refusal::bad_request(format!(
            "plan {name:?} measures other servers, which the lab does not start; use `wirelab run {name}`"
        ))),
    }
}

fn refusal(error: &PlanFilesError) -> Refusal {
    let detail = match error {
        PlanFilesError::UnreadableFolder { folder, error } => format!(
            "{}: {error}; make it a folder that the server's user can read, or name another with --lab-data",
            folder.display()
        ),
        PlanFilesError::Unreadable { .. } | PlanFilesError::Plan(_) | PlanFilesError::Recording(_) => {
            error.to_string()
        }
    };
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
}

/// Mounts the calls on plans and runs, relative to the lab's path.
pub(super) fn mount(config: &mut web::ServiceConfig) {
    config
        .service(resource("/plans", "GET, HEAD").route(get().to(list_plans)))
        .service(
            resource("/runs", "GET, HEAD, POST, DELETE")
                .route(get().to(list))
                .route(web::post().to(start))
                .route(web::delete().to(cancel)),
        )
        .service(resource("/runs/progress", "GET").route(web::get().to(progress)));
}

fn lab(context: &Context) -> &Lab {
    context.options.lab.as_ref().expect("the lab is mounted")
}

/// Lists the plans as they are now: a person may be editing them.
async fn list_plans(context: web::Data<Context>) -> Result<HttpResponse, Refusal> {
    let data = lab(&context).data.clone();
    let plans = off_the_worker(move || plans(&data).map_err(|error| refusal(&error))).await?;
    Ok(no_store(HttpResponse::Ok()).json(plans))
}

/// Lists the newest run. An empty list is no error: the page asks before it knows whether there is a run.
async fn list(runs: web::Data<Runs>) -> HttpResponse {
    no_store(HttpResponse::Ok()).json(runs.listed())
}

async fn start(
    payload: web::Payload,
    context: web::Data<Context>,
    runs: web::Data<Runs>,
) -> Result<HttpResponse, Refusal> {
    let new: NewRun = json_body(payload, r#"{"plan":"quick"}"#).await?;
    let data = lab(&context).data.clone();
    let plan = off_the_worker(move || chosen(&new.plan, &data)).await?;
    let begun = runs.start(lab(&context), &plan)?;
    Ok(no_store(HttpResponse::Created())
        .insert_header((LOCATION, format!("{PREFIX}/runs/progress")))
        .json(begun))
}

async fn cancel(runs: web::Data<Runs>) -> Result<HttpResponse, Refusal> {
    runs.cancel()?;
    Ok(no_store(HttpResponse::Accepted()).finish())
}

/// What the progress stream sends next.
enum Told {
    Now,
    Changes,
    All,
}

/// Streams the state at once and at each change until the run has ended. A slow reader misses states in between.
async fn progress(context: web::Data<Context>, runs: web::Data<Runs>) -> HttpResponse {
    let newest = runs.newest().clone();
    let Some(Newest { state, .. }) = newest else {
        return none_yet("no run was started").error_response();
    };
    let body = stream::unfold((state, Told::Now, context), |(mut state, told, context)| async move {
        let (bytes, told) = match told {
            Told::All => return None,
            Told::Now => event(&state.borrow_and_update()),
            Told::Changes => tokio::select! {
                changed = timeout(context.options.heartbeat, state.changed()) => match changed {
                    Ok(Ok(())) => event(&state.borrow_and_update()),
                    Ok(Err(_)) => return None,
                    // The comment is a sign of life.
                    Err(_) => (Bytes::from_static(b":\n\n"), Told::Changes),
                },
                () = context.shutdown.cancelled() => return None,
            },
        };
        Some((Ok::<_, Infallible>(bytes), (state, told, context)))
    });
    endless("text/event-stream").streaming(body)
}

/// Encodes a state as an event, and says what follows it.
fn event(state: &State) -> (Bytes, Told) {
    let (name, data, told) = match state {
        State::Runs(progress) => ("progress", serde_json::to_string(progress), Told::Changes),
        State::Ended(ended) => ("ended", serde_json::to_string(ended), Told::All),
    };
    let data = data.expect("a state has no key that JSON refuses");
    (Bytes::from(format!("event: {name}\ndata: {data}\n\n")), told)
}
