//! The server of a run: starts or finds it, speaks to it, asks for its counts, and leaves it.
//!
//! A run treats all servers alike: wirelab's own, one that is running already, and one that a profile describes. Their
//! differences stand here. Leaving puts things back: a started server is ended, and a running one keeps nothing of the
//! run.

use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cell::{Cell, Running, ServeOptions, Server, Way};
use super::network::Fault;
use super::network::cut::AWAY;
use super::network::laid::Laid;
use super::process_sampler::GroupSample;
use super::publisher::{Append, Publication, Publisher, PublisherTarget};
use super::reachable;
use super::run_error::RunError;
use super::server_counts::{Others, server_traffic, traffic_so_far};
use super::server_process::{ServerCommand, ServerProcess};
use super::waiters::WaitersProbe;
use crate::api::Api;
use crate::ladder::connect_ladder;
use crate::meter::Meter;
use crate::options::Compression;
use crate::route::Route;
use crate::targets::profile::{Profile, ServerOf};
use crate::targets::{ProfileTarget, numbered, subscribe};
use crate::traffic::Traffic;
use crate::wire::{NewLine, Position, Status, Transport};
use crate::{Options, ServerUrl, Subscriber, Target, connect, os};

/// Connections of a run besides its subscribers': publisher, API, and reconnects while the old ones close.
const OTHER_CONNECTIONS: u32 = 64;
/// Time between the last connection and the first due time: requests in flight arrive, caches warm up.
const SETTLE: Duration = Duration::from_millis(300);
/// Time between the last connection and the first due time for a profile. Such a server does not say when a
/// subscription is ready: it may start a thread, or join a room.
const SETTLE_PROFILE: Duration = Duration::from_secs(1);
/// Longest time until the text that ends a log arrives, once every line had its time.
const END_MAX: Duration = Duration::from_secs(5);
/// Time between two looks at the publisher of the text that ends a log.
const LOOK: Duration = Duration::from_millis(5);

/// The server of one run, and the run's deployments there.
pub(super) struct ServerUnderTest {
    /// Process of the server; `None`: it was running already.
    process: Option<ServerProcess>,
    url: ServerUrl,
    options: Options,
    /// Address of the server for the publisher, and its way there.
    publisher: (SocketAddr, Route),
    speaks: Speaks,
    /// Network of the run. Last: the server's process ends before it.
    network: Laid,
}

enum Speaks {
    /// The server keeps wirelab's contract.
    Contract(Box<Contract>),
    /// The server speaks as a profile describes.
    Profile(ProfileTarget),
}

struct Contract {
    api: Api,
    /// What subscribers follow, one target per deployment.
    targets: Vec<Target>,
    transport: Transport,
    fallback: Vec<Transport>,
    others: Others,
    before: Option<Traffic>,
    /// Name of the proxy in front of the server, if there is one. It writes heads of its own.
    proxy: Option<String>,
}

impl Contract {
    /// Returns every transport that a subscriber may use.
    fn rungs(&self) -> Vec<Transport> {
        std::iter::once(self.transport).chain(self.fallback.iter().copied()).collect()
    }
}

/// Lines of a schedule: as they are sent, and as they must arrive.
pub(super) struct Lines {
    pub(super) sent: Arc<[(Duration, NewLine)]>,
    pub(super) expected: Arc<[(Duration, NewLine)]>,
}

impl ServerUnderTest {
    /// Starts or finds the cell's server and creates the deployments there. `program` has the command `serve`.
    pub(super) async fn start(plan: &str, program: PathBuf, cell: &Cell) -> Result<Self, RunError> {
        let network = Laid::lay(&cell.network, cell.seed)?;
        match &cell.server {
            Server::Wirelab => {
                let arguments = serve_arguments(cell);
                let (store, tls) = (cell.serve.store, cell.tls);
                let command = ServerCommand::Wirelab { program, store, tls, arguments };
                let process = ServerProcess::spawn_on(&network, &command).await?;
                let url = process.url().clone();
                Self::with_contract(network, Some(process), url, plan, cell, Others::None).await
            }
            Server::Running(Running { url, .. }) => {
                Self::with_contract(network, None, url.clone(), plan, cell, Others::Perhaps).await
            }
            Server::Profile(profile) => Self::with_profile(network, profile, cell).await,
        }
    }

    async fn with_contract(
        mut network: Laid,
        process: Option<ServerProcess>,
        url: ServerUrl,
        plan: &str,
        cell: &Cell,
        others: Others,
    ) -> Result<Self, RunError> {
        let url = cell.tls.applied_to(url);
        let mut api = Api::over(network.beside.clone(), url.clone());
        let offered: Vec<_> = api.transports().await?.into_iter().map(|transport| transport.name).collect();
        let proxy = api.proxy().map(str::to_owned).or(match &cell.server {
            Server::Running(Running { way: Way::ThroughProxy, .. }) => Some("a proxy".to_owned()),
            Server::Running(Running { way: Way::Direct, .. }) | Server::Wirelab | Server::Profile(_) => None,
        });
        let (transport, fallback) = (cell.transport, cell.fallback.clone());
        // With a fallback, the first transport may be missing on purpose.
        if fallback.is_empty() && !offered.iter().any(|name| name == transport.name()) {
            return Err(RunError::NoTransport { wanted: transport.name(), offered });
        }
        let addr = resolve(&url).await?;
        let mut targets = Vec::new();
        for _ in 0..cell.deployments {
            let deployment = api.create(plan, None).await?.id;
            targets.push(Target { server: url.clone(), deployment, from: Position::Start });
        }
        let mut contract = Contract { api, targets, transport, fallback, others, before: None, proxy };
        let rungs = contract.rungs();
        contract.before = traffic_so_far(&mut contract.api, &rungs).await;
        let speaks = Speaks::Contract(Box::new(contract));
        let publisher = network.to_server(addr).await.map_err(RunError::Publisher)?;
        Ok(Self { process, url, options: options(cell), publisher, speaks, network })
    }

    async fn with_profile(mut network: Laid, profile: &Arc<Profile>, cell: &Cell) -> Result<Self, RunError> {
        let (process, url) = match &profile.server {
            ServerOf::Start(script) => {
                let process = ServerProcess::spawn(&ServerCommand::Script { path: script.clone() }).await?;
                let url = process.url().clone();
                (Some(process), url)
            }
            ServerOf::Running(url) => (None, url.clone()),
        };
        let addr = resolve(&url).await?;
        // A new name for each run: a server that keeps lines must not send those of an earlier run.
        let deployment = format!("wirelab-{:08x}", rand::random::<u32>());
        let (profile, server) = (profile.clone(), url.clone());
        let target = ProfileTarget { profile, server, deployment, unmatched: Arc::default() };
        let speaks = Speaks::Profile(target);
        let publisher = network.to_server(addr).await.map_err(RunError::Publisher)?;
        Ok(Self { process, url, options: options(cell), publisher, speaks, network })
    }

    /// Returns a factory of subscribers for deployment number `deployment`, from 0.
    pub(super) fn subscriber(
        &self,
        deployment: usize,
    ) -> impl Fn(Arc<Meter>) -> Box<dyn Subscriber> + Send + Sync + use<> {
        type Connect = Box<dyn Fn(Arc<Meter>) -> Box<dyn Subscriber> + Send + Sync>;
        let options = self.options.clone();
        let made: Connect = match &self.speaks {
            Speaks::Contract(contract) => {
                let (target, transport) = (contract.targets[deployment].clone(), contract.transport);
                let below = contract.fallback.clone();
                if below.is_empty() {
                    Box::new(move |meter| connect(transport, target.clone(), &options, meter))
                } else {
                    Box::new(move |meter| connect_ladder(transport, &below, target.clone(), &options, meter))
                }
            }
            Speaks::Profile(target) => {
                let target = target.clone();
                Box::new(move |meter| subscribe(target.clone(), &options, meter))
            }
        };
        made
    }

    /// Returns the network of the run.
    pub(super) fn laid(&self) -> &Laid {
        &self.network
    }

    /// Returns the way of the subscribers to the server.
    pub(super) fn route(&self) -> &Route {
        &self.network.subscribers
    }

    /// Returns where and how lines of deployment number `deployment`, from 0, are published.
    pub(super) fn publisher(&self, deployment: usize) -> PublisherTarget {
        let append = match &self.speaks {
            Speaks::Contract(contract) => {
                let id = &contract.targets[deployment].deployment;
                Append::Contract { path: format!("/api/deployments/{id}/lines") }
            }
            Speaks::Profile(target) => Append::Profile {
                publish: target.profile.publish.clone(),
                deployment: target.deployment.clone(),
            },
        };
        let (addr, route) = self.publisher.clone();
        PublisherTarget { addr, route, server: self.url.clone(), append }
    }

    /// Turns the lines of a schedule into those that this server takes and those that it must deliver.
    pub(super) fn lines(&self, lines: Vec<(Duration, NewLine)>) -> Lines {
        match &self.speaks {
            Speaks::Contract(_) => {
                let lines: Arc<[_]> = lines.into();
                Lines { sent: lines.clone(), expected: lines }
            }
            // A line of such a server is a text and nothing else, so the text must contain its number.
            Speaks::Profile(_) => {
                let numbered = |(seq, (due, line)): (u64, &(Duration, NewLine))| {
                    (*due, NewLine::plain(numbered::number(seq, &line.text)))
                };
                let sent = (1..).zip(&lines).map(numbered).collect();
                let plain = |(due, line): (Duration, NewLine)| (due, NewLine::plain(line.text));
                Lines { sent, expected: lines.into_iter().map(plain).collect() }
            }
        }
    }

    /// Names the proxy between the subscribers and the server, if an answer or the plan names one.
    pub(super) fn proxy(&self) -> Option<String> {
        match &self.speaks {
            Speaks::Contract(contract) => contract.proxy.clone(),
            Speaks::Profile(_) => None,
        }
    }

    /// Returns what the server sent first that its profile does not take for a line.
    pub(super) fn unmatched(&self) -> Option<String> {
        match &self.speaks {
            Speaks::Contract(_) => None,
            Speaks::Profile(target) => target.unmatched.get().cloned(),
        }
    }

    /// Returns the time between the last connection and the first due time.
    pub(super) fn settle(&self) -> Duration {
        match &self.speaks {
            Speaks::Contract(_) => SETTLE,
            Speaks::Profile(_) => SETTLE_PROFILE,
        }
    }

    /// Returns the pid of the server, if it was started for the run.
    pub(super) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(ServerProcess::pid)
    }

    /// Returns the cost of the server's processes so far; nothing for a server that was running already.
    pub(super) fn sample(&self) -> GroupSample {
        self.process.as_ref().map(|process| GroupSample::take(process.pid())).unwrap_or_default()
    }

    /// Returns the CPU time that wirelab's own server has used, which is one process. `None` for other servers: some
    /// have workers.
    pub(super) fn cpu(&self) -> Option<Duration> {
        match &self.speaks {
            Speaks::Contract(_) => os::process_cpu(self.process.as_ref()?.pid()),
            Speaks::Profile(_) => None,
        }
    }

    /// Starts to count the subscribers that the server holds during `window`. `None`: the server cannot say, or other
    /// clients may be connected.
    pub(super) fn waiters(&self, window: Range<Instant>) -> Option<WaitersProbe> {
        match &self.speaks {
            Speaks::Contract(contract) => match contract.others {
                Others::None => Some({
                    let api = Api::over(self.network.beside.clone(), self.url.clone());
                    WaitersProbe::start(api, contract.rungs(), window)
                }),
                Others::Perhaps => None,
            },
            Speaks::Profile(_) => None,
        }
    }

    /// Returns why the server is gone, if it is.
    pub(super) fn died(&mut self) -> Option<String> {
        let process = self.process.as_mut()?;
        let status = process.has_ended()?;
        Some(format!("the server ended during the run ({status}){}", process.said()))
    }

    /// Returns why the network was not the one that the plan describes, if it was not.
    pub(super) fn network_problem(&self) -> Option<String> {
        if self.network.has_failed() {
            return Some(
                "a device of the link failed, and nothing was carried any more; let nothing else remove network \
                 devices during a run"
                    .to_owned(),
            );
        }
        match self.network.unplanned_count() {
            0 => None,
            count => Some(format!(
                "the link dropped {count} packets that it should have delivered: this machine is too slow for it; \
                 take fewer subscribers or lines"
            )),
        }
    }

    /// Ends a deployment's log, so that subscribers learn of the end in the same way as of the lines. Returns the
    /// problem, if there was one.
    pub(super) async fn finish(&mut self, deployment: usize, lines_count: u64) -> Option<String> {
        let publisher = self.publisher(deployment);
        match &mut self.speaks {
            Speaks::Contract(contract) => {
                let id = &contract.targets[deployment].deployment;
                contract.api.finish(id, Status::Succeeded).await.err().map(|error| error.to_string())
            }
            Speaks::Profile(_) => {
                let end = NewLine::plain(numbered::end(lines_count));
                let lines = [(Duration::ZERO, end)].into();
                let publication = Publication { lines, start: Instant::now(), warm_up: Duration::ZERO };
                let publisher = match Publisher::start(publisher, publication) {
                    Ok(publisher) => publisher,
                    Err(error) => return Some(format!("the end of the log cannot be published: {error}")),
                };
                while !publisher.is_finished() {
                    tokio::time::sleep(LOOK).await;
                }
                publisher
                    .join()
                    .problem
                    .map(|problem| format!("the end of the log was not published: {problem}"))
            }
        }
    }

    /// Returns how long subscribers may take to see the end when not all lines arrived within the drain.
    pub(super) fn end_limit(&self) -> Duration {
        match &self.speaks {
            // A line that has not arrived when the drain ends is censored, even if it would come now.
            Speaks::Contract(_) => Duration::ZERO,
            // Only the end of the log tells lost lines from late ones.
            Speaks::Profile(_) => END_MAX,
        }
    }

    /// Returns the server's counts of the run. `None`: the server cannot say.
    pub(super) async fn counts(&mut self) -> Option<Traffic> {
        match &mut self.speaks {
            Speaks::Contract(contract) => {
                let rungs = contract.rungs();
                server_traffic(&mut contract.api, &rungs, contract.others).await?.since(contract.before?)
            }
            Speaks::Profile(_) => None,
        }
    }

    /// Ends a server that was started; deletes the deployments on one that was running already. Returns the problem, if
    /// there was one.
    pub(super) async fn leave(self) -> Option<String> {
        match (self.process, self.speaks) {
            (Some(process), _) => match process.stop().await {
                Ok(stopped) => {
                    stopped.killed.then(|| "the server did not stop when it was told to".to_owned())
                }
                Err(error) => Some(format!("the server could not be stopped: {error}")),
            },
            (None, Speaks::Contract(mut contract)) => {
                let mut problem = None;
                for target in &contract.targets {
                    if let Err(error) = contract.api.delete(&target.deployment).await {
                        let left =
                            || format!("deployment {} is still on the server: {error}", target.deployment);
                        problem.get_or_insert_with(left);
                    }
                }
                problem
            }
            (None, Speaks::Profile(_)) => None,
        }
    }
}

fn options(cell: &Cell) -> Options {
    let first_wait = match &cell.fault {
        Some(Fault::Cut(_)) => Some(AWAY),
        Some(Fault::Stop(_)) | None => None,
    };
    Options { first_wait, ..cell.options.clone() }
}

/// Returns the flags of `wirelab serve` for a cell; options with their default value are left out.
fn serve_arguments(cell: &Cell) -> Vec<String> {
    let ServeOptions { store: _, linger, heartbeat, compression, poll_advice, without, engine } = &cell.serve;
    let defaults = ServeOptions::default();
    let text = |duration: Duration| humantime::format_duration(duration).to_string();
    let served: Vec<_> = Transport::ALL
        .iter()
        .filter(|transport| !without.contains(transport))
        .map(|transport| transport.name())
        .collect();
    let flags = [
        Some(("--connections-max", (cell.connections() + OTHER_CONNECTIONS).to_string())),
        (*linger != defaults.linger).then(|| ("--linger", text(*linger))),
        (*heartbeat != defaults.heartbeat).then(|| ("--heartbeat", text(*heartbeat))),
        compression_flag(*compression).map(|(flag, value)| (flag, value.to_owned())),
        poll_advice.map(|advice| ("--poll-advice", text(advice))),
        (!without.is_empty()).then(|| ("--transports", served.join(","))),
        (*engine != defaults.engine).then(|| ("--websocket-engine", engine.to_string())),
    ];
    flags.into_iter().flatten().flat_map(|(flag, value)| [flag.to_owned(), value]).collect()
}

/// Returns the flag by which `wirelab serve` offers a compression; `None` for none.
pub(in crate::harness) fn compression_flag(compression: Compression) -> Option<(&'static str, &'static str)> {
    match compression {
        Compression::Identity => None,
        Compression::Gzip => Some(("--compression", compression.name())),
        Compression::Deflate => Some(("--websocket-compression", "context-takeover")),
        Compression::DeflateNoContextTakeover => Some(("--websocket-compression", "no-context-takeover")),
    }
}

async fn resolve(url: &ServerUrl) -> Result<SocketAddr, RunError> {
    let unreachable = |error| RunError::Unreachable { server: url.to_string(), error };
    reachable::address_of(url).await.map_err(unreachable)
}
