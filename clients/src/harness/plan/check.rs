//! Checks of a plan: the allowed values, and the errors for wrong ones.
//!
//! Every bound of a plan stands here, once. The texts name the plan, the key and the allowed values.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::Plan;
use crate::harness::cell::{DRAIN_INTERVALS_MIN, longest_poll_interval};
use crate::harness::cell::{Engine, Factors, LineProcess, Running, ServeOptions, Server, Tls};
use crate::harness::network::Fault;
use crate::harness::network::emulated::NetworkKind;
use crate::harness::schedule::Generated;
use crate::options::{Adaptation, Compression, HttpVersion, Options};
use crate::wire::{LINE_BYTES_MAX, Transport, Waits};

pub(super) const NAME_CHARS_MAX: usize = 60;
/// Subscribers of a run: one machine has that many ports on one address; descriptors end earlier.
pub(super) const SUBSCRIBERS: RangeInclusive<u64> = 1..=60_000;
/// Blocks of a plan: a month of runs is not an experiment.
pub(super) const REPETITIONS: RangeInclusive<u64> = 1..=1_000;
/// Deployments of a run: each has a publisher with two threads of its own.
pub(super) const DEPLOYMENTS: RangeInclusive<u64> = 1..=64;
/// Subscribers beside the measured ones.
pub(super) const EXTRAS: RangeInclusive<u64> = 1..=10_000;
pub(super) const POLL_INTERVAL: RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(300);
/// Hold of a long poll: the range of the contract's `wait`.
pub(super) const HOLD: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(55);
/// Turn of a client: one that pauses for more than a minute does not wait for lines.
pub(super) const TURN: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(60);
/// Linger of the server, with the bounds of `wirelab serve`.
pub(super) const LINGER: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(10);
/// Heartbeat of the server: clients give a stream up after 35 s of silence.
pub(super) const HEARTBEAT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(30);
pub(super) const POLL_ADVICE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(300);
pub(super) const JITTER_RATIO: RangeInclusive<f64> = 0.0..=1.0;
/// Length of a stop: clients give a silent server up after 10 s.
pub(super) const STOP: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(8);
pub(super) const WARM_UP: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(3600);
pub(super) const DRAIN: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(600);
pub(super) const SPEED: RangeInclusive<f64> = 0.01..=1_000.0;
pub(super) const RATE_HZ: RangeInclusive<f64> = 0.01..=100_000.0;
pub(super) const LINES_DURATION: RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(86_400);
pub(super) const PAYLOAD_BYTES: RangeInclusive<u64> = 1..=LINE_BYTES_MAX as u64;
/// Most cuts of a run.
const CUTS_MAX: usize = 1_000;
/// Shortest time after a cut, until the next cut or the end of the drain. Every subscriber is back within 0.8 s and
/// then needs the lines that it missed.
const CUT_REST_MIN: Duration = Duration::from_secs(2);
/// Most lines of one run: each costs a due time, a send time and a bit per subscriber.
const LINES_MAX: f64 = 5_000_000.0;

/// Error of a plan that cannot be run. Every text names the plan, the key and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// There is no plan with that name in the plans folder.
    #[error("unknown plan {given:?}; one of {}, or the path of a .toml file", .known.join(", "))]
    Unknown {
        /// Name that was asked for.
        given: String,
        /// Names of the plans in the folder.
        known: Vec<String>,
    },
    /// The text is not TOML, has an unknown key, lacks a key, or has a value of another type.
    #[error("plan {plan:?}, line {line}{}: {what}", key.as_ref().map_or(String::new(), |key| format!(", {key}")))]
    Malformed {
        /// Name of the plan, as given.
        plan: String,
        /// Number of the line, counted from 1.
        line: usize,
        /// Key on that line, if there is one.
        key: Option<String>,
        /// Description of the mistake, with the allowed keys or types.
        what: String,
    },
    /// A value is not allowed.
    #[error("plan {plan:?}: {key} is {given}; {must}")]
    Refused {
        /// Name of the plan, as given.
        plan: String,
        /// Key whose value is wrong.
        key: String,
        /// Value of the key.
        given: String,
        /// Allowed values, or the remedy.
        must: String,
    },
    /// The plan has no table `smoke`, so it has no short form.
    #[error(
        "plan {plan:?}: smoke is absent; a plan needs a table [smoke] with what makes it short, or is run with --size \
         full"
    )]
    NoSmoke {
        /// Name of the plan, as given.
        plan: String,
    },
    /// The plan needs more descriptors than the process may have.
    #[error(
        "plan {plan:?}: {subscribers} subscribers need {needed} open files and this process may have {limit}; \
         raise it with `ulimit -n {needed}` in this shell (as root if refused), or lower subscribers"
    )]
    TooManyDescriptors {
        /// Name of the plan.
        plan: String,
        /// Subscribers of the plan's largest cell.
        subscribers: u32,
        /// Descriptors that the largest cell needs.
        needed: u64,
        /// Descriptors that the process may have.
        limit: u64,
    },
}

impl Plan {
    pub(super) fn check(&self, refusals: PlanErrors<'_>) -> Result<(), PlanError> {
        check_name("name", &self.name, "a folder", refusals)?;
        if self.seed > i64::MAX as u64 {
            return Err(refusals.refused("seed", self.seed, "at most 9223372036854775807".to_owned()));
        }
        refusals.within("repetitions", u64::from(self.repetitions), &REPETITIONS)?;
        self.check_targets(refusals)?;
        for (index, arm) in self.arms.iter().enumerate() {
            check_name("arms.name", &arm.name, "runs", refusals)?;
            if self.arms[..index].iter().any(|earlier| earlier.name == arm.name) {
                let must = "give each arm a name of its own".to_owned();
                return Err(refusals.refused("arms", format!("a list with {:?} twice", arm.name), must));
            }
        }
        for (arm, factors) in self.all_arms() {
            let refusals = PlanErrors { arm, ..refusals };
            factors.check(refusals)?;
            self.check_ours(factors, refusals)?;
        }
        self.check_thresholds(refusals)
    }

    /// Refuses a threshold that no cell matches: it is probably misspelt.
    fn check_thresholds(&self, refusals: PlanErrors<'_>) -> Result<(), PlanError> {
        let cells = self.in_plan_order();
        let idle =
            self.thresholds.iter().find(|threshold| !cells.iter().any(|cell| threshold.concerns(cell)));
        let Some(idle) = idle else { return Ok(()) };
        let runs: BTreeSet<_> = cells
            .iter()
            .map(|cell| match &cell.arm {
                Some(arm) => format!("{}/{arm}", cell.transport),
                None => cell.transport.to_string(),
            })
            .collect();
        let there = runs.into_iter().collect::<Vec<_>>().join(", ");
        Err(refusals.refused(
            "thresholds",
            format!("a list with \"{idle}\""),
            format!("no run matches; there are {there}"),
        ))
    }

    /// Refuses factors that only wirelab's own server offers, if another server is measured too.
    fn check_ours(&self, factors: &Factors, refusals: PlanErrors<'_>) -> Result<(), PlanError> {
        let Some(other) = self.targets.iter().find(|target| **target != Server::Wirelab) else {
            return Ok(());
        };
        let plain = |target: &&Server| match target {
            Server::Running(Running { url, .. }) => url.tls().is_none(),
            Server::Profile(_) => true,
            Server::Wirelab => false,
        };
        if factors.tls != Tls::None
            && let Some(plain) = self.targets.iter().find(plain)
        {
            let must = format!("{} does not speak it; name a target with https://", plain.name());
            return Err(refusals.refused("tls", format!("{:?}", factors.tls.name()), must));
        }
        let ours = ServeOptions { store: factors.serve.store, ..ServeOptions::default() };
        let refused = |key: &str, given: &str| {
            let must = format!("only wirelab's own server takes that, and {} is measured too", other.name());
            Err(refusals.refused(key, given, must))
        };
        if factors.serve != ours {
            return refused("linger, heartbeat, compression, poll_advice or without", "set");
        }
        match factors.network.kind {
            NetworkKind::Tun => {
                let must = format!(
                    "{} is no server that the run starts in a network namespace; use \"line\" for it",
                    other.name()
                );
                return Err(refusals.refused("network", "\"tun\"", must));
            }
            NetworkKind::None | NetworkKind::Line | NetworkKind::Auto => {}
        }
        match &factors.fault {
            Some(Fault::Stop(_)) => refused("stop", "set"),
            Some(Fault::Cut(_)) | None => Ok(()),
        }?;
        let alone = factors.deployments == 1 && factors.stalled.is_none() && factors.late.is_none();
        match (alone && factors.fallback.is_empty(), other) {
            (true, _) | (false, Server::Wirelab | Server::Running(_)) => Ok(()),
            (false, Server::Profile(_)) => refused("deployments, stalled, late or fallback", "set"),
        }
    }

    fn check_targets(&self, refusals: PlanErrors<'_>) -> Result<(), PlanError> {
        if self.targets.is_empty() {
            let must = "a list of wirelab, http://host:port and profiles of data/targets".to_owned();
            return Err(refusals.refused("targets", "empty", must));
        }
        let twice = |(index, target): (usize, &Server)| self.targets[..index].contains(target);
        match self.targets.iter().enumerate().find(|&entry| twice(entry)) {
            None => Ok(()),
            Some((_, target)) => {
                let must = "name each once, and use repetitions to run it more often".to_owned();
                Err(refusals.refused("targets", format!("a list with {} twice", target.name()), must))
            }
        }
    }
}

impl Factors {
    fn check(&self, refusals: PlanErrors<'_>) -> Result<(), PlanError> {
        self.check_transports(refusals)?;
        self.check_options(refusals)?;
        refusals.within("subscribers", u64::from(self.subscribers), &SUBSCRIBERS)?;
        refusals.within("deployments", u64::from(self.deployments), &DEPLOYMENTS)?;
        let total = u64::from(self.subscribers) * u64::from(self.deployments);
        refusals.within("subscribers × deployments", total, &SUBSCRIBERS)?;
        refusals.duration_within("warm_up", self.warm_up, &WARM_UP)?;
        refusals.duration_within("drain", self.drain, &DRAIN)?;
        let drain_min = DRAIN_INTERVALS_MIN * longest_poll_interval(&self.options.polling, &self.serve);
        let rungs = self.transports.iter().chain(&self.fallback);
        let polls = rungs.clone().any(|transport| transport.waits() == Waits::Client);
        if polls && self.drain < drain_min {
            let must = format!(
                "with short-poll at least {DRAIN_INTERVALS_MIN} times poll_interval, {}, or lines that are on their \
                 way would count as censored",
                text_of(drain_min)
            );
            return Err(refusals.refused("drain", text_of(self.drain), must));
        }
        self.check_fault(refusals)?;
        for (key, extra) in [("stalled", self.stalled), ("late", self.late)] {
            if let Some(extra) = extra {
                refusals.within(&format!("{key}.subscribers"), extra.subscribers.into(), &EXTRAS)?;
                self.check_before_the_end(&format!("{key}.at"), extra.at, refusals)?;
            }
        }
        match &self.lines {
            LineProcess::Replay { recording, speed } => {
                if recording.is_empty() {
                    let must = "the name of a recording; GET /api/recordings lists them".to_owned();
                    return Err(refusals.refused("lines.recording", "\"\"", must));
                }
                refusals.within("lines.speed", *speed, &SPEED)
            }
            LineProcess::Periodic(lines) | LineProcess::Poisson(lines) => {
                self.check_generated(lines, refusals)
            }
        }
    }

    fn check_options(&self, refusals: PlanErrors<'_>) -> Result<(), PlanError> {
        let Options { polling, hold, turn, http, compression, .. } = &self.options;
        refusals.duration_within("poll_interval", polling.interval, &POLL_INTERVAL)?;
        refusals.within("poll_jitter_ratio", polling.jitter_ratio, &JITTER_RATIO)?;
        match polling.adaptation {
            Adaptation::None | Adaptation::Server => {}
            Adaptation::Idle { interval_max } => {
                refusals.duration_within(
                    "poll_interval_max",
                    interval_max,
                    &(polling.interval..=*POLL_INTERVAL.end()),
                )?;
            }
        }
        refusals.duration_within("hold", *hold, &HOLD)?;
        refusals.duration_within("turn", *turn, &TURN)?;
        refusals.duration_within("linger", self.serve.linger, &LINGER)?;
        refusals.duration_within("heartbeat", self.serve.heartbeat, &HEARTBEAT)?;
        if let Some(advice) = self.serve.poll_advice {
            refusals.duration_within("poll_advice", advice, &POLL_ADVICE)?;
            if advice.subsec_nanos() > 0 {
                let must = "whole seconds: that is what Retry-After can say".to_owned();
                return Err(refusals.refused("poll_advice", text_of(advice), must));
            }
        }
        let socket = self.transports.iter().chain(&self.fallback).find(|transport| transport.is_upgraded());
        let http_only = |key: &str, given: &str| match socket {
            None => Ok(()),
            Some(socket) => Err(refusals.refused(
                key,
                given,
                format!("{socket} does not support that; list the transports without it"),
            )),
        };
        match (self.serve.engine, socket) {
            (Engine::Cursor, _) | (Engine::Actor, Some(_)) => {}
            // Two arms would be one.
            (Engine::Actor, None) => {
                let must = "that drives WebSockets alone; list websocket among the transports".to_owned();
                return Err(refusals.refused("engine", "\"actor\"", must));
            }
        }
        match http {
            HttpVersion::Http1 => {}
            HttpVersion::Http2 => http_only("http", "\"2\"")?,
        }
        let given = format!("\"{compression}\"");
        match compression {
            Compression::Identity => Ok(()),
            Compression::Gzip => http_only("compression", &given),
            Compression::Deflate | Compression::DeflateNoContextTakeover => {
                let mut http =
                    self.transports.iter().chain(&self.fallback).filter(|transport| !transport.is_upgraded());
                http.next().map_or(Ok(()), |http| {
                    let must = format!(
                        "{http} does not support that: it compresses messages of a WebSocket; list websocket alone"
                    );
                    Err(refusals.refused("compression", &given, must))
                })
            }
        }
    }

    fn check_fault(&self, refusals: PlanErrors<'_>) -> Result<(), PlanError> {
        match &self.fault {
            None => Ok(()),
            Some(Fault::Cut(cut)) => self.check_cuts(&cut.at, refusals),
            Some(Fault::Stop(stop)) => {
                refusals.duration_within("stop.duration", stop.duration, &STOP)?;
                self.check_before_the_end("stop.at", stop.at, refusals)
            }
        }
    }

    fn check_before_the_end(
        &self,
        key: &str,
        at: Duration,
        refusals: PlanErrors<'_>,
    ) -> Result<(), PlanError> {
        match self.lines.generated() {
            Some(lines) if at >= lines.duration => {
                let must =
                    format!("must be before the last line, lines.duration is {}", text_of(lines.duration));
                Err(refusals.refused(key, text_of(at), must))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Checks that subscribers have the time to come back after each cut.
    fn check_cuts(&self, cut_at: &[Duration], refusals: PlanErrors<'_>) -> Result<(), PlanError> {
        let Some(last) = cut_at.last() else { return Ok(()) };
        let refused = |given: Duration, must: String| Err(refusals.refused("cut_at", text_of(given), must));
        if cut_at.len() > CUTS_MAX {
            return refused(
                *last,
                format!("that is cut number {}; at most {CUTS_MAX} are allowed", cut_at.len()),
            );
        }
        if let Some(pair) = cut_at.windows(2).find(|pair| pair[0] + CUT_REST_MIN > pair[1]) {
            let rest = text_of(CUT_REST_MIN);
            return refused(
                pair[1],
                format!("must be {rest} or more after the one before, {}", text_of(pair[0])),
            );
        }
        self.check_before_the_end("cut_at", *last, refusals)?;
        if self.drain < CUT_REST_MIN {
            let rest = text_of(CUT_REST_MIN);
            let must =
                format!("with cut_at at least {rest}: subscribers that come back need the lines they missed");
            return Err(refusals.refused("drain", text_of(self.drain), must));
        }
        Ok(())
    }

    fn check_transports(&self, refusals: PlanErrors<'_>) -> Result<(), PlanError> {
        if self.transports.is_empty() {
            return Err(refusals.refused("transports", "empty", one_of_transports()));
        }
        for (key, transports) in [("transports", &self.transports), ("fallback", &self.fallback)] {
            let twice = transports
                .iter()
                .enumerate()
                .find(|(index, transport)| transports[..*index].contains(transport));
            if let Some((_, transport)) = twice {
                let must = "name each once, and use repetitions to run it more often".to_owned();
                return Err(refusals.refused(key, format!("a list with {transport} twice"), must));
            }
        }
        match self.transports.iter().find(|transport| self.fallback.contains(transport)) {
            None => Ok(()),
            Some(transport) => {
                let must = "transports lists it already; list only what comes after it".to_owned();
                Err(refusals.refused("fallback", format!("a list with {transport}"), must))
            }
        }
    }

    fn check_generated(&self, lines: &Generated, refusals: PlanErrors<'_>) -> Result<(), PlanError> {
        refusals.within("lines.rate_hz", lines.rate_hz, &RATE_HZ)?;
        refusals.duration_within("lines.duration", lines.duration, &LINES_DURATION)?;
        refusals.within("lines.payload_bytes", lines.payload_bytes as u64, &PAYLOAD_BYTES)?;
        let count = lines.rate_hz * lines.duration.as_secs_f64();
        if count > LINES_MAX {
            let must = format!("{count} lines, more than {LINES_MAX}; lower it or lines.duration");
            return Err(refusals.refused("lines.rate_hz", lines.rate_hz, must));
        }
        if self.warm_up >= lines.duration {
            let must = format!("must be shorter than lines.duration, {}", text_of(lines.duration));
            return Err(refusals.refused("warm_up", text_of(self.warm_up), must));
        }
        Ok(())
    }
}

fn check_name(key: &str, name: &str, names: &str, refusals: PlanErrors<'_>) -> Result<(), PlanError> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let well_named = !name.starts_with('-') && !name.is_empty();
    if well_named && name.len() <= NAME_CHARS_MAX && name.bytes().all(plain) {
        return Ok(());
    }
    let must = format!("1 to {NAME_CHARS_MAX} characters of a-z, 0-9 and dash: it names {names}");
    Err(refusals.refused(key, format!("{name:?}"), must))
}

/// Makes errors that name the plan, and the arm in which a value is wrong.
#[derive(Clone, Copy)]
pub(super) struct PlanErrors<'a> {
    pub(super) plan: &'a str,
    pub(super) arm: Option<&'a str>,
}

impl<'a> PlanErrors<'a> {
    /// Makes errors of the plan itself, not of an arm.
    pub(super) fn of(plan: &'a str) -> Self {
        Self { plan, arm: None }
    }
}

impl PlanErrors<'_> {
    pub(super) fn refused(self, key: &str, given: impl fmt::Display, must: String) -> PlanError {
        let key = self.arm.map_or(key.to_owned(), |arm| format!("{key} of arm {arm}"));
        let (plan, given) = (self.plan.to_owned(), given.to_string());
        PlanError::Refused { plan, key, given, must }
    }

    pub(super) fn within<T: PartialOrd + fmt::Display>(
        self,
        key: &str,
        given: T,
        allowed: &RangeInclusive<T>,
    ) -> Result<(), PlanError> {
        // A NaN is in no range.
        if allowed.contains(&given) {
            return Ok(());
        }
        Err(self.refused(key, given, format!("{} to {}", allowed.start(), allowed.end())))
    }

    pub(super) fn small(
        self,
        key: &str,
        given: u64,
        allowed: &RangeInclusive<u64>,
    ) -> Result<u32, PlanError> {
        self.within(key, given, allowed)?;
        Ok(u32::try_from(given).expect("every such range ends below 2^32"))
    }

    pub(super) fn duration_within(
        self,
        key: &str,
        given: Duration,
        allowed: &RangeInclusive<Duration>,
    ) -> Result<(), PlanError> {
        if allowed.contains(&given) {
            return Ok(());
        }
        let must = format!("{} to {}", text_of(*allowed.start()), text_of(*allowed.end()));
        Err(self.refused(key, text_of(given), must))
    }

    pub(super) fn duration(self, key: &str, given: &str) -> Result<Duration, PlanError> {
        humantime::parse_duration(given).map_err(|error| {
            let must = format!("{error}; write a number and a unit, such as 200ms, 25s or 2m");
            self.refused(key, format!("{given:?}"), must)
        })
    }
}

pub(super) fn one_of_transports() -> String {
    format!("\"all\" or a list of {}", Transport::ALL.map(Transport::name).join(", "))
}

pub(super) fn text_of(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}
