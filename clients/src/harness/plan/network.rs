//! The network keys of a plan: read, written and checked.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::check::{PlanError, PlanErrors, text_of};
use crate::harness::network::emulated::{Network, NetworkKind, PublisherPlace};
use crate::link::{Link, Loss, OneWay, Order};

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

mod way;

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

    /// Reads the keys. Without a network there is no link, and its keys are refused. With `none` they may stand, since an
    /// arm can say it over a plan with a link; then they mean nothing, but their values have to be possible.
    pub(super) fn resolve(self, refusals: PlanErrors<'_>) -> Result<Network, PlanError> {
        let kind = match self.network {
            Some(NetworkKind::None) => return self.check_ranges(refusals).map(|()| Network::default()),
            Some(kind) => kind,
            None => return self.none(refusals).map(|()| Network::default()),
        };
        self.check_ranges(refusals)?;
        self.check_both(kind, refusals)?;
        let (up_ms, down_ms) = self.delays(refusals)?;
        let both = FileWay {
            jitter_ms: self.jitter_ms,
            loss_ratio: self.loss_ratio,
            link_kbit_s: self.link_kbit_s,
            ..FileWay::default()
        };
        let way = |name: &str, way: Option<FileWay>, delay_ms: Option<f64>| {
            let way = FileWay { delay_ms, ..way.unwrap_or_default().or(&both) };
            way.check_used(name, refusals)?;
            way.resolve(name, refusals)
        };
        let up = way("up", self.up, up_ms)?;
        let down = way("down", self.down, down_ms)?;
        let link = Link { up, down, seed: 0 };
        let network = Network { kind, link, publisher: self.publisher.unwrap_or_default() };
        check(&network, refusals)?;
        Ok(network)
    }

    /// Refuses values out of range, by the names that the plan gives them.
    fn check_ranges(&self, refusals: PlanErrors<'_>) -> Result<(), PlanError> {
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
        for (name, way) in [("up", &self.up), ("down", &self.down)] {
            way.as_ref().map_or(Ok(()), |way| way.check_ranges(name, refusals))?;
        }
        Ok(())
    }

    /// Refuses what a kind cannot do by the name of the key of both directions, before each direction takes it.
    fn check_both(&self, kind: NetworkKind, refusals: PlanErrors<'_>) -> Result<(), PlanError> {
        match (kind, self.loss_ratio) {
            (NetworkKind::Line, Some(ratio)) if ratio > 0.0 => {
                Err(refusals.refused("loss_ratio", ratio, NEEDS_PACKETS.to_owned()))
            }
            (NetworkKind::None | NetworkKind::Line | NetworkKind::Tun | NetworkKind::Auto, _) => Ok(()),
        }
    }

    /// Returns the delays of both ways, ms: half of the round trip each, or what one way leaves for the other.
    fn delays(&self, refusals: PlanErrors<'_>) -> Result<(Option<f64>, Option<f64>), PlanError> {
        let delay = |way: &Option<FileWay>| way.as_ref()?.delay_ms;
        let left = |key: &str, given: f64, rtt_ms: f64| match rtt_ms - given {
            left if left < 0.0 => Err(refusals.refused(
                key,
                given,
                format!("at most rtt_ms, {rtt_ms}; the other way takes the rest"),
            )),
            left => Ok(Some(left)),
        };
        let alone = |key: &str, given: f64, other: &str| {
            Err(refusals.refused(key, given, format!("it says one way of two; give rtt_ms or {other} too")))
        };
        let (up, down) = (delay(&self.up), delay(&self.down));
        match (self.rtt_ms, up, down) {
            (None, None, None) => Ok((None, None)),
            (None, Some(up), None) => alone("up.delay_ms", up, "down.delay_ms"),
            (None, None, Some(down)) => alone("down.delay_ms", down, "up.delay_ms"),
            (Some(rtt_ms), None, None) => Ok((Some(rtt_ms / 2.0), Some(rtt_ms / 2.0))),
            (Some(rtt_ms), Some(up), None) => Ok((Some(up), left("up.delay_ms", up, rtt_ms)?)),
            (Some(rtt_ms), None, Some(down)) => Ok((left("down.delay_ms", down, rtt_ms)?, Some(down))),
            (Some(rtt_ms), Some(up), Some(down)) if (up + down - rtt_ms).abs() > RTT_TOLERANCE_MS => {
                let must = format!(
                    "up.delay_ms and down.delay_ms make {}; give rtt_ms alone, or these two",
                    up + down
                );
                Err(refusals.refused("rtt_ms", rtt_ms, must))
            }
            (_, Some(up), Some(down)) => Ok((Some(up), Some(down))),
        }
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
