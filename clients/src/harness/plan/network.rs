//! The network keys of a plan: read, written and checked.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::check::{PlanError, PlanErrors, text_of};
use crate::harness::network::emulated::{Network, NetworkKind, PublisherPlace};
use crate::link::{Jitter, Link, Loss, OneWay, Order, Rate};

/// Round trip of a link. Two seconds are more than a geostationary satellite has; clients give a server up after 10 s.
pub(super) const RTT_MS: RangeInclusive<f64> = 0.0..=2_000.0;
/// Delay of one direction: half of the largest round trip.
pub(super) const DELAY_MS: RangeInclusive<f64> = 0.0..=1_000.0;
/// Jitter of one direction.
pub(super) const JITTER_MS: RangeInclusive<f64> = 0.0..=1_000.0;
/// Loss of one direction. With more, TCP gives connections up.
pub(super) const LOSS_RATIO: RangeInclusive<f64> = 0.0..=0.5;
/// Packets that a burst loses on average.
pub(super) const LOSS_BURST: RangeInclusive<f64> = 1.0..=1_000.0;
/// Time for which an on/off link works or is silent.
pub(super) const LOSS_PHASE: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(60);
/// Rate of a link: from a slow modem to 10 Gbit/s, which no user-space link exceeds.
pub(super) const LINK_KBIT_S: RangeInclusive<u64> = 8..=10_000_000;
/// Queue before a link: a packet to 64 MiB.
pub(super) const QUEUE_BYTES: RangeInclusive<u64> = 1_500..=67_108_864;

/// Round trip of a network that flags ask for without saying how far: another city.
pub const RTT_DEFAULT: Duration = Duration::from_millis(50);

/// Largest difference between a round trip and its two ways: they are rounded to nanoseconds.
const RTT_TOLERANCE_MS: f64 = 1e-3;
/// Remedy for what a delay line cannot do.
const NEEDS_PACKETS: &str = "packets are needed for that; use network = \"tun\" (Linux, as root)";

/// Distribution of a jitter, in a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum JitterProcess {
    Uniform,
    Normal,
}

/// One direction of a link, in a plan. What is absent is taken from the keys of both directions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileWay {
    delay_ms: Option<f64>,
    jitter_ms: Option<f64>,
    jitter_process: Option<JitterProcess>,
    reorder: Option<bool>,
    loss_ratio: Option<f64>,
    loss_burst: Option<f64>,
    loss_on: Option<String>,
    loss_off: Option<String>,
    link_kbit_s: Option<u64>,
    queue_bytes: Option<u64>,
    trace: Option<String>,
}

/// The network keys of a plan.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct FileNetwork {
    pub(super) network: Option<NetworkKind>,
    pub(super) rtt_ms: Option<f64>,
    pub(super) jitter_ms: Option<f64>,
    pub(super) loss_ratio: Option<f64>,
    pub(super) link_kbit_s: Option<u64>,
    pub(super) up: Option<FileWay>,
    pub(super) down: Option<FileWay>,
    pub(super) publisher: Option<PublisherPlace>,
}

/// What flags say of the network of every run. What is absent stays as the plan has it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct NetworkFlags {
    /// What makes the link; default: the plan's, and a delay line where the plan has none.
    pub kind: Option<NetworkKind>,
    /// Round-trip time; default: the plan's, and [`RTT_DEFAULT`] where the plan has no network.
    pub rtt: Option<Duration>,
    /// Jitter of each direction, uniform.
    pub jitter: Option<Duration>,
    /// Share of packets that each direction loses.
    pub loss_ratio: Option<f64>,
    /// Rate of each direction.
    pub kbit_s: Option<u64>,
}

impl NetworkFlags {
    /// Lays the flags over the network of a plan or of an arm.
    pub(super) fn over(&self, network: &Network, refusals: PlanErrors<'_>) -> Result<Network, PlanError> {
        let had_none = network.kind == NetworkKind::None;
        if self.kind == Some(NetworkKind::None) && *self != (Self { kind: self.kind, ..Self::default() }) {
            let must =
                "without a network there is no link; leave the other flags away, or name its kind".to_owned();
            return Err(refusals.refused("network", "\"none\" beside a flag of a link", must));
        }
        let kind = match (*self, had_none) {
            (Self { kind: Some(kind), .. }, _) => kind,
            (flags, _) if flags == Self::default() => return Ok(network.clone()),
            (_, true) => NetworkKind::Line,
            (_, false) => network.kind,
        };
        let rtt = self.rtt.or(had_none.then_some(RTT_DEFAULT)).unwrap_or(network.link.round_trip());
        let way = |way: &OneWay| {
            let jitter = self.jitter.map(|jitter| (Some(ms(jitter)), None));
            let had = FileWay::of(way);
            let (jitter_ms, jitter_process) = jitter.unwrap_or((had.jitter_ms, had.jitter_process));
            let had = match self.loss_ratio {
                Some(ratio) => FileWay {
                    loss_ratio: Some(ratio),
                    loss_burst: None,
                    loss_on: None,
                    loss_off: None,
                    ..had
                },
                None => had,
            };
            let link_kbit_s = self.kbit_s.or(had.link_kbit_s);
            let delay_ms = self.rtt.or(had_none.then_some(rtt)).map(|rtt| ms(rtt) / 2.0).or(had.delay_ms);
            Some(FileWay { delay_ms, jitter_ms, jitter_process, link_kbit_s, ..had })
        };
        let file = FileNetwork {
            network: Some(kind),
            rtt_ms: Some(ms(rtt)),
            // Each direction has them already. Here they are refused by their own names.
            jitter_ms: self.jitter.map(ms),
            loss_ratio: self.loss_ratio,
            link_kbit_s: self.kbit_s,
            up: way(&network.link.up),
            down: way(&network.link.down),
            publisher: Some(network.publisher),
        };
        file.resolve(refusals)
    }
}

impl FileNetwork {
    /// Writes a network with every value explicit.
    pub(super) fn of(network: &Network) -> Self {
        match network.kind {
            NetworkKind::None => Self { network: Some(NetworkKind::None), ..Self::default() },
            NetworkKind::Line | NetworkKind::Tun | NetworkKind::Auto => Self {
                network: Some(network.kind),
                rtt_ms: Some(ms(network.link.round_trip())),
                up: Some(FileWay::of(&network.link.up)),
                down: Some(FileWay::of(&network.link.down)),
                publisher: Some(network.publisher),
                ..Self::default()
            },
        }
    }

    /// Reads the keys. Without a network there is no link, and its keys are refused unless the plan says `none`.
    pub(super) fn resolve(self, refusals: PlanErrors<'_>) -> Result<Network, PlanError> {
        let kind = match self.network {
            Some(NetworkKind::None) => return Ok(Network::default()),
            Some(kind) => kind,
            None => return self.none(refusals).map(|()| Network::default()),
        };
        self.check_both(kind, refusals)?;
        let both = FileWay {
            delay_ms: self.rtt_ms.map(|rtt_ms| rtt_ms / 2.0),
            jitter_ms: self.jitter_ms,
            loss_ratio: self.loss_ratio,
            link_kbit_s: self.link_kbit_s,
            ..FileWay::default()
        };
        let up = self.up.unwrap_or_default().or(&both).resolve("up", refusals)?;
        let down = self.down.unwrap_or_default().or(&both).resolve("down", refusals)?;
        let link = Link { up, down, seed: 0 };
        let network = Network { kind, link, publisher: self.publisher.unwrap_or_default() };
        check(&network, refusals)?;
        Ok(network)
    }

    /// Refuses values of both directions by their own names, before each direction takes them.
    fn check_both(&self, kind: NetworkKind, refusals: PlanErrors<'_>) -> Result<(), PlanError> {
        let numbers = [
            ("rtt_ms", self.rtt_ms, RTT_MS),
            ("jitter_ms", self.jitter_ms, JITTER_MS),
            ("loss_ratio", self.loss_ratio, LOSS_RATIO),
        ];
        for (key, given, allowed) in numbers {
            given.map_or(Ok(()), |given| refusals.within(key, given, &allowed))?;
        }
        if let Some(kbit_s) = self.link_kbit_s {
            refusals.within("link_kbit_s", kbit_s, &LINK_KBIT_S)?;
        }
        match (kind, self.loss_ratio) {
            (NetworkKind::Line, Some(ratio)) if ratio > 0.0 => {
                return Err(refusals.refused("loss_ratio", ratio, NEEDS_PACKETS.to_owned()));
            }
            (NetworkKind::None | NetworkKind::Line | NetworkKind::Tun | NetworkKind::Auto, _) => {}
        }
        let delay = |way: &Option<FileWay>| way.as_ref()?.delay_ms;
        let Some(((rtt_ms, up), down)) = self.rtt_ms.zip(delay(&self.up)).zip(delay(&self.down)) else {
            return Ok(());
        };
        if (up + down - rtt_ms).abs() > RTT_TOLERANCE_MS {
            let must =
                format!("up.delay_ms and down.delay_ms make {}; give rtt_ms alone, or these two", up + down);
            return Err(refusals.refused("rtt_ms", rtt_ms, must));
        }
        Ok(())
    }

    fn none(&self, refusals: PlanErrors<'_>) -> Result<(), PlanError> {
        let given = [
            ("rtt_ms", self.rtt_ms.is_some()),
            ("jitter_ms", self.jitter_ms.is_some()),
            ("loss_ratio", self.loss_ratio.is_some()),
            ("link_kbit_s", self.link_kbit_s.is_some()),
            ("up", self.up.is_some()),
            ("down", self.down.is_some()),
            ("publisher", self.publisher.is_some()),
        ];
        match given.into_iter().find(|(_, is_given)| *is_given) {
            None => Ok(()),
            Some((key, _)) => {
                let must = "it belongs to a network; add network = \"line\", \"tun\" or \"auto\"".to_owned();
                Err(refusals.refused(key, "given without network", must))
            }
        }
    }
}

impl FileWay {
    fn of(way: &OneWay) -> Self {
        let text = |duration: Duration| Some(text_of(duration));
        let (jitter_ms, jitter_process) = match way.jitter {
            Jitter::None => (0.0, None),
            Jitter::Uniform { within } => (ms(within), Some(JitterProcess::Uniform)),
            Jitter::Normal { deviation } => (ms(deviation), Some(JitterProcess::Normal)),
        };
        let (loss_ratio, loss_burst, loss_on, loss_off) = match way.loss {
            Loss::None => (Some(0.0), None, None, None),
            Loss::Independent { ratio } => (Some(ratio), None, None, None),
            Loss::GilbertElliott { to_good, .. } => {
                (Some(as_written(way.loss.ratio())), Some(as_written(1.0 / to_good)), None, None)
            }
            // The ratio says that a plan's ratio does not hold in an arm with phases.
            Loss::OnOff { on, off } => (Some(0.0), None, text(on), text(off)),
        };
        Self {
            delay_ms: Some(ms(way.delay)),
            jitter_ms: Some(jitter_ms),
            jitter_process,
            reorder: Some(way.order == Order::Free),
            loss_ratio,
            loss_burst,
            loss_on,
            loss_off,
            link_kbit_s: way.rate.map(|rate| rate.kbit_s),
            queue_bytes: way.rate.map(|rate| rate.queue_bytes),
            trace: way.trace.clone(),
        }
    }

    fn or(self, both: &Self) -> Self {
        // A loss of its own kind replaces that of both directions.
        let has_phases = self.loss_on.is_some() || self.loss_off.is_some();
        Self {
            delay_ms: self.delay_ms.or(both.delay_ms),
            jitter_ms: self.jitter_ms.or(both.jitter_ms),
            loss_ratio: self.loss_ratio.or(if has_phases { None } else { both.loss_ratio }),
            link_kbit_s: self.link_kbit_s.or(both.link_kbit_s),
            ..self
        }
    }

    fn resolve(self, way: &str, refusals: PlanErrors<'_>) -> Result<OneWay, PlanError> {
        let key = |name: &str| format!("{way}.{name}");
        let number = |name: &str, given: Option<f64>, allowed: &RangeInclusive<f64>| {
            given.map_or(Ok(None), |given| refusals.within(&key(name), given, allowed).map(|()| Some(given)))
        };
        let time = |given: Option<f64>| Duration::from_secs_f64(given.unwrap_or(0.0) / 1e3);
        let delay = time(number("delay_ms", self.delay_ms, &DELAY_MS)?);
        let jitter = time(number("jitter_ms", self.jitter_ms, &JITTER_MS)?);
        let jitter = match (jitter.is_zero(), self.jitter_process) {
            (true, _) => Jitter::None,
            (false, None | Some(JitterProcess::Uniform)) if jitter > delay => {
                let must = format!(
                    "at most the delay of that direction, {} ms, or jitter_process = \"normal\"",
                    ms(delay)
                );
                return Err(refusals.refused(&key("jitter_ms"), ms(jitter), must));
            }
            (false, None | Some(JitterProcess::Uniform)) => Jitter::Uniform { within: jitter },
            (false, Some(JitterProcess::Normal)) => Jitter::Normal { deviation: jitter },
        };
        let ratio = number("loss_ratio", self.loss_ratio, &LOSS_RATIO)?.filter(|ratio| *ratio > 0.0);
        let burst = number("loss_burst", self.loss_burst, &LOSS_BURST)?;
        let phase = |name: &str, given: Option<String>| {
            let Some(given) = given else { return Ok(None) };
            let phase = refusals.duration(&key(name), &given)?;
            refusals.duration_within(&key(name), phase, &LOSS_PHASE)?;
            Ok(Some(phase))
        };
        let phases = (phase("loss_on", self.loss_on)?, phase("loss_off", self.loss_off)?);
        let loss = match (ratio, burst, phases) {
            (None, _, (None, None)) => Loss::None,
            (Some(ratio), None, (None, None)) => Loss::Independent { ratio },
            (Some(ratio), Some(burst), (None, None)) => Loss::bursts(ratio, burst),
            // A burst without a ratio means nothing: an arm cannot take it away from its plan.
            (None, _, (Some(on), Some(off))) => Loss::OnOff { on, off },
            (_, _, (Some(_), _) | (_, Some(_))) => {
                let must = "give loss_on and loss_off together, and no loss_ratio".to_owned();
                return Err(refusals.refused(&key("loss_on"), "given alone or beside another loss", must));
            }
        };
        let rate = match (self.link_kbit_s, self.queue_bytes) {
            (None, None) => None,
            (None, Some(queue_bytes)) => {
                let must = "a queue stands before a link with a rate; give link_kbit_s too".to_owned();
                return Err(refusals.refused(&key("queue_bytes"), queue_bytes, must));
            }
            (Some(kbit_s), queue_bytes) => {
                refusals.within(&key("link_kbit_s"), kbit_s, &LINK_KBIT_S)?;
                let queue_bytes = queue_bytes.unwrap_or(Rate::QUEUE_BYTES_DEFAULT);
                refusals.within(&key("queue_bytes"), queue_bytes, &QUEUE_BYTES)?;
                Some(Rate { kbit_s, queue_bytes })
            }
        };
        let order = if self.reorder == Some(true) { Order::Free } else { Order::Kept };
        Ok(OneWay { delay, jitter, order, loss, rate, trace: self.trace })
    }
}

/// Refuses what a delay line cannot do: it moves bytes, not packets.
pub(super) fn check(network: &Network, refusals: PlanErrors<'_>) -> Result<(), PlanError> {
    match network.kind {
        NetworkKind::Line => {}
        // What an automatic choice may become depends on the machine.
        NetworkKind::None | NetworkKind::Tun | NetworkKind::Auto => return Ok(()),
    }
    match needs_packets(&network.link) {
        None => Ok(()),
        Some((key, given)) => Err(refusals.refused(&key, given, NEEDS_PACKETS.to_owned())),
    }
}

/// Returns the first key and value of a link that only packets can show.
pub(super) fn needs_packets(link: &Link) -> Option<(String, String)> {
    [("up", &link.up), ("down", &link.down)].into_iter().find_map(|(name, way)| {
        let (key, given) = match way {
            OneWay { loss: Loss::Independent { .. } | Loss::GilbertElliott { .. }, .. } => {
                ("loss_ratio", as_written(way.loss.ratio()).to_string())
            }
            OneWay { loss: Loss::OnOff { on, .. }, .. } => ("loss_on", text_of(*on)),
            OneWay { order: Order::Free, .. } => ("reorder", "true".to_owned()),
            OneWay { trace: Some(trace), .. } => ("trace", format!("{trace:?}")),
            OneWay { loss: Loss::None, order: Order::Kept, trace: None, .. } => return None,
        };
        Some((format!("{name}.{key}"), given))
    })
}

/// Returns milliseconds as people write them: 12.3 and not 12.299999999999999, which seconds times 1 000 would be.
fn ms(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1e6
}

/// Returns a number that was calculated back as it was written: with at most 12 digits.
fn as_written(number: f64) -> f64 {
    format!("{number:.11e}").parse().expect("a number that was written is one")
}

#[cfg(test)]
mod tests;
