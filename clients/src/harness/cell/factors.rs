//! Factors: what an arm of a plan may vary.
//!
//! Who polls or waits, how the client asks, how the server answers, how many there are, what is published and what
//! goes wrong meanwhile. [`Given`] is what a plan or flags say; [`Factors`] has every default filled in.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::harness::network::Fault;
use crate::harness::schedule::Generated;
use crate::options::{Adaptation, Compression, Options, Polling};
use crate::wire::Transport;

const SUBSCRIBERS_DEFAULT: u32 = 10;
const POLL_INTERVAL_DEFAULT: Duration = Duration::from_millis(200);
const WARM_UP_DEFAULT: Duration = Duration::from_secs(1);
const DRAIN_DEFAULT: Duration = Duration::from_secs(10);
/// As `wirelab serve` has it.
const HEARTBEAT_DEFAULT: Duration = Duration::from_secs(15);
/// A short poll brings the last line up to one interval after it was due; one more for a poll that was late.
pub(in crate::harness) const DRAIN_INTERVALS_MIN: u32 = 2;
/// About the mean of a build log.
pub(in crate::harness) const PAYLOAD_BYTES_DEFAULT: u64 = 100;

/// Lines when flags say nothing about them.
pub const AD_HOC_LINES: Generated = Generated {
    rate_hz: 50.0,
    duration: Duration::from_secs(10),
    payload_bytes: PAYLOAD_BYTES_DEFAULT as usize,
};

/// Every factor's value.
#[derive(Debug, Clone, PartialEq)]
pub struct Factors {
    /// Measured one after the other, on every target that keeps the contract; a profile has its own.
    pub transports: Vec<Transport>,
    /// Where a subscriber steps down to when its transport fails, in this order; empty: it keeps trying.
    pub fallback: Vec<Transport>,
    /// Subscribers of each deployment, each over its own connection.
    pub subscribers: u32,
    /// Deployments that are published and followed at the same time.
    pub deployments: u32,
    /// What the client decides.
    pub options: Options,
    /// What wirelab's own server is started with.
    pub serve: ServeOptions,
    /// Lines due earlier are sent, but are not in the cohort.
    pub warm_up: Duration,
    /// How long to wait at most for the last lines.
    pub drain: Duration,
    /// What goes wrong.
    pub fault: Option<Fault>,
    /// Subscribers beside the measured ones that stop reading at a time, until every line was published and drained.
    pub stalled: Option<Extra>,
    /// Subscribers beside the measured ones that join at a time and read from the first line.
    pub late: Option<Extra>,
    /// What is published, and when.
    pub lines: LineProcess,
}

/// Subscribers beside those that are measured. Every line must reach them too; when is not in the latencies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extra {
    /// How many per deployment.
    pub subscribers: u32,
    /// When what they are there for happens, counted as due times are.
    pub at: Duration,
}

/// What wirelab's own server is started with, for a run.
#[derive(Debug, Clone, PartialEq)]
pub struct ServeOptions {
    /// Where it keeps its logs.
    pub store: StoreKind,
    /// How long an answer waits for more lines once it has a first one.
    pub linger: Duration,
    /// Silence after which a stream sends a sign of life.
    pub heartbeat: Duration,
    /// Content codings it offers.
    pub compression: Compression,
    /// The interval that it advises short polls without news, in whole seconds.
    pub poll_advice: Option<Duration>,
    /// Transports it does not have: so that a rung of a fallback fails.
    pub without: Vec<Transport>,
    /// What drives its WebSockets.
    pub engine: Engine,
}

/// Where the measured server keeps its logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreKind {
    /// Nothing but the copy: the default of experiments.
    Memory,
    /// Appends reach the disk first.
    Disk,
}

impl StoreKind {
    /// The name in plans, on the command line and in CSV files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
        }
    }
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What drives the WebSockets of the measured server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// A cursor per connection: the server's default.
    Cursor,
    /// An actor per connection.
    Actor,
}

impl Engine {
    /// The name in plans, on the command line and in CSV files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cursor => "cursor",
            Self::Actor => "actor",
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is published, and when.
#[derive(Debug, Clone, PartialEq)]
pub enum LineProcess {
    /// A recording with its own timing.
    Replay {
        /// Its name in the recordings folder.
        recording: String,
        /// 2 is twice as fast.
        speed: f64,
    },
    /// One line every 1/rate.
    Periodic(Generated),
    /// Random, independent gaps.
    Poisson(Generated),
}

impl LineProcess {
    /// The name in plans and CSV files.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Replay { .. } => "replay",
            Self::Periodic(_) => "periodic",
            Self::Poisson(_) => "poisson",
        }
    }

    /// The lines that are made up; `None` for a replay.
    pub const fn generated(&self) -> Option<&Generated> {
        match self {
            Self::Replay { .. } => None,
            Self::Periodic(lines) | Self::Poisson(lines) => Some(lines),
        }
    }
}

/// Factors as far as somebody gave them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Given {
    /// Default: all.
    pub transports: Option<Vec<Transport>>,
    /// Default: none.
    pub fallback: Option<Vec<Transport>>,
    /// Default: 10.
    pub subscribers: Option<u32>,
    /// Default: 1.
    pub deployments: Option<u32>,
    /// Default: memory, cursors, without linger, advice and compression, 15 s of heartbeat.
    pub serve: Option<ServeOptions>,
    /// Default: a client's, but short polls every 200 ms.
    pub options: Option<Options>,
    /// Default: 1 s, and no more than a quarter of what is published.
    pub warm_up: Option<Duration>,
    /// Default: 10 s, and two intervals of the short poll.
    pub drain: Option<Duration>,
    /// Default: nothing.
    pub fault: Option<Fault>,
    /// Default: nobody.
    pub stalled: Option<Extra>,
    /// Default: nobody.
    pub late: Option<Extra>,
    /// Default: 50 Poisson lines of 100 bytes per second for 10 s.
    pub lines: Option<LineProcess>,
}

impl Given {
    /// Every factor, the defaults filled in. Not checked.
    pub(in crate::harness) fn resolve(self) -> Factors {
        let lines = self.lines.unwrap_or(LineProcess::Poisson(AD_HOC_LINES));
        let options = self.options.unwrap_or_else(Factors::options_default);
        let serve = self.serve.unwrap_or_default();
        let drain = DRAIN_DEFAULT.max(DRAIN_INTERVALS_MIN * longest_poll_interval(&options.polling, &serve));
        Factors {
            transports: self.transports.unwrap_or_else(|| Transport::ALL.to_vec()),
            fallback: self.fallback.unwrap_or_default(),
            subscribers: self.subscribers.unwrap_or(SUBSCRIBERS_DEFAULT),
            deployments: self.deployments.unwrap_or(1),
            warm_up: self.warm_up.unwrap_or_else(|| warm_up_default(&lines)),
            drain: self.drain.unwrap_or(drain),
            fault: self.fault,
            stalled: self.stalled,
            late: self.late,
            options,
            serve,
            lines,
        }
    }
}

impl Factors {
    /// What a client decides when a plan says nothing.
    pub(crate) fn options_default() -> Options {
        Options { polling: Polling::every(POLL_INTERVAL_DEFAULT), ..Options::default() }
    }
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            store: StoreKind::Memory,
            linger: Duration::ZERO,
            heartbeat: HEARTBEAT_DEFAULT,
            compression: Compression::Identity,
            poll_advice: None,
            without: Vec::new(),
            engine: Engine::Cursor,
        }
    }
}

/// The longest time from one short poll to the next, whatever makes it longer than the interval.
pub(in crate::harness) fn longest_poll_interval(polling: &Polling, serve: &ServeOptions) -> Duration {
    let jittered = polling.interval.mul_f64(1.0 + polling.jitter_ratio);
    match polling.adaptation {
        Adaptation::None => jittered,
        Adaptation::Idle { interval_max } => jittered.max(interval_max.mul_f64(1.0 + polling.jitter_ratio)),
        Adaptation::Server => jittered.max(serve.poll_advice.unwrap_or_default()),
    }
}

/// A second, and no more than a quarter of what is published.
fn warm_up_default(lines: &LineProcess) -> Duration {
    match lines {
        LineProcess::Replay { .. } => WARM_UP_DEFAULT,
        LineProcess::Periodic(lines) | LineProcess::Poisson(lines) => WARM_UP_DEFAULT.min(lines.duration / 4),
    }
}
