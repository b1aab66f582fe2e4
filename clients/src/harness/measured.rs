//! The server of a run: how it is started or found, spoken to, asked for its counts, and left.
//!
//! A run treats all alike: wirelab's own, one that is running already, and one that a profile describes. What
//! differs between them stands here. Leaving puts things back: a started server is ended, and a running one keeps
//! nothing of the run.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::network::Fault;
use super::network::cut::AWAY;
use super::plan::{Cell, Server};
use super::process_sampler::GroupSample;
use super::publisher::{Append, Publication, Publisher, PublisherTarget};
use super::run::RunError;
use super::server_counts::{Others, server_traffic, traffic_so_far};
use super::server_process::{ServerCommand, ServerProcess};
use crate::api::Api;
use crate::meter::Meter;
use crate::targets::profile::{Profile, ServerOf};
use crate::targets::{ProfileTarget, numbered, subscribe};
use crate::traffic::Traffic;
use crate::wire::{From as Position, NewLine, Status, Transport};
use crate::{Options, Polling, ServerUrl, Subscriber, Target, connect};

/// Connections of a run besides its subscribers': publisher, API, and reconnects while the old ones close.
const OTHER_CONNECTIONS: u32 = 64;
/// Between the last connection and the first due time: requests in flight arrive, caches warm up.
const SETTLE: Duration = Duration::from_millis(300);
/// The same where nobody says that a subscription holds: a thread is started, a room is joined.
const SETTLE_PROFILE: Duration = Duration::from_secs(1);
/// How long the text that ends a log may take to arrive, once every line had its time.
const END_MAX: Duration = Duration::from_secs(5);
/// How often the publisher of that text is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// The server of one run, and the deployment there.
pub(super) struct Measured {
    /// `None`: somebody else's.
    process: Option<ServerProcess>,
    addr: SocketAddr,
    url: ServerUrl,
    options: Options,
    speaks: Speaks,
}

enum Speaks {
    /// wirelab's contract.
    Contract { api: Api, target: Target, transport: Transport, others: Others, before: Option<Traffic> },
    /// What a profile says.
    Profile(ProfileTarget),
}

/// The lines of a schedule: as they are sent, and as they must arrive.
pub(super) struct Lines {
    pub(super) sent: Vec<(Duration, NewLine)>,
    pub(super) expected: Vec<NewLine>,
}

impl Measured {
    /// Starts or finds the cell's server and makes a deployment there. `program` has the command `serve`.
    pub(super) async fn start(plan: &str, program: PathBuf, cell: &Cell) -> Result<Self, RunError> {
        match &cell.server {
            Server::Wirelab => {
                let connections_max = (cell.subscribers + OTHER_CONNECTIONS).to_string();
                let arguments = vec!["--connections-max".to_owned(), connections_max];
                let command = ServerCommand::Wirelab { program, store: cell.store, arguments };
                let process = ServerProcess::spawn(&command).await?;
                let url = url_of(process.addr());
                Self::with_contract(Some(process), url, plan, cell, Others::None).await
            }
            Server::Running(url) => Self::with_contract(None, url.clone(), plan, cell, Others::Perhaps).await,
            Server::Profile(profile) => Self::with_profile(profile, cell).await,
        }
    }

    async fn with_contract(
        process: Option<ServerProcess>,
        url: ServerUrl,
        plan: &str,
        cell: &Cell,
        others: Others,
    ) -> Result<Self, RunError> {
        let mut api = Api::new(url.clone());
        let offered: Vec<_> = api.transports().await?.into_iter().map(|transport| transport.name).collect();
        let transport = cell.transport;
        if !offered.iter().any(|name| name == transport.name()) {
            return Err(RunError::NoTransport { wanted: transport.name(), offered });
        }
        let addr = resolve(&url).await?;
        let before = traffic_so_far(&mut api, transport).await;
        let deployment = api.create(plan, None).await?.id;
        let target = Target { server: url.clone(), deployment, from: Position::Start };
        let speaks = Speaks::Contract { api, target, transport, others, before };
        Ok(Self { process, addr, url, options: options(cell), speaks })
    }

    async fn with_profile(profile: &Arc<Profile>, cell: &Cell) -> Result<Self, RunError> {
        let (process, url) = match &profile.server {
            ServerOf::Start(script) => {
                let process = ServerProcess::spawn(&ServerCommand::Script { path: script.clone() }).await?;
                let url = url_of(process.addr());
                (Some(process), url)
            }
            ServerOf::Running(url) => (None, url.clone()),
        };
        let addr = resolve(&url).await?;
        // Of its own, so that a server that keeps lines gives none of an earlier run.
        let deployment = format!("wirelab-{:08x}", rand::random::<u32>());
        let speaks =
            Speaks::Profile(ProfileTarget { profile: profile.clone(), server: url.clone(), deployment });
        Ok(Self { process, addr, url, options: options(cell), speaks })
    }

    /// Makes the run's subscribers.
    pub(super) fn subscriber(&self) -> impl Fn(Arc<Meter>) -> Box<dyn Subscriber> + Send + Sync + use<> {
        type Connect = Box<dyn Fn(Arc<Meter>) -> Box<dyn Subscriber> + Send + Sync>;
        let options = self.options.clone();
        let made: Connect = match &self.speaks {
            Speaks::Contract { target, transport, .. } => {
                let (target, transport) = (target.clone(), *transport);
                Box::new(move |meter| connect(transport, target.clone(), &options, meter))
            }
            Speaks::Profile(target) => {
                let target = target.clone();
                Box::new(move |meter| subscribe(target.clone(), &options, meter))
            }
        };
        made
    }

    /// Where and how lines are published.
    pub(super) fn publisher(&self) -> PublisherTarget {
        let append = match &self.speaks {
            Speaks::Contract { target, .. } => {
                Append::Contract { path: format!("/api/deployments/{}/lines", target.deployment) }
            }
            Speaks::Profile(target) => Append::Profile {
                publish: target.profile.publish.clone(),
                deployment: target.deployment.clone(),
            },
        };
        PublisherTarget { addr: self.addr, host: self.url.authority().to_owned(), append }
    }

    /// The lines of a schedule, as this server takes and gives them.
    pub(super) fn lines(&self, lines: Vec<(Duration, NewLine)>) -> Lines {
        match &self.speaks {
            Speaks::Contract { .. } => {
                let expected = lines.iter().map(|(_, line)| line.clone()).collect();
                Lines { sent: lines, expected }
            }
            // It has a text and nothing else, and the text must say which line it is.
            Speaks::Profile(_) => {
                let numbered = |(seq, (due, line)): (u64, &(Duration, NewLine))| {
                    (*due, NewLine::plain(numbered::number(seq, &line.text)))
                };
                let expected = lines.iter().map(|(_, line)| NewLine::plain(line.text.as_str())).collect();
                Lines { sent: (1..).zip(&lines).map(numbered).collect(), expected }
            }
        }
    }

    /// Between the last connection and the first due time.
    pub(super) fn settle(&self) -> Duration {
        match &self.speaks {
            Speaks::Contract { .. } => SETTLE,
            Speaks::Profile(_) => SETTLE_PROFILE,
        }
    }

    /// What its processes cost so far; nothing of a server that somebody else started.
    pub(super) fn sample(&self) -> GroupSample {
        self.process.as_ref().map(|process| GroupSample::take(process.pid())).unwrap_or_default()
    }

    /// Why it is gone, if it is.
    pub(super) fn died(&mut self) -> Option<String> {
        let process = self.process.as_mut()?;
        let status = process.has_ended()?;
        Some(format!("the server ended during the run ({status}){}", process.said()))
    }

    /// Ends the log, so that subscribers learn of it as they learned of the lines. The problem, if there was one.
    pub(super) async fn finish(&mut self, lines_count: u64) -> Option<String> {
        let publisher = self.publisher();
        match &mut self.speaks {
            Speaks::Contract { api, target, .. } => {
                api.finish(&target.deployment, Status::Succeeded).await.err().map(|error| error.to_string())
            }
            Speaks::Profile(_) => {
                let end = NewLine::plain(numbered::end(lines_count));
                let lines = vec![(Duration::ZERO, end)];
                let publication = Publication { lines, start: Instant::now(), warm_up: Duration::ZERO };
                let publisher = match Publisher::start(publisher, publication) {
                    Ok(publisher) => publisher,
                    Err(error) => return Some(format!("the end of the log cannot be published: {error}")),
                };
                while !publisher.is_finished() {
                    tokio::time::sleep(LOOK).await;
                }
                publisher.join().problem.map(|problem| format!("the end of the log: {problem}"))
            }
        }
    }

    /// How long subscribers may take to see the end when not all lines arrived within the drain.
    pub(super) fn end_limit(&self) -> Duration {
        match &self.speaks {
            // What has not arrived when the drain ends is censored, also if it would come now.
            Speaks::Contract { .. } => Duration::ZERO,
            // Only the end tells lost from late.
            Speaks::Profile(_) => END_MAX,
        }
    }

    /// What the server counted of the run. `None`: it cannot say.
    pub(super) async fn counts(&mut self) -> Option<Traffic> {
        match &mut self.speaks {
            Speaks::Contract { api, transport, others, before, .. } => {
                server_traffic(api, *transport, *others).await?.since((*before)?)
            }
            Speaks::Profile(_) => None,
        }
    }

    /// Ends a server that was started; deletes the deployment of one that was not. The problem, if there was one.
    pub(super) async fn leave(self) -> Option<String> {
        match (self.process, self.speaks) {
            (Some(process), _) => match process.stop().await {
                Ok(stopped) => {
                    stopped.killed.then(|| "the server did not stop when it was told to".to_owned())
                }
                Err(error) => Some(format!("the server could not be stopped: {error}")),
            },
            (None, Speaks::Contract { mut api, target, .. }) => {
                let deleted = api.delete(&target.deployment).await;
                let left = |error| format!("deployment {} is left on the server: {error}", target.deployment);
                deleted.err().map(left)
            }
            (None, Speaks::Profile(_)) => None,
        }
    }
}

fn options(cell: &Cell) -> Options {
    let first_wait = cell.fault.as_ref().map(|Fault::Cut(_)| AWAY);
    let polling = Polling::every(cell.poll_interval);
    Options { polling, hold: cell.hold, first_wait, ..Options::default() }
}

fn url_of(addr: SocketAddr) -> ServerUrl {
    format!("http://{addr}").parse().expect("a socket address is host and port")
}

async fn resolve(url: &ServerUrl) -> Result<SocketAddr, RunError> {
    let unreachable = |error| RunError::Unreachable { server: url.to_string(), error };
    let mut found = tokio::net::lookup_host(url.authority()).await.map_err(unreachable)?;
    found.next().ok_or_else(|| unreachable(io::Error::from(io::ErrorKind::NotFound)))
}
