//! Cells: one run to make, with every factor's value.
//!
//! Plans make them, a run takes one, results carry it. A value: knows neither the plan that it comes from nor the
//! gates that judge its run.

mod factors;
mod server;

use std::sync::Arc;
use std::time::Duration;

use crate::Options;
use crate::harness::network::Fault;
use crate::harness::schedule::Schedule;
use crate::recording::Recording;
use crate::wire::{Transport, Waits};

pub use factors::{AD_HOC_LINES, Engine, Extra, Factors, Given, LineProcess, ServeOptions, StoreKind};
pub(in crate::harness) use factors::{DRAIN_INTERVALS_MIN, PAYLOAD_BYTES_DEFAULT, longest_poll_interval};
pub use server::{InvalidServer, Server};
pub(in crate::harness) use server::{measured, run_id};

/// Descriptors that a process needs besides its subscribers' connections: publisher, files, pipes, event loops.
const DESCRIPTORS_BESIDES: u64 = 64;
/// About what a run takes besides its lines: a server is started, everybody connects, everything is closed.
const TIME_BESIDES: Duration = Duration::from_millis(1_200);
/// Keeps the seeds of a run's deployments apart from those of its repetitions.
const SEEDS_PER_REPETITION: u64 = 1 << 32;

/// One run to make: a transport and every factor's value.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// Unique in the plan: `sse-1`, and with arms `gzip-sse-1`.
    pub run_id: String,
    /// Every cell once per block; counts from 1.
    pub block: u32,
    /// Place within the block; counts from 1.
    pub position: u32,
    /// The how manieth run of the same factors; counts from 1.
    pub repetition: u32,
    /// Of this run. Equal for all cells of a block: they get the same schedule.
    pub seed: u64,
    /// What is measured.
    pub server: Server,
    /// Names the plan's arm, and the server where a plan measures others than wirelab's own; never by its address.
    pub arm: Option<String>,
    /// Whether it repeats another cell of its block, to show what equal runs differ by.
    pub is_aa: bool,
    /// How lines reach the subscribers.
    pub transport: Transport,
    /// Where a subscriber steps down to when its transport fails.
    pub fallback: Vec<Transport>,
    /// Subscribers of each deployment.
    pub subscribers: u32,
    /// Deployments that are published and followed at the same time.
    pub deployments: u32,
    /// What the client decides.
    pub options: Options,
    /// What wirelab's own server is started with.
    pub serve: ServeOptions,
    /// Lines due earlier are not in the cohort.
    pub warm_up: Duration,
    /// How long to wait at most for the last lines.
    pub drain: Duration,
    /// What goes wrong.
    pub fault: Option<Fault>,
    /// Subscribers beside the measured ones that stop reading.
    pub stalled: Option<Extra>,
    /// Subscribers beside the measured ones that join late.
    pub late: Option<Extra>,
    /// What is published.
    pub lines: LineProcess,
}

impl Cell {
    /// Subscribers of all deployments together, the measured ones.
    pub fn subscribers_total(&self) -> u32 {
        self.subscribers * self.deployments
    }

    /// Connections that all subscribers need together.
    pub fn connections(&self) -> u32 {
        let extra = [self.stalled, self.late].into_iter().flatten().map(|extra| extra.subscribers);
        (self.subscribers + extra.sum::<u32>()) * self.deployments
    }

    /// Descriptors that the harness, and the server likewise, may need: a reconnecting subscriber holds two.
    pub fn descriptors_needed(&self) -> u64 {
        u64::from(self.connections() + self.deployments) * 2 + DESCRIPTORS_BESIDES
    }

    /// The due times of this run, one schedule per deployment. `recording` is asked for the recording of a replay.
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

    /// About what a run takes besides the time in which lines are published.
    pub(super) fn time_besides_lines(&self) -> Duration {
        let polls = match self.transport.waits() {
            Waits::Client => 2 * longest_poll_interval(&self.options.polling, &self.serve),
            Waits::ServerOnce | Waits::ServerForever => Duration::ZERO,
        };
        TIME_BESIDES + polls
    }
}
