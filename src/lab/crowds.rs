//! Crowds: groups of harness subscribers that the page starts, each group a process of its own.
//!
//! The page starts crowds at `/api/lab/crowds` and reads their latest figures there. Each one is `wirelab crowd`, over
//! real connections to this server. No log is followed in this process.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use wirelab_clients::harness::crowd::{Figures, SUBSCRIBERS_MAX};
use wirelab_clients::wire::{DeploymentId, Transport};

use super::{PREFIX, child};
use crate::context::{Context, Lab};
use crate::exchange::problem::Refusal;
use crate::exchange::route::{get, json_body, no_store, resource};

/// Crowds that run at the same time: one for each lane of a page. More would only compete for the machine.
pub(crate) const CROWDS_MAX: usize = 4;
/// Crowds in the listing, ended ones included; the oldest ended crowd is removed for a new one.
const LISTED_MAX: usize = 16;
/// Time for a crowd that was told to stop to print its last figures; then it is killed.
const STOP_MAX: Duration = Duration::from_secs(10);

/// Body of `POST /api/lab/crowds`.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct NewCrowd {
    /// Deployment that the crowd follows from its newest line on.
    #[schema(value_type = String)]
    deployment: DeploymentId,
    /// Transport of all subscribers.
    #[schema(value_type = String)]
    transport: Transport,
    /// Number of subscribers.
    #[schema(minimum = 1, maximum = 2_000)]
    subscribers: u32,
}

/// One crowd, with its latest figures.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub(crate) struct Crowd {
    id: String,
    #[schema(value_type = String)]
    deployment: DeploymentId,
    #[schema(value_type = String)]
    transport: Transport,
    #[serde(flatten)]
    figures: Figures,
}

/// The crowds of a server.
#[derive(Debug)]
pub(crate) struct Crowds {
    runtime: Handle,
    /// Cancelled when the server stops, which stops all crowds.
    shutdown: CancellationToken,
    listed: Mutex<Listing>,
}

#[derive(Debug, Default)]
struct Listing {
    crowds: VecDeque<Listed>,
    last_id: u64,
}

#[derive(Debug, Clone)]
struct Listed {
    id: u64,
    what: NewCrowd,
    figures: watch::Receiver<Figures>,
    stop: CancellationToken,
}

impl Listed {
    /// Tells whether the crowd's process still runs: its task holds the sender of the figures.
    fn runs(&self) -> bool {
        self.figures.has_changed().is_ok()
    }

    fn show(&self) -> Crowd {
        let NewCrowd { deployment, transport, .. } = self.what.clone();
        Crowd { id: self.id.to_string(), deployment, transport, figures: self.figures.borrow().clone() }
    }
}

impl Crowds {
    /// Makes an empty set of crowds. The processes of later crowds are watched on `runtime`.
    pub(super) fn new(runtime: Handle, shutdown: CancellationToken) -> Self {
        Self { runtime, shutdown, listed: Mutex::default() }
    }

    /// Starts a crowd that follows the server of `context`; crowds may take half of its connections. The crowd is stopped
    /// when `until` is over.
    fn start(
        &self,
        context: &Context,
        lab: &Lab,
        what: NewCrowd,
        until: impl Future<Output = ()> + Send + 'static,
    ) -> Result<Crowd, Refusal> {
        let (address, connections_max) = (context.address, context.options.connections_max);
        let mut listing = self.listing();
        let running = || listing.crowds.iter().filter(|crowd| crowd.runs());
        let conflict = |detail| Err(Refusal::new(StatusCode::CONFLICT, detail));
        if running().count() >= CROWDS_MAX {
            let ids: Vec<_> = running().map(|crowd| format!("{PREFIX}/crowds/{}", crowd.id)).collect();
            return conflict(format!(
                "{CROWDS_MAX} crowds run already, which is the limit; end one first: DELETE one of {}",
                ids.join(", ")
            ));
        }
        // The other half is kept for the page: without a free connection it could not even end a crowd.
        let (taken, room) =
            (running().map(|crowd| crowd.what.subscribers as usize).sum::<usize>(), connections_max / 2);
        if taken + what.subscribers as usize > room {
            return conflict(format!(
                "crowds may hold {room} connections, half of what the server allows, and {taken} are taken; start \
                 fewer subscribers, or start the server with a larger --connections-max"
            ));
        }
        let mut arguments = vec![
            "crowd".to_owned(),
            format!("--server={}://{}", context.options.scheme(), reachable(address)),
            format!("--deployment={}", what.deployment),
            format!("--transport={}", what.transport),
            format!("--subscribers={}", what.subscribers),
            "--stop-at-stdin-end".to_owned(),
        ];
        if context.options.tls.is_some() {
            // It calls this very server by an address of this machine, and the certificate may be for another name.
            arguments.push("--insecure".to_owned());
        }
        let arguments: Vec<_> = arguments.into_iter().map(OsString::from).collect();
        let _in_runtime = self.runtime.enter();
        let process = child::start(&lab.program, &arguments, context.options.access.of_children())?;
        listing.last_id += 1;
        let first = Figures { subscribers: what.subscribers.into(), ..Figures::default() };
        let (latest, figures) = watch::channel(first);
        let stop = self.shutdown.child_token();
        self.runtime.spawn(listen(process, stop.clone(), latest));
        let crowd = Listed { id: listing.last_id, what, figures, stop };
        let (mut watched, stop) = (crowd.figures.clone(), crowd.stop.clone());
        self.runtime.spawn(async move {
            let ended = async { while watched.changed().await.is_ok() {} };
            tokio::select! {
                () = until => stop.cancel(),
                () = ended => {}
            }
        });
        let shown = crowd.show();
        listing.crowds.push_back(crowd);
        if listing.crowds.len() > LISTED_MAX
            && let Some(oldest) = listing.crowds.iter().position(|crowd| !crowd.runs())
        {
            listing.crowds.remove(oldest);
        }
        Ok(shown)
    }

    fn list(&self) -> Vec<Crowd> {
        self.listing().crowds.iter().map(Listed::show).collect()
    }

    /// Tells a crowd to stop and waits for its last figures. `None`: there is no such crowd.
    async fn end(&self, id: &str) -> Option<Crowd> {
        let found = self.listing().crowds.iter().find(|crowd| crowd.id.to_string() == id).cloned();
        let mut crowd = found?;
        crowd.stop.cancel();
        // The wait is bounded: a child that does not end is killed.
        while crowd.figures.changed().await.is_ok() {}
        self.listing().crowds.retain(|listed| listed.id != crowd.id);
        Some(crowd.show())
    }

    fn listing(&self) -> MutexGuard<'_, Listing> {
        self.listed.lock().expect("no holder panics")
    }
}

/// Keeps the latest figures of a crowd until its process has ended.
async fn listen(process: tokio::process::Child, stop: CancellationToken, latest: watch::Sender<Figures>) {
    let exit = child::watch(process, stop, STOP_MAX, |line| {
        if let Ok(figures) = serde_json::from_str(line) {
            latest.send_replace(figures);
        }
    })
    .await;
    latest.send_if_modified(|figures| {
        let ended_by_itself = figures.ended;
        if !ended_by_itself {
            figures.ended = true;
            figures.connected = 0;
            figures.problem.get_or_insert_with(|| {
                format!(
                    "the crowd's process ended with code {exit}; see the server's terminal for the reason"
                )
            });
        }
        !ended_by_itself
    });
}

/// Returns the address at which a process on this machine reaches the server.
fn reachable(address: SocketAddr) -> SocketAddr {
    use std::net::{Ipv4Addr, Ipv6Addr};
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => (Ipv4Addr::LOCALHOST, v4.port()).into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => (Ipv6Addr::LOCALHOST, v6.port()).into(),
        SocketAddr::V4(_) | SocketAddr::V6(_) => address,
    }
}

/// Mounts the calls on crowds, relative to the lab's path.
pub(super) fn mount(config: &mut web::ServiceConfig) {
    config
        .service(resource("/crowds", "GET, HEAD, POST").route(get().to(list)).route(web::post().to(start)))
        .service(resource("/crowds/{id}", "DELETE").route(web::delete().to(end)));
}

async fn list(crowds: web::Data<Crowds>) -> HttpResponse {
    no_store(HttpResponse::Ok()).json(crowds.list())
}

async fn start(
    request: HttpRequest,
    payload: web::Payload,
    context: web::Data<Context>,
    crowds: web::Data<Crowds>,
) -> Result<HttpResponse, Refusal> {
    let example = r#"{"deployment":"01k3aaaa","transport":"sse","subscribers":100}"#;
    let what: NewCrowd = json_body(payload, example).await?;
    if !(1..=SUBSCRIBERS_MAX).contains(&what.subscribers) {
        return Err(Refusal::bad_request(format!(
            "a crowd of {} subscribers is not possible; give 1 to {SUBSCRIBERS_MAX}",
            what.subscribers
        )));
    }
    let served = &context.options.transports;
    if !served.contains(&what.transport) {
        let served: Vec<_> = served.iter().map(|served| served.name()).collect();
        return Err(Refusal::bad_request(format!(
            "{} is not served here; choose one of {}",
            what.transport,
            served.join(", ")
        )));
    }
    let deployment = context.deployments.get(&what.deployment).await?;
    if let Some(status) = deployment.ended {
        return Err(Refusal::new(
            StatusCode::CONFLICT,
            format!("the deployment has {status}, so no more lines will come; name a running one"),
        ));
    }
    let lab = context.options.lab.as_ref().expect("the lab is mounted");
    let until = context.until_page_is_gone(&request)?;
    let crowd = crowds.start(&context, lab, what, until)?;
    Ok(no_store(HttpResponse::Created())
        .insert_header((LOCATION, format!("{PREFIX}/crowds/{}", crowd.id)))
        .json(crowd))
}

async fn end(request: HttpRequest, crowds: web::Data<Crowds>) -> Result<HttpResponse, Refusal> {
    let id = request.match_info().query("id");
    match crowds.end(id).await {
        Some(crowd) => Ok(no_store(HttpResponse::Ok()).json(crowd)),
        None => Err(Refusal::new(
            StatusCode::NOT_FOUND,
            format!("there is no crowd {id:?}; GET {PREFIX}/crowds lists them"),
        )),
    }
}
