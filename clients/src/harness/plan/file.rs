//! Plan files: the TOML form of a plan.
//!
//! Texts become numbers and durations here, and back. What a value may be is checked by the plan itself.

use serde::{Deserialize, Serialize};

use super::check::{PAYLOAD_BYTES, REPETITIONS, Refusals, SUBSCRIBERS, one_of_transports, text_of};
use super::{AdHoc, LineProcess, PAYLOAD_BYTES_DEFAULT, Plan, PlanError, SPEED_DEFAULT, Server, StoreKind};
use crate::harness::schedule::Generated;
use crate::targets::profile::{Profile, ProfileError};
use crate::toml_place::Place;
use crate::wire::Transport;

/// A plan file before its texts are read. A member that is absent gets its default.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FilePlan {
    name: String,
    question: String,
    seed: Option<u64>,
    targets: Option<Vec<String>>,
    transports: Option<toml::Value>,
    subscribers: u64,
    repetitions: Option<u64>,
    store: Option<StoreKind>,
    poll_interval: Option<String>,
    hold: Option<String>,
    warm_up: Option<String>,
    drain: Option<String>,
    cut_at: Option<Vec<String>>,
    lines: FileLines,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "process", rename_all = "kebab-case", deny_unknown_fields)]
enum FileLines {
    Replay { recording: String, speed: Option<f64> },
    Periodic { rate_hz: f64, duration: String, payload_bytes: Option<u64> },
    Poisson { rate_hz: f64, duration: String, payload_bytes: Option<u64> },
}

/// Parses the TOML `text`; `file` is the plan's name in errors, and `profile` is asked for its targets.
pub(super) fn parse(
    file: &str,
    text: &str,
    profile: &dyn Fn(&str) -> Result<Profile, ProfileError>,
) -> Result<Plan, PlanError> {
    let plan: FilePlan = toml::from_str(text).map_err(|error| malformed(file, text, &error))?;
    let refusals = Refusals { plan: file };
    let duration =
        |key: &str, given: Option<String>| given.map(|text| refusals.duration(key, &text)).transpose();
    let server = |given: &String| {
        Server::parse(given, profile)
            .map_err(|error| refusals.refused("targets", format!("naming {given:?}"), error.to_string()))
    };
    let cuts = |given: Vec<String>| given.iter().map(|text| refusals.duration("cut_at", text)).collect();
    let values = AdHoc {
        targets: plan.targets.map(|given| given.iter().map(server).collect()).transpose()?,
        cut_at: plan.cut_at.map(cuts).transpose()?,
        transports: plan.transports.map(|value| transports_of(&value, refusals)).transpose()?,
        subscribers: Some(refusals.small("subscribers", plan.subscribers, &SUBSCRIBERS)?),
        repetitions: plan
            .repetitions
            .map(|given| refusals.small("repetitions", given, &REPETITIONS))
            .transpose()?,
        seed: plan.seed,
        store: plan.store,
        poll_interval: duration("poll_interval", plan.poll_interval)?,
        hold: duration("hold", plan.hold)?,
        warm_up: duration("warm_up", plan.warm_up)?,
        drain: duration("drain", plan.drain)?,
        lines: Some(plan.lines.resolve(refusals)?),
    };
    Plan::resolve(plan.name, plan.question, values, refusals)
}

/// The plan as a file with every default explicit.
pub(super) fn to_toml(plan: &Plan) -> String {
    let names = plan.transports.iter().map(|transport| transport.name().to_owned());
    let plan = FilePlan {
        name: plan.name.clone(),
        question: plan.question.clone(),
        seed: Some(plan.seed),
        targets: Some(plan.targets.iter().map(Server::name).collect()),
        transports: Some(toml::Value::Array(names.map(toml::Value::String).collect())),
        subscribers: u64::from(plan.subscribers),
        repetitions: Some(u64::from(plan.repetitions)),
        store: Some(plan.store),
        poll_interval: Some(text_of(plan.poll_interval)),
        hold: Some(text_of(plan.hold)),
        warm_up: Some(text_of(plan.warm_up)),
        drain: Some(text_of(plan.drain)),
        cut_at: Some(plan.cut_at.iter().copied().map(text_of).collect()),
        lines: FileLines::of(&plan.lines),
    };
    toml::to_string(&plan).expect("a plan has no value that TOML refuses")
}

impl FileLines {
    fn of(lines: &LineProcess) -> Self {
        let written = |lines: &Generated| (text_of(lines.duration), Some(lines.payload_bytes as u64));
        match lines {
            LineProcess::Replay { recording, speed } => {
                Self::Replay { recording: recording.clone(), speed: Some(*speed) }
            }
            LineProcess::Periodic(lines) => {
                let (duration, payload_bytes) = written(lines);
                Self::Periodic { rate_hz: lines.rate_hz, duration, payload_bytes }
            }
            LineProcess::Poisson(lines) => {
                let (duration, payload_bytes) = written(lines);
                Self::Poisson { rate_hz: lines.rate_hz, duration, payload_bytes }
            }
        }
    }

    fn resolve(self, refusals: Refusals<'_>) -> Result<LineProcess, PlanError> {
        let generated = |rate_hz, duration: String, payload_bytes: Option<u64>| {
            let payload_bytes = payload_bytes.unwrap_or(PAYLOAD_BYTES_DEFAULT);
            let payload_bytes =
                refusals.small("lines.payload_bytes", payload_bytes, &PAYLOAD_BYTES)? as usize;
            let duration = refusals.duration("lines.duration", &duration)?;
            Ok(Generated { rate_hz, duration, payload_bytes })
        };
        Ok(match self {
            Self::Replay { recording, speed } => {
                LineProcess::Replay { recording, speed: speed.unwrap_or(SPEED_DEFAULT) }
            }
            Self::Periodic { rate_hz, duration, payload_bytes } => {
                LineProcess::Periodic(generated(rate_hz, duration, payload_bytes)?)
            }
            Self::Poisson { rate_hz, duration, payload_bytes } => {
                LineProcess::Poisson(generated(rate_hz, duration, payload_bytes)?)
            }
        })
    }
}

/// `transports = "all"`.
const ALL: &str = "all";

fn transports_of(value: &toml::Value, refusals: Refusals<'_>) -> Result<Vec<Transport>, PlanError> {
    let refused = || refusals.refused("transports", value, one_of_transports());
    match value {
        toml::Value::String(all) if all == ALL => Ok(Transport::ALL.to_vec()),
        toml::Value::Array(names) => {
            let transport = |name: &toml::Value| name.as_str()?.parse().ok();
            names.iter().map(|name| transport(name).ok_or_else(refused)).collect()
        }
        _ => Err(refused()),
    }
}

fn malformed(file: &str, text: &str, error: &toml::de::Error) -> PlanError {
    let Place { line, key, what } = Place::of(text, error);
    PlanError::Malformed { plan: file.to_owned(), line, key, what }
}
