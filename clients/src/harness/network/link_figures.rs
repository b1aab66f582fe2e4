//! What a link should show when it is measured, and whether it does: connect time and echo, configured and measured.
//!
//! `link_check` measures, and refuses a link that is off. The figures stand in `manifest.json`. Pure: what is random on
//! a link is drawn from its own distribution, with a fixed seed.
//!
//! Medians are compared. A p99 is kept and not compared: it is the machine's, and a run has gates for how late its
//! machine is. An exchange of the link without loss takes its delay up, its delay down, and the time of its bytes at the
//! link's rate. Over loss it may take longer, and never less: then the smallest value is compared in any case, and the
//! largest where the samples are enough.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::emulated::{Network, NetworkKind, PublisherPlace};
use crate::link::{Jitter, Link, Loss, OneWay, Order};

/// Largest share by which a median may be off its configured value.
const OFF_RATIO_MAX: f64 = 0.1;
/// Time by which a median may be off in any case, s: what a machine adds to a connection of its own.
const OFF_S: f64 = 0.000_5;
/// Standard errors by which the share of samples below the median may be off by chance.
const SIGMAS: f64 = 3.0;
/// Round trips drawn from the link's own distribution: their median has a standard error of a hundredth of a deviation.
const DRAWS: usize = 10_000;
/// Seed of those draws: the same link has the same figures each time.
const SEED: u64 = 14;
/// Bytes of an echo's payload: about a line with its framing.
pub(in crate::harness) const ECHO_BYTES: usize = 200;
/// Bytes of headers of a packet: IPv4 20, TCP 20, timestamps 12.
const HEADER_BYTES: usize = 52;
/// Bytes of a SYN: a header with 8 bytes more of options.
const SYN_BYTES: usize = 60;

/// Figures of one link: how it is configured, and what was measured before the runs over it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinkFigures {
    /// Name of the network, as [`network_name`] makes it.
    pub network: String,
    /// Time to open a TCP connection, median.
    pub connect_p50: LinkFigure,
    /// Time of an echo there and back, median.
    pub echo_p50: LinkFigure,
    /// Time of an echo there and back, 99 % quantile. Never compared.
    pub echo_p99: LinkFigure,
    /// Connections that were opened.
    pub connects_count: u64,
    /// Echoes that were timed.
    pub echoes_count: u64,
    /// Reason why the medians are not compared, or only with the smallest value, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_compared: Option<String>,
}

/// One figure of a link, configured and measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LinkFigure {
    /// Value that follows from the link's configuration, s.
    pub configured_s: f64,
    /// Value that was measured, s.
    pub measured_s: f64,
    /// Values that are not refused; `None`: not compared.
    pub allowed_s: Option<Allowed>,
}

/// Smallest and largest value that is not refused, s. Without the second one, none is too large.
pub type Allowed = (f64, Option<f64>);

/// Error of a link that is off its configured values.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error(
    "the link ({network}) is off: {what} takes {:.2} ms (median of {count}), configured are {:.2} ms, and {} \
     would do; let nothing else keep this machine busy, or choose a larger distance",
    .figure.measured_s * 1e3, .figure.configured_s * 1e3, would_do(.allowed_s)
)]
pub struct LinkOff {
    /// Name of the network.
    pub network: String,
    /// What was timed.
    pub what: &'static str,
    /// Samples of the median.
    pub count: u64,
    /// Both values.
    pub figure: LinkFigure,
    /// Values that are not refused.
    pub allowed_s: Allowed,
}

fn would_do(&(low_s, high_s): &Allowed) -> String {
    match high_s {
        Some(high_s) => format!("{:.2} to {:.2} ms", low_s * 1e3, high_s * 1e3),
        None => format!("{:.2} ms or more", low_s * 1e3),
    }
}

/// Times that were measured over a link, s.
#[derive(Debug, Clone, Default)]
pub(in crate::harness) struct LinkSamples {
    /// Times to open a connection.
    pub(in crate::harness) connects_s: Vec<f64>,
    /// Times of echoes.
    pub(in crate::harness) echoes_s: Vec<f64>,
}

impl LinkFigures {
    /// Compares what was measured over a network's link with its configuration. `None` without a sample.
    pub(in crate::harness) fn of(network: &Network, samples: LinkSamples) -> Option<Self> {
        let LinkSamples { mut connects_s, mut echoes_s } = samples;
        if connects_s.is_empty() || echoes_s.is_empty() {
            return None;
        }
        connects_s.sort_by(f64::total_cmp);
        echoes_s.sort_by(f64::total_cmp);
        let (connects, echoes) =
            (round_trips_s(network, Exchange::Connect), round_trips_s(network, Exchange::Echo));
        let not_compared = not_compared(network);
        let median = |configured: &[f64], measured: &[f64]| LinkFigure {
            configured_s: quantile(configured, 0.5),
            measured_s: quantile(measured, 0.5),
            allowed_s: match not_compared {
                Some(_) => None,
                None => Some(allowed_s(configured, measured.len(), clean_ratio(network))),
            },
        };
        let (connect_p50, echo_p50) = (median(&connects, &connects_s), median(&echoes, &echoes_s));
        let is_open =
            [connect_p50, echo_p50].iter().any(|figure| matches!(figure.allowed_s, Some((_, None))));
        Some(Self {
            network: network_name(network),
            connect_p50,
            echo_p50,
            echo_p99: LinkFigure {
                configured_s: quantile(&echoes, 0.99),
                measured_s: quantile(&echoes_s, 0.99),
                allowed_s: None,
            },
            connects_count: connects_s.len() as u64,
            echoes_count: echoes_s.len() as u64,
            not_compared: not_compared.or_else(|| is_open.then(|| at_least(network))),
        })
    }

    /// Returns the first figure that is off, as an error.
    pub fn check(&self) -> Result<(), LinkOff> {
        let figures = [
            ("opening a connection", self.connect_p50, self.connects_count),
            ("an echo", self.echo_p50, self.echoes_count),
        ];
        for (what, figure, count) in figures {
            let Some(allowed_s) = figure.allowed_s else { continue };
            // Written so that a NaN is off.
            if !(allowed_s.0..=allowed_s.1.unwrap_or(f64::INFINITY)).contains(&figure.measured_s) {
                return Err(LinkOff { network: self.network.clone(), what, count, figure, allowed_s });
            }
        }
        Ok(())
    }
}

/// Exchange over a link that is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exchange {
    Connect,
    Echo,
}

/// Returns the smallest and the largest median of `count` samples that fit the configured times, which are sorted. There is
/// no largest where losses may lie below the median.
///
/// The median of so many samples lies between two quantiles of the distribution; without jitter both are the same time.
/// A round trip that lost a packet takes longer. So the median of all is a higher quantile of those that lost nothing,
/// which are at least a share `clean_ratio` of all.
fn allowed_s(configured: &[f64], count: usize, clean_ratio: f64) -> Allowed {
    let off_s = (OFF_RATIO_MAX * quantile(configured, 0.5)).max(OFF_S);
    let chance = SIGMAS * (0.25 / count as f64).sqrt();
    let highest = (0.5 + chance) / clean_ratio;
    let is_open = clean_ratio < 1.0 && highest > 1.0;
    let high_s = (!is_open).then(|| quantile(configured, highest) + off_s);
    ((quantile(configured, 0.5 - chance) - off_s).max(0.0), high_s)
}

/// Returns how many samples over a network's link have a largest median, if it loses packets: so many that losses lie above
/// the median, except by chance. `None`: it loses none, or so many that no number is enough.
pub(in crate::harness) fn samples_over_loss(network: &Network) -> Option<usize> {
    let above_half = clean_ratio(network) - 0.5;
    let is_lossy = clean_ratio(network) < 1.0 && above_half > 0.0;
    // The share that half of the samples may be off by chance is then what loses nothing beyond half.
    is_lossy.then(|| (0.25 * (SIGMAS / above_half).powi(2)).ceil() as usize + 1)
}

/// Returns why no median over a network's link is too large.
fn at_least(network: &Network) -> String {
    let why = match clean_ratio(network) > 0.5 {
        true => "too few samples for this loss",
        false => "with this loss, half of all round trips may lose a packet",
    };
    format!("{why}: only what is faster than the link is refused")
}

/// Returns the time that an echo over a network's link usually takes, with its bytes at the link's rate.
pub(in crate::harness) fn echo_time(network: &Network) -> Duration {
    match network.kind {
        NetworkKind::None => Duration::ZERO,
        NetworkKind::Line | NetworkKind::Tun | NetworkKind::Auto => {
            Duration::from_secs_f64(quantile(&round_trips_s(network, Exchange::Echo), 0.5))
        }
    }
}

/// Returns the time that opening a connection over a network's link usually takes.
pub(in crate::harness) fn connect_time(network: &Network) -> Duration {
    Duration::from_secs_f64(quantile(&round_trips_s(network, Exchange::Connect), 0.5))
}

/// Returns why the medians of a network's link cannot be compared, if they cannot.
fn not_compared(network: &Network) -> Option<String> {
    let ways = [&network.link.up, &network.link.down];
    ways.into_iter().find_map(|way| way.trace.as_ref()).map(|trace| {
        format!("the trace {trace:?} says when packets may pass: a delay follows from the moment, not from the link")
    })
}

/// Returns the share of round trips that lose no packet, at least.
fn clean_ratio(network: &Network) -> f64 {
    (1.0 - network.link.up.loss.ratio()) * (1.0 - network.link.down.loss.ratio())
}

/// Draws what exchanges take over a network's link without loss, s, ascending.
fn round_trips_s(network: &Network, exchange: Exchange) -> Vec<f64> {
    let link = &network.link;
    let bytes = match (network.kind, exchange) {
        // A delay line moves the bytes of a socket, and a connection that is opened has none.
        (NetworkKind::Line, Exchange::Connect) => 0,
        (NetworkKind::Line, Exchange::Echo) => ECHO_BYTES,
        (NetworkKind::Tun | NetworkKind::None | NetworkKind::Auto, Exchange::Connect) => SYN_BYTES,
        (NetworkKind::Tun | NetworkKind::None | NetworkKind::Auto, Exchange::Echo) => {
            ECHO_BYTES + HEADER_BYTES
        }
    };
    let sent_s = |way: &OneWay| way.rate.as_ref().map_or(0.0, |rate| rate.time_of(bytes).as_secs_f64());
    let constant_s = sent_s(&link.up) + sent_s(&link.down);
    let (mut up, mut down) = (link.up.draws(SEED, 0), link.down.draws(SEED, 1));
    let mut draw = || constant_s + (up.delay(&link.up) + down.delay(&link.down)).as_secs_f64();
    let mut drawn: Vec<f64> = (0..DRAWS).map(|_| draw()).collect();
    drawn.sort_by(f64::total_cmp);
    drawn
}

/// Returns the mean delays of a link, up and down, s: with jitter, those of its distribution, which is never negative.
pub(in crate::harness) fn mean_delays_s(link: &Link) -> [f64; 2] {
    [(&link.up, 0), (&link.down, 1)].map(|(way, stream)| match way.jitter {
        Jitter::None => way.delay.as_secs_f64(),
        Jitter::Uniform { .. } | Jitter::Normal { .. } => {
            let mut draws = way.draws(SEED, stream);
            (0..DRAWS).map(|_| draws.delay(way).as_secs_f64()).sum::<f64>() / DRAWS as f64
        }
    })
}

/// Returns a quantile of sorted times.
fn quantile(sorted: &[f64], quantile: f64) -> f64 {
    let index = (quantile * sorted.len() as f64).ceil() as usize;
    sorted[index.clamp(1, sorted.len()) - 1]
}

/// Names a network by everything that decides how long an exchange over it takes. Runs with that name share their
/// calibrations.
pub fn network_name(network: &Network) -> String {
    if network.kind == NetworkKind::None {
        return network.kind.name().to_owned();
    }
    let (up, down) = (way_name(&network.link.up), way_name(&network.link.down));
    let ways = if up == down { format!("{up} each way") } else { format!("{up} up, {down} down") };
    let place = match network.publisher {
        PublisherPlace::Beside => "",
        PublisherPlace::Across => ", publisher across",
    };
    format!("{}, {ways}{place}", network.kind)
}

fn way_name(way: &OneWay) -> String {
    let ms = |duration: Duration| format!("{} ms", duration.as_secs_f64() * 1e3);
    let OneWay { delay, jitter, order, loss, rate, trace } = way;
    let mut name = ms(*delay);
    match jitter {
        Jitter::None => {}
        Jitter::Uniform { within } => name += &format!(" ± {} (uniform)", ms(*within)),
        Jitter::Normal { deviation } => name += &format!(" ± {} (normal)", ms(*deviation)),
    }
    match order {
        Order::Kept => {}
        Order::Free => name += " in any order",
    }
    match loss {
        Loss::None => {}
        Loss::Independent { ratio } => name += &format!(" with {ratio} lost"),
        Loss::GilbertElliott { to_good, .. } => {
            name += &format!(" with {} lost in bursts of {}", loss.ratio(), 1.0 / to_good);
        }
        Loss::OnOff { on, off } => name += &format!(" on for {} and off for {}", ms(*on), ms(*off)),
    }
    if let Some(rate) = rate {
        name += &format!(" at {} kbit/s behind {} bytes", rate.kbit_s, rate.queue_bytes);
    }
    if let Some(trace) = trace {
        name += &format!(" by the trace {trace:?}");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::{Link, Rate};

    const MS: Duration = Duration::from_millis(1);

    fn line(way: OneWay) -> Network {
        Network {
            kind: NetworkKind::Line,
            link: Link { up: way.clone(), down: way, seed: 0 },
            ..Network::default()
        }
    }

    fn delayed(each_way: Duration) -> OneWay {
        OneWay { delay: each_way, ..OneWay::default() }
    }

    /// Figures of a network when connecting and echoes take these times, ms, `count` times.
    fn figures(network: &Network, connect_ms: f64, echo_ms: f64, count: usize) -> LinkFigures {
        let samples =
            LinkSamples { connects_s: vec![connect_ms / 1e3; count], echoes_s: vec![echo_ms / 1e3; count] };
        LinkFigures::of(network, samples).unwrap()
    }

    fn is_let_pass(network: &Network, connect_ms: f64, echo_ms: f64) -> bool {
        figures(network, connect_ms, echo_ms, 10).check().is_ok()
    }

    #[test]
    fn a_tenth_or_half_a_millisecond_is_let_pass_and_more_is_refused_with_both_figures() {
        let far = line(delayed(25 * MS));
        for (connect_ms, echo_ms, passes) in [
            (50.1, 50.1, true),
            (54.9, 54.9, true),
            (55.1, 50.0, false),
            (50.0, 55.1, false),
            (50.0, 44.9, false),
            (0.1, 50.0, false),
        ] {
            assert_eq!(is_let_pass(&far, connect_ms, echo_ms), passes, "{connect_ms} {echo_ms}");
        }
        // Below 5 ms a tenth is less than what a machine adds by itself.
        let near = line(delayed(MS));
        assert!(is_let_pass(&near, 2.0, 2.45) && !is_let_pass(&near, 2.0, 2.55));
        let none = line(OneWay::default());
        assert!(is_let_pass(&none, 0.1, 0.4) && !is_let_pass(&none, 0.1, 0.6));

        let off = figures(&far, 50.0, 80.0, 10).check().unwrap_err().to_string();
        for part in
            ["line, 25 ms each way", "an echo takes 80.00 ms", "configured are 50.00 ms", "45.00 to 55.00 ms"]
        {
            assert!(off.contains(part), "{part:?} is not in {off:?}");
        }
    }

    #[test]
    fn two_ways_that_differ_are_compared_by_their_sum() {
        let link = Link { up: delayed(10 * MS), down: delayed(40 * MS), seed: 0 };
        let network = Network { kind: NetworkKind::Line, link, ..Network::default() };
        assert!(is_let_pass(&network, 50.0, 50.0) && !is_let_pass(&network, 50.0, 20.0));
        assert_eq!(network_name(&network), "line, 10 ms up, 40 ms down");
    }

    /// The sum of two uniform times is a triangle: its median is the mean, and a tenth of it lies below the mean − 0.55
    /// of their width.
    #[test]
    fn a_median_of_jittered_times_may_be_off_by_what_its_samples_leave_open() {
        let network = line(OneWay { jitter: Jitter::Uniform { within: 20 * MS }, ..delayed(25 * MS) });
        let allowed = |count| {
            let (low, high) = figures(&network, 50.0, 50.0, count).echo_p50.allowed_s.unwrap();
            (low, high.unwrap())
        };
        let (low, high) = allowed(1_000);
        assert!((low - 0.043).abs() < 0.001 && (high - 0.057).abs() < 0.001, "{low} {high}");
        let (few_low, few_high) = allowed(16);
        assert!(few_low < low - 0.01 && few_high > high + 0.01, "{few_low} {few_high}");
        assert!((figures(&network, 50.0, 50.0, 9).echo_p99.configured_s - 0.084).abs() < 0.002);
        // A normal delay is never negative, which makes the middle later.
        let network = line(OneWay { jitter: Jitter::Normal { deviation: 20 * MS }, ..delayed(2 * MS) });
        assert!(figures(&network, 50.0, 50.0, 9).echo_p50.configured_s > 0.012);
    }

    #[test]
    fn a_rate_adds_the_time_of_the_bytes_and_none_of_a_line_are_in_a_handshake() {
        let rate = Some(Rate { kbit_s: 16, queue_bytes: Rate::QUEUE_BYTES_DEFAULT });
        let network = line(OneWay { rate, ..delayed(10 * MS) });
        let found = figures(&network, 20.0, 220.0, 10);
        assert_eq!(found.check(), Ok(()));
        assert!(
            (found.echo_p50.configured_s - 0.22).abs() < 1e-9
                && (found.connect_p50.configured_s - 0.02).abs() < 1e-9
        );
        let tun = Network { kind: NetworkKind::Tun, ..network };
        let found = figures(&tun, 20.0, 220.0, 10);
        assert!((found.connect_p50.configured_s - 0.08).abs() < 1e-9, "{found:?}");
        assert!((found.echo_p50.configured_s - 0.272).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn a_few_losses_leave_the_median_and_many_leave_what_is_faster_than_the_link() {
        let lossy = |ratio| {
            let way = OneWay { loss: Loss::Independent { ratio }, ..delayed(25 * MS) };
            Network { kind: NetworkKind::Tun, ..line(way) }
        };
        let few = figures(&lossy(0.03), 50.0, 60.0, 40);
        assert!(few.check().is_err() && few.not_compared.is_none(), "{few:?}");
        let many = figures(&lossy(0.4), 50.0, 600.0, 40);
        assert!(many.check().is_ok() && many.not_compared.as_deref().unwrap().contains("loss"), "{many:?}");
        // Nothing is faster than the link, whatever it loses: one that was laid without its distance is refused.
        let short = figures(&lossy(0.4), 10.0, 10.0, 40).check().unwrap_err().to_string();
        assert!(short.contains("45.00 ms or more would do"), "{short}");
        let too_few = figures(&lossy(0.02), 50.0, 600.0, 5);
        assert!(too_few.check().is_ok(), "{too_few:?}");
        assert!(too_few.not_compared.as_deref().unwrap().contains("too few samples for this loss"));
        assert!(figures(&lossy(0.02), 10.0, 10.0, 5).check().is_err());
        // A manifest keeps what is allowed, with and without a largest value.
        for figures in [few, many] {
            let kept: LinkFigures = serde_json::from_str(&serde_json::to_string(&figures).unwrap()).unwrap();
            assert_eq!(kept, figures);
        }
        let traced = line(OneWay { trace: Some("cell".to_owned()), ..delayed(25 * MS) });
        let traced = figures(&traced, 50.0, 600.0, 40);
        assert!(
            traced.check().is_ok() && traced.not_compared.as_deref().unwrap().contains("\"cell\""),
            "{traced:?}"
        );
    }

    #[test]
    fn as_many_samples_are_asked_for_as_have_a_largest_median() {
        let lossy = |ratio| line(OneWay { loss: Loss::Independent { ratio }, ..delayed(25 * MS) });
        for ratio in [0.001, 0.02, 0.1, 0.2] {
            let count = samples_over_loss(&lossy(ratio)).unwrap();
            let enough = figures(&lossy(ratio), 50.0, 50.0, count);
            assert!(enough.not_compared.is_none(), "{count}: {enough:?}");
            let fewer = figures(&lossy(ratio), 50.0, 50.0, count - 2);
            assert!(fewer.not_compared.is_some(), "{count}: {fewer:?}");
        }
        assert_eq!([0.0, 0.4].map(|ratio| samples_over_loss(&lossy(ratio))), [None, None]);
    }

    #[test]
    fn a_mean_delay_is_that_of_the_jitters_distribution() {
        let normal = OneWay { jitter: Jitter::Normal { deviation: 10 * MS }, ..OneWay::default() };
        let uniform = OneWay { jitter: Jitter::Uniform { within: 20 * MS }, ..delayed(25 * MS) };
        let [up_s, down_s] = mean_delays_s(&Link { up: normal, down: uniform, seed: 0 });
        // Half of a normal distribution around 0 lies at 0, and the mean of the other half is σ√(2/π).
        assert!((up_s - 0.003_99).abs() < 0.000_2 && (down_s - 0.025).abs() < 0.000_4, "{up_s} {down_s}");
        assert_eq!(mean_delays_s(&Link::distance(25 * MS)), [0.025, 0.025]);
    }

    #[test]
    fn networks_that_differ_have_different_names() {
        let far = delayed(25 * MS);
        let networks = [
            Network::default(),
            line(far.clone()),
            line(delayed(26 * MS)),
            Network { kind: NetworkKind::Tun, ..line(far.clone()) },
            Network { publisher: PublisherPlace::Across, ..line(far.clone()) },
            line(OneWay { jitter: Jitter::Uniform { within: MS }, ..far.clone() }),
            line(OneWay { jitter: Jitter::Normal { deviation: MS }, ..far.clone() }),
            line(OneWay { jitter: Jitter::Normal { deviation: MS }, order: Order::Free, ..far.clone() }),
            line(OneWay { loss: Loss::Independent { ratio: 0.01 }, ..far.clone() }),
            line(OneWay { loss: Loss::bursts(0.01, 4.0), ..far.clone() }),
            line(OneWay { loss: Loss::OnOff { on: MS, off: MS }, ..far.clone() }),
            line(OneWay { rate: Some(Rate { kbit_s: 8, queue_bytes: 1_500 }), ..far.clone() }),
            line(OneWay { trace: Some("t".to_owned()), ..far }),
        ];
        let names: std::collections::BTreeSet<_> = networks.iter().map(network_name).collect();
        assert_eq!(names.len(), networks.len(), "{names:?}");
    }
}
