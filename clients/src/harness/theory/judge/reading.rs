//! Settings and readings: what the judge needs of a cell and of a run, in the units of the formulas.

use std::time::Duration;

use crate::harness::cell::{Cell, LineProcess, Server, Tls};
use crate::harness::distributions;
use crate::harness::network::Fault;
use crate::harness::network::emulated::{Network, NetworkKind};
use crate::harness::network::link_figures::network_name;
use crate::harness::run_result::{RunResult, Verdict};
use crate::harness::theory::calibration::{CalibratedArm, digits_mean};
use crate::harness::theory::simulation::LinePattern;
use crate::latency::LatencyHistogram;
use crate::options::Options;
use crate::traffic::Traffic;
use crate::wire::Transport;

/// Settings of a run that formulas depend on.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Name of the calibration: that of the server and of the network.
    pub server: String,
    /// Network between the subscribers and the server.
    pub network: Network,
    /// Transport of the subscribers.
    pub transport: Transport,
    /// Options of the clients.
    pub options: Options,
    /// Pattern of the lines; `None`: lines of a recording.
    pub lines: Option<LinePattern>,
    /// Bytes of a line's text; not known for a recording, and taken as 0.
    pub payload_bytes: f64,
    /// Measured subscribers of all deployments.
    pub subscribers: f64,
    /// Subscribers per deployment that are not measured: they stall or join late.
    pub beside_count: u32,
    /// Transports that a subscriber may step down to.
    pub rungs_count: usize,
    /// Time that the server waits to fill a batch.
    pub linger: Duration,
    /// Fault of the run.
    pub disturbance: Disturbance,
}

/// Fault of a run, as far as formulas depend on it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Disturbance {
    /// There is no fault.
    None,
    /// The server stands still.
    Stop {
        /// S: length of the stall, s.
        stall_s: f64,
        /// Time from the start of the cohort to the start of the stall, s; negative: the stall began before.
        after_s: f64,
    },
    /// The subscribers' connections are cut.
    Cut,
}

/// Numbers of a run that formulas predict or depend on.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Reason why the run is invalid, if it is.
    pub invalid: Option<String>,
    /// D: length of the cohort, from the end of the warm-up to the end of the schedule, s.
    pub cohort_s: f64,
    /// Distinct lines of the cohort that arrived.
    pub lines_count: u64,
    /// Average number of digits of the cohort's seqs.
    pub digits_mean: f64,
    /// Mean delivery latency, s; `None` where lines are missing.
    pub latency_mean_s: Option<f64>,
    /// Delivery latency at p50, p90, p99 and the maximum, s, in this order; `None` where there were too few lines.
    pub latency_quantiles_s: [Option<f64>; 4],
    /// Histogram of the delivery latencies.
    pub latencies: LatencyHistogram,
    /// Mean lateness of the publisher, actual send − due, s.
    pub send_late_mean_s: Option<f64>,
    /// Traffic of the whole run.
    pub traffic: Traffic,
    /// Counts of the cohort's window.
    pub window: Option<Window>,
    /// Age of information, time average, s.
    pub age_mean_s: Option<f64>,
    /// Polls held at the server, time average.
    pub waiters_mean: Option<f64>,
    /// CPU time of the server over the whole run, s.
    pub server_cpu_s: Option<f64>,
    /// Bytes on a wire per line and subscriber, over the whole run.
    pub wire_per_line_bytes: Option<f64>,
}

/// Counts between two readings of the subscribers' counters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// Traffic of all subscribers.
    pub traffic: Traffic,
    /// Lines × subscribers that arrived.
    pub delivered: u64,
    /// Time from one reading to the other, s.
    pub length_s: f64,
}

impl Setting {
    /// Returns the settings of a cell.
    pub fn of(cell: &Cell) -> Self {
        let lines = match &cell.lines {
            LineProcess::Replay { .. } => None,
            LineProcess::Periodic(lines) => Some(LinePattern::Periodic { period_s: 1.0 / lines.rate_hz }),
            LineProcess::Poisson(lines) => Some(LinePattern::Poisson { rate_hz: lines.rate_hz }),
        };
        let beside = [cell.stalled, cell.late].into_iter().flatten().map(|extra| extra.subscribers);
        Self {
            server: server_name(cell),
            network: cell.network.clone(),
            transport: cell.transport,
            options: cell.options.clone(),
            lines,
            payload_bytes: cell.lines.generated().map_or(0.0, |lines| lines.payload_bytes as f64),
            subscribers: f64::from(cell.subscribers_total()),
            beside_count: beside.sum(),
            rungs_count: cell.fallback.len(),
            linger: cell.serve.linger,
            disturbance: match &cell.fault {
                None => Disturbance::None,
                Some(Fault::Cut(_)) => Disturbance::Cut,
                Some(Fault::Stop(stop)) => Disturbance::Stop {
                    stall_s: stop.duration.as_secs_f64(),
                    after_s: stop.at.as_secs_f64() - cell.warm_up.as_secs_f64(),
                },
            },
        }
    }

    /// Returns the options that decide how an exchange looks on the network.
    pub fn arm(&self) -> CalibratedArm {
        let Options { polling, http, connections, compression, .. } = &self.options;
        CalibratedArm {
            transport: self.transport,
            http: *http,
            connections: *connections,
            compression: *compression,
            condition: polling.condition,
        }
    }
}

/// Names the server of a cell, how it was started, and the network before it. Cells with that name share a calibration.
pub fn server_name(cell: &Cell) -> String {
    let server = match &cell.server {
        Server::Wirelab => "wirelab",
        // The name never has the address, since it stands in files that are published.
        Server::Running(_) | Server::Profile(_) => cell.arm.as_deref().unwrap_or("another"),
    };
    let network = match cell.network.kind {
        NetworkKind::None => String::new(),
        NetworkKind::Line | NetworkKind::Tun | NetworkKind::Auto => {
            format!(", network {}", network_name(&cell.network))
        }
    };
    let tls = match cell.tls.on(&cell.server) {
        Tls::None => "",
        // Opening a connection is measured with the full handshake.
        Tls::FullHandshake | Tls::Resumption => ", tls",
    };
    format!("{server}, store {}, compression {}{tls}{network}", cell.serve.store, cell.serve.compression)
}

impl Reading {
    /// Returns the numbers of a run.
    pub fn of(run: &RunResult) -> Self {
        let quantile = |quantile| distributions::delivery_quantile_us(run, &run.delivery.latency, quantile);
        let seconds = |us: u64| us as f64 / 1e6;
        let cohort = &run.delivery.cohort;
        let subscribers = run.delivery.subscribers_count.max(1);
        let warm_up_count = run.delivery.whole.expected.saturating_sub(cohort.expected) / subscribers;
        let last = (run.delivery.whole.expected / subscribers).max(warm_up_count + 1);
        Self {
            invalid: (run.verdict == Verdict::Invalid)
                .then(|| run.verdict_reasons.first().cloned().unwrap_or_default()),
            cohort_s: run.measured.as_secs_f64(),
            lines_count: run.delivery.distinct_lines_count(),
            digits_mean: digits_mean(warm_up_count + 1, last),
            latency_mean_s: run
                .delivery
                .latency
                .mean_us()
                .filter(|_| cohort.delivered == cohort.expected)
                .map(|us| us / 1e6),
            latency_quantiles_s: [0.5, 0.9, 0.99, 1.0].map(|q| quantile(q).map(seconds)),
            latencies: run.delivery.latency.clone(),
            send_late_mean_s: run.send_lateness.mean_us().map(|us| us / 1e6),
            traffic: run.traffic,
            window: run.cohort_traffic.map(|window| Window {
                traffic: window.flow.traffic,
                delivered: window.flow.delivered_count,
                length_s: window.length.as_secs_f64(),
            }),
            age_mean_s: run.staleness.map(|staleness| staleness.mean.as_secs_f64()),
            waiters_mean: run.waiters_mean,
            server_cpu_s: run.server.cpu.map(|cpu| cpu.as_secs_f64()),
            wire_per_line_bytes: run.steady().wire_bytes().map(|bytes| run.steady().per_line(bytes)),
        }
    }
}
