//! Plan files: the TOML form of a plan.
//!
//! Texts become numbers and durations here, and back. An arm is a table that is laid over the plan's own, and so is
//! `smoke`. Every merged table is read like a plan. The plan itself checks which values are allowed.

use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::check::{
    DEPLOYMENTS, EXTRAS, PAYLOAD_BYTES, PlanErrors, REPETITIONS, SUBSCRIBERS, one_of_transports, text_of,
};
use super::network::{FileNetwork, FileWay};
use super::{Announces, Arm, NoiseFloor, Plan, PlanError, SEED_DEFAULT, Size};
use crate::harness::cell::PAYLOAD_BYTES_DEFAULT;
use crate::harness::cell::{
    Engine, Extra, Factors, Given, LineProcess, ServeOptions, Server, StoreKind, Tls,
};
use crate::harness::network::Fault;
use crate::harness::network::cut::Cut;
use crate::harness::network::emulated::{Network, NetworkKind, PublisherPlace};
use crate::harness::network::stop::Stop;
use crate::harness::schedule::Generated;
use crate::options::{
    Adaptation, Compression, Condition, HttpVersion, Options, PollConnections, PollPhase, PollSchedule,
    Polling,
};
use crate::targets::profile::{Profile, ProfileError};
use crate::toml_place::Place;
use crate::wire::Transport;

/// A plan file before its texts are read. A member that is absent gets its default.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FilePlan {
    name: String,
    question: String,
    prediction: Option<String>,
    size: Option<Size>,
    seed: Option<u64>,
    targets: Option<Vec<String>>,
    repetitions: Option<u64>,
    aa: Option<bool>,
    predict: Option<bool>,
    thresholds: Option<Vec<String>>,

    transports: Option<Value>,
    fallback: Option<Value>,
    subscribers: u64,
    deployments: Option<u64>,
    store: Option<StoreKind>,
    poll_interval: Option<String>,
    poll_schedule: Option<PollSchedule>,
    poll_phase: Option<PollPhase>,
    poll_jitter_ratio: Option<f64>,
    poll_adaptation: Option<FileAdaptation>,
    poll_interval_max: Option<String>,
    poll_advice: Option<String>,
    conditional: Option<bool>,
    hold: Option<String>,
    turn: Option<String>,
    http: Option<HttpVersion>,
    tls: Option<Tls>,
    keep_alive: Option<bool>,
    compression: Option<Compression>,
    linger: Option<String>,
    heartbeat: Option<String>,
    without: Option<Value>,
    engine: Option<Engine>,
    warm_up: Option<String>,
    drain: Option<String>,
    cut_at: Option<Vec<String>>,
    stop: Option<FileStop>,
    stalled: Option<FileExtra>,
    late: Option<FileExtra>,
    network: Option<NetworkKind>,
    rtt_ms: Option<f64>,
    jitter_ms: Option<f64>,
    loss_ratio: Option<f64>,
    link_kbit_s: Option<u64>,
    publisher: Option<PublisherPlace>,
    up: Option<FileWay>,
    down: Option<FileWay>,
    lines: FileLines,
    smoke: Option<Table>,
    arms: Option<Vec<Table>>,
}

/// Keys that belong to the plan and that no arm may have.
pub(super) const PLAN_KEYS: [&str; 11] = [
    "question",
    "prediction",
    "size",
    "seed",
    "targets",
    "repetitions",
    "aa",
    "predict",
    "thresholds",
    "smoke",
    "arms",
];

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum FileAdaptation {
    None,
    Idle,
    Server,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileStop {
    at: String,
    duration: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileExtra {
    subscribers: u64,
    at: String,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "process", rename_all = "kebab-case", deny_unknown_fields)]
enum FileLines {
    Replay { recording: String, speed: Option<f64> },
    Periodic { rate_hz: f64, duration: String, payload_bytes: Option<u64> },
    Poisson { rate_hz: f64, duration: String, payload_bytes: Option<u64> },
}

const SPEED_DEFAULT: f64 = 1.0;

/// Parses the TOML `text`; `file` is the plan's name in errors, and `profile` returns the profiles among its targets.
pub(super) fn parse(
    file: &str,
    text: &str,
    size: Size,
    profile: &dyn Fn(&str) -> Result<Profile, ProfileError>,
) -> Result<Plan, PlanError> {
    // The text is parsed as it stands first, since these errors have line numbers.
    let written: FilePlan = toml::from_str(text).map_err(|error| malformed(file, text, &error))?;
    let refusals = PlanErrors::of(file);
    let mut base: Table = toml::from_str(text).map_err(|error| malformed(file, text, &error))?;
    base.remove("arms");
    base.remove("smoke");
    let mut arms = written.arms.unwrap_or_default();
    match (size, written.smoke) {
        (Size::Full, _) => {}
        (Size::Smoke, None) => return Err(PlanError::NoSmoke { plan: file.to_owned() }),
        (Size::Smoke, Some(mut smoke)) => {
            if let Some(kept) = smoke.remove("arms") {
                arms = kept_arms(arms, &kept, refusals)?;
            }
            merge(&mut base, smoke);
            base.insert("size".to_owned(), Value::String(Size::Smoke.name().to_owned()));
        }
    }
    let plan = read(base.clone(), refusals)?;
    let server = |given: &String| {
        Server::parse(given, profile)
            .map_err(|error| refusals.refused("targets", format!("a list with {given:?}"), error.to_string()))
    };
    let threshold = |given: &String| {
        given.parse().map_err(|error: <super::Threshold as FromStr>::Err| {
            refusals.refused("thresholds", format!("a list with {given:?}"), error.to_string())
        })
    };
    let targets = plan.targets.iter().flatten().map(server).collect::<Result<Vec<_>, _>>()?;
    let mut resolved = Plan {
        name: plan.name.clone(),
        question: plan.question.clone(),
        prediction: plan.prediction.clone(),
        size: plan.size.unwrap_or_default(),
        seed: plan.seed.unwrap_or(SEED_DEFAULT),
        targets: if plan.targets.is_some() { targets } else { vec![Server::Wirelab] },
        repetitions: plan
            .repetitions
            .map_or(Ok(1), |given| refusals.small("repetitions", given, &REPETITIONS))?,
        noise_floor: if plan.aa == Some(true) { NoiseFloor::Measured } else { NoiseFloor::Unknown },
        announces: if plan.predict == Some(true) { Announces::Predictions } else { Announces::Nothing },
        thresholds: plan.thresholds.iter().flatten().map(threshold).collect::<Result<_, _>>()?,
        arms: arms.into_iter().map(|arm| arm_of(&base, arm, file)).collect::<Result<_, _>>()?,
        base: plan.factors(refusals)?,
    };
    if size == Size::Smoke {
        // Thresholds for an arm or a transport that a short run leaves out are dropped.
        let cells = resolved.in_plan_order();
        resolved.thresholds.retain(|threshold| cells.iter().any(|cell| threshold.concerns(cell)));
    }
    resolved.check(refusals)?;
    Ok(resolved)
}

/// Returns the arms that a short run keeps.
fn kept_arms(arms: Vec<Table>, kept: &Value, refusals: PlanErrors<'_>) -> Result<Vec<Table>, PlanError> {
    let name_of = |arm: &Table| arm.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let names: Vec<String> = arms.iter().map(&name_of).collect();
    let refused = || refusals.refused("smoke.arms", kept, format!("a list of {}", names.join(", ")));
    let kept: Vec<&str> = kept
        .as_array()
        .ok_or_else(refused)?
        .iter()
        .map(Value::as_str)
        .collect::<Option<_>>()
        .ok_or_else(refused)?;
    match kept.iter().all(|name| names.iter().any(|known| known == name)) && !kept.is_empty() {
        true => Ok(arms.into_iter().filter(|arm| kept.contains(&name_of(arm).as_str())).collect()),
        false => Err(refused()),
    }
}

/// Makes an arm: lays its table over the plan's own and reads the factors.
fn arm_of(base: &Table, arm: Table, file: &str) -> Result<Arm, PlanError> {
    let name = arm.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let refusals = PlanErrors { plan: file, arm: Some(&name) };
    if let Some(key) = PLAN_KEYS.iter().find(|key| arm.contains_key(**key)) {
        let must = "it belongs to the plan, above its arms".to_owned();
        return Err(refusals.refused(key, "in an arm", must));
    }
    let mut merged = base.clone();
    merge(&mut merged, arm);
    merged.insert("name".to_owned(), Value::String(name.clone()));
    let factors = read(merged, refusals)?.factors(refusals)?;
    Ok(Arm { name, factors })
}

fn read(table: Table, refusals: PlanErrors<'_>) -> Result<FilePlan, PlanError> {
    table.try_into().map_err(|error: toml::de::Error| {
        let what = error.message().trim().replace('\n', ", ");
        refusals.refused("a key or value", "invalid", what)
    })
}

/// Lays `over` on `under`: where both have a key, `over` wins; tables are merged key by key.
fn merge(under: &mut Table, over: Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Table(under)), Value::Table(over)) => merge(under, over),
            (_, value) => {
                under.insert(key, value);
            }
        }
    }
}

/// Returns the part of `over` that differs from `under`. Laid on `under`, it gives `over`.
fn difference(under: &Table, over: &Table) -> Table {
    let mut differs = Table::new();
    for (key, value) in over {
        match (under.get(key), value) {
            (Some(same), value) if same == value => {}
            (Some(Value::Table(under)), Value::Table(over)) => {
                differs.insert(key.clone(), Value::Table(difference(under, over)));
            }
            (_, value) => {
                differs.insert(key.clone(), value.clone());
            }
        }
    }
    differs
}

/// Reads the networks of a plan's text, and nothing else of it: its own, which has no name, then those of its arms.
pub(super) fn networks(file: &str, text: &str) -> Result<Vec<(Option<String>, Network)>, PlanError> {
    let refusals = PlanErrors::of(file);
    let mut base: Table = toml::from_str(text).map_err(|error| malformed(file, text, &error))?;
    let arms = match base.remove("arms") {
        Some(Value::Array(arms)) => arms,
        Some(_) | None => Vec::new(),
    };
    let resolve = |table: Table| {
        let keys: FileNetwork = table.try_into().map_err(|error: toml::de::Error| {
            refusals.refused("a key of the network", "invalid", error.message().trim().replace('\n', ", "))
        })?;
        keys.resolve(refusals)
    };
    let mut networks = vec![(None, resolve(base.clone())?)];
    for arm in arms {
        let Value::Table(arm) = arm else { continue };
        let name = arm.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut merged = base.clone();
        merge(&mut merged, arm);
        networks.push((Some(name), resolve(merged)?));
    }
    Ok(networks)
}

/// Writes the plan as a file with every default explicit.
pub(super) fn to_toml(plan: &Plan) -> String {
    let base = FilePlan::of(plan, &plan.base);
    let table = |file: &FilePlan| Table::try_from(file).expect("a plan has no value that TOML refuses");
    let under = table(&base);
    let arm = |arm: &Arm| {
        let mut differs = Table::new();
        differs.insert("name".to_owned(), Value::String(arm.name.clone()));
        differs.extend(difference(&under, &table(&FilePlan::of(plan, &arm.factors))));
        differs
    };
    let arms: Vec<Table> = plan.arms.iter().map(arm).collect();
    let file = FilePlan { arms: (!arms.is_empty()).then_some(arms), ..base };
    toml::to_string(&file).expect("a plan has no value that TOML refuses")
}

impl FilePlan {
    fn of(plan: &Plan, factors: &Factors) -> Self {
        let Options {
            polling,
            hold,
            turn,
            http,
            connections,
            compression,
            reconnect_max: _,
            advice_max: _,
            first_wait: _,
        } = &factors.options;
        let ServeOptions { store, linger, heartbeat, compression: _, poll_advice, without, engine } =
            &factors.serve;
        let (poll_adaptation, poll_interval_max) = match polling.adaptation {
            Adaptation::None => (FileAdaptation::None, None),
            Adaptation::Idle { interval_max } => (FileAdaptation::Idle, Some(text_of(interval_max))),
            Adaptation::Server => (FileAdaptation::Server, None),
        };
        let (cut_at, stop) = match &factors.fault {
            None => (Vec::new(), None),
            Some(Fault::Cut(cut)) => (cut.at.iter().copied().map(text_of).collect(), None),
            Some(Fault::Stop(stop)) => {
                (Vec::new(), Some(FileStop { at: text_of(stop.at), duration: text_of(stop.duration) }))
            }
        };
        let network = FileNetwork::of(&factors.network);
        let extra =
            |extra: &Extra| FileExtra { subscribers: extra.subscribers.into(), at: text_of(extra.at) };
        Self {
            name: plan.name.clone(),
            question: plan.question.clone(),
            prediction: plan.prediction.clone(),
            size: Some(plan.size),
            seed: Some(plan.seed),
            targets: Some(plan.targets.iter().map(Server::name).collect()),
            repetitions: Some(plan.repetitions.into()),
            aa: Some(plan.noise_floor == NoiseFloor::Measured),
            predict: Some(plan.announces == Announces::Predictions),
            thresholds: Some(plan.thresholds.iter().map(ToString::to_string).collect()),
            transports: Some(names(&factors.transports)),
            fallback: Some(names(&factors.fallback)),
            subscribers: factors.subscribers.into(),
            deployments: Some(factors.deployments.into()),
            store: Some(*store),
            poll_interval: Some(text_of(polling.interval)),
            poll_schedule: Some(polling.schedule),
            poll_phase: Some(polling.phase),
            poll_jitter_ratio: Some(polling.jitter_ratio),
            poll_adaptation: Some(poll_adaptation),
            poll_interval_max,
            poll_advice: poll_advice.map(text_of),
            conditional: Some(polling.condition == Condition::IfNoneMatch),
            hold: Some(text_of(*hold)),
            turn: Some(text_of(*turn)),
            http: Some(*http),
            tls: Some(factors.tls),
            keep_alive: Some(*connections == PollConnections::KeepAlive),
            compression: Some(*compression),
            linger: Some(text_of(*linger)),
            heartbeat: Some(text_of(*heartbeat)),
            without: Some(names(without)),
            engine: Some(*engine),
            warm_up: Some(text_of(factors.warm_up)),
            drain: Some(text_of(factors.drain)),
            cut_at: Some(cut_at),
            stop,
            stalled: factors.stalled.as_ref().map(extra),
            late: factors.late.as_ref().map(extra),
            network: network.network,
            rtt_ms: network.rtt_ms,
            jitter_ms: network.jitter_ms,
            loss_ratio: network.loss_ratio,
            link_kbit_s: network.link_kbit_s,
            publisher: network.publisher,
            up: network.up,
            down: network.down,
            lines: FileLines::of(&factors.lines),
            smoke: None,
            arms: None,
        }
    }

    /// Reads the factors and fills in the defaults; `self` is a plan, or an arm laid over it.
    fn factors(self, refusals: PlanErrors<'_>) -> Result<Factors, PlanError> {
        let duration =
            |key: &str, given: Option<String>| given.map(|text| refusals.duration(key, &text)).transpose();
        let extra = |key: &str, given: Option<FileExtra>| {
            given
                .map(|extra| {
                    let subscribers =
                        refusals.small(&format!("{key}.subscribers"), extra.subscribers, &EXTRAS)?;
                    Ok(Extra { subscribers, at: refusals.duration(&format!("{key}.at"), &extra.at)? })
                })
                .transpose()
        };
        let transports = |key: &str, given: Option<Value>| {
            given.map(|value| transports_of(key, &value, refusals)).transpose()
        };
        let mut options = Factors::options_default();
        let defaults = options.polling;
        let interval_max = duration("poll_interval_max", self.poll_interval_max)?;
        options.polling = Polling {
            interval: duration("poll_interval", self.poll_interval)?.unwrap_or(defaults.interval),
            schedule: self.poll_schedule.unwrap_or(defaults.schedule),
            phase: self.poll_phase.unwrap_or(defaults.phase),
            jitter_ratio: self.poll_jitter_ratio.unwrap_or(defaults.jitter_ratio),
            adaptation: adaptation(self.poll_adaptation, interval_max, refusals)?,
            condition: if self.conditional == Some(false) {
                Condition::Plain
            } else {
                Condition::IfNoneMatch
            },
        };
        options.hold = duration("hold", self.hold)?.unwrap_or(options.hold);
        options.turn = duration("turn", self.turn)?.unwrap_or(options.turn);
        options.http = self.http.unwrap_or(options.http);
        options.connections = if self.keep_alive == Some(false) {
            PollConnections::PerRequest
        } else {
            PollConnections::KeepAlive
        };
        options.compression = self.compression.unwrap_or(options.compression);
        let defaults = ServeOptions::default();
        let serve = ServeOptions {
            store: self.store.unwrap_or(defaults.store),
            linger: duration("linger", self.linger)?.unwrap_or(defaults.linger),
            heartbeat: duration("heartbeat", self.heartbeat)?.unwrap_or(defaults.heartbeat),
            // The server offers what its clients ask for: an offer that no client uses would change nothing.
            compression: options.compression,
            poll_advice: duration("poll_advice", self.poll_advice)?,
            without: transports("without", self.without)?.unwrap_or_default(),
            engine: self.engine.unwrap_or(defaults.engine),
        };
        let cuts: Vec<Duration> = self
            .cut_at
            .iter()
            .flatten()
            .map(|text| refusals.duration("cut_at", text))
            .collect::<Result<_, _>>()?;
        let fault = match (cuts.is_empty(), self.stop) {
            (true, None) => None,
            (false, None) => Some(Fault::Cut(Cut { at: cuts })),
            (true, Some(stop)) => Some(Fault::Stop(Stop {
                at: refusals.duration("stop.at", &stop.at)?,
                duration: refusals.duration("stop.duration", &stop.duration)?,
            })),
            (false, Some(_)) => {
                return Err(refusals.refused(
                    "stop",
                    "given beside cut_at",
                    "one fault at a time".to_owned(),
                ));
            }
        };
        let network = FileNetwork {
            network: self.network,
            rtt_ms: self.rtt_ms,
            jitter_ms: self.jitter_ms,
            loss_ratio: self.loss_ratio,
            link_kbit_s: self.link_kbit_s,
            publisher: self.publisher,
            up: self.up,
            down: self.down,
        };
        let network = network.resolve(refusals)?;
        let given = Given {
            transports: transports("transports", self.transports)?,
            fallback: transports("fallback", self.fallback)?,
            subscribers: Some(refusals.small("subscribers", self.subscribers, &SUBSCRIBERS)?),
            deployments: self
                .deployments
                .map(|given| refusals.small("deployments", given, &DEPLOYMENTS))
                .transpose()?,
            serve: Some(serve),
            tls: self.tls,
            options: Some(options),
            warm_up: duration("warm_up", self.warm_up)?,
            drain: duration("drain", self.drain)?,
            fault,
            stalled: extra("stalled", self.stalled)?,
            late: extra("late", self.late)?,
            network: Some(network),
            lines: Some(self.lines.resolve(refusals)?),
        };
        Ok(given.resolve())
    }
}

fn adaptation(
    given: Option<FileAdaptation>,
    interval_max: Option<Duration>,
    refusals: PlanErrors<'_>,
) -> Result<Adaptation, PlanError> {
    match (given, interval_max) {
        (None | Some(FileAdaptation::None), None) => Ok(Adaptation::None),
        (Some(FileAdaptation::Server), None) => Ok(Adaptation::Server),
        (Some(FileAdaptation::Idle), Some(interval_max)) => Ok(Adaptation::Idle { interval_max }),
        (Some(FileAdaptation::Idle), None) => Err(refusals.refused(
            "poll_adaptation",
            "\"idle\" without poll_interval_max",
            "say how long the interval may become".to_owned(),
        )),
        (None | Some(FileAdaptation::None | FileAdaptation::Server), Some(given)) => Err(refusals.refused(
            "poll_interval_max",
            text_of(given),
            "it belongs to poll_adaptation = \"idle\"".to_owned(),
        )),
    }
}

fn names(transports: &[Transport]) -> Value {
    Value::Array(transports.iter().map(|transport| Value::String(transport.name().to_owned())).collect())
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

    fn resolve(self, refusals: PlanErrors<'_>) -> Result<LineProcess, PlanError> {
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

/// Word for every transport, as in `transports = "all"`.
const ALL: &str = "all";

fn transports_of(key: &str, value: &Value, refusals: PlanErrors<'_>) -> Result<Vec<Transport>, PlanError> {
    let refused = || refusals.refused(key, value, one_of_transports());
    match value {
        Value::String(all) if all == ALL => Ok(Transport::ALL.to_vec()),
        Value::Array(names) => {
            let transport = |name: &Value| name.as_str()?.parse().ok();
            names.iter().map(|name| transport(name).ok_or_else(refused)).collect()
        }
        _ => Err(refused()),
    }
}

fn malformed(file: &str, text: &str, error: &toml::de::Error) -> PlanError {
    let Place { line, key, what } = Place::of(text, error);
    PlanError::Malformed { plan: file.to_owned(), line, key, what }
}
