//! Links: what happens to bytes on their way between a client and a server.
//!
//! Pure: a link is a value. [`DelayLine`](crate::delay_line) applies it to the bytes of a socket, and the harness's
//! `network::tun` to packets between two network namespaces. Both draw from [`OneWay::draws`], seeded, so that one seed
//! gives one fate.

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

/// A link between a client and a server.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Link {
    /// Way from the client to the server.
    pub up: OneWay,
    /// Way from the server to the client.
    pub down: OneWay,
    /// Seed of what is random on the link.
    pub seed: u64,
}

/// One direction of a link.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OneWay {
    /// Time from one end to the other, without jitter and queue.
    pub delay: Duration,
    /// Variation of the delay.
    pub jitter: Jitter,
    /// Whether what leaves later may arrive earlier.
    pub order: Order,
    /// Packets that never arrive.
    pub loss: Loss,
    /// Rate of the link and the queue before it; `None`: as fast as the machine.
    pub rate: Option<Rate>,
    /// Name of the trace file that says when packets may pass; `None`: they always may.
    pub trace: Option<String>,
}

/// Variation of a delay.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Jitter {
    /// The delay is constant.
    #[default]
    None,
    /// The delay is uniform between `delay − within` and `delay + within`.
    Uniform {
        /// Largest difference from the delay; not above it.
        within: Duration,
    },
    /// The delay is normal around `delay`, but never negative.
    Normal {
        /// Standard deviation.
        deviation: Duration,
    },
}

/// Whether what leaves later may arrive earlier.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// Everything arrives in the order in which it left: jitter delays what comes behind, too.
    #[default]
    Kept,
    /// Each packet has a delay of its own. Only packets can do that, not the bytes of a socket.
    Free,
}

/// Packets that never arrive.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Loss {
    /// Everything arrives.
    #[default]
    None,
    /// Each packet is lost with this probability, whatever happens to others.
    Independent {
        /// Share of packets that are lost, 0 to 1.
        ratio: f64,
    },
    /// Losses come in bursts: a Markov chain of a good and a bad state (Gilbert 1960, Elliott 1963), one step a packet.
    GilbertElliott {
        /// Probability of a step from good to bad.
        to_bad: f64,
        /// Probability of a step from bad to good.
        to_good: f64,
        /// Share of packets that are lost in the good state.
        good_loss: f64,
        /// Share of packets that are lost in the bad state.
        bad_loss: f64,
    },
    /// The link works for a time and is silent for a time, in turn; it begins working.
    OnOff {
        /// Time for which it works.
        on: Duration,
        /// Time for which nothing arrives.
        off: Duration,
    },
}

/// Rate of a link and the queue before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Rate, kbit/s (1 000 bits).
    pub kbit_s: u64,
    /// Bytes that may wait for the link. Packets beyond are dropped (drop-tail); a socket waits instead.
    pub queue_bytes: u64,
}

impl Rate {
    /// Queue of a link whose plan does not say one: 64 KiB, about 44 full packets, as cheap routers have.
    pub const QUEUE_BYTES_DEFAULT: u64 = 65_536;

    /// Returns the time that `bytes` take to enter the link.
    pub fn time_of(&self, bytes: usize) -> Duration {
        // Bits over kbit/s are milliseconds.
        Duration::from_secs_f64(bytes as f64 * 8.0 / (self.kbit_s.max(1) as f64 * 1e3))
    }
}

/// A trace of a link: the times at which one packet of 1 500 bytes may leave, over and over. The format of files is
/// that of Mahimahi: a line per opportunity, whole milliseconds from the start, not decreasing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// Name of the file, for results.
    pub name: String,
    /// Times of the opportunities, increasing or equal; the last one is the length of the trace. Not empty.
    opportunities: Vec<Duration>,
}

/// Error of a trace file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("trace {name:?}: {what}; a line per packet, each a whole number of milliseconds, not decreasing")]
pub struct InvalidTrace {
    name: String,
    what: String,
}

impl InvalidTrace {
    pub(crate) fn new(name: &str, what: String) -> Self {
        Self { name: name.to_owned(), what }
    }
}

/// Most lines of a trace: an hour at 1 000 packets per second.
const TRACE_LINES_MAX: usize = 3_600_000;

impl Trace {
    /// Parses the text of a trace file.
    pub fn parse(name: &str, text: &str) -> Result<Self, InvalidTrace> {
        let invalid = |what: String| InvalidTrace::new(name, what);
        let mut opportunities: Vec<Duration> = Vec::new();
        for (index, line) in text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty()) {
            let ms: u64 = line.parse().map_err(|_| invalid(format!("line {} is {line:?}", index + 1)))?;
            let at = Duration::from_millis(ms);
            if opportunities.last().is_some_and(|last| *last > at) {
                return Err(invalid(format!("line {} is {line}, less than the one before", index + 1)));
            }
            if opportunities.len() == TRACE_LINES_MAX {
                return Err(invalid(format!("it has more than {TRACE_LINES_MAX} lines")));
            }
            opportunities.push(at);
        }
        match opportunities.last() {
            None => Err(invalid("it is empty".to_owned())),
            Some(last) if last.is_zero() => Err(invalid("it ends at 0 ms".to_owned())),
            Some(_) => Ok(Self { name: name.to_owned(), opportunities }),
        }
    }

    /// Returns the time of opportunity number `index`, from 0, counted from the start of the link.
    pub fn at(&self, index: u64) -> Duration {
        let count = self.opportunities.len() as u64;
        let length = self.opportunities[self.opportunities.len() - 1];
        let round = u32::try_from(index / count).unwrap_or(u32::MAX);
        length.saturating_mul(round) + self.opportunities[(index % count) as usize]
    }

    /// Returns the number of the first opportunity at `at` or later.
    pub fn first_from(&self, at: Duration) -> u64 {
        let length = self.opportunities[self.opportunities.len() - 1];
        let round = (at.as_nanos() / length.as_nanos()) as u64;
        // Opportunities at the end of a round stand at the same time as those at 0 of the next one, and come first.
        let round = round.saturating_sub(u64::from(at.as_nanos().is_multiple_of(length.as_nanos())));
        let within = at.saturating_sub(length.saturating_mul(u32::try_from(round).unwrap_or(u32::MAX)));
        let passed = self.opportunities.partition_point(|opportunity| *opportunity < within);
        round * self.opportunities.len() as u64 + passed as u64
    }
}

impl Link {
    /// Makes a link with this delay each way and nothing else.
    pub fn distance(each_way: Duration) -> Self {
        let way = OneWay { delay: each_way, ..OneWay::default() };
        Self { up: way.clone(), down: way, seed: 0 }
    }

    /// Returns the time there and back, without jitter and queues.
    pub fn round_trip(&self) -> Duration {
        self.up.delay + self.down.delay
    }

    /// Returns the link with another seed.
    pub fn seeded(self, seed: u64) -> Self {
        Self { seed, ..self }
    }
}

impl Jitter {
    /// Returns its size: the largest difference, or the standard deviation.
    pub fn size(&self) -> Duration {
        match *self {
            Self::None => Duration::ZERO,
            Self::Uniform { within: size } | Self::Normal { deviation: size } => size,
        }
    }
}

impl Loss {
    /// Makes bursts that lose everything: `ratio` of all packets, `packets_mean` in a row on average (Gilbert's model
    /// with a bad state that loses all).
    pub fn bursts(ratio: f64, packets_mean: f64) -> Self {
        let to_good = 1.0 / packets_mean.max(1.0);
        // In the long run the chain is bad for to_bad/(to_bad + to_good) of its steps.
        let to_bad = (to_good * ratio / (1.0 - ratio).max(f64::EPSILON)).min(1.0);
        Self::GilbertElliott { to_bad, to_good, good_loss: 0.0, bad_loss: 1.0 }
    }

    /// Returns the share of packets that are lost in the long run.
    pub fn ratio(&self) -> f64 {
        match *self {
            Self::None => 0.0,
            Self::Independent { ratio } => ratio,
            Self::GilbertElliott { to_bad, to_good, good_loss, bad_loss } => {
                let bad = if to_bad + to_good > 0.0 { to_bad / (to_bad + to_good) } else { 0.0 };
                bad * bad_loss + (1.0 - bad) * good_loss
            }
            Self::OnOff { on, off } => off.as_secs_f64() / (on + off).as_secs_f64().max(f64::MIN_POSITIVE),
        }
    }
}

impl OneWay {
    /// Starts to draw the fates of what passes in this direction. `stream` tells the draws of one direction or
    /// connection from those of another with the same seed.
    pub fn draws(&self, seed: u64, stream: u64) -> Draws {
        let mut random = Pcg64::seed_from_u64(seed);
        // A seed of its own for each stream, from the seed's own sequence.
        let own = random.random::<u64>() ^ stream.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Draws { random: Pcg64::seed_from_u64(own), is_bad: false }
    }
}

/// The random part of one direction of a link.
#[derive(Debug, Clone)]
pub struct Draws {
    random: Pcg64,
    /// State of Gilbert and Elliott's chain.
    is_bad: bool,
}

impl Draws {
    /// Draws the delay of the next chunk or packet, with its jitter.
    pub fn delay(&mut self, way: &OneWay) -> Duration {
        match way.jitter {
            Jitter::None => way.delay,
            Jitter::Uniform { within } => {
                let share: f64 = self.random.random();
                (way.delay + within.mul_f64(2.0 * share)).saturating_sub(within)
            }
            Jitter::Normal { deviation } => {
                let moved = deviation.mul_f64(self.normal().abs());
                match self.random.random::<bool>() {
                    true => way.delay + moved,
                    false => way.delay.saturating_sub(moved),
                }
            }
        }
    }

    /// Draws whether the next packet is lost, which leaves `at` after the start of the link.
    pub fn is_lost(&mut self, way: &OneWay, at: Duration) -> bool {
        match way.loss {
            Loss::None => false,
            Loss::Independent { ratio } => self.random.random::<f64>() < ratio,
            Loss::GilbertElliott { to_bad, to_good, good_loss, bad_loss } => {
                let step: f64 = self.random.random();
                self.is_bad = if self.is_bad { step >= to_good } else { step < to_bad };
                self.random.random::<f64>() < if self.is_bad { bad_loss } else { good_loss }
            }
            Loss::OnOff { on, off } => {
                let period = (on + off).as_secs_f64();
                period > 0.0 && at.as_secs_f64() % period >= on.as_secs_f64()
            }
        }
    }

    /// Draws from the standard normal distribution (Box and Muller 1958).
    fn normal(&mut self) -> f64 {
        let (u, v): (f64, f64) = (1.0 - self.random.random::<f64>(), self.random.random());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn lost_of(loss: Loss, count: usize) -> (f64, f64) {
        let way = OneWay { loss, ..OneWay::default() };
        let mut draws = way.draws(1, 0);
        let lost: Vec<bool> = (0..count).map(|i| draws.is_lost(&way, MS * i as u32)).collect();
        let total = lost.iter().filter(|lost| **lost).count() as f64;
        let bursts = lost.windows(2).filter(|pair| !pair[0] && pair[1]).count().max(1) as f64;
        (total / count as f64, total / bursts)
    }

    #[test]
    fn losses_have_the_share_and_the_bursts_that_were_asked_for() {
        for (loss, ratio, burst) in [
            (Loss::None, 0.0, 0.0),
            (Loss::Independent { ratio: 0.05 }, 0.05, 1.05),
            (Loss::bursts(0.05, 4.0), 0.05, 4.0),
            (Loss::OnOff { on: 900 * MS, off: 100 * MS }, 0.1, 100.0),
        ] {
            assert!((loss.ratio() - ratio).abs() < 1e-9, "{loss:?} {}", loss.ratio());
            let (measured, bursts) = lost_of(loss, 200_000);
            assert!((measured - ratio).abs() <= 0.08 * ratio, "{loss:?}: {measured}");
            assert!((bursts - burst).abs() <= 0.1 * burst, "{loss:?}: bursts of {bursts}");
        }
    }

    #[test]
    fn delays_stay_around_their_mean_and_equal_seeds_give_equal_delays() {
        for jitter in
            [Jitter::None, Jitter::Uniform { within: 10 * MS }, Jitter::Normal { deviation: 5 * MS }]
        {
            let way = OneWay { delay: 25 * MS, jitter, ..OneWay::default() };
            let drawn = |stream| {
                let mut draws = way.draws(7, stream);
                (0..20_000).map(|_| draws.delay(&way)).collect::<Vec<_>>()
            };
            let (first, again, other) = (drawn(0), drawn(0), drawn(1));
            assert_eq!(first, again);
            assert_eq!(first == other, jitter == Jitter::None, "another stream draws differently");
            let mean = first.iter().sum::<Duration>() / first.len() as u32;
            assert!(mean.abs_diff(25 * MS) < MS / 4, "{jitter:?}: {mean:?}");
            if let Jitter::Uniform { .. } = jitter {
                assert!(first.iter().all(|delay| (15 * MS..=35 * MS).contains(delay)));
            }
        }
    }

    #[test]
    fn a_rate_takes_its_time_and_a_trace_begins_anew() {
        let rate = Rate { kbit_s: 1_000, queue_bytes: Rate::QUEUE_BYTES_DEFAULT };
        assert_eq!(rate.time_of(1_250), 10 * MS);
        let trace = Trace::parse("t", "0\n5\n5\n10\n").unwrap();
        let times: Vec<_> = (0..6).map(|index| trace.at(index).as_millis()).collect();
        assert_eq!(times, [0, 5, 5, 10, 10, 15]);
        for (ms, first) in [(0, 0), (1, 1), (5, 1), (6, 3), (10, 3), (11, 5), (20, 7), (21, 9)] {
            assert_eq!(trace.first_from(MS * ms), first, "{ms} ms");
        }
        for (text, said) in
            [("", "empty"), ("a", "line 1 is \"a\""), ("5\n3", "line 2 is 3"), ("0", "ends at 0")]
        {
            let refused = Trace::parse("t", text).unwrap_err().to_string();
            assert!(refused.contains(said) && refused.contains("not decreasing"), "{refused}");
        }
    }
}
