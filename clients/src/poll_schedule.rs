//! Poll schedules: when each short poll is due.
//!
//! For each poll, [`Timetable`] is told when the poll was due, when it left, when its answer came and what the answer
//! brought. It returns the time at which the next poll is due. The poller then waits, or asks at once if that time has
//! passed. A poll that leaves late keeps its due time, or delays would hide themselves (coordinated omission). Pure: it
//! reads no clock and draws no number.

use std::time::{Duration, Instant};

use crate::options::ADVICE_MAX;
use crate::{Adaptation, PollPhase, PollSchedule, Polling};

/// Computes when the polls of one client are due.
#[derive(Debug, Clone)]
pub(crate) struct Timetable {
    polling: Polling,
    /// Current interval: an adaptation may have stretched it.
    interval: Duration,
}

/// Times of one poll, and what it brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Poll {
    /// Due time of the poll.
    pub(crate) intended: Instant,
    /// Time at which the poll was sent.
    pub(crate) left: Instant,
    /// Time at which its answer came.
    pub(crate) answered: Instant,
    pub(crate) brought: Brought,
}

/// Content of the answer to a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Brought {
    /// Lines, and no more follow them yet.
    Lines {
        /// The server's `Retry-After`, if the answer has one.
        advised: Option<Duration>,
    },
    /// As many lines as one answer may hold: the rest is asked for at once.
    Part,
    /// No line.
    Nothing {
        /// The server's `Retry-After`, if the answer has one.
        advised: Option<Duration>,
    },
    /// No answer, or a refusal. The back-off adds its own delay to the schedule.
    Failure,
}

impl Timetable {
    pub(crate) fn new(polling: Polling) -> Self {
        Self { polling, interval: polling.interval }
    }

    /// Returns when the first poll of a client that starts at `now` is due. `drawn` is uniform in 0..1. Aligned clients
    /// count from `origin`, which is not after `now`.
    pub(crate) fn first(&self, now: Instant, origin: Instant, drawn: f64) -> Instant {
        let interval = self.polling.interval;
        match self.polling.phase {
            PollPhase::Random => now + interval.mul_f64(drawn),
            PollPhase::Aligned => {
                let into = remainder(now - origin, interval);
                if into.is_zero() { now } else { now + (interval - into) }
            }
        }
    }

    /// Returns when the poll after `poll` is due. `drawn` is uniform in 0..1.
    pub(crate) fn next(&mut self, poll: Poll, drawn: f64) -> Instant {
        let Poll { intended, left, answered, brought } = poll;
        self.adapt(brought);
        let advised = match (self.polling.adaptation, brought) {
            (Adaptation::Server, Brought::Lines { advised } | Brought::Nothing { advised }) => advised,
            (Adaptation::Server, Brought::Part | Brought::Failure) => None,
            (Adaptation::None | Adaptation::Idle { .. }, _) => None,
        };
        let due = match (brought, self.polling.schedule) {
            (Brought::Part, PollSchedule::Fixed | PollSchedule::Pause) => answered,
            (_, PollSchedule::Pause) => answered + self.gap(drawn),
            (_, PollSchedule::Fixed) => self.after(left, intended + self.gap(drawn)),
        };
        // Advice is a lower bound: the client's own interval is the floor beneath it.
        advised.map_or(due, |pause| due.max(answered + pause.min(ADVICE_MAX)))
    }

    /// Returns the interval between ticks where polls have fixed times; `None` where the next time follows from the
    /// answer. Missed ticks are skipped, not made up for. Jitter moves each tick, by 0 on average.
    pub(crate) fn ticks(&self) -> Option<Duration> {
        match self.polling.schedule {
            PollSchedule::Fixed => Some(self.interval),
            PollSchedule::Pause => None,
        }
    }

    fn adapt(&mut self, brought: Brought) {
        match (self.polling.adaptation, brought) {
            (Adaptation::Idle { interval_max }, Brought::Nothing { advised: _ }) => {
                self.interval = (2 * self.interval).min(interval_max).max(self.polling.interval);
            }
            (Adaptation::Idle { .. }, Brought::Lines { advised: _ } | Brought::Part) => {
                self.interval = self.polling.interval;
            }
            (Adaptation::Idle { .. }, Brought::Failure) | (Adaptation::None | Adaptation::Server, _) => {}
        }
    }

    /// Returns a gap that is uniform within interval · (1 ± jitter).
    fn gap(&self, drawn: f64) -> Duration {
        let jitter_ratio = self.polling.jitter_ratio.clamp(0.0, 1.0);
        self.interval.mul_f64(1.0 + jitter_ratio * (2.0 * drawn - 1.0))
    }

    /// Returns `tick`, or the first tick after `left`. Ticks before the last poll left were asked with it: they are
    /// skipped, not made up for.
    fn after(&self, left: Instant, tick: Instant) -> Instant {
        match left.checked_duration_since(tick) {
            Some(late) if !self.interval.is_zero() => left + (self.interval - remainder(late, self.interval)),
            Some(_) | None => tick,
        }
    }
}

/// Returns `time` modulo `interval`.
fn remainder(time: Duration, interval: Duration) -> Duration {
    let nanos = time.as_nanos().checked_rem(interval.as_nanos()).unwrap_or_default();
    Duration::from_nanos(u64::try_from(nanos).expect("it is below an interval, which is below 584 years"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const INTERVAL: Duration = Duration::from_secs(1);
    const NOTHING: Brought = Brought::Nothing { advised: None };
    const LINES: Brought = Brought::Lines { advised: None };
    /// A draw in the middle: no jitter.
    const EVEN: f64 = 0.5;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Makes a poll that leaves when it is due, and whose answer comes `response` later.
    fn on_time(intended: Instant, response: Duration, brought: Brought) -> Poll {
        Poll { intended, left: intended, answered: intended + response, brought }
    }

    /// Returns the due times of eight polls, counted from the start. Every answer takes `response`, and a late poll is
    /// sent at once.
    fn times(polling: Polling, response: Duration, brought: impl Fn(usize) -> Brought) -> Vec<Duration> {
        let start = Instant::now();
        let mut timetable = Timetable::new(polling);
        let (mut intended, mut free, mut times) = (start, start, Vec::new());
        for i in 0..8 {
            times.push(intended - start);
            let left = intended.max(free);
            free = left + response;
            intended = timetable.next(Poll { intended, left, answered: free, brought: brought(i) }, EVEN);
        }
        times
    }

    #[test]
    fn a_fixed_schedule_does_not_care_how_long_answers_take() {
        let polling = Polling::every(INTERVAL);
        for response in [0, 300, 999] {
            let expected: Vec<_> = (0..8).map(|i| i * INTERVAL).collect();
            assert_eq!(times(polling, ms(response), |_| NOTHING), expected);
        }
    }

    #[test]
    fn a_pause_is_counted_from_the_answer() {
        let polling = Polling { schedule: PollSchedule::Pause, ..Polling::every(INTERVAL) };
        let expected: Vec<_> = (0..8).map(|i| i * ms(1_300)).collect();
        assert_eq!(times(polling, ms(300), |_| NOTHING), expected);
    }

    /// Each answer takes two and a half intervals: the next poll is due at the first tick that no earlier poll stands
    /// for.
    #[test]
    fn ticks_that_pass_during_an_answer_are_skipped_but_the_first() {
        let expected = [0, 1_000, 3_000, 6_000, 8_000, 11_000, 13_000, 16_000].map(ms);
        assert_eq!(times(Polling::every(INTERVAL), ms(2_500), |_| NOTHING), expected);
    }

    #[test]
    fn the_rest_of_a_full_answer_is_asked_for_at_once() {
        for schedule in [PollSchedule::Fixed, PollSchedule::Pause] {
            let polling = Polling { schedule, ..Polling::every(INTERVAL) };
            let start = Instant::now();
            let part = on_time(start, ms(20), Brought::Part);
            assert_eq!(Timetable::new(polling).next(part, EVEN), part.answered);
        }
    }

    #[test]
    fn an_idle_interval_doubles_up_to_its_bound_and_falls_back_on_lines() {
        let adaptation = Adaptation::Idle { interval_max: ms(5_000) };
        let polling = Polling { adaptation, ..Polling::every(INTERVAL) };
        let brought = |i| match i {
            5 => LINES,
            4 => Brought::Failure,
            _ => NOTHING,
        };
        let times = times(polling, ms(1), brought);
        let gaps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(gaps, [2, 4, 5, 5, 5, 1, 2].map(|s| s * INTERVAL));
    }

    #[test]
    fn an_idle_interval_is_never_below_the_interval() {
        let adaptation = Adaptation::Idle { interval_max: ms(10) };
        let polling = Polling { adaptation, ..Polling::every(INTERVAL) };
        assert_eq!(times(polling, ms(1), |_| NOTHING)[7], 7 * INTERVAL);
    }

    #[test]
    fn advice_is_counted_from_the_answer_obeyed_by_who_was_told_to_and_bounded() {
        let start = Instant::now();
        let advised = Some(ms(7_000));
        for brought in [Brought::Lines { advised }, Brought::Nothing { advised }] {
            let poll = on_time(start, ms(20), brought);
            let next = |adaptation| {
                Timetable::new(Polling { adaptation, ..Polling::every(INTERVAL) }).next(poll, EVEN) - start
            };
            assert_eq!(next(Adaptation::Server), ms(7_020));
            assert_eq!(next(Adaptation::None), INTERVAL);
        }
        let tomorrow = Brought::Nothing { advised: Some(Duration::from_secs(86_400)) };
        let polling = Polling { adaptation: Adaptation::Server, ..Polling::every(INTERVAL) };
        let mut timetable = Timetable::new(polling);
        assert_eq!(timetable.next(on_time(start, ms(0), tomorrow), EVEN) - start, ADVICE_MAX);
        assert_eq!(timetable.next(on_time(start, ms(0), NOTHING), EVEN) - start, INTERVAL);
    }

    #[test]
    fn advice_below_the_interval_makes_no_poll_come_sooner() {
        let start = Instant::now();
        for schedule in [PollSchedule::Fixed, PollSchedule::Pause] {
            let polling = Polling { adaptation: Adaptation::Server, schedule, ..Polling::every(INTERVAL) };
            for advised_ms in [0, 1, 999] {
                let brought = Brought::Nothing { advised: Some(ms(advised_ms)) };
                let next = Timetable::new(polling).next(on_time(start, ms(0), brought), EVEN);
                assert_eq!(next - start, INTERVAL, "{advised_ms} ms advised");
            }
        }
    }

    /// With an interval of zero there is still one poll at a time.
    #[test]
    fn an_interval_of_zero_asks_again_at_once() {
        for schedule in [PollSchedule::Fixed, PollSchedule::Pause] {
            let polling = Polling { schedule, ..Polling::every(Duration::ZERO) };
            let poll = on_time(Instant::now(), ms(20), NOTHING);
            assert!(Timetable::new(polling).next(poll, EVEN) <= poll.answered);
        }
    }

    proptest! {
        /// P9, which F1 needs: the phase of a client is anywhere in the interval, or the same for all.
        #[test]
        fn a_first_poll_comes_within_an_interval(
            interval in 1..100_000_u64, since in 0..1_000_000_u64, drawn in 0.0..1.0_f64,
        ) {
            let (origin, interval) = (Instant::now(), ms(interval));
            let now = origin + ms(since);
            let first = |phase| {
                let polling = Polling { phase, ..Polling::every(interval) };
                Timetable::new(polling).first(now, origin, drawn)
            };
            prop_assert_eq!(first(PollPhase::Random) - now, interval.mul_f64(drawn));
            let aligned = first(PollPhase::Aligned);
            prop_assert_eq!((aligned - origin).as_nanos() % interval.as_nanos(), 0);
            prop_assert!(aligned >= now && aligned - now < interval);
        }

        #[test]
        fn a_jittered_gap_lies_within_its_ratio_and_uses_all_of_it(
            interval in 1_000..100_000_u64, jitter_ratio in 0.0..=1.0_f64, drawn in 0.0..1.0_f64,
        ) {
            let interval = ms(interval);
            let start = Instant::now();
            let polling = Polling { jitter_ratio, ..Polling::every(interval) };
            let poll = on_time(start, Duration::ZERO, NOTHING);
            let gap = |drawn| (Timetable::new(polling).next(poll, drawn) - start).as_secs_f64();
            let (low, high) = (1.0 - jitter_ratio, 1.0 + jitter_ratio);
            let relative = gap(drawn) / interval.as_secs_f64();
            prop_assert!((low - 1e-6..=high + 1e-6).contains(&relative), "{relative}");
            // At the very start of a full jitter, the tick is the poll itself, which was asked.
            prop_assert!(jitter_ratio > 0.999 || (gap(0.0) / interval.as_secs_f64() - low).abs() < 1e-6);
            prop_assert!((gap(1.0) / interval.as_secs_f64() - high).abs() < 1e-6);
        }

        /// The next poll is always due after this one left, on its grid, and at most one interval later.
        #[test]
        fn a_fixed_schedule_stays_on_its_grid(
            interval in 1..10_000_u64, late in 0..100_000_u64, response in 0..100_000_u64,
        ) {
            let (intended, interval) = (Instant::now(), ms(interval));
            let left = intended + ms(late);
            let poll = Poll { intended, left, answered: left + ms(response), brought: NOTHING };
            let next = Timetable::new(Polling::every(interval)).next(poll, EVEN);
            prop_assert!(next > left && next <= left + interval);
            prop_assert_eq!((next - intended).as_nanos() % interval.as_nanos(), 0);
        }
    }
}
