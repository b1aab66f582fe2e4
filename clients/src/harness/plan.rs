//! Plans: one experiment each, as TOML text.
//!
//! `wirelab run` hands the text of `data/plans/*.toml` in, or flags; out comes a [`Plan`] with every default
//! explicit, and its [`Cell`]s: the runs to make. Whatever a plan says wrongly is refused here, with the plan's
//! name, the key and the allowed values. A pure function: it opens no file and reads no clock.

mod check;
mod file;
mod server;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::network::Fault;
use super::network::cut::Cut;
use super::schedule::{Generated, Schedule};
use crate::recording::Recording;
use crate::targets::profile::{Profile, ProfileError};
use crate::wire::Transport;

pub use check::PlanError;
use check::{Refusals, text_of};
pub use server::{InvalidServer, Server};
use server::{measured, run_id};

/// Name of a plan made of command-line flags.
pub const AD_HOC: &str = "ad-hoc";

/// Descriptors that a process needs besides its subscribers' connections: publisher, files, pipes, event loops.
const DESCRIPTORS_BESIDES: u64 = 64;

/// One experiment, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Names the results folder.
    pub name: String,
    /// What the experiment asks, in one sentence.
    pub question: String,
    /// Schedules follow from it.
    pub seed: u64,
    /// The servers that are measured, one after the other.
    pub targets: Vec<Server>,
    /// Measured one after the other, on every target that keeps the contract; a profile has its own.
    pub transports: Vec<Transport>,
    /// Subscribers of the deployment, each over its own connection.
    pub subscribers: u32,
    /// How often every cell is run.
    pub repetitions: u32,
    /// Where the measured server keeps its logs.
    pub store: StoreKind,
    /// Short poll: between two requests.
    pub poll_interval: Duration,
    /// Long poll: how long the server may hold a request.
    pub hold: Duration,
    /// Lines due earlier are sent, but are not in the cohort.
    pub warm_up: Duration,
    /// How long to wait at most for the last lines.
    pub drain: Duration,
    /// When every subscriber's connection is cut, counted as due times are; empty: never.
    pub cut_at: Vec<Duration>,
    /// What is published, and when.
    pub lines: LineProcess,
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
}

/// One run to make: a transport and every factor's value.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// Unique in the plan: `sse-1`.
    pub run_id: String,
    /// Every cell once per block; counts from 1.
    pub block: u32,
    /// Place within the block; counts from 1.
    pub position: u32,
    /// The how manieth run of the same factors; counts from 1.
    pub repetition: u32,
    /// Of this run. Equal for all transports of a repetition: they get the same schedule.
    pub seed: u64,
    /// What is measured.
    pub server: Server,
    /// Names the server where a plan measures others than wirelab's own; never by its address.
    pub arm: Option<String>,
    /// How lines reach the subscribers.
    pub transport: Transport,
    /// Subscribers of the deployment.
    pub subscribers: u32,
    /// Where the server keeps its logs.
    pub store: StoreKind,
    /// Short poll: between two requests.
    pub poll_interval: Duration,
    /// Long poll: how long the server may hold a request.
    pub hold: Duration,
    /// Lines due earlier are not in the cohort.
    pub warm_up: Duration,
    /// How long to wait at most for the last lines.
    pub drain: Duration,
    /// What happens to the subscribers' connections.
    pub fault: Option<Fault>,
    /// What is published.
    pub lines: LineProcess,
}

impl Cell {
    /// Descriptors that the harness, and the server likewise, may need: a reconnecting subscriber holds two.
    pub fn descriptors_needed(&self) -> u64 {
        u64::from(self.subscribers) * 2 + DESCRIPTORS_BESIDES
    }

    /// The due times of this run. `recording` is asked for the recording of a replay.
    pub fn schedule<E>(
        &self,
        recording: impl FnOnce(&str) -> Result<Arc<Recording>, E>,
    ) -> Result<Schedule, E> {
        Ok(match &self.lines {
            LineProcess::Replay { recording: name, speed } => {
                Schedule::Replay { recording: recording(name)?, speed: *speed }
            }
            LineProcess::Periodic(lines) => Schedule::Periodic { lines: *lines },
            LineProcess::Poisson(lines) => Schedule::Poisson { lines: *lines, seed: self.seed },
        })
    }
}

/// A plan as flags give it; what is not given gets the default of a plan file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AdHoc {
    /// Default: wirelab's own.
    pub targets: Option<Vec<Server>>,
    /// Default: never.
    pub cut_at: Option<Vec<Duration>>,
    /// Default: all.
    pub transports: Option<Vec<Transport>>,
    /// Default: 10.
    pub subscribers: Option<u32>,
    /// Default: 1.
    pub repetitions: Option<u32>,
    /// Default: 1.
    pub seed: Option<u64>,
    /// Default: memory.
    pub store: Option<StoreKind>,
    /// Default: 200 ms.
    pub poll_interval: Option<Duration>,
    /// Default: 25 s.
    pub hold: Option<Duration>,
    /// Default: 1 s.
    pub warm_up: Option<Duration>,
    /// Default: 10 s.
    pub drain: Option<Duration>,
    /// Default: 50 Poisson lines of 100 bytes per second for 10 s.
    pub lines: Option<LineProcess>,
}

/// Lines when flags say nothing about them.
pub const AD_HOC_LINES: Generated = Generated {
    rate_hz: 50.0,
    duration: Duration::from_secs(10),
    payload_bytes: PAYLOAD_BYTES_DEFAULT as usize,
};

const SUBSCRIBERS_DEFAULT: u32 = 10;
const SEED_DEFAULT: u64 = 1;
const POLL_INTERVAL_DEFAULT: Duration = Duration::from_millis(200);
/// The contract's default `wait`.
const HOLD_DEFAULT: Duration = Duration::from_secs(25);
const WARM_UP_DEFAULT: Duration = Duration::from_secs(1);
const DRAIN_DEFAULT: Duration = Duration::from_secs(10);
const SPEED_DEFAULT: f64 = 1.0;
/// A short poll brings the last line up to one interval after it was due; one more for a poll that was late.
const DRAIN_INTERVALS_MIN: u32 = 2;
/// About the mean of a build log.
const PAYLOAD_BYTES_DEFAULT: u64 = 100;

/// A second, and no more than a quarter of what is published.
fn warm_up_default(lines: &LineProcess) -> Duration {
    match lines {
        LineProcess::Replay { .. } => WARM_UP_DEFAULT,
        LineProcess::Periodic(lines) | LineProcess::Poisson(lines) => WARM_UP_DEFAULT.min(lines.duration / 4),
    }
}

impl Plan {
    /// Parses the TOML `text` of a plan that names no profile; `file` is the plan's name in errors.
    pub fn parse(file: &str, text: &str) -> Result<Self, PlanError> {
        Self::parse_with(file, text, |name| {
            Err(ProfileError::Unknown { given: name.to_owned(), known: Vec::new() })
        })
    }

    /// Parses the TOML `text`; `profile` is asked for every profile among its targets.
    pub fn parse_with(
        file: &str,
        text: &str,
        profile: impl Fn(&str) -> Result<Profile, ProfileError>,
    ) -> Result<Self, PlanError> {
        file::parse(file, text, &profile)
    }

    /// A plan made of flags, checked like a file.
    pub fn ad_hoc(flags: AdHoc) -> Result<Self, PlanError> {
        let question = "What do these flags give?".to_owned();
        Self::resolve(AD_HOC.to_owned(), question, flags, Refusals { plan: AD_HOC })
    }

    /// The same plan on other servers.
    pub fn on(self, targets: Vec<Server>) -> Result<Self, PlanError> {
        let plan = Self { targets, ..self };
        plan.check(Refusals { plan: &plan.name })?;
        Ok(plan)
    }

    /// The plan as a file with every default explicit. Parsing it gives the same plan.
    pub fn to_toml(&self) -> String {
        file::to_toml(self)
    }

    /// The runs to make, in order: block by block, each block every target with every transport once.
    pub fn cells(&self) -> Vec<Cell> {
        let measured: Vec<_> = measured(&self.targets, &self.transports).collect();
        let cell = |repetition: u32, index: usize| {
            let (server, transport, arm) = &measured[index];
            Cell {
                run_id: run_id(server, arm.as_deref(), *transport, repetition),
                block: repetition,
                position: index as u32 + 1,
                repetition,
                seed: self.seed.wrapping_add(u64::from(repetition) - 1),
                server: (*server).clone(),
                arm: arm.clone(),
                transport: *transport,
                subscribers: self.subscribers,
                store: self.store,
                poll_interval: self.poll_interval,
                hold: self.hold,
                warm_up: self.warm_up,
                drain: self.drain,
                fault: (!self.cut_at.is_empty()).then(|| Fault::Cut(Cut { at: self.cut_at.clone() })),
                lines: self.lines.clone(),
            }
        };
        let block = |repetition| (0..measured.len()).map(move |index| (repetition, index));
        (1..=self.repetitions).flat_map(block).map(|(repetition, index)| cell(repetition, index)).collect()
    }

    /// Refuses a plan whose largest cell needs more than `limit` open descriptors.
    pub fn check_descriptors(&self, limit: u64) -> Result<(), PlanError> {
        let Some(largest) = self.cells().into_iter().max_by_key(Cell::descriptors_needed) else {
            return Ok(());
        };
        let needed = largest.descriptors_needed();
        if needed <= limit {
            return Ok(());
        }
        let (plan, subscribers) = (self.name.clone(), largest.subscribers);
        Err(PlanError::TooManyDescriptors { plan, subscribers, needed, limit })
    }

    /// Refuses a schedule that leaves no line in the cohort: only known once a recording was read.
    pub fn check_cohort(&self, schedule: &Schedule) -> Result<(), PlanError> {
        match (schedule.due_times().last(), self.cut_at.last()) {
            (Some(last), Some(cut)) if *cut >= last => Err(Refusals { plan: &self.name }.refused(
                "cut_at",
                text_of(*cut),
                format!("must be before the last line, which is due at {}", text_of(last)),
            )),
            (Some(last), _) if last >= self.warm_up => Ok(()),
            (last, _) => Err(Refusals { plan: &self.name }.refused(
                "warm_up",
                text_of(self.warm_up),
                match last {
                    None => "but there is no line at all; choose lines that exist".to_owned(),
                    Some(last) => format!("the last line is due at {}; make it shorter", text_of(last)),
                },
            )),
        }
    }

    fn resolve(
        name: String,
        question: String,
        given: AdHoc,
        refusals: Refusals<'_>,
    ) -> Result<Self, PlanError> {
        let lines = given.lines.unwrap_or(LineProcess::Poisson(AD_HOC_LINES));
        let poll_interval = given.poll_interval.unwrap_or(POLL_INTERVAL_DEFAULT);
        let plan = Self {
            name,
            question,
            seed: given.seed.unwrap_or(SEED_DEFAULT),
            targets: given.targets.unwrap_or_else(|| vec![Server::Wirelab]),
            transports: given.transports.unwrap_or_else(|| Transport::ALL.to_vec()),
            subscribers: given.subscribers.unwrap_or(SUBSCRIBERS_DEFAULT),
            repetitions: given.repetitions.unwrap_or(1),
            store: given.store.unwrap_or(StoreKind::Memory),
            poll_interval,
            hold: given.hold.unwrap_or(HOLD_DEFAULT),
            warm_up: given.warm_up.unwrap_or_else(|| warm_up_default(&lines)),
            drain: given.drain.unwrap_or(DRAIN_DEFAULT.max(DRAIN_INTERVALS_MIN * poll_interval)),
            cut_at: given.cut_at.unwrap_or_default(),
            lines,
        };
        plan.check(refusals)?;
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SMALLEST: &str = r#"
name = "small"
question = "What is the least a plan must say?"
subscribers = 2
[lines]
process = "replay"
recording = "cargo-build"
"#;

    const POISSON: &str = r#"
name = "poisson"
question = "?"
seed = 7
transports = ["sse", "short-poll"]
subscribers = 3
repetitions = 2
store = "disk"
poll_interval = "1500ms"
hold = "5s"
warm_up = "2s"
drain = "1m"
[lines]
process = "poisson"
rate_hz = 50
duration = "10s"
payload_bytes = 200
"#;

    fn refusal(text: &str) -> String {
        Plan::parse("x.toml", text).unwrap_err().to_string()
    }

    #[test]
    fn a_plan_gets_every_default() {
        let plan = Plan::parse("small.toml", SMALLEST).unwrap();
        assert_eq!(plan.transports, Transport::ALL);
        let resolved = r#"name = "small"
question = "What is the least a plan must say?"
seed = 1
targets = ["wirelab"]
transports = ["short-poll", "long-poll", "sse", "ndjson", "websocket", "websocket-actor"]
subscribers = 2
repetitions = 1
store = "memory"
poll_interval = "200ms"
hold = "25s"
warm_up = "1s"
drain = "10s"
cut_at = []

[lines]
process = "replay"
recording = "cargo-build"
speed = 1.0
"#;
        assert_eq!(plan.to_toml(), resolved);
    }

    #[test]
    fn a_resolved_plan_parses_to_itself() {
        for text in [SMALLEST, POISSON] {
            let plan = Plan::parse("x.toml", text).unwrap();
            assert_eq!(Plan::parse("x.toml", &plan.to_toml()).unwrap(), plan);
        }
    }

    #[test]
    fn cells_are_every_transport_once_per_block() {
        let cells = Plan::parse("x.toml", POISSON).unwrap().cells();
        let told: Vec<_> = cells
            .iter()
            .map(|cell| (cell.run_id.as_str(), cell.block, cell.position, cell.repetition, cell.seed))
            .collect();
        let expected = [
            ("sse-1", 1, 1, 1, 7),
            ("short-poll-1", 1, 2, 1, 7),
            ("sse-2", 2, 1, 2, 8),
            ("short-poll-2", 2, 2, 2, 8),
        ];
        assert_eq!(told, expected);
        assert_eq!(cells[0].poll_interval, Duration::from_millis(1500));
        assert_eq!(cells[0].store, StoreKind::Disk);
    }

    #[test]
    fn transports_of_one_repetition_share_their_schedule() {
        let cells = Plan::parse("x.toml", POISSON).unwrap().cells();
        let none = |_: &str| -> Result<Arc<Recording>, String> { Err("no recording is asked for".into()) };
        let schedules: Vec<_> = cells.iter().map(|cell| cell.schedule(none).unwrap()).collect();
        assert_eq!(schedules[0], schedules[1]);
        assert_ne!(schedules[0], schedules[2]);
    }

    #[test]
    fn what_a_plan_says_wrongly_is_refused_with_key_and_allowed_values() {
        let with = |from: &str, to: &str| {
            assert!(POISSON.contains(from), "{from}");
            POISSON.replace(from, to)
        };
        for (text, said) in [
            (
                with("seed = 7", "sede = 7"),
                "plan \"x.toml\", line 4, sede: unknown field `sede`, expected one of",
            ),
            (with("question = \"?\"\n", ""), "missing field `question`"),
            (with("= 3", "= \"three\""), "plan \"x.toml\", line 6, subscribers: invalid type: string"),
            (with("= 3", "= -3"), "plan \"x.toml\", line 6, subscribers: invalid value"),
            (with("= 3", "= 0"), "plan \"x.toml\": subscribers is 0; 1 to 60000"),
            (with("= 3", "= 60001"), "plan \"x.toml\": subscribers is 60001; 1 to 60000"),
            (with("= 3", "= 4294967298"), "subscribers is 4294967298; 1 to 60000"),
            (with("= 3", "= 3 3"), "plan \"x.toml\", line 6"),
            (
                with("\"short-poll\"", "\"sock\""),
                "plan \"x.toml\": transports is [\"sse\", \"sock\"]; \"all\" or a list of short-poll, long-poll, sse",
            ),
            (with("[\"sse\", \"short-poll\"]", "\"sse\""), "transports is \"sse\"; \"all\" or a list of"),
            (with("[\"sse\", \"short-poll\"]", "[]"), "transports is empty; \"all\" or a list of"),
            (with("\"short-poll\"", "\"sse\""), "transports is naming sse twice; name each once"),
            (with("= 2\nstore", "= 0\nstore"), "repetitions is 0; 1 to 1000"),
            (
                with("\"disk\"", "\"disc\""),
                "line 8, store: unknown variant `disc`, expected `memory` or `disk`",
            ),
            (with("\"1500ms\"", "\"1500\""), "poll_interval is \"1500\"; time unit needed"),
            (with("\"1500ms\"", "\"0ms\""), "poll_interval is 0s; 1ms to 5m"),
            (
                with("\"1500ms\"", "\"40s\""),
                "drain is 1m; with short-poll at least 2 times poll_interval, 1m 20s",
            ),
            (with("\"5s\"", "\"56s\""), "hold is 56s; 0s to 55s"),
            (with("\"2s\"", "\"10s\""), "warm_up is 10s; must be shorter than lines.duration, 10s"),
            (with("\"1m\"", "\"1h\""), "drain is 1h; 100ms to 10m"),
            (
                with("\"poisson\"\nrate", "\"bursts\"\nrate"),
                "unknown variant `bursts`, expected one of `replay`",
            ),
            (with("rate_hz", "rate"), "unknown field `rate`, expected one of `rate_hz`, `duration`"),
            (with("= 50", "= 0"), "lines.rate_hz is 0; 0.01 to 100000"),
            (with("= 50", "= nan"), "lines.rate_hz is NaN; 0.01 to 100000"),
            (with("\"10s\"", "\"25h\""), "lines.duration is 1day 1h; 1ms to 1day"),
            (with("\"10s\"", "\"24h\"").replace("= 50", "= 100"), "8640000 lines, more than 5000000"),
            (with("= 200", "= 0"), "lines.payload_bytes is 0; 1 to 1048576"),
            (with("\"poisson\"\nq", "\"../x\"\nq"), "name is \"../x\"; 1 to 60 characters"),
            (
                SMALLEST.replace("\"cargo-build\"", "\"cargo-build\"\nspeed = 0.0"),
                "lines.speed is 0; 0.01 to 1000",
            ),
            (SMALLEST.replace("\"cargo-build\"", "\"\""), "lines.recording is \"\"; the name of a recording"),
        ] {
            let refused = refusal(&text);
            assert!(refused.starts_with("plan \"x.toml\"") && refused.contains(said), "{refused}");
            assert!(!refused.contains('\n'), "{refused}");
        }
    }

    #[test]
    fn an_unknown_plan_is_answered_with_those_there_are() {
        let known = vec!["quick".to_owned(), "fan-out".to_owned()];
        let said = PlanError::Unknown { given: "quik".to_owned(), known }.to_string();
        assert_eq!(said, "unknown plan \"quik\"; one of quick, fan-out, or the path of a .toml file");
    }

    #[test]
    fn flags_make_a_plan_that_is_checked_like_a_file() {
        let plan = Plan::ad_hoc(AdHoc::default()).unwrap();
        assert_eq!((plan.name.as_str(), plan.subscribers), (AD_HOC, 10));
        assert_eq!(Plan::parse("x.toml", &plan.to_toml()).unwrap(), plan);
        let refused = Plan::ad_hoc(AdHoc { subscribers: Some(0), ..AdHoc::default() }).unwrap_err();
        assert_eq!(refused.to_string(), "plan \"ad-hoc\": subscribers is 0; 1 to 60000");
    }

    #[test]
    fn too_few_descriptors_are_refused_with_the_number_and_how_to_raise_it() {
        let plan = Plan::ad_hoc(AdHoc { subscribers: Some(1_000), ..AdHoc::default() }).unwrap();
        assert_eq!(plan.check_descriptors(2_064), Ok(()));
        let said = plan.check_descriptors(2_063).unwrap_err().to_string();
        assert!(said.contains("1000 subscribers need 2064 open files"), "{said}");
        assert!(said.contains("may have 2063") && said.contains("ulimit -n 2064"), "{said}");
    }

    #[test]
    fn a_cohort_without_lines_is_refused() {
        let plan = Plan::parse("x.toml", SMALLEST).unwrap();
        let recording = |json: &str| Schedule::Replay {
            recording: Arc::new(Recording::parse("r", json.as_bytes()).unwrap()),
            speed: 1.0,
        };
        let end = "{\"offset_us\":5000000,\"status\":\"succeeded\"}";
        let early = format!("{{\"offset_us\":999999,\"text\":\"\"}}\n{end}");
        let in_time = format!("{{\"offset_us\":1000000,\"text\":\"\"}}\n{end}");
        assert_eq!(plan.check_cohort(&recording(&in_time)), Ok(()));
        let said = plan.check_cohort(&recording(&early)).unwrap_err().to_string();
        assert!(said.contains("warm_up is 1s; the last line is due at 999ms 999us"), "{said}");
        let said = plan.check_cohort(&recording(end)).unwrap_err().to_string();
        assert!(said.contains("no line at all"), "{said}");
    }

    proptest! {
        #[test]
        fn any_text_is_a_plan_or_a_one_line_refusal(text in "[a-z=\\[\\]\"\n\u{e9} 0-9]{0,80}") {
            if let Err(error) = Plan::parse("x.toml", &text) {
                prop_assert!(error.to_string().starts_with("plan \"x.toml\""));
            }
        }

        #[test]
        fn durations_survive_the_file(nanos in 0..=55_000_000_000u64) {
            let hold = Duration::from_nanos(nanos);
            let plan = Plan::ad_hoc(AdHoc { hold: Some(hold), ..AdHoc::default() }).unwrap();
            prop_assert_eq!(Plan::parse("x.toml", &plan.to_toml()).unwrap().hold, hold);
        }
    }
}
