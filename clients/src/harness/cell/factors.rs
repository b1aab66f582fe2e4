//! Factors: what a plan may vary from arm to arm.
//!
//! An *arm* is one named combination of factors. Factors are the transport, the client's and the server's options, the
//! number of subscribers, the published lines, and the faults meanwhile. [`Given`] is what a plan or flags say;
//! [`Factors`] has every default filled in.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Tls;
use crate::harness::network::Fault;
use crate::harness::network::emulated::Network;
use crate::harness::schedule::Generated;
use crate::options::{Adaptation, Compression, Options, Polling};
use crate::wire::Transport;

const SUBSCRIBERS_DEFAULT: u32 = 10;
const POLL_INTERVAL_DEFAULT: Duration = Duration::from_millis(200);
const WARM_UP_DEFAULT: Duration = Duration::from_secs(1);
const DRAIN_DEFAULT: Duration = Duration::from_secs(10);
/// Default heartbeat, that of `wirelab serve`.
const HEARTBEAT_DEFAULT: Duration = Duration::from_secs(15);
/// Fewest poll intervals that a drain lasts. A short poll brings the last line up to one interval after it was due; the
/// second interval is for a late poll.
pub(in crate::harness) const DRAIN_INTERVALS_MIN: u32 = 2;
/// Default bytes of a line's text: about the mean of a build log.
pub(in crate::harness) const PAYLOAD_BYTES_DEFAULT: u64 = 100;

/// Lines of a run whose flags say nothing about them.
pub const AD_HOC_LINES: Generated = Generated {
    rate_hz: 50.0,
    duration: Duration::from_secs(10),
    payload_bytes: PAYLOAD_BYTES_DEFAULT as usize,
};

/// A value for every factor.
#[derive(Debug, Clone, PartialEq)]
pub struct Factors {
    /// Transports to measure, one after the other, on every target that keeps the contract. A profile has its own
    /// transport.
    pub transports: Vec<Transport>,
    /// Transports that a subscriber steps down to when its own fails, in this order; empty: it keeps trying.
    pub fallback: Vec<Transport>,
    /// Subscribers of each deployment, each over its own connection.
    pub subscribers: u32,
    /// Deployments that are published and followed at the same time.
    pub deployments: u32,
    /// Options of the clients.
    pub options: Options,
    /// Options that wirelab's own server is started with.
    pub serve: ServeOptions,
    /// TLS between the subscribers and the server.
    pub tls: Tls,
    /// Warm-up: lines due earlier are sent, but are not in the cohort, the lines that are measured.
    pub warm_up: Duration,
    /// Longest wait for the last lines.
    pub drain: Duration,
    /// Fault during the run.
    pub fault: Option<Fault>,
    /// Subscribers beside the measured ones that stop reading at some time, until every line was published and drained.
    pub stalled: Option<Extra>,
    /// Subscribers beside the measured ones that join at some time and read from the first line.
    pub late: Option<Extra>,
    /// Network between the subscribers and the server.
    pub network: Network,
    /// Lines that are published, with their due times.
    pub lines: LineProcess,
}

/// Subscribers beside the measured ones. Every line must reach them too, but their latencies are not measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extra {
    /// Subscribers per deployment.
    pub subscribers: u32,
    /// Time at which the subscribers stop reading or join, counted as due times are.
    pub at: Duration,
}

/// Options that wirelab's own server is started with, for a run.
#[derive(Debug, Clone, PartialEq)]
pub struct ServeOptions {
    /// Store of the server's logs.
    pub store: StoreKind,
    /// Time that an answer waits for more lines once it has a first one.
    pub linger: Duration,
    /// Silence after which a stream sends a sign of life.
    pub heartbeat: Duration,
    /// Content coding that the server offers.
    pub compression: Compression,
    /// Interval that the server advises to short polls without news, in whole seconds.
    pub poll_advice: Option<Duration>,
    /// Transports that the server does not offer, so that a transport of a fallback fails.
    pub without: Vec<Transport>,
    /// What drives its WebSockets.
    pub engine: Engine,
}

/// Store in which the measured server keeps its logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreKind {
    /// The server keeps its logs in memory only: the default of experiments.
    Memory,
    /// The server answers an append after it has reached the disk.
    Disk,
}

impl StoreKind {
    /// Returns the name in plans, on the command line and in CSV files.
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

/// Process that gives the published lines and their due times.
#[derive(Debug, Clone, PartialEq)]
pub enum LineProcess {
    /// A recording with its own timing.
    Replay {
        /// Name of the recording in the recordings folder.
        recording: String,
        /// Speed; 2 is twice as fast.
        speed: f64,
    },
    /// Lines at equal gaps of 1/rate.
    Periodic(Generated),
    /// Lines at random, independent gaps.
    Poisson(Generated),
}

impl LineProcess {
    /// Returns the name in plans and CSV files.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Replay { .. } => "replay",
            Self::Periodic(_) => "periodic",
            Self::Poisson(_) => "poisson",
        }
    }

    /// Returns the parameters of generated lines; `None` for a replay.
    pub const fn generated(&self) -> Option<&Generated> {
        match self {
            Self::Replay { .. } => None,
            Self::Periodic(lines) | Self::Poisson(lines) => Some(lines),
        }
    }
}

/// Factors as far as a plan or flags give them; the rest is `None`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Given {
    /// Transports to measure; default: all.
    pub transports: Option<Vec<Transport>>,
    /// Transports to step down to; default: none.
    pub fallback: Option<Vec<Transport>>,
    /// Subscribers of each deployment; default: 10.
    pub subscribers: Option<u32>,
    /// Deployments at the same time; default: 1.
    pub deployments: Option<u32>,
    /// Options of the server; default: memory store, a heartbeat of 15 s, no linger, no advice, no compression.
    pub serve: Option<ServeOptions>,
    /// Options of the clients; default: [`Options::default`], but short polls every 200 ms.
    pub options: Option<Options>,
    /// TLS; default: none.
    pub tls: Option<Tls>,
    /// Warm-up; default: 1 s, but at most a quarter of the time of generated lines.
    pub warm_up: Option<Duration>,
    /// Longest wait for the last lines; default: 10 s, but at least two intervals of the short poll.
    pub drain: Option<Duration>,
    /// Fault during the run; default: none.
    pub fault: Option<Fault>,
    /// Subscribers that stop reading; default: none.
    pub stalled: Option<Extra>,
    /// Subscribers that join late; default: none.
    pub late: Option<Extra>,
    /// Network between subscribers and server; default: none.
    pub network: Option<Network>,
    /// Published lines; default: 50 Poisson lines of 100 bytes per second for 10 s.
    pub lines: Option<LineProcess>,
}

impl Given {
    /// Fills in the defaults. The result is not checked.
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
            tls: self.tls.unwrap_or_default(),
            fault: self.fault,
            stalled: self.stalled,
            late: self.late,
            network: self.network.unwrap_or_default(),
            options,
            serve,
            lines,
        }
    }
}

impl Factors {
    /// Returns the options of a client when a plan says nothing.
    pub fn options_default() -> Options {
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

/// Returns the longest time from one short poll to the next, with jitter and adaptation.
pub(in crate::harness) fn longest_poll_interval(polling: &Polling, serve: &ServeOptions) -> Duration {
    let jittered = polling.interval.mul_f64(1.0 + polling.jitter_ratio);
    match polling.adaptation {
        Adaptation::None => jittered,
        Adaptation::Idle { interval_max } => jittered.max(interval_max.mul_f64(1.0 + polling.jitter_ratio)),
        Adaptation::Server => jittered.max(serve.poll_advice.unwrap_or_default()),
    }
}

/// Returns one second, but at most a quarter of the time of generated lines.
fn warm_up_default(lines: &LineProcess) -> Duration {
    match lines {
        LineProcess::Replay { .. } => WARM_UP_DEFAULT,
        LineProcess::Periodic(lines) | LineProcess::Poisson(lines) => WARM_UP_DEFAULT.min(lines.duration / 4),
    }
}
