//! Runs that the page starts: one plan at a time, in a process of its own, with its progress as events.
//!
//! The page asks for plans at `/api/lab/plans`, for a run at `/api/lab/runs` and follows it at `/api/lab/runs/progress`.
//! The process is `wirelab run`, as a person would type it. Nothing here measures.

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
use wirelab_clients::harness::cell::Server;
use wirelab_clients::harness::plan::{Plan, PlanError, Size};

use super::child::{self, off_the_worker};
use super::{Children, PREFIX};
use crate::context::{Context, Lab};
use crate::exchange::problem::Refusal;
use crate::exchange::route::{endless, get, json_body, no_store, resource};
use crate::lab::run_progress::{RunEnded, RunLine, RunProgress};
use wirelab_clients::harness::plan_files::{self, PlanFilesError};

/// How long a run that was told to stop may take; then it is killed. It writes all files once more, which takes long on
/// a slow disk, and waits for the calls that it has at servers.
const STOP_MAX: Duration = Duration::from_secs(60);

/// One plan that the page can start, or why it cannot.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub(crate) struct LabPlan {
    /// Its name.
    name: String,
    /// What it finds out.
    question: Option<String>,
    /// `smoke`: made short; `full`: as it is written, since it is short or cannot be made so.
    size: Option<&'static str>,
    /// How many runs it makes.
    runs: Option<usize>,
    /// About how long it takes, s.
    estimate_s: Option<f64>,
    /// Why it cannot be started; all else is null then.
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
    /// A plan of `/api/lab/plans`.
    plan: String,
}

/// A run that the page started.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub(crate) struct LabRun {
    /// The plan.
    plan: String,
    /// How it ended; null while it is under way.
    ended: Option<RunEnded>,
}

/// How far the newest run is, or how it ended.
#[derive(Debug, Clone)]
enum State {
    Runs(RunProgress),
    Ended(RunEnded),
}

/// The run of a server.
#[derive(Debug)]
pub(crate) struct Runs {
    runtime: Handle,
    /// The goodbye of the server, which is theirs too.
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
    /// Whether it goes on. A task that is gone without a word holds the other end no more.
    fn runs(&self) -> bool {
        let is_told = matches!(*self.state.borrow(), State::Ended(_));
        !is_told && self.state.has_changed().is_ok()
    }
}

impl Runs {
    /// None yet. The process is watched on `runtime`.
    pub(super) fn new(runtime: Handle, shutdown: CancellationToken) -> Self {
        Self { runtime, shutdown, newest: Mutex::default() }
    }

    /// Starts a plan; one at a time, since two would measure each other.
    fn start(&self, lab: &Lab, plan: &Chosen) -> Result<RunProgress, Refusal> {
        let mut newest = self.newest();
        if newest.as_ref().is_some_and(Newest::runs) {
            return Err(Refusal::new(
                StatusCode::CONFLICT,
                format!(
                    "a run is under way, and two would measure each other; wait, or DELETE {PREFIX}/runs"
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
            // Whatever a file is called, its name is no option.
            "--".into(),
            plan.name.clone().into(),
        ];
        let _in_runtime = self.runtime.enter();
        let process = child::start(&lab.program, &arguments)?;
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

    /// The newest one, if any was started.
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

    /// Tells the run to stop; what becomes of it is told by its progress.
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

/// Keeps the latest state until the process has ended.
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
            problem: Some("it did not say how it ended; the server's terminal may say why".to_owned()),
            folder: known,
        },
    };
    // Only now that its process is gone: who hears it may start the next.
    latest.send_replace(State::Ended(ended));
}

/// As the lab's results are named: from their folder on.
fn below(results: &Path, folder: &str) -> String {
    let below = Path::new(folder).strip_prefix(results);
    below.map_or_else(|_| folder.to_owned(), |below| below.display().to_string())
}

/// The plans that can be started: every one that has a short size, and those of this server alone that have none. One
/// that cannot be read is listed with its problem: it must not hide the others.
fn plans(data: &Path) -> Result<Vec<LabPlan>, PlanFilesError> {
    let mut plans = Vec::new();
    for (name, path) in plan_files::all(data)? {
        match offered(&name, &path, data).and_then(|plan| plan.map(|plan| described(&plan, data)).transpose())
        {
            Ok(Some(described)) => plans.push(LabPlan { name, ..described }),
            Ok(None) => {}
            Err(error) => plans.push(LabPlan::broken(name, &error)),
        }
    }
    Ok(plans)
}

/// The plan in a file, as short as it can be; `None` if it needs other servers than this program.
fn offered(name: &str, path: &Path, data: &Path) -> Result<Option<Plan>, PlanFilesError> {
    let plan = match plan_files::read(name, path, Size::Smoke, data) {
        // Only then: a mistake in the short form must not start the long one.
        Err(PlanFilesError::Plan(PlanError::NoSmoke { .. })) => {
            plan_files::read(name, path, Size::Full, data)
        }
        read => read,
    }?;
    Ok(Some(plan).filter(|plan| plan.targets.iter().all(|target| *target == Server::Wirelab)))
}

/// All but the name, which is its file's.
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

/// What is to be run, by the name of its file alone: what is wrong with another plan is no concern of this one.
#[derive(Debug)]
struct Chosen {
    name: String,
    size: Size,
    runs: usize,
}

fn chosen(wanted: &str, data: &Path) -> Result<Chosen, Refusal> {
    let files = plan_files::all(data).map_err(|error| refusal(&error))?;
    // By name only: a path would let the page read any file.
    let Some((name, path)) = files.iter().find(|(name, _)| name == wanted) else {
        let known: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
        return Err(Refusal::bad_request(format!("unknown plan {wanted:?}; one of {}", known.join(", "))));
    };
    match offered(name, path, data).map_err(|error| refusal(&error))? {
        Some(plan) => Ok(Chosen { name: name.clone(), size: plan.size, runs: plan.cells().len() }),
        None => Err(Refusal::bad_request(format!(
            "plan {name:?} measures other servers, which the lab does not start; run it with `wirelab run {name}`"
        ))),
    }
}

fn refusal(error: &PlanFilesError) -> Refusal {
    let detail = match error {
        PlanFilesError::NoFolder { folder, error } => format!(
            "{}: {error}; start the server in its repository, or name the folder that holds plans/ with --lab-data",
            folder.display()
        ),
        PlanFilesError::Unreadable { .. } | PlanFilesError::Plan(_) | PlanFilesError::Recording(_) => {
            error.to_string()
        }
    };
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
}

/// The paths of runs, relative to the lab's.
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

/// As they are on disk now, where somebody may be writing them.
async fn list_plans(context: web::Data<Context>) -> Result<HttpResponse, Refusal> {
    let data = lab(&context).data.clone();
    let plans = off_the_worker(move || plans(&data).map_err(|error| refusal(&error))).await?;
    Ok(no_store(HttpResponse::Ok()).json(plans))
}

/// Unlike the progress, no error when there is none: a page asks for it before it knows.
async fn list(children: web::Data<Children>) -> HttpResponse {
    no_store(HttpResponse::Ok()).json(children.runs.listed())
}

async fn start(
    payload: web::Payload,
    context: web::Data<Context>,
    children: web::Data<Children>,
) -> Result<HttpResponse, Refusal> {
    let new: NewRun = json_body(payload, r#"{"plan":"quick"}"#).await?;
    let data = lab(&context).data.clone();
    let plan = off_the_worker(move || chosen(&new.plan, &data)).await?;
    let begun = children.runs.start(lab(&context), &plan)?;
    Ok(no_store(HttpResponse::Created())
        .insert_header((LOCATION, format!("{PREFIX}/runs/progress")))
        .json(begun))
}

async fn cancel(children: web::Data<Children>) -> Result<HttpResponse, Refusal> {
    children.runs.cancel()?;
    Ok(no_store(HttpResponse::Accepted()).finish())
}

/// What is yet to be said of a run.
enum Told {
    Now,
    Changes,
    All,
}

/// The state at once, and whenever it changes; ends with the run. Who reads slowly misses states in between.
async fn progress(context: web::Data<Context>, children: web::Data<Children>) -> HttpResponse {
    let newest = children.runs.newest().clone();
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
                    // A comment, as a sign of life.
                    Err(_) => (Bytes::from_static(b":\n\n"), Told::Changes),
                },
                () = context.shutdown.cancelled() => return None,
            },
        };
        Some((Ok::<_, Infallible>(bytes), (state, told, context)))
    });
    endless("text/event-stream").streaming(body)
}

/// A state as an event, and what is told after it.
fn event(state: &State) -> (Bytes, Told) {
    let (name, data, told) = match state {
        State::Runs(progress) => ("progress", serde_json::to_string(progress), Told::Changes),
        State::Ended(ended) => ("ended", serde_json::to_string(ended), Told::All),
    };
    let data = data.expect("a state has no key that JSON refuses");
    (Bytes::from(format!("event: {name}\ndata: {data}\n\n")), told)
}
