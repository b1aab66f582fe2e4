//! What one run found out, and what was said of it.
//!
//! Filled in by `run`, judged by `gates` and `theory`, turned into files by the reports. What was not measured is
//! `None` and becomes an empty cell, never a 0. A value: it knows none of its judges.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::cell::Cell;
use super::kernel_memory::KernelMemory;
use super::latency::LatencyHistogram;
use super::process_sampler::ProcessSample;
use super::recorder::Delivery;
use super::series::SeriesPoint;
use super::staleness::Staleness;
use super::theory::TheoryRow;
use crate::timing::Timing;
use crate::traffic::{Packets, Traffic};

/// One run of one cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// The plan's name.
    pub plan: String,
    /// Every factor's value. Not saved: the plan says it.
    #[serde(skip)]
    pub cell: Cell,
    /// Whether the numbers may be believed. Set by [`gates::judge`](super::gates::judge).
    pub verdict: Verdict,
    /// Why not; also defects outside the cohort.
    pub verdict_reasons: Vec<String>,
    /// What each gate said; the verdict and its reasons follow from it.
    pub checks: Vec<Check>,
    /// Wall clock when the cohort began, µs since 1970: for people and log files, nothing is measured by it.
    pub cohort_started_us: u64,
    /// Length of the cohort: from the end of the warm-up to the end of the schedule.
    pub measured: Duration,
    /// Lines of the cohort that the server acknowledged.
    pub published_count: u64,
    /// What the subscribers received.
    pub delivery: Delivery,
    /// Of the measured subscribers over the whole run, connecting and warm-up included.
    pub traffic: Traffic,
    /// The same of those beside them, who stall or join late: the server counted it too.
    pub traffic_beside: Traffic,
    /// The part of it that belongs to the cohort; `None` where nobody looked.
    pub cohort_traffic: Option<CohortTraffic>,
    /// Connections that a fault cut.
    pub connections_cut: u64,
    /// The same traffic as the server counted it, if it was asked.
    pub traffic_seen_by_server: Option<Traffic>,
    /// Bytes of text of the lines delivered over the whole run.
    pub app_bytes: Option<u64>,
    /// Actual send − due, per line of the cohort.
    pub send_lateness: LatencyHistogram,
    /// Send → 201, per line of the cohort.
    pub append: LatencyHistogram,
    /// What the server cost over the whole run.
    pub server: ProcessSample,
    /// What the harness itself cost over the whole run.
    pub harness: ProcessSample,
    /// Anonymous memory that one more connection costs the server: over the result set, see
    /// [`note_slopes`](super::connection_memory::note_slopes).
    pub server_pss_anon_per_connection_bytes: Option<f64>,
    /// How long requests and handshakes took.
    pub timing: Timing,
    /// How late the machine let a thread wake, over the cohort.
    pub hiccup: LatencyHistogram,
    /// How old the subscribers' newest lines were, over the cohort. `None` where there was none.
    pub staleness: Option<Staleness>,
    /// Begin of connecting, or the first due time if that was later → first line, per subscriber.
    pub first_line: LatencyHistogram,
    /// Last − first receipt among the subscribers, per line of the cohort that two or more got.
    pub fanout_skew: LatencyHistogram,
    /// What TCP made of `traffic`; `None` where the kernel does not tell.
    pub packets: Option<Packets>,
    /// Kernel memory: all connected − before the first connected.
    pub kernel: KernelMemory,
    /// Subscribers that the server held, time average over the cohort; `None` where it does not say.
    pub waiters_mean: Option<f64>,
    /// How it went over time.
    pub series: Vec<SeriesPoint>,
    /// Wall time over which `server` and `harness` were sampled.
    pub sampled: Option<Duration>,
    /// Processors that the harness may use.
    pub cores_count: Option<u64>,
    /// What broke the run: the publisher's problem, a server that went away.
    pub problem: Option<String>,
    /// What went wrong with subscribers: gave up, got another text, never saw the end of the log. Defects of
    /// delivery, as lost lines are.
    pub subscriber_problems: Vec<String>,
    /// The run held against the formulas; empty without a calibration.
    pub theory: Vec<TheoryRow>,
}

impl RunResult {
    /// Requests and bytes with the lines × subscribers that arrived meanwhile: of the cohort's window, so that connecting,
    /// settling and draining are outside; where that was not read, of the whole run.
    pub fn steady(&self) -> (Traffic, u64) {
        match &self.cohort_traffic {
            Some(cohort) => (cohort.traffic, cohort.delivered_count),
            None => (self.traffic, self.delivery.whole.delivered),
        }
    }
}

/// What all subscribers' counters grew by between two readings: when the cohort began, and when the publisher had
/// sent its last line. Connecting, settling and draining are outside.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CohortTraffic {
    /// Requests and bytes.
    pub traffic: Traffic,
    /// Distinct lines × subscribers that arrived.
    pub delivered_count: u64,
    /// From one reading to the other.
    pub length: Duration,
}

/// Whether a run's numbers may be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// They may.
    Ok,
    /// They may, but differences smaller than the harness's own error are not claimed.
    Unresolved,
    /// They may not: the row is kept, for whoever wants to know why. Also: not judged yet.
    #[default]
    Invalid,
}

impl Verdict {
    /// Every verdict, the best first.
    pub const ALL: [Self; 3] = [Self::Ok, Self::Unresolved, Self::Invalid];

    /// The name in CSV files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unresolved => "unresolved",
            Self::Invalid => "invalid",
        }
    }
}

/// Two numbers that belong together, and whether they do: a row of `checks.csv`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Of the gate, or `threshold: ` with its text.
    pub name: Cow<'static, str>,
    /// What the gate's definition calls left; `None`: not measured.
    pub left: Option<f64>,
    /// What the gate's definition calls right; `None`: not measured.
    pub right: Option<f64>,
    /// Of left, right and tolerance.
    pub unit: Cow<'static, str>,
    /// How far they may be apart, or left above right; `None`: not compared.
    pub tolerance: Option<f64>,
    /// What follows.
    pub verdict: CheckVerdict,
    /// The reason that the run's row gives, if it gives one.
    pub said: Option<String>,
}

/// What a check says of its run, from harmless to fatal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckVerdict {
    /// The numbers belong together.
    Pass,
    /// There is nothing to compare, and nothing follows.
    NotMeasured,
    /// They leave a doubt: the run is at best `unresolved`.
    Unresolved,
    /// They contradict each other: the run is `invalid`. Of a threshold: it is missed.
    Fail,
}

impl CheckVerdict {
    /// Every verdict, from harmless to fatal.
    pub const ALL: [Self; 4] = [Self::Pass, Self::NotMeasured, Self::Unresolved, Self::Fail];

    /// The name in CSV files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::NotMeasured => "not-measured",
            Self::Unresolved => "unresolved",
            Self::Fail => "fail",
        }
    }
}
