//! The calibration: measures the links of a plan and the constants of the theory before the first run.
//!
//! Each network's link is compared with its configuration first, and one that is off is refused. The constants are those
//! of a server started like the plan's own, idle, with deployments that it deletes again, over the network of its runs.
//! An echo gives the round trip, and sleeps give the timer. Appends give the time until a line is seen. Publisher and
//! readers of those stand beside the server, so no link is in that time, and no prediction over a link is made of itself.
//! Single exchanges of every arm give the weight of its questions and answers. It takes about a second per server, and
//! about two seconds per arm where a link makes exchanges long. It knows no formula, and nothing that it measures
//! belongs to a run.

mod arms;
mod lines;
mod times;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use super::cell::{Cell, ServeOptions, Server};
use super::link_check::{Echo, Effort, LinkError, Samples, check_link, connects_s};
use super::network::emulated::{Network, NetworkKind, PublisherPlace};
use super::network::error::NetworkError;
use super::network::laid::Laid;
use super::network::link_figures::{LinkFigures, echo_time, mean_delays_s, network_name};
use super::reachable;
use super::server_process::{ServerCommand, ServerProcess, ServerProcessError};
use super::server_under_test::compression_flag;
use super::theory::calibration::{CalibratedArm, CalibratedLink, Calibration};
use super::theory::spread::Spread;
use super::theory::{Setting, server_name};
use crate::api::{Api, ApiError};
use crate::link::{Link, Loss};
use crate::route::Route;
use crate::wire::{DeploymentId, Position, Transport, Waits};
use crate::{Options, ServerUrl, Target};

/// Longest time of the calibration of one server without distance; a second is usual.
const CALIBRATION_MAX: Duration = Duration::from_secs(20);
/// Round trips that the calibration of one arm, or of what all arms share, takes at most: the smallest numbers of samples
/// that it takes add up to 40.
const ROUND_TRIPS_MAX: u32 = 60;
/// Time that a link with losses may take besides: a lost packet is sent again after 0.2 s to a second.
const LOSSES_MAX: Duration = Duration::from_secs(60);
/// Times that are taken of a connection to the server.
const CONNECTS: Samples = Samples { least: 5, most: 10, budget: Duration::from_millis(500) };
/// Times that are taken of an echo.
const ECHOES: Samples = Samples { least: 9, most: 300, budget: Duration::from_secs(1) };
/// Streams from which the cost of one more subscriber is taken.
const FAN_OUT: u32 = 8;

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
    /// Reason why the constants of a server over a network could not be measured, if so; the first one. A link may be too
    /// slow or lose too much for that, and still have runs.
    pub problem: Option<String>,
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
    let mut calibrated = Calibrated { links, ..Calibrated::default() };
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
            (_, Some(process)) => process.url().clone(),
            (Server::Wirelab | Server::Profile(_), None) => continue,
        };
        let mut bench = Bench::of(url, laid, cell.network.clone()).await?;
        let limit = limit(&of_server);
        let measured = tokio::select! {
            measured = tokio::time::timeout(limit, bench.measure(name.clone(), &of_server)) => {
                measured.unwrap_or(Err(CalibrationError::TooSlow(limit)))
            }
            () = &mut interrupted => Err(CalibrationError::Interrupted),
        };
        bench.clear().await;
        if let Some(process) = process {
            // The server's exit does not matter here: it served what was asked of it.
            let _ = process.stop().await;
        }
        match (measured, cell.network.kind) {
            (Ok(measured), _) => calibrated.servers.push(measured),
            (Err(error @ CalibrationError::Interrupted), _) | (Err(error), NetworkKind::None) => {
                return Err(error);
            }
            (Err(error), NetworkKind::Line | NetworkKind::Tun | NetworkKind::Auto) => {
                calibrated.problem.get_or_insert_with(|| format!("{name}: {error}"));
            }
        }
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
    CALIBRATION_MAX + losses + echo_time(&cells[0].network) * round_trips
}

/// Starts a server like the plan's own at its place in the network, but without what delays answers on purpose, with all
/// transports, and with the default engine: frames weigh the same with both engines.
async fn start(laid: &Laid, program: PathBuf, cell: &Cell) -> Result<ServerProcess, ServerProcessError> {
    let ServeOptions { store, compression, .. } = &cell.serve;
    let flag = compression_flag(*compression);
    let arguments = flag.map_or_else(Vec::new, |(flag, value)| vec![flag.to_owned(), value.to_owned()]);
    let (store, tls) = (*store, cell.tls);
    ServerProcess::spawn_on(laid, &ServerCommand::Wirelab { program, store, tls, arguments }).await
}

/// Server that is being calibrated.
struct Bench {
    url: ServerUrl,
    addr: SocketAddr,
    /// Way of the subscribers to it, and of what stands beside it.
    laid: Laid,
    network: Network,
    /// Time that an exchange of the network's link takes.
    round_trip: Duration,
    api: Api,
    /// Deployments to delete again.
    deployments: Vec<DeploymentId>,
}

impl Bench {
    async fn of(url: ServerUrl, laid: Laid, network: Network) -> Result<Self, CalibrationError> {
        let addr = reachable::address_of(&url).await?;
        let api = Api::over(laid.beside.clone(), url.clone());
        let round_trip = echo_time(&network);
        Ok(Self { api, url, addr, laid, network, round_trip, deployments: Vec::new() })
    }

    /// Measures over a route how long connecting to the server takes, TLS included, and how long a round trip to its place,
    /// s. Each takes about `each`. There is no echo on another machine, but opening a TCP connection takes one round trip.
    async fn round_trips(&self, route: &Route, each: Duration) -> Result<[Spread; 2], CalibrationError> {
        let count = CONNECTS.count(each);
        let connect_s = Spread::of(connects_s(&self.url, route, count).await?).expect("there is one");
        if !self.addr.ip().is_loopback() && self.network.kind != NetworkKind::Tun {
            let there = self.addr.to_string().parse().expect("a socket address is host and port");
            let round_trip_s = connects_s(&there, route, count).await?;
            return Ok([connect_s, Spread::of(round_trip_s).expect("there is one")]);
        }
        let echoes_s = Echo::start(&self.laid)?.echoes_s(route, ECHOES.count(each)).await?;
        Ok([connect_s, Spread::of(echoes_s).expect("there is one")])
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
        let [connect_s, round_trip_s] = self.round_trips(&self.laid.subscribers, self.round_trip).await?;
        let [_, beside_s] = self.round_trips(&self.laid.beside, Duration::ZERO).await?;
        let mut calibration = Calibration {
            server,
            link: self.link(),
            round_trip_s,
            connect_s,
            timer_late_s: times::sleeps().await,
            visible_s: Spread::constant(0.0),
            write_s: None,
            arms: Vec::new(),
        };
        let append = AppendWay::of(&calibration, beside_s.mean_s / 2.0, self.network.publisher);
        let idle = Options::default();
        match followed_over(&offered) {
            Some(transport) => {
                let alone = self.published(transport, &idle, 1).await?.received(transport)?;
                let together = self.published(transport, &idle, FAN_OUT).await?.received(transport)?;
                let write_s = (together.mean_s - alone.mean_s) / (f64::from(FAN_OUT - 1) / 2.0);
                calibration.write_s = Some(write_s).filter(|write_s| *write_s > 0.0);
                calibration.visible_s = append.visible_s(&alone);
            }
            // No client of this server hears at once of a line, but the publisher hears of it when the line is there.
            None => {
                let acknowledged = self.published(Transport::ShortPoll, &idle, 0).await?.acknowledged()?;
                calibration.visible_s = append.visible_s(&acknowledged);
            }
        }
        for cell in cells {
            let arm = Setting::of(cell).arm();
            let known = calibration.arm(&arm).is_some();
            if !known && offered.iter().any(|name| name == arm.transport.name()) {
                calibration.arms.push(self.arm(arm, append).await?);
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

    /// Deletes what was made. A deployment that a server refuses to delete ends with the server, and shows in no
    /// number.
    async fn clear(&mut self) {
        for id in std::mem::take(&mut self.deployments) {
            let _ = self.api.delete(&id).await;
        }
    }
}

/// Ways of a line beside those to its readers. The lines of a calibration take none over a link, so what a run over a link
/// adds comes from its configuration.
#[derive(Debug, Clone, Copy, PartialEq)]
struct AppendWay {
    /// Time of one way beside the server, s: it is in every time that is measured there.
    beside_s: f64,
    /// Time that the append of a run takes longer to the server than one beside it, s.
    further_s: f64,
}

impl AppendWay {
    fn of(calibration: &Calibration, beside_s: f64, publisher: PublisherPlace) -> Self {
        let further_s = match (publisher, calibration.link) {
            (PublisherPlace::Beside, _) | (PublisherPlace::Across, None) => 0.0,
            (PublisherPlace::Across, Some(link)) => {
                (link.up_s + calibration.machine_one_way_s() - beside_s).max(0.0)
            }
        };
        Self { beside_s, further_s }
    }

    /// Returns a, the time until readers see a line, from the time until one beside the server has received it, s.
    fn visible_s(self, received: &Spread) -> Spread {
        received.shifted(-self.beside_s).shifted(self.further_s)
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

/// Returns the options of an arm's client; the calibration decides when it asks.
fn options(arm: &CalibratedArm) -> Options {
    let CalibratedArm { transport: _, http, connections, compression, condition } = *arm;
    let mut options = Options { http, connections, compression, ..Options::default() };
    options.polling.condition = condition;
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::example;

    /// The delay down never comes from lines that were measured: it would then be right whatever the link does.
    #[test]
    fn the_time_until_a_line_is_seen_has_no_link_in_it_but_the_way_of_its_append() {
        let link = Some(CalibratedLink { up_s: 0.010, down_s: 0.040 });
        let far = Calibration { link, round_trip_s: Spread::constant(0.050_4), ..example::calibration() };
        let received = Spread::constant(0.000_35);
        let of = |publisher| {
            let visible_s = AppendWay::of(&far, 0.000_05, publisher).visible_s(&received);
            Calibration { visible_s, ..far.clone() }
        };
        let close = |left: f64, right: f64| assert!((left - right).abs() < 1e-9, "{left} instead of {right}");
        let beside = of(PublisherPlace::Beside);
        close(beside.visible_s.mean_s, 0.000_3);
        // What a run over the link predicts: a, the delay down of its configuration, and half of what R is longer.
        close(beside.visible_s.mean_s + beside.one_way_s(), 0.000_3 + 0.040 + 0.000_2);
        close(of(PublisherPlace::Across).visible_s.mean_s, 0.000_3 + 0.010 + 0.000_15);
    }
}
