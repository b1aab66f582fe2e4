//! Schedules: when each line is due, and its text.
//!
//! A schedule is a pure function of its parameters. So the publisher, the recorders and the next transport get the same
//! due times and texts. It reads no clock and never sleeps.

use std::sync::Arc;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use crate::recording::Recording;
use crate::wire::NewLine;

/// Due times and texts of one deployment's lines.
#[derive(Debug, Clone, PartialEq)]
pub enum Schedule {
    /// The gaps, bursts and silences of a recorded deployment.
    Replay {
        /// Recording whose lines are replayed.
        recording: Arc<Recording>,
        /// Speed; 2 is twice as fast. Positive.
        speed: f64,
    },
    /// Lines at equal gaps of 1/rate, the first at 0.
    Periodic {
        /// Rate, duration and size of the lines.
        lines: Generated,
    },
    /// Lines at independent, exponentially distributed gaps, as many unrelated writers make them. The theory assumes
    /// these gaps.
    Poisson {
        /// Mean rate, duration and size of the lines.
        lines: Generated,
        /// Seed of the random gaps; equal seeds give equal times.
        seed: u64,
    },
}

/// Parameters of the lines that a schedule generates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Generated {
    /// Lines per second. Positive.
    pub rate_hz: f64,
    /// Duration of the schedule: lines are due before its end.
    pub duration: Duration,
    /// Bytes of each text; a text is longer when its number needs more.
    pub payload_bytes: usize,
}

impl Schedule {
    /// Returns when each line is due, counted from the start; never decreasing.
    ///
    /// ```
    /// use std::time::Duration;
    /// use wirelab_clients::harness::schedule::{Generated, Schedule};
    /// let lines = Generated { rate_hz: 4.0, duration: Duration::from_secs(1), payload_bytes: 10 };
    /// let due: Vec<_> = Schedule::Periodic { lines }.due_times().map(|due| due.as_millis()).collect();
    /// assert_eq!(due, [0, 250, 500, 750]);
    /// ```
    pub fn due_times(&self) -> Box<dyn Iterator<Item = Duration> + Send + '_> {
        match self {
            Self::Replay { recording, speed } => {
                Box::new(recording.lines.iter().map(|line| line.offset.div_f64(*speed)))
            }
            Self::Periodic { lines } => {
                // Multiplied, not added up, so that there is no drift at any rate.
                let due = |n: u64| Duration::from_secs_f64(n as f64 / lines.rate_hz);
                Box::new((0..).map(due).take_while(|due| *due < lines.duration))
            }
            Self::Poisson { lines, seed } => {
                let mut random = Pcg64::seed_from_u64(*seed);
                let mut due_s = 0.0;
                let next_due = move || {
                    // 1 − u lies in (0, 1]: its logarithm is finite.
                    due_s -= (1.0 - random.random::<f64>()).ln() / lines.rate_hz;
                    Some(Duration::from_secs_f64(due_s))
                };
                Box::new(std::iter::from_fn(next_due).take_while(|due| *due < lines.duration))
            }
        }
    }

    /// Returns each line with its due time. Generated texts contain the line's number, which is its seq in a new log.
    pub fn lines(&self) -> Box<dyn Iterator<Item = (Duration, NewLine)> + Send + '_> {
        match self {
            Self::Replay { recording, .. } => {
                Box::new(self.due_times().zip(recording.lines.iter().map(|line| line.line.clone())))
            }
            Self::Periodic { lines } | Self::Poisson { lines, .. } => {
                let texts = (1..).map(|number| NewLine::plain(numbered_text(number, lines.payload_bytes)));
                Box::new(self.due_times().zip(texts))
            }
        }
    }

    /// Returns the time from the start to the end of the schedule, where the drain begins. A replay ends with its last
    /// line.
    pub fn duration(&self) -> Duration {
        match self {
            Self::Replay { recording, speed } => {
                recording.lines.last().map_or(Duration::ZERO, |line| line.offset.div_f64(*speed))
            }
            Self::Periodic { lines } | Self::Poisson { lines, .. } => lines.duration,
        }
    }
}

/// Returns `line 42 ` and a filler up to `payload_bytes`; only the number where that is too short.
fn numbered_text(number: u64, payload_bytes: usize) -> String {
    const FILLER: &str = "the quick brown fox jumps over the lazy dog ";
    let mut text = format!("line {number} ");
    if text.len() > payload_bytes {
        text = format!("{number}");
    }
    let missing = payload_bytes.saturating_sub(text.len());
    text.extend(FILLER.chars().cycle().take(missing));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::{RecordedEnd, RecordedLine};
    use crate::wire::Status;
    use proptest::prelude::*;

    fn generated(rate_hz: f64, duration_s: u64) -> Generated {
        Generated { rate_hz, duration: Duration::from_secs(duration_s), payload_bytes: 40 }
    }

    fn replay(offsets_us: &[u64], speed: f64) -> Schedule {
        let line = |&us: &u64| RecordedLine {
            offset: Duration::from_micros(us),
            line: NewLine::plain(format!("at {us}")),
        };
        let ended = RecordedEnd { offset: Duration::from_secs(3600), status: Status::Succeeded };
        let lines = offsets_us.iter().map(line).collect();
        Schedule::Replay { recording: Arc::new(Recording { name: "r".into(), lines, ended }), speed }
    }

    #[test]
    fn a_replay_keeps_gaps_bursts_and_texts_and_divides_by_the_speed() {
        let schedule = replay(&[0, 1_000, 1_000, 4_000_000], 4.0);
        let due: Vec<u128> = schedule.due_times().map(|due| due.as_micros()).collect();
        assert_eq!(due, [0, 250, 250, 1_000_000]);
        let texts: Vec<String> = schedule.lines().map(|(_, line)| line.text).collect();
        assert_eq!(texts, ["at 0", "at 1000", "at 1000", "at 4000000"]);
        assert_eq!(
            schedule.duration(),
            Duration::from_secs(1),
            "the wait after the last line is not replayed"
        );
    }

    #[test]
    fn periodic_lines_do_not_drift() {
        let lines = generated(3.0, 3_000);
        let due: Vec<Duration> = Schedule::Periodic { lines }.due_times().collect();
        assert_eq!(due.len(), 9_000);
        assert_eq!(due[0], Duration::ZERO);
        let expected_s = 8_999.0 / 3.0;
        assert!((due[8_999].as_secs_f64() - expected_s).abs() < 1e-6, "{:?}", due[8_999]);
    }

    #[test]
    fn poisson_gaps_are_exponential() {
        let lines = generated(100.0, 1_000);
        let due: Vec<f64> =
            Schedule::Poisson { lines, seed: 7 }.due_times().map(|due| due.as_secs_f64()).collect();
        // 100 000 lines expected; the standard deviation of the count is √100 000 = 316.
        assert!((due.len() as f64 - 100_000.0).abs() < 4.0 * 316.0, "{} lines", due.len());
        let gaps: Vec<f64> = due.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        // An exponential's mean is its standard deviation, and e⁻¹ of it lies beyond the mean.
        assert!((mean * 100.0 - 1.0).abs() < 0.02, "mean {mean}");
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.02, "deviation {}", variance.sqrt());
        let beyond = gaps.iter().filter(|gap| **gap > mean).count() as f64 / gaps.len() as f64;
        assert!((beyond - (-1.0f64).exp()).abs() < 0.01, "{beyond} beyond the mean");
    }

    #[test]
    fn another_seed_gives_other_times() {
        let times = |seed| -> Vec<Duration> {
            Schedule::Poisson { lines: generated(50.0, 2), seed }.due_times().collect()
        };
        assert_eq!(times(1), times(1));
        assert_ne!(times(1), times(2));
    }

    #[test]
    fn generated_texts_are_numbered_and_as_long_as_asked() {
        let texts = |payload_bytes| -> Vec<String> {
            let lines = Generated { payload_bytes, ..generated(10.0, 2) };
            Schedule::Periodic { lines }.lines().map(|(_, line)| line.text).collect()
        };
        let long = texts(100);
        assert_eq!(long.len(), 20);
        assert!(long.iter().all(|text| text.len() == 100));
        assert!(long[0].starts_with("line 1 the quick") && long[19].starts_with("line 20 the"), "{long:?}");
        assert_eq!(texts(2)[8..10], ["9t", "10"]);
        assert_eq!(texts(1)[8..10], ["9", "10"], "a number is never cut");
    }

    proptest! {
        #[test]
        fn due_times_never_decrease_and_end_before_the_duration(
            rate_hz in 0.5..5_000.0f64, duration_ms in 1..3_000u64, seed in any::<u64>(),
        ) {
            let duration = Duration::from_millis(duration_ms);
            let lines = Generated { rate_hz, duration, payload_bytes: 1 };
            for schedule in [Schedule::Periodic { lines }, Schedule::Poisson { lines, seed }] {
                let due: Vec<Duration> = schedule.due_times().collect();
                prop_assert!(due.is_sorted());
                prop_assert!(due.iter().all(|due| *due < duration));
                prop_assert_eq!(schedule.lines().count(), due.len());
                prop_assert_eq!(&schedule.due_times().collect::<Vec<_>>(), &due);
            }
            let periodic = Schedule::Periodic { lines }.due_times().count() as f64;
            prop_assert!((periodic - rate_hz * duration.as_secs_f64()).abs() <= 1.0);
        }
    }
}
