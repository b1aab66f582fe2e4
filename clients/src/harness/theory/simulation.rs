//! Simulations: the transports played as events, to compare the formulas with.
//!
//! Each simulation is discrete-event, seeded, and of one subscriber. It knows what a poll is and nothing of any
//! formula. Each function plays one transport, line by line and poll by poll, and returns what was seen. Times are
//! seconds.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::long_poll::LongPoll;

/// Pattern of due times.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LinePattern {
    /// Lines at independent, exponentially distributed gaps.
    Poisson {
        /// Lines per second.
        rate_hz: f64,
    },
    /// Lines at equal gaps.
    Periodic {
        /// Time from one line to the next, s.
        period_s: f64,
    },
}

impl LinePattern {
    /// Returns the lines per second.
    pub fn rate_hz(self) -> f64 {
        match self {
            Self::Poisson { rate_hz } => rate_hz,
            Self::Periodic { period_s } => 1.0 / period_s,
        }
    }

    /// Returns the due times of `count` lines, ascending, the first after one gap.
    pub fn due_times(self, count: usize, seed: u64) -> Vec<f64> {
        let mut random = Pcg64::seed_from_u64(seed);
        let mut due_s = 0.0;
        let due = |i: usize| match self {
            Self::Poisson { rate_hz } => {
                due_s -= (1.0 - random.random::<f64>()).ln() / rate_hz;
                due_s
            }
            Self::Periodic { period_s } => (i + 1) as f64 * period_s,
        };
        (0..count).map(due).collect()
    }
}

/// Record of one simulated subscriber.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seen {
    /// Latency, receipt − due time, of each line, s, in the order of lines.
    pub latencies_s: Vec<f64>,
    /// Requests that were answered.
    pub requests: u64,
    /// Requests whose answer brought no line.
    pub empty: u64,
    /// Length of the simulation, s.
    pub duration_s: f64,
    /// Sum of the times that requests were held at the server, s.
    pub held_s: f64,
    /// Time average of the age of information from the first receipt to the last, s.
    pub age_mean_s: f64,
}

impl Seen {
    /// Returns the mean latency, s.
    pub fn latency_mean_s(&self) -> f64 {
        self.latencies_s.iter().sum::<f64>() / self.latencies_s.len() as f64
    }

    /// Returns the latency that a share `quantile` of the lines does not exceed, s.
    pub fn latency_quantile_s(&self, quantile: f64) -> f64 {
        let mut sorted = self.latencies_s.clone();
        sorted.sort_by(f64::total_cmp);
        let index = (quantile * sorted.len() as f64).ceil() as usize;
        sorted[index.clamp(1, sorted.len()) - 1]
    }
}

/// Times at which a simulated short poll asks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Asking {
    /// The poll asks at fixed times.
    Fixed {
        /// Time from one request to the next, s.
        interval_s: f64,
    },
    /// The poll asks a fixed time after each answer.
    Pause {
        /// Time from an answer to the next request, s.
        pause_s: f64,
        /// Time to open a connection for that request, s; 0 where connections are kept.
        connect_s: f64,
    },
}

/// Ways between a client and a server. They need not be equal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ways {
    /// Time from the client to the server, s.
    pub up_s: f64,
    /// Time from the server to the client, s.
    pub down_s: f64,
}

impl Ways {
    /// Makes two equal ways.
    pub fn equal(one_way_s: f64) -> Self {
        Self { up_s: one_way_s, down_s: one_way_s }
    }

    /// Returns the time there and back, s.
    pub fn round_trip_s(&self) -> f64 {
        self.up_s + self.down_s
    }
}

/// Plays a short poll over `count` lines. A request takes its way up to the server. It is answered there after
/// `handling_s` with all lines that are due by then, and the answer takes its way down. The first request arrives at
/// `first_s`.
pub fn short_poll(
    asking: Asking,
    ways: Ways,
    handling_s: f64,
    first_s: f64,
    lines: LinePattern,
    count: usize,
    seed: u64,
) -> Seen {
    let due = lines.due_times(count, seed);
    let (mut seen, mut ages) = (Seen::default(), Ages::default());
    let (mut next_line, mut asked_s, mut polls) = (0, first_s, 0_u64);
    while next_line < due.len() {
        let answered_s = asked_s + handling_s;
        let received_s = answered_s + ways.down_s;
        let first_of_answer = next_line;
        while next_line < due.len() && due[next_line] <= answered_s {
            seen.latencies_s.push(received_s - due[next_line]);
            next_line += 1;
        }
        seen.requests += 1;
        seen.empty += u64::from(next_line == first_of_answer);
        if next_line > first_of_answer {
            ages.learned(received_s, due[next_line - 1]);
        }
        polls += 1;
        seen.duration_s = asked_s - first_s;
        asked_s = match asking {
            // Multiplied, since adding up would drift.
            Asking::Fixed { interval_s } => first_s + polls as f64 * interval_s,
            Asking::Pause { pause_s, connect_s } => received_s + pause_s + connect_s + ways.up_s,
        };
    }
    seen.age_mean_s = ages.mean_s();
    seen
}

/// Plays a long poll over `count` lines. A request that finds lines is answered at once; another is answered when the
/// next line is due or the hold expires. The next request arrives a gap after the answer left.
pub fn long_poll(poll: &LongPoll, lines: LinePattern, count: usize, seed: u64) -> Seen {
    let due = lines.due_times(count, seed);
    let (mut seen, mut ages) = (Seen::default(), Ages::default());
    let (mut next_line, mut arrived_s) = (0, 0.0);
    while next_line < due.len() {
        let answered_s = due[next_line].clamp(arrived_s, arrived_s + poll.hold_s);
        let first_of_answer = next_line;
        while next_line < due.len() && due[next_line] <= answered_s {
            seen.latencies_s.push(answered_s + poll.one_way_s - due[next_line]);
            next_line += 1;
        }
        seen.requests += 1;
        seen.empty += u64::from(next_line == first_of_answer);
        if next_line > first_of_answer {
            ages.learned(answered_s + poll.one_way_s, due[next_line - 1]);
        }
        seen.held_s += answered_s - arrived_s;
        arrived_s = answered_s + poll.gap_s;
        seen.duration_s = arrived_s;
    }
    seen.age_mean_s = ages.mean_s();
    seen
}

/// Plays a stream over `count` lines. Each line is written as soon as it is due, one write of `write_s` after the
/// other. This subscriber's write comes after those of `position` others.
pub fn stream(
    one_way_s: f64,
    write_s: f64,
    position: u32,
    lines: LinePattern,
    count: usize,
    seed: u64,
) -> Seen {
    let (mut seen, mut ages) = (Seen { requests: 1, ..Seen::default() }, Ages::default());
    for due_s in lines.due_times(count, seed) {
        let received_s = due_s + f64::from(position) * write_s + one_way_s;
        seen.latencies_s.push(received_s - due_s);
        ages.learned(received_s, due_s);
        seen.duration_s = due_s;
    }
    seen.age_mean_s = ages.mean_s();
    seen
}

/// Plays a stream over the lines of a cohort of `cohort_s`. Its server stands still for `stall_s` from `stalled_at_s`
/// on.
pub fn stalled_stream(
    one_way_s: f64,
    cohort_s: f64,
    stalled_at_s: f64,
    stall_s: f64,
    lines: LinePattern,
    seed: u64,
) -> Seen {
    let count = (lines.rate_hz() * cohort_s * 2.0) as usize;
    let mut seen = Seen { requests: 1, duration_s: cohort_s, ..Seen::default() };
    for due_s in lines.due_times(count, seed).into_iter().take_while(|due_s| *due_s < cohort_s) {
        let stalled = (stalled_at_s..stalled_at_s + stall_s).contains(&due_s);
        let sent_s = if stalled { stalled_at_s + stall_s } else { due_s };
        seen.latencies_s.push(sent_s + one_way_s - due_s);
    }
    seen
}

/// Plays a server that answers one request after the other. Each of `users` asks once per interval, at random phases.
/// Returns the longest time from a request's due time to its answer, in the first half and in the second.
pub fn polled_server(
    requests_per_s_max: f64,
    users: u32,
    interval_s: f64,
    rounds: u32,
    seed: u64,
) -> [f64; 2] {
    let mut random = Pcg64::seed_from_u64(seed);
    let mut phases: Vec<f64> = (0..users).map(|_| random.random::<f64>() * interval_s).collect();
    phases.sort_by(f64::total_cmp);
    let (mut free_s, mut longest_s) = (0.0_f64, [0.0_f64; 2]);
    for round in 0..rounds {
        for phase in &phases {
            let asked_s = f64::from(round) * interval_s + phase;
            free_s = free_s.max(asked_s) + 1.0 / requests_per_s_max;
            let half = usize::from(round >= rounds / 2);
            longest_s[half] = longest_s[half].max(free_s - asked_s);
        }
    }
    longest_s
}

/// Integral of the age of information.
#[derive(Debug, Default)]
struct Ages {
    first_s: Option<f64>,
    /// Time of the last receipt, and the due time of the newest line from then on.
    last: Option<(f64, f64)>,
    integral: f64,
}

impl Ages {
    fn learned(&mut self, at_s: f64, due_s: f64) {
        if let Some((since_s, known_s)) = self.last {
            // The area is a trapezium: the age grows from since − known to at − known.
            self.integral += (at_s - since_s) * ((since_s - known_s) + (at_s - known_s)) / 2.0;
        }
        self.first_s.get_or_insert(at_s);
        self.last = Some((at_s, due_s));
    }

    fn mean_s(&self) -> f64 {
        match (self.first_s, self.last) {
            (Some(first_s), Some((last_s, _))) if last_s > first_s => self.integral / (last_s - first_s),
            _ => 0.0,
        }
    }
}
