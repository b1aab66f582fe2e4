//! The calibration: measures the constants of the theory, before the first run of a plan.
//!
//! On a server started as the plan's own are, idle, with deployments of its own that are deleted again: an echo for
//! the round trip, sleeps for the timer, appends followed by a stream for what an append takes, and single exchanges of
//! every arm for what its questions and answers weigh. Takes about a second per server. It knows no formula, and
//! nothing it measures is a run's.

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
use super::schedule::{Generated, Schedule};
use super::server_process::{ServerCommand, ServerProcess, ServerProcessError};
use super::subscribers::{Expected, Subscribers};
use super::theory::calibration::{Arm, Calibration};
use super::theory::spread::Spread;
use super::theory::{Setting, server_name};
use crate::api::{Api, ApiError};
use crate::latency::LatencyHistogram;
use crate::options::Compression;
use crate::wire::{DeploymentId, Position, Status, Transport};
use crate::{Options, ServerUrl, Target, connect};

/// How long all of it may take on one server; a second is usual.
const CALIBRATION_MAX: Duration = Duration::from_secs(20);
/// Lines appended to find out what an append takes: of the mean's spread, a tenth stays.
const LINES: u32 = 70;
/// Of them, those that find caches cold.
const LINES_WARM_UP: u32 = 10;
/// So far apart that each finds an idle server.
const LINE_RATE_HZ: f64 = 250.0;
/// As the default of plans.
const PAYLOAD_BYTES: usize = 100;
/// Streams of the fan-out that one more subscriber's cost is taken from.
const FAN_OUT: u32 = 8;
/// Between the last connection and the first line.
const SETTLE: Duration = Duration::from_millis(20);
/// How often is looked at what is waited for.
const LOOK: Duration = Duration::from_millis(2);
/// How long the last line may take.
const DRAIN: Duration = Duration::from_secs(2);

/// Why the constants are not known.
#[derive(Debug, thiserror::Error)]
pub enum CalibrationError {
    /// Somebody wants an end of it.
    #[error("interrupted")]
    Interrupted,
    /// No server.
    #[error(transparent)]
    Server(#[from] ServerProcessError),
    /// The server did not do what was asked.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// A socket of our own did not work.
    #[error("a connection for the calibration failed: {0}")]
    Socket(#[from] io::Error),
    /// An exchange was not what it should be.
    #[error("an exchange of {transport} for the calibration failed: {why}")]
    Exchange {
        /// Of which transport.
        transport: Transport,
        /// Why.
        why: String,
    },
    /// It took too long.
    #[error("the calibration took more than {} s; the server or this machine is too busy", .0.as_secs())]
    TooSlow(Duration),
}

/// Measures the constants of every server and arm among the cells. Profiles have none: no formula speaks of them.
/// `program` has the command `serve`.
///
/// When `interrupted` is ready it ends with [`CalibrationError::Interrupted`]. However it ends, a server that it found
/// keeps nothing of it.
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
            (Server::Running(url), _) => url.clone(),
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
            // How it ends is the runs' concern: it served what it was asked for.
            let _ = process.stop().await;
        }
        calibrations.push(measured?);
    }
    Ok(calibrations)
}

/// As the plan's own servers, but without what delays answers on purpose or leaves transports out, and with the default
/// engine: frames weigh the same.
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

/// A server that is being calibrated.
struct Bench {
    url: ServerUrl,
    addr: SocketAddr,
    api: Api,
    /// To be deleted again.
    deployments: Vec<DeploymentId>,
}

impl Bench {
    async fn of(url: ServerUrl) -> Result<Self, CalibrationError> {
        let addr = tokio::net::lookup_host(url.authority()).await?.next();
        let addr = addr.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(Self { api: Api::new(url.clone()), url, addr, deployments: Vec::new() })
    }

    async fn measure(&mut self, server: String, cells: &[&Cell]) -> Result<Calibration, CalibrationError> {
        let offered: Vec<String> = self.api.transports().await?.into_iter().map(|info| info.name).collect();
        let connect_s = times::connects(self.addr).await?;
        let round_trip_s = match self.addr.ip().is_loopback() {
            true => times::echoes().await?,
            // There is no echo elsewhere: a connection takes one round trip.
            false => connect_s.clone(),
        };
        let alone = self.published(Transport::Ndjson, &Options::default(), 1).await?;
        let together = self.published(Transport::Ndjson, &Options::default(), FAN_OUT).await?;
        let one_way_s = round_trip_s.mean_s / 2.0;
        let write_s = (together.mean_s - alone.mean_s) / (f64::from(FAN_OUT - 1) / 2.0);
        let mut calibration = Calibration {
            server,
            connect_s,
            timer_late_s: times::sleeps().await,
            visible_s: alone.shifted(-one_way_s),
            write_s: Some(write_s).filter(|write_s| *write_s > 0.0),
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

    /// A deployment that [`Self::clear`] deletes.
    async fn deployment(&mut self) -> Result<Target, CalibrationError> {
        let id = self.api.create("calibration", None).await?.id;
        self.deployments.push(id.clone());
        Ok(Target { server: self.url.clone(), deployment: id, from: Position::Start })
    }

    /// Due time → receipt of lines that find nothing else to do, s; of as many subscribers.
    async fn published(
        &mut self,
        transport: Transport,
        options: &Options,
        subscribers: u32,
    ) -> Result<Spread, CalibrationError> {
        let target = self.deployment().await?;
        let path = format!("/api/deployments/{}/lines", target.deployment);
        let (options, followed) = (options.clone(), target.clone());
        let subscribers = Subscribers::start(subscribers, move |meter| {
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
        let publisher = PublisherTarget { addr: self.addr, host, append: Append::Contract { path } };
        let publisher = Publisher::start(publisher, Publication { lines, start, warm_up })?;
        while !publisher.is_finished() {
            tokio::time::sleep(LOOK).await;
        }
        publisher.join();
        self.api.finish(&target.deployment, Status::Succeeded).await?;
        let outcome = subscribers.finish(DRAIN).await;
        spread_of(&outcome.delivery.latency)
            .ok_or_else(|| CalibrationError::Exchange { transport, why: "no line arrived".to_owned() })
    }

    /// Deletes what was made. What a server refuses to delete ends with it, or is told by no number.
    async fn clear(&mut self) {
        for id in std::mem::take(&mut self.deployments) {
            let _ = self.api.delete(&id).await;
        }
    }
}

/// The samples of a histogram, s.
fn spread_of(latencies: &LatencyHistogram) -> Option<Spread> {
    let samples = latencies.histogram().iter_recorded().flat_map(|step| {
        let sample_s = step.value_iterated_to() as f64 / 1e6;
        std::iter::repeat_n(sample_s, step.count_at_value() as usize)
    });
    Spread::of(samples.collect())
}

/// What a client of an arm decides; when it asks is decided here.
fn options(arm: &Arm) -> Options {
    let Arm { transport: _, http, connections, compression, condition } = *arm;
    let mut options = Options { http, connections, compression, ..Options::default() };
    options.polling.condition = condition;
    options
}
