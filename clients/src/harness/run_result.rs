//! The result of one run: its numbers, and the judgements of them.
//!
//! `run` fills it in, `gates` and `theory` judge it, and the reports turn it into files. What was not measured is
//! `None` and becomes an empty cell of a table, never a 0. A result is a value: it does not know its judges.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::cell::Cell;
use super::kernel_memory::KernelMemory;
use super::process_sampler::ProcessSample;
use super::receipts::Receipts;
use super::recorder::Delivery;
use super::series::SeriesPoint;
use super::staleness::Staleness;
use crate::latency::LatencyHistogram;
use crate::timing::Timing;
use crate::traffic::{IpTraffic, Packets, Traffic};

/// Result of one run of one cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// Name of the plan.
    pub plan: String,
    /// Cell that was run, with a value for every factor. Not saved, since the plan says it.
    #[serde(skip)]
    pub cell: Cell,
    /// Whether the numbers may be believed. Set by [`gates::judge`](super::gates::judge).
    pub verdict: Verdict,
    /// Reasons for the verdict, then defects outside the cohort.
    pub verdict_reasons: Vec<String>,
    /// Checks of all gates; the verdict and its reasons follow from them.
    pub checks: Vec<Check>,
    /// Wall clock when the cohort began, µs since 1970: for people and log files, nothing is measured by it.
    pub cohort_started_us: u64,
    /// Length of the cohort: from the end of the warm-up to the end of the schedule.
    pub measured: Duration,
    /// Lines of the cohort that the server acknowledged.
    pub published_count: u64,
    /// Deliveries of the measured subscribers.
    pub delivery: Delivery,
    /// Traffic of the measured subscribers over the whole run, connecting and warm-up included.
    pub traffic: Traffic,
    /// Traffic of the subscribers beside the measured ones, which stall or join late. The server counts it too.
    pub traffic_beside: Traffic,
    /// Traffic of the measured subscribers during the cohort; `None` where it was not read.
    pub cohort_traffic: Option<CohortTraffic>,
    /// Connections that a fault cut.
    pub connections_cut: u64,
    /// Traffic of all subscribers as the server counted it; `None` where it could not be asked.
    pub traffic_seen_by_server: Option<Traffic>,
    /// Bytes of line text in all receipts over the whole run, repeated ones included.
    pub app_bytes: u64,
    /// Lateness of the publisher, actual send − due time, per line of the cohort.
    pub send_lateness: LatencyHistogram,
    /// Time to append, send → 201, per line of the cohort.
    pub append: LatencyHistogram,
    /// Cost of the server over the whole run.
    pub server: ProcessSample,
    /// Cost of the harness itself over the whole run.
    pub harness: ProcessSample,
    /// Anonymous memory that one more connection costs the server: from all runs of the result set, see
    /// [`note_slopes`](super::connection_memory::note_slopes).
    pub server_pss_anon_per_connection_bytes: Option<f64>,
    /// Times of requests and handshakes.
    pub timing: Timing,
    /// Lateness with which the machine let a thread wake, over the cohort.
    pub hiccup: LatencyHistogram,
    /// Age of the subscribers' newest lines, over the cohort. `None` without a cohort.
    pub staleness: Option<Staleness>,
    /// Time to the first line per subscriber, from the start of connecting, or from the first due time if that was
    /// later.
    pub first_line: LatencyHistogram,
    /// Last − first receipt among the subscribers, per line of the cohort that two or more got.
    pub fanout_skew: LatencyHistogram,
    /// Packets of `traffic` as the kernel counted them; `None` where it does not tell.
    pub packets: Option<Packets>,
    /// Kernel memory: all connected − before the first connected.
    pub kernel: KernelMemory,
    /// Subscribers that the server held, time average over the cohort; `None` where the server does not say.
    pub waiters_mean: Option<f64>,
    /// Time series of the run.
    pub series: Vec<SeriesPoint>,
    /// Wall time over which `server` and `harness` were sampled.
    pub sampled: Option<Duration>,
    /// Processors that the harness may use.
    pub cores_count: Option<u64>,
    /// Problem that broke the run: the publisher's, or a server that went away.
    pub problem: Option<String>,
    /// Problems of subscribers: some gave up, got another text, or never saw the end of the log. Defects of delivery,
    /// as lost lines are.
    pub subscriber_problems: Vec<String>,
    /// What the server sent first that its profile does not take for a line, if it did.
    pub unmatched: Option<String>,
    /// Proxy between the subscribers and the server, named by its `Via` or `Server` field or by the plan; `None`: none is
    /// known. A proxy writes heads of its own, so the two sides do not count the same bytes.
    pub proxy: Option<String>,
    /// Comparison of the run with the formulas of the theory; empty without a calibration.
    pub theory: Vec<Residual>,
    /// Receipts of the measured subscribers; `None` if they were not kept.
    pub receipts: Option<Receipts>,
}

impl RunResult {
    /// Returns requests and bytes, with the lines × subscribers that arrived meanwhile. They are those of the cohort's
    /// window, without connecting, settling and draining; where that was not read, those of the whole run.
    pub fn steady(&self) -> Flow {
        match &self.cohort_traffic {
            Some(cohort) => cohort.flow,
            None => Flow {
                traffic: self.traffic,
                ip: self.packets.map(|packets| packets.ip()),
                app_bytes: self.app_bytes,
                delivered_count: self.delivery.whole.delivered,
            },
        }
    }
}

/// What went through the sockets of the measured subscribers in some time, at every layer, and the lines that arrived
/// meanwhile. Each layer holds the one above it: text of lines, bytes in the sockets, IP packets, Ethernet frames.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Flow {
    /// Requests, and bytes in the sockets.
    pub traffic: Traffic,
    /// IP packets; `None` where the kernel does not tell.
    pub ip: Option<IpTraffic>,
    /// Bytes of line text, repeated lines included.
    pub app_bytes: u64,
    /// Distinct lines × subscribers that arrived.
    pub delivered_count: u64,
}

impl Flow {
    /// Returns bytes per line delivered to one subscriber; not finite where no line was delivered.
    pub fn per_line(&self, bytes: u64) -> f64 {
        bytes as f64 / self.delivered_count as f64
    }

    /// Returns the bytes in the sockets, both directions.
    pub fn l7_bytes(&self) -> u64 {
        self.traffic.up_bytes + self.traffic.down_bytes
    }

    /// Returns the bytes of IP packets, both directions.
    pub fn ip_bytes(&self) -> Option<u64> {
        self.ip.map(|ip| ip.up_bytes + ip.down_bytes)
    }

    /// Returns the bytes of Ethernet frames, both directions.
    pub fn wire_bytes(&self) -> Option<u64> {
        self.ip.map(|ip| ip.wire_up_bytes() + ip.wire_down_bytes())
    }
}

/// Growth of all subscribers' counters between two readings: when the cohort began, and when the publisher had sent its
/// last line. Connecting, settling and draining are outside.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CohortTraffic {
    /// What went through the sockets meanwhile.
    pub flow: Flow,
    /// Time from one reading to the other.
    pub length: Duration,
}

/// Whether a run's numbers may be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The numbers may be believed.
    Ok,
    /// The numbers may be believed, but differences smaller than the harness's own error are not claimed.
    Unresolved,
    /// The numbers may not be believed: the row is kept with the reasons. Also: not judged yet.
    #[default]
    Invalid,
}

impl Verdict {
    /// Every verdict, the best first.
    pub const ALL: [Self; 3] = [Self::Ok, Self::Unresolved, Self::Invalid];

    /// Returns the name in CSV files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unresolved => "unresolved",
            Self::Invalid => "invalid",
        }
    }
}

/// Comparison of two numbers that belong together: a row of `checks.csv`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Name of the gate, or `threshold: ` with the threshold's text.
    pub name: Cow<'static, str>,
    /// Number that the gate's definition calls left; `None`: not measured.
    pub left: Option<f64>,
    /// Number that the gate's definition calls right; `None`: not measured.
    pub right: Option<f64>,
    /// Unit of left, right and tolerance.
    pub unit: Cow<'static, str>,
    /// Largest allowed difference, or how far left may be above right; `None`: not compared.
    pub tolerance: Option<f64>,
    /// Verdict that follows for the run.
    pub verdict: CheckVerdict,
    /// Reason that the run's row gives, if it gives one.
    pub said: Option<String>,
}

/// Verdict of a check, from harmless to fatal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckVerdict {
    /// The numbers agree.
    Pass,
    /// There is nothing to compare, and nothing follows.
    NotMeasured,
    /// The numbers leave a doubt: the run is at best `unresolved`.
    Unresolved,
    /// The numbers contradict each other: the run is `invalid`. For a threshold: it is missed.
    Fail,
}

impl CheckVerdict {
    /// Every verdict, from harmless to fatal.
    pub const ALL: [Self; 4] = [Self::Pass, Self::NotMeasured, Self::Unresolved, Self::Fail];

    /// Returns the name in CSV files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::NotMeasured => "not-measured",
            Self::Unresolved => "unresolved",
            Self::Fail => "fail",
        }
    }
}

/// Verdict on a prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TheoryVerdict {
    /// The measured value is within the tolerance.
    Pass,
    /// The measured value is outside the tolerance.
    Fail,
    /// The run broke an assumption of the formula, which therefore says nothing about the run.
    AssumptionBroken,
    /// There is nothing to judge: not measured, too uncertain, or a number for the reader only.
    Reported,
}

impl TheoryVerdict {
    /// Every verdict.
    pub const ALL: [Self; 4] = [Self::Pass, Self::Fail, Self::AssumptionBroken, Self::Reported];

    /// Returns the name in CSV files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::AssumptionBroken => "assumption-broken",
            Self::Reported => "reported",
        }
    }
}

/// One prediction about one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Residual {
    /// Name of the formula, for example `F1`.
    pub formula: Cow<'static, str>,
    /// Quantity that is predicted.
    pub quantity: String,
    /// Unit of both numbers: `us`, `ms`, `1/s`, `ratio`, `count`, `bytes`.
    pub unit: Cow<'static, str>,
    /// Value that the formula predicts from the calibration.
    pub predicted: f64,
    /// Value that the run measured; `None`: it was not measured.
    pub measured: Option<f64>,
    /// Allowed difference as a share of the predicted value: 5 %, three standard errors, and the calibration's own
    /// uncertainty. `None` where nothing is judged.
    pub tolerance_ratio: Option<f64>,
    /// Verdict that follows.
    pub verdict: TheoryVerdict,
    /// Assumptions of the formula that the run broke, if it did.
    pub assumption_broken: Option<String>,
}

impl Residual {
    /// Returns the residual: measured / predicted − 1.
    pub fn residual_ratio(&self) -> Option<f64> {
        Some(self.measured? / self.predicted - 1.0).filter(|ratio| ratio.is_finite())
    }
}
