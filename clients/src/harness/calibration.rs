//! The calibration: measures the constants of the theory before the first run of a plan.
//!
//! It uses a server started like the plan's own, idle, with deployments that it deletes again. A local echo gives the
//! round trip, and sleeps give the timer. Appends followed by a stream give the time of an append. Single exchanges
//! of every arm give the weight of its questions and answers. It takes about a second per server. It knows no
//! formula, and nothing that it measures belongs to a run.

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
use super::publisher::{Append, Publication, Publisher, PublisherTarget};
use super::reachable;
use super::schedule::{Generated, Schedule};
use super::server_process::{ServerCommand, ServerProcess, ServerProcessError};
use super::subscribers::{Expected, Subscribers};
use super::theory::calibration::{CalibratedArm, Calibration};
use super::theory::spread::Spread;
use super::theory::{Setting, server_name};
use crate::api::{Api, ApiError};
use crate::latency::LatencyHistogram;
use crate::options::Compression;
use crate::route::Route;
use crate::wire::{DeploymentId, Position, Status, Transport, Waits};
use crate::{Options, ServerUrl, Target, connect};

/// Longest time of the calibration of one server; a second is usual.
const CALIBRATION_MAX: Duration = Duration::from_secs(20);
/// Lines appended to measure the time of an append. The mean of the 60 that count varies about an eighth as much as one
/// line.
const LINES: u32 = 70;
/// Lines among them that find caches cold and are not counted.
const LINES_WARM_UP: u32 = 10;
/// Rate of the lines: so far apart that each finds an idle server.
const LINE_RATE_HZ: f64 = 250.0;
/// Bytes of a line, the default of plans.
const PAYLOAD_BYTES: usize = 100;
/// Streams from which the cost of one more subscriber is taken.
const FAN_OUT: u32 = 8;
/// Time between the last connection and the first line.
const SETTLE: Duration = Duration::from_millis(20);
/// Time between two looks at a condition that is waited for.
const LOOK: Duration = Duration::from_millis(2);
/// Longest wait for the last line.
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

/// Measures the constants of every server and arm among the cells. Profiles have none, because no formula covers
/// them. `program` has the command `serve`.
///
/// When `interrupted` is ready, it ends with [`CalibrationError::Interrupted`]. However it ends, it deletes its
/// deployments on a server that was already running.
pub async fn calibrate(
    program: PathBuf,
    cells: &[Cell],
    interrupted: impl Future<Output = ()>,
) -> Result<Vec<Calibration>, CalibrationError> {
    let mut interrupted = pin!(interrupted);
    let mut names: Vec<String> = Vec::new();
    let mut calibrations = Vec::new();
    for cell in cells {
        let name = server_name(cell);
        if names.contains(&name) {
            continue;
        }
        names.push(name.clone());
        let of_server: Vec<_> = cells.iter().filter(|cell| server_name(cell) == name).collect();
        let process = match &cell.server {
            Server::Wirelab => Some(start(program.clone(), cell).await?),
            Server::Running(_) => None,
            Server::Profile(_) => continue,
        };
        let url = match (&cell.server, &process) {
            (Server::Running(running), _) => running.url.clone(),
            (_, Some(process)) => url_of(process.addr()),
            (Server::Wirelab | Server::Profile(_), None) => continue,
        };
        let mut bench = Bench::of(url).await?;
        let measured = tokio::select! {
            measured = tokio::time::timeout(CALIBRATION_MAX, bench.measure(name, &of_server)) => {
                measured.unwrap_or(Err(CalibrationError::TooSlow(CALIBRATION_MAX)))
            }
            () = &mut interrupted => Err(CalibrationError::Interrupted),
        };
        bench.clear().await;
        if let Some(process) = process {
            // The server's exit does not matter here: it served what was asked of it.
            let _ = process.stop().await;
        }
        calibrations.push(measured?);
    }
    Ok(calibrations)
}

/// Starts a server like the plan's own, but without what delays answers on purpose, with all transports, and with the
/// default engine: frames weigh the same with both engines.
async fn start(program: PathBuf, cell: &Cell) -> Result<ServerProcess, ServerProcessError> {
    let ServeOptions { store, compression, .. } = &cell.serve;
    let arguments = match compression {
        Compression::Identity => Vec::new(),
        Compression::Gzip => vec!["--compression".to_owned(), compression.to_string()],
    };
    ServerProcess::spawn(&ServerCommand::Wirelab { program, store: *store, arguments }).await
}

fn url_of(addr: SocketAddr) -> ServerUrl {
    format!("http://{addr}").parse().expect("a socket address is host and port")
}

/// Server that is being calibrated.
struct Bench {
    url: ServerUrl,
    addr: SocketAddr,
    api: Api,
    /// Deployments to delete again.
    deployments: Vec<DeploymentId>,
}

impl Bench {
    async fn of(url: ServerUrl) -> Result<Self, CalibrationError> {
        let addr = reachable::address_of(&url).await?;
        Ok(Self { api: Api::new(url.clone()), url, addr, deployments: Vec::new() })
    }

    async fn measure(&mut self, server: String, cells: &[&Cell]) -> Result<Calibration, CalibrationError> {
        let offered: Vec<String> = self.api.transports().await?.into_iter().map(|info| info.name).collect();
        let connect_s = times::connects(self.addr).await?;
        let round_trip_s = match self.addr.ip().is_loopback() {
            true => times::echoes().await?,
            // There is no echo on another machine, but opening a connection takes one round trip.
            false => connect_s.clone(),
        };
        let one_way_s = round_trip_s.mean_s / 2.0;
        let idle = Options::default();
        let (visible_s, write_s) = match followed_over(&offered) {
            Some(transport) => {
                let alone = self.published(transport, &idle, 1).await?.received(transport)?;
                let together = self.published(transport, &idle, FAN_OUT).await?.received(transport)?;
                let write_s = (together.mean_s - alone.mean_s) / (f64::from(FAN_OUT - 1) / 2.0);
                (alone, Some(write_s).filter(|write_s| *write_s > 0.0))
            }
            // Nobody is told when a line is there, but it is before the server says so.
            None => (self.published(Transport::ShortPoll, &idle, 0).await?.acknowledged()?, None),
        };
        let mut calibration = Calibration {
            server,
            connect_s,
            timer_late_s: times::sleeps().await,
            visible_s: visible_s.shifted(-one_way_s),
            write_s,
            round_trip_s,
            arms: Vec::new(),
        };
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
        let subscribers = Subscribers::start(subscribers, &Route::Direct, move |meter| {
            connect(transport, followed.clone(), &options, meter)
        });
        while subscribers.connected_count() < subscribers.count() {
            tokio::time::sleep(LOOK).await;
        }
        let duration = Duration::from_secs_f64(f64::from(LINES) / LINE_RATE_HZ);
        let lines = Generated { rate_hz: LINE_RATE_HZ, duration, payload_bytes: PAYLOAD_BYTES };
        let lines: Arc<[_]> = Schedule::Periodic { lines }.lines().collect();
        let warm_up = Duration::from_secs_f64(f64::from(LINES_WARM_UP) / LINE_RATE_HZ);
        let start = Instant::now() + SETTLE;
        let due = lines.iter().map(|(due, _)| *due).collect();
        let table = Arc::new(DueTable::new(start, due, warm_up));
        subscribers.expect(Arc::new(Expected { table, lines: lines.clone() }));
        let host = self.url.authority().to_owned();
        let publisher = PublisherTarget {
            addr: self.addr,
            route: Route::Direct,
            host,
            append: Append::Contract { path },
        };
        let publisher = Publisher::start(publisher, Publication { lines, start, warm_up })?;
        while !publisher.is_finished() {
            tokio::time::sleep(LOOK).await;
        }
        let published = publisher.join();
        self.api.finish(&target.deployment, Status::Succeeded).await?;
        let outcome = subscribers.finish(DRAIN).await;
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
