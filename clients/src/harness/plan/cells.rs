//! Cells: the runs that a plan makes, in order.
//!
//! Randomised complete blocks: every block has every cell once, in an order of its own that follows from the seed, so
//! that what drifts on a machine (heat, a neighbour) falls on all cells alike.

use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;

use super::factors::longest_poll_interval;
use super::server::{measured, run_id};
use super::{Extra, Factors, LineProcess, NoiseFloor, Plan, ServeOptions, Server};
use crate::Options;
use crate::harness::network::Fault;
use crate::harness::schedule::Schedule;
use crate::recording::Recording;
use crate::wire::Transport;

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

/// The first run of a plan without flags.
impl Default for Cell {
    fn default() -> Self {
        Plan::default().in_plan_order().remove(0)
    }
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
        let polls = match self.transport {
            Transport::ShortPoll => 2 * longest_poll_interval(&self.options.polling, &self.serve),
            Transport::LongPoll
            | Transport::Sse
            | Transport::Ndjson
            | Transport::Websocket
            | Transport::WebsocketActor => Duration::ZERO,
        };
        TIME_BESIDES + polls
    }
}

impl Plan {
    /// The runs to make, in order.
    pub fn cells(&self) -> Vec<Cell> {
        (1..=self.repetitions).flat_map(|repetition| self.block(repetition)).collect()
    }

    /// The cells in the order in which the plan names them, one block: what tables follow.
    pub fn in_plan_order(&self) -> Vec<Cell> {
        let arms = self.all_arms();
        let of_arm = |(arm, factors): &(Option<&str>, &Factors)| {
            let of_arm: Vec<Cell> = measured(&self.targets, &factors.transports)
                .map(|(server, transport, target)| self.cell(server, transport, target, *arm, factors))
                .collect();
            of_arm
        };
        arms.iter().flat_map(of_arm).collect()
    }

    fn block(&self, repetition: u32) -> Vec<Cell> {
        let mut cells = self.in_plan_order();
        match (self.noise_floor, cells.first()) {
            (NoiseFloor::Measured, Some(first)) => {
                let run_id = format!("{}-aa", first.run_id);
                cells.push(Cell { run_id, is_aa: true, ..first.clone() });
            }
            (NoiseFloor::Measured, None) | (NoiseFloor::Unknown, _) => {}
        }
        let seed = self.seed.wrapping_add(u64::from(repetition) - 1);
        cells.shuffle(&mut Pcg64::seed_from_u64(seed));
        for (index, cell) in cells.iter_mut().enumerate() {
            cell.run_id = format!("{}-{repetition}", cell.run_id);
            (cell.block, cell.repetition, cell.position) = (repetition, repetition, index as u32 + 1);
            cell.seed = seed;
        }
        cells
    }

    /// Of no block yet.
    fn cell(
        &self,
        server: &Server,
        transport: Transport,
        target: Option<String>,
        arm: Option<&str>,
        factors: &Factors,
    ) -> Cell {
        Cell {
            run_id: run_id(server, target.as_deref(), arm, transport),
            block: 0,
            position: 0,
            repetition: 0,
            seed: self.seed,
            server: server.clone(),
            arm: match (target, arm) {
                (Some(target), Some(arm)) => Some(format!("{target}-{arm}")),
                (Some(name), None) => Some(name),
                (None, arm) => arm.map(str::to_owned),
            },
            is_aa: false,
            transport,
            fallback: factors.fallback.clone(),
            subscribers: factors.subscribers,
            deployments: factors.deployments,
            options: factors.options.clone(),
            serve: factors.serve.clone(),
            warm_up: factors.warm_up,
            drain: factors.drain,
            fault: factors.fault.clone(),
            stalled: factors.stalled,
            late: factors.late,
            lines: factors.lines.clone(),
        }
    }
}
