//! Cells: one run to make, with a value for every factor.
//!
//! A plan makes cells, a run takes one, and its result carries it. A cell is a value: it knows neither its plan nor the
//! gates that judge its run.

mod factors;
mod server;
pub(in crate::harness) mod tls;

use std::sync::Arc;
use std::time::Duration;

use crate::Options;
use crate::harness::network::Fault;
use crate::harness::network::emulated::Network;
use crate::harness::receipts::Keeps;
use crate::harness::schedule::Schedule;
use crate::link::Loss;
use crate::recording::Recording;
use crate::wire::{Transport, Waits};

pub use factors::{AD_HOC_LINES, Engine, Extra, Factors, Given, LineProcess, ServeOptions, StoreKind};
pub(in crate::harness) use factors::{DRAIN_INTERVALS_MIN, PAYLOAD_BYTES_DEFAULT, longest_poll_interval};
pub use server::{InvalidServer, Running, Server, Way};
pub(in crate::harness) use server::{measured, run_id};
pub use tls::{ANY_CERTIFICATE, Tls};

/// Descriptors that a process needs besides its subscribers' connections: publisher, files, pipes, event loops.
const DESCRIPTORS_BESIDES: u64 = 64;
/// Estimated time of a run besides its lines: the server starts, subscribers connect, everything is closed.
const TIME_BESIDES: Duration = Duration::from_millis(1_200);
/// Round trips of a run besides its lines, one after the other: connect, the first question, the last line's way, and
/// what is still on its way at the end.
const ROUND_TRIPS_BESIDES: u32 = 4;
/// Estimated time that lost packets add to a run: some of its connections open a second later, as their first packet
/// was lost.
const TIME_OF_LOSS: Duration = Duration::from_secs(1);
/// Distance between the seeds of a run's deployments, which keeps them apart from the seeds of repetitions.
const SEEDS_PER_REPETITION: u64 = 1 << 32;

/// One run to make: a transport and a value for every factor.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// Id of the run, unique in the plan: `sse-1`, and with arms `gzip-sse-1`.
    pub run_id: String,
    /// Number of the block, from 1. A block has every cell of the plan once.
    pub block: u32,
    /// Place of the cell within its block, from 1.
    pub position: u32,
    /// Number of the run among runs of the same factors, from 1.
    pub repetition: u32,
    /// Seed of the schedule. Equal for all cells of a block, so that they get the same schedule.
    pub seed: u64,
    /// Server that is measured.
    pub server: Server,
    /// Name of the plan's arm, and of the server where a plan measures others than wirelab's own; never its address.
    pub arm: Option<String>,
    /// Whether the cell repeats another cell of its block, to show how much equal runs differ (an A/A test).
    pub is_aa: bool,
    /// Transport of the subscribers.
    pub transport: Transport,
    /// Transports that a subscriber steps down to when its own fails.
    pub fallback: Vec<Transport>,
    /// Subscribers of each deployment.
    pub subscribers: u32,
    /// Deployments that are published and followed at the same time.
    pub deployments: u32,
    /// Options of the clients.
    pub options: Options,
    /// Options that wirelab's own server is started with.
    pub serve: ServeOptions,
    /// TLS between the subscribers and the server.
    pub tls: Tls,
    /// Warm-up: lines due earlier are not in the cohort, the lines that are measured.
    pub warm_up: Duration,
    /// Longest wait for the last lines.
    pub drain: Duration,
    /// Fault during the run.
    pub fault: Option<Fault>,
    /// Subscribers beside the measured ones that stop reading.
    pub stalled: Option<Extra>,
    /// Subscribers beside the measured ones that join late.
    pub late: Option<Extra>,
    /// Network between the subscribers and the server.
    pub network: Network,
    /// Lines that are published.
    pub lines: LineProcess,
    /// What is kept of the deliveries. A plan does not say it: it changes nothing that is measured.
    pub keeps: Keeps,
}

impl Cell {
    /// Counts the measured subscribers of all deployments together.
    pub fn subscribers_total(&self) -> u32 {
        self.subscribers * self.deployments
    }

    /// Counts the connections that all subscribers need together.
    pub fn connections(&self) -> u32 {
        let extra = [self.stalled, self.late].into_iter().flatten().map(|extra| extra.subscribers);
        (self.subscribers + extra.sum::<u32>()) * self.deployments
    }

    /// Counts the descriptors that the harness may need, and as many the server: a reconnecting subscriber holds two.
    pub fn descriptors_needed(&self) -> u64 {
        u64::from(self.connections() + self.deployments) * 2 + DESCRIPTORS_BESIDES
    }

    /// Returns the schedules of this run, one per deployment. `recording` returns the recording of a replay by its
    /// name.
    pub fn schedules<E>(
        &self,
        recording: impl Fn(&str) -> Result<Arc<Recording>, E>,
    ) -> Result<Vec<Schedule>, E> {
        let schedule = |deployment: u64| {
            Ok(match &self.lines {
                LineProcess::Replay { recording: name, speed } => {
                    Schedule::Replay { recording: recording(name)?, speed: *speed }
                }
                LineProcess::Periodic(lines) => Schedule::Periodic { lines: *lines },
                LineProcess::Poisson(lines) => {
                    let seed = self.seed.wrapping_add(deployment.wrapping_mul(SEEDS_PER_REPETITION));
                    Schedule::Poisson { lines: *lines, seed }
                }
            })
        };
        (0..u64::from(self.deployments)).map(schedule).collect()
    }

    /// Estimates how long a run takes besides the time in which lines are published.
    pub(super) fn time_besides_lines(&self) -> Duration {
        let polls = match self.transport.waits() {
            Waits::Client => 2 * longest_poll_interval(&self.options.polling, &self.serve),
            Waits::ServerOnce | Waits::ServerForever => Duration::ZERO,
        };
        let link = &self.network.link;
        let loses = [&link.up, &link.down].iter().any(|way| way.loss != Loss::None);
        let loss = if loses { TIME_OF_LOSS } else { Duration::ZERO };
        TIME_BESIDES + polls + ROUND_TRIPS_BESIDES * link.round_trip() + loss
    }
}
