//! The calibration: measures the links of a plan and the constants of the theory before the first run.
//!
//! Each network's link is compared with its configuration first, and one that is off is refused. The constants are those
//! of a server started like the plan's own, idle, with deployments that it deletes again, over the network of its runs.
//! An echo gives the round trip, and sleeps give the timer. Appends followed by a stream give the time of an append.
//! Single exchanges of every arm give the weight of its questions and answers. It takes about a second per server, and
//! about two seconds per arm where a link makes exchanges long. It knows no formula, and nothing that it measures
//! belongs to a run.

mod arms;
mod times;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cell::{Cell, ServeOptions, Server};
use super::due_table::DueTable;
use super::link_check::{Echo, Effort, LinkError, Samples, check_link, connects_s};
use super::network::emulated::{Network, NetworkKind, PublisherPlace};
use super::network::laid::{Laid, NetworkError};
use super::network::link_figures::{LinkFigures, mean_delays_s, network_name};
use super::publisher::{Append, Publication, Publisher, PublisherTarget};
use super::reachable;
use super::schedule::{Generated, Schedule};
use super::server_process::{ServerCommand, ServerProcess, ServerProcessError};
use super::subscribers::{Expected, Subscribers};
use super::theory::calibration::{CalibratedArm, CalibratedLink, Calibration};
use super::theory::spread::Spread;
use super::theory::{Setting, server_name};
use crate::api::{Api, ApiError};
use crate::latency::LatencyHistogram;
use crate::link::{Link, Loss};
use crate::options::Compression;
use crate::wire::{DeploymentId, Position, Status, Transport, Waits};
use crate::{Options, ServerUrl, Target, connect};

/// Longest time of the calibration of one server without distance; a second is usual.
const CALIBRATION_MAX: Duration = Duration::from_secs(20);
/// Round trips that the calibration of one arm, or of what all arms share, takes at most: the smallest numbers of samples
/// that it takes add up to 40.
const ROUND_TRIPS_MAX: u32 = 60;
/// Time that a link with losses may take besides: a lost packet is sent again after 0.2 s to a second.
const LOSSES_MAX: Duration = Duration::from_secs(60);
/// Lines appended to measure the time of an append. The mean of the 60 that count varies about an eighth as much as one
/// line. Fewer are enough where each must wait for a distance: what varies is small beside it.
const LINES: Samples = Samples { least: 8, most: 70, budget: Duration::from_millis(1_500) };
/// One of so many lines comes at the start, finds caches cold and is not counted.
const LINES_PER_COLD: usize = 7;
/// Time from one line to the next: so long that each finds an idle server.
const LINE_PERIOD: Duration = Duration::from_millis(4);
/// Times that are taken of a connection to the server.
const CONNECTS: Samples = Samples { least: 5, most: 10, budget: Duration::from_millis(500) };
/// Times that are taken of an echo.
const ECHOES: Samples = Samples { least: 9, most: 300, budget: Duration::from_secs(1) };
/// Bytes of a line, the default of plans.
const PAYLOAD_BYTES: usize = 100;
/// Streams from which the cost of one more subscriber is taken.
const FAN_OUT: u32 = 8;
/// Time between the last connection and the first line, beside a round trip for the request.
const SETTLE: Duration = Duration::from_millis(20);
/// Time between two looks at a condition that is waited for.
const LOOK: Duration = Duration::from_millis(2);
/// Longest wait for the last line, beside a round trip.
const DRAIN: Duration = Duration::from_secs(2);

/// Error of the calibration.
#[derive(Debug, thiserror::Error)]
pub enum CalibrationError {
    /// The caller interrupted the calibration.
    #[error("interrupted")]
    Interrupted,
    /// The server could not be started or failed.
    #[error(transparent)]
    Server(#[from] ServerProcessError),
    /// The server refused a call of the API.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// A link is off its configuration, or could not be measured.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A network could not be laid.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A local socket failed.
    #[error("a connection for the calibration failed: {0}")]
    Socket(#[from] io::Error),
    /// An exchange with the server went wrong.
    #[error("an exchange of {transport} for the calibration failed: {why}")]
    Exchange {
        /// Transport of the exchange.
        transport: Transport,
        /// Reason.
        why: String,
    },
    /// The calibration took too long.
    #[error("the calibration took more than {} s; the server or this machine is too busy", .0.as_secs())]
    TooSlow(Duration),
}

/// What was measured before the runs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Calibrated {
    /// Figures of each network's link. Without a network there are none.
    pub links: Vec<LinkFigures>,
    /// Constants of each server over each network.
    pub servers: Vec<Calibration>,
}

/// Measures every network's link among the cells, then the constants of every server and arm over each network. Profiles
/// have no constants, because no formula covers them. `program` has the command `serve`.
///
/// When `interrupted` is ready, it ends with [`CalibrationError::Interrupted`]. However it ends, it deletes its
/// deployments on a server that was already running.
pub async fn calibrate(
    program: PathBuf,
    cells: &[Cell],
    interrupted: impl Future<Output = ()>,
) -> Result<Calibrated, CalibrationError> {
    let mut interrupted = pin!(interrupted);
    let links = tokio::select! {
        links = links(cells) => links?,
        () = &mut interrupted => return Err(CalibrationError::Interrupted),
    };
    let mut calibrated = Calibrated { links, servers: Vec::new() };
    let mut names: Vec<String> = Vec::new();
    for cell in cells {
        let name = server_name(cell);
        if names.contains(&name) {
            continue;
        }
        names.push(name.clone());
        let of_server: Vec<_> = cells.iter().filter(|cell| server_name(cell) == name).collect();
        let laid = Laid::lay(&cell.network, cell.seed)?;
        let process = match &cell.server {
            Server::Wirelab => Some(start(&laid, program.clone(), cell).await?),
            Server::Running(_) => None,
            Server::Profile(_) => continue,
        };
        let url = match (&cell.server, &process) {
            (Server::Running(running), _) => running.url.clone(),
            (_, Some(process)) => url_of(process.addr()),
            (Server::Wirelab | Server::Profile(_), None) => continue,
        };
        let mut bench = Bench::of(url, laid, cell.network.clone()).await?;
        let limit = limit(&of_server);
        let measured = tokio::select! {
            measured = tokio::time::timeout(limit, bench.measure(name, &of_server)) => {
                measured.unwrap_or(Err(CalibrationError::TooSlow(limit)))
            }
            () = &mut interrupted => Err(CalibrationError::Interrupted),
        };
        bench.clear().await;
        if let Some(process) = process {
            // The server's exit does not matter here: it served what was asked of it.
            let _ = process.stop().await;
        }
        calibrated.servers.push(measured?);
    }
    Ok(calibrated)
}

/// Measures the link of each network among the cells, and refuses one that is off.
async fn links(cells: &[Cell]) -> Result<Vec<LinkFigures>, CalibrationError> {
    let mut links: Vec<LinkFigures> = Vec::new();
    for cell in cells {
        let name = network_name(&cell.network);
        if links.iter().all(|link| link.network != name) {
            let laid = Laid::lay(&cell.network, cell.seed)?;
            links.extend(check_link(&cell.network, &laid, Effort::Calibration).await?);
        }
    }
    Ok(links)
}

/// Returns the longest time of the calibration of one server over one network.
fn limit(cells: &[&Cell]) -> Duration {
    let mut arms: Vec<CalibratedArm> = Vec::new();
    for arm in cells.iter().map(|cell| Setting::of(cell).arm()) {
        if !arms.contains(&arm) {
            arms.push(arm);
        }
    }
    let Link { up, down, .. } = &cells[0].network.link;
    let losses = if up.loss == Loss::None && down.loss == Loss::None { Duration::ZERO } else { LOSSES_MAX };
    let round_trips = ROUND_TRIPS_MAX * (arms.len() as u32 + 1);
    CALIBRATION_MAX + losses + cells[0].network.link.round_trip() * round_trips
}

/// Starts a server like the plan's own at its place in the network, but without what delays answers on purpose, with all
/// transports, and with the default engine: frames weigh the same with both engines.
async fn start(laid: &Laid, program: PathBuf, cell: &Cell) -> Result<ServerProcess, ServerProcessError> {
    let ServeOptions { store, compression, .. } = &cell.serve;
    let arguments = match compression {
        Compression::Identity => Vec::new(),
        Compression::Gzip => vec!["--compression".to_owned(), compression.to_string()],
    };
    ServerProcess::spawn_on(laid, &ServerCommand::Wirelab { program, store: *store, arguments }).await
}

fn url_of(addr: SocketAddr) -> ServerUrl {
    format!("http://{addr}").parse().expect("a socket address is host and port")
}

/// Server that is being calibrated.
struct Bench {
    url: ServerUrl,
    addr: SocketAddr,
    /// Way of the subscribers to it, and of what stands beside it.
    laid: Laid,
    network: Network,
    api: Api,
    /// Deployments to delete again.
    deployments: Vec<DeploymentId>,
}

impl Bench {
    async fn of(url: ServerUrl, laid: Laid, network: Network) -> Result<Self, CalibrationError> {
        let addr = reachable::address_of(&url).await?;
        let api = Api::over(laid.beside.clone(), url.clone());
        Ok(Self { api, url, addr, laid, network, deployments: Vec::new() })
    }

    /// Returns the time that the link adds to every exchange.
    fn round_trip(&self) -> Duration {
        self.network.link.round_trip()
    }

    /// Measures round trips over a socket of the subscribers' kind, s. There is no echo on another machine, but opening a
    /// connection takes one round trip.
    async fn echoes(&self, connect_s: &Spread) -> Result<Spread, CalibrationError> {
        if !self.addr.ip().is_loopback() && self.network.kind != NetworkKind::Tun {
            return Ok(connect_s.clone());
        }
        let echo = Echo::start(&self.laid)?;
        let echoes_s = echo.echoes_s(&self.laid.subscribers, ECHOES.count(self.round_trip())).await?;
        Ok(Spread::of(echoes_s).expect("there is one"))
    }

    /// Returns the link's delays as they are configured; `None` without a network.
    fn link(&self) -> Option<CalibratedLink> {
        match self.network.kind {
            NetworkKind::None => None,
            NetworkKind::Line | NetworkKind::Tun | NetworkKind::Auto => {
                let [up_s, down_s] = mean_delays_s(&self.network.link);
                Some(CalibratedLink { up_s, down_s })
            }
        }
    }

    async fn measure(&mut self, server: String, cells: &[&Cell]) -> Result<Calibration, CalibrationError> {
        let offered: Vec<String> = self.api.transports().await?.into_iter().map(|info| info.name).collect();
        let connects = CONNECTS.count(self.round_trip());
        let connects_s = connects_s(&self.addr.to_string(), &self.laid.subscribers, connects).await?;
        let connect_s = Spread::of(connects_s).expect("there is one");
        let mut calibration = Calibration {
            server,
            link: self.link(),
            round_trip_s: self.echoes(&connect_s).await?,
            connect_s,
            timer_late_s: times::sleeps().await,
            visible_s: Spread::constant(0.0),
            write_s: None,
            arms: Vec::new(),
        };
        let idle = Options::default();
        match followed_over(&offered) {
            Some(transport) => {
                let alone = self.published(transport, &idle, 1).await?.received(transport)?;
                let together = self.published(transport, &idle, FAN_OUT).await?.received(transport)?;
                let write_s = (together.mean_s - alone.mean_s) / (f64::from(FAN_OUT - 1) / 2.0);
                calibration.write_s = Some(write_s).filter(|write_s| *write_s > 0.0);
                calibration.visible_s = alone.shifted(-calibration.one_way_s());
            }
            // Nobody is told when a line is there, but it is before the server says so. The publisher hears of it: beside the
            // server at once, across the link a way later.
            None => {
                let acknowledged = self.published(Transport::ShortPoll, &idle, 0).await?.acknowledged()?;
                let way_s = match self.network.publisher {
                    PublisherPlace::Beside => calibration.machine_one_way_s(),
                    PublisherPlace::Across => calibration.one_way_s(),
                };
                calibration.visible_s = acknowledged.shifted(-way_s);
            }
        }
        for cell in cells {
            let arm = Setting::of(cell).arm();
            let known = calibration.arm(&arm).is_some();
            if !known && offered.iter().any(|name| name == arm.transport.name()) {
                calibration.arms.push(self.arm(arm).await?);
            }
        }
        Ok(calibration)
    }

    /// Creates a deployment that [`Self::clear`] deletes.
    async fn deployment(&mut self) -> Result<Target, CalibrationError> {
        let id = self.api.create("calibration", None).await?.id;
        self.deployments.push(id.clone());
        Ok(Target { server: self.url.clone(), deployment: id, from: Position::Start })
    }

    /// Publishes lines that find an idle server to this many subscribers.
    async fn published(
        &mut self,
        transport: Transport,
        options: &Options,
        subscribers: u32,
    ) -> Result<LinesPublished, CalibrationError> {
        let target = self.deployment().await?;
        let path = format!("/api/deployments/{}/lines", target.deployment);
        let (options, followed) = (options.clone(), target.clone());
        // A poll that is to be held must have come back by the time of the next line.
        let period = match transport.waits() {
            Waits::ServerOnce => LINE_PERIOD + self.round_trip().mul_f64(1.5),
            Waits::Client | Waits::ServerForever => LINE_PERIOD,
        };
        let (count, rate_hz) = (LINES.count(period) as u32, 1.0 / period.as_secs_f64());
        let subscribers = Subscribers::start(subscribers, &self.laid.subscribers, move |meter| {
            connect(transport, followed.clone(), &options, meter)
        });
        while subscribers.connected_count() < subscribers.count() {
            tokio::time::sleep(LOOK).await;
        }
        let lines = Generated { rate_hz, duration: period * count, payload_bytes: PAYLOAD_BYTES };
        let lines: Arc<[_]> = Schedule::Periodic { lines }.lines().collect();
        let warm_up = period * (count / LINES_PER_COLD as u32).max(1);
        let start = Instant::now() + SETTLE + self.round_trip();
        let due = lines.iter().map(|(due, _)| *due).collect();
        let table = Arc::new(DueTable::new(start, due, warm_up));
        subscribers.expect(Arc::new(Expected { table, lines: lines.clone() }));
        let host = self.url.authority().to_owned();
        let (addr, route) = self.laid.to_server(self.addr).await?;
        let publisher = PublisherTarget { addr, route, host, append: Append::Contract { path } };
        let publisher = Publisher::start(publisher, Publication { lines, start, warm_up })?;
        while !publisher.is_finished() {
            tokio::time::sleep(LOOK).await;
        }
        let published = publisher.join();
        self.api.finish(&target.deployment, Status::Succeeded).await?;
        let outcome = subscribers.finish(DRAIN + self.round_trip()).await;
        Ok(LinesPublished { latency: outcome.delivery.latency, append: published.append })
    }

    /// Deletes what was made. A deployment that a server refuses to delete ends with the server, and shows in no
    /// number.
    async fn clear(&mut self) {
        for id in std::mem::take(&mut self.deployments) {
            let _ = self.api.delete(&id).await;
        }
    }
}

/// Times of lines that found an idle server.
struct LinesPublished {
    /// Due time → receipt.
    latency: LatencyHistogram,
    /// Send → 201.
    append: LatencyHistogram,
}

impl LinesPublished {
    /// Returns due time → receipt over `transport`, s.
    fn received(&self, transport: Transport) -> Result<Spread, CalibrationError> {
        let none = || CalibrationError::Exchange { transport, why: "no line arrived".to_owned() };
        spread_of(&self.latency).ok_or_else(none)
    }

    /// Returns send → 201, s.
    fn acknowledged(&self) -> Result<Spread, CalibrationError> {
        let none = || io::Error::new(io::ErrorKind::UnexpectedEof, "no append was acknowledged");
        spread_of(&self.append).ok_or_else(|| none().into())
    }
}

/// Returns the transport over which a line is received soonest, among those that the server offers: one whose server
/// waits, for ever or else once. NDJSON comes first, which has the least to parse. `None`: its clients only ask.
fn followed_over(offered: &[String]) -> Option<Transport> {
    let is_offered = |transport: &Transport| offered.iter().any(|name| name == transport.name());
    let by_wait = |waits| {
        let all = std::iter::once(Transport::Ndjson).chain(Transport::ALL.iter().copied());
        all.filter(is_offered).find(|transport| transport.waits() == waits)
    };
    by_wait(Waits::ServerForever).or_else(|| by_wait(Waits::ServerOnce))
}

/// Returns the samples of a histogram, s.
fn spread_of(latencies: &LatencyHistogram) -> Option<Spread> {
    let samples = latencies.histogram().iter_recorded().flat_map(|step| {
        let sample_s = step.value_iterated_to() as f64 / 1e6;
        std::iter::repeat_n(sample_s, step.count_at_value() as usize)
    });
    Spread::of(samples.collect())
}

/// Returns the options of an arm's client; the calibration decides when it asks.
fn options(arm: &CalibratedArm) -> Options {
    let CalibratedArm { transport: _, http, connections, compression, condition } = *arm;
    let mut options = Options { http, connections, compression, ..Options::default() };
    options.polling.condition = condition;
    options
}
