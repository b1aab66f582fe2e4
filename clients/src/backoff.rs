//! Back-off: how long a client stays away from a server that just failed or asked to be left alone.
//!
//! wait = advice + a random time between the floor and a ceiling. The ceiling doubles with each wait in a row, and is
//! at least the advice. So no client comes back before it was told to, no advice makes a loop without a pause, and
//! clients that were told the same time come back spread (RFC 6455 §7.2.3 asks for that). `static/backoff.js` has the
//! same rule; `cases.json` is tried on both. Used by every client half, and by `wirelab publish`. It never sleeps: the
//! caller does.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use rand::RngExt;

use crate::meter::Meter;
use crate::options::ADVICE_MAX;
use crate::{Options, ServerUrl, SubscribeError};

/// Failures in a row, without one good answer or hello, after which a subscriber gives up.
const FAILURES_MAX: u32 = 10;
/// Shortest wait, unless [`Options::reconnect_max`] is shorter: ten requests per second from one client are no loop
/// that a server or a person has to fear.
const FLOOR: Duration = Duration::from_millis(100);
/// Time after which a stream that said hello counts as one that works, even without a line. A stream that ends sooner,
/// each time, must not be opened in a loop.
const STREAM_LIVED_MIN: Duration = Duration::from_secs(5);
/// Shortest hold of a long poll that paces the client by itself: at most four questions per second. An answer without
/// news that comes sooner, and before half of the hold that was asked for, was not held.
const HELD_MIN: Duration = Duration::from_millis(250);

/// Returns whether a refusal with this status passes by itself: a late request (408), too many requests (429), a server
/// or a proxy in trouble (500, 502, 503, 504), no room on a disk (507). Any other refusal is final
/// (RFC 9110 §15.5.9, §15.6; RFC 6585 §4; RFC 4918 §11.5).
pub(crate) const fn passes(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504 | 507)
}

/// Returns how long to stay away after the given number of failures in a row, by the rule of the subscribers: for a client
/// that decides by itself when it gives up. The ceiling is `first_ceiling` after the first failure and at most `ceiling_max`.
///
/// ```
/// use std::time::Duration;
/// use wirelab_clients::backoff::wait;
/// let (first_ceiling, ceiling_max) = (Duration::from_millis(200), Duration::from_secs(2));
/// let advised = Duration::from_secs(5);
/// let wait = wait(first_ceiling, ceiling_max, 1, Some(advised));
/// assert!(advised < wait && wait <= advised + ceiling_max);
/// ```
pub fn wait(
    first_ceiling: Duration,
    ceiling_max: Duration,
    failures: u32,
    advised: Option<Duration>,
) -> Duration {
    let rule = Rule { first_ceiling, ceiling_max, advice_max: ADVICE_MAX };
    rule.wait(failures.saturating_sub(1), advised, rand::random())
}

/// Counts the failures in a row of one subscriber and draws the wait after each.
#[derive(Debug)]
pub(crate) struct Backoff {
    rule: Rule,
    first_wait: Option<RangeInclusive<Duration>>,
    failures: u32,
    /// Waits since something worked: how often the ceiling has doubled.
    step: u32,
    /// When the open stream said hello.
    greeted: Option<Instant>,
}

/// Lengths of which a wait is made.
#[derive(Debug, Clone, Copy)]
struct Rule {
    first_ceiling: Duration,
    ceiling_max: Duration,
    advice_max: Duration,
}

impl Rule {
    /// Returns the wait after `step` others. `drawn` is uniform in 0..=1.
    fn wait(&self, step: u32, advised: Option<Duration>, drawn: f64) -> Duration {
        let Self { first_ceiling, ceiling_max, advice_max } = *self;
        let advice = advised.unwrap_or_default().min(advice_max);
        let ceiling = first_ceiling.saturating_mul(2_u32.saturating_pow(step)).min(ceiling_max);
        // All who were refused together were told the same time: they are spread over as long again.
        let ceiling = ceiling.max(advice.min(ceiling_max));
        let floor = FLOOR.min(ceiling);
        advice + floor + (ceiling - floor).mul_f64(drawn)
    }
}

impl Backoff {
    /// Creates a back-off whose first wait lies below `first_ceiling` and above the advice, or within
    /// [`Options::first_wait`] if that is set. It adds at most [`Options::reconnect_max`] to an advice.
    pub(crate) fn new(first_ceiling: Duration, options: &Options) -> Self {
        let Options { reconnect_max, advice_max, first_wait, .. } = options;
        let rule = Rule { first_ceiling, ceiling_max: *reconnect_max, advice_max: *advice_max };
        Self { rule, first_wait: first_wait.clone(), failures: 0, step: 0, greeted: None }
    }

    /// Notes a good answer or a line: the next failure counts as the first, and its wait is short.
    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
        self.step = 0;
    }

    /// Notes that a stream said hello. The server is there, so the subscriber does not give up; but waits grow until
    /// the stream has brought a line or lived for [`STREAM_LIVED_MIN`].
    pub(crate) fn greeted(&mut self) {
        self.failures = 0;
        self.greeted = Some(Instant::now());
    }

    /// Counts one more failure and returns how long to wait after it, at least as long as the server advised. `None`:
    /// give up.
    pub(crate) fn failed(&mut self, advised: Option<Duration>) -> Option<Duration> {
        if self.greeted.take().is_some_and(|greeted| greeted.elapsed() >= STREAM_LIVED_MIN) {
            self.step = 0;
        }
        self.failures += 1;
        if self.failures > FAILURES_MAX {
            return None;
        }
        let wait = self.pause(advised);
        match &self.first_wait {
            Some(range) if self.failures == 1 => Some(rand::rng().random_range(range.clone())),
            Some(_) | None => Some(wait),
        }
    }

    /// Returns how long to wait after an answer to a long poll that brought nothing: `held` after the question, which
    /// asked for `hold`. `None`: the server held it, so the next question may leave at once. If it did not, or advises a
    /// time, the client must wait, or the two would run in circles. It never gives up: the server is there.
    pub(crate) fn after_nothing(
        &mut self,
        held: Duration,
        hold: Duration,
        advised: Option<Duration>,
    ) -> Option<Duration> {
        let was_held = held >= HELD_MIN.min(hold / 2);
        if was_held {
            self.step = 0;
        }
        (!was_held || advised.is_some()).then(|| self.pause(advised))
    }

    fn pause(&mut self, advised: Option<Duration>) -> Duration {
        let wait = self.rule.wait(self.step, advised, rand::random());
        self.step = self.step.saturating_add(1);
        wait
    }

    /// How long to stay away from `server` after one more failure, of which `meter` is told; errors when there were too
    /// many in a row.
    pub(crate) fn after(
        &mut self,
        why: &str,
        advised: Option<Duration>,
        server: &ServerUrl,
        meter: &Meter,
    ) -> Result<Duration, SubscribeError> {
        meter.failed(why);
        self.failed(advised).ok_or_else(|| SubscribeError::Unreachable {
            server: server.to_string(),
            failures: self.failures - 1,
            last: why.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const FIRST_CEILING: Duration = Duration::from_millis(500);

    fn backoff() -> Backoff {
        Backoff::new(FIRST_CEILING, &Options::default())
    }

    #[derive(serde::Deserialize)]
    struct Case {
        case: String,
        first_ceiling_ms: u64,
        step: u32,
        advised_ms: Option<u64>,
        drawn: f64,
        wait_ms: u64,
    }

    /// The browser's tests try the same table on `static/backoff.js`.
    #[test]
    fn the_rule_is_that_of_the_page_case_by_case() {
        let cases: Vec<Case> = serde_json::from_str(include_str!("backoff/cases.json")).unwrap();
        assert!(!cases.is_empty());
        for Case { case, first_ceiling_ms, step, advised_ms, drawn, wait_ms } in cases {
            let rule = Backoff::new(Duration::from_millis(first_ceiling_ms), &Options::default()).rule;
            let wait = rule.wait(step, advised_ms.map(Duration::from_millis), drawn);
            assert_eq!(wait, Duration::from_millis(wait_ms), "{case}");
        }
    }

    #[test]
    fn the_wait_of_any_number_of_failures_is_at_least_what_is_advised_and_spread() {
        let (first, most, seconds) =
            (Duration::from_millis(200), Duration::from_secs(2), Duration::from_secs);
        for (failures, advised, least, most) in [
            (0, None, FLOOR, first),
            (1, None, FLOOR, first),
            (1, Some(seconds(0)), FLOOR, first),
            (2, None, FLOOR, 2 * first),
            (1, Some(seconds(5)), seconds(5) + FLOOR, seconds(5) + most),
            (u32::MAX, None, FLOOR, most),
            (u32::MAX, Some(Duration::MAX), ADVICE_MAX + FLOOR, ADVICE_MAX + most),
        ] {
            let drawn: Vec<_> = (0..100).map(|_| wait(first, seconds(2), failures, advised)).collect();
            assert!(
                drawn.iter().all(|wait| (least..=most).contains(wait)),
                "{failures}, {advised:?}: {drawn:?}"
            );
            // Clients that were told the same time together come back over half of the possible time at least.
            let (min, max) = (drawn.iter().min().unwrap(), drawn.iter().max().unwrap());
            assert!(*max - *min > (most - least) / 2, "{failures}, {advised:?}: {drawn:?}");
        }
    }

    #[test]
    fn waits_grow_are_spread_and_end() {
        let mut backoff = backoff();
        for failure in 0..FAILURES_MAX {
            let ceiling = Duration::from_millis(500 << failure).min(Options::default().reconnect_max);
            let wait = backoff.failed(None).unwrap();
            assert!((FLOOR..=ceiling).contains(&wait), "{wait:?}");
        }
        assert_eq!(backoff.failed(None), None);
        let firsts: HashSet<_> = (0..100)
            .map(|_| {
                backoff.succeeded();
                backoff.failed(None).unwrap()
            })
            .collect();
        assert!(firsts.len() > 90, "no jitter");
    }

    /// An advice of zero must not let a client give up while a server restarts.
    #[test]
    fn ten_failures_take_their_time_whatever_is_advised() {
        for advised in [None, Some(Duration::ZERO)] {
            let mut backoff = backoff();
            let away: Duration = (0..FAILURES_MAX).map(|_| backoff.failed(advised).unwrap()).sum();
            // The mean is 62 s. Each wait is at least the floor, so this holds always; that it is far longer is likely.
            assert!(away >= FLOOR * FAILURES_MAX, "{away:?}");
            assert!(away > Duration::from_secs(5), "{away:?} with {advised:?}");
        }
    }

    #[test]
    fn an_advice_is_never_cut_short_by_the_longest_wait_of_the_clients_own() {
        let options = Options { reconnect_max: Duration::from_millis(5), ..Options::default() };
        let advised = Duration::from_secs(120);
        let wait = Backoff::new(FIRST_CEILING, &options).failed(Some(advised)).unwrap();
        assert!((advised..=advised + options.reconnect_max).contains(&wait), "{wait:?}");
    }

    #[test]
    fn a_stream_that_says_hello_and_ends_at_once_is_opened_ever_more_seldom_and_never_given_up() {
        let mut backoff = backoff();
        for step in 0..3 * FAILURES_MAX {
            assert_eq!(backoff.step, step);
            backoff.greeted();
            assert!(backoff.failed(Some(Duration::ZERO)).is_some());
        }
        // One that has lived begins anew, and so does one that brought a line.
        backoff.greeted = Some(Instant::now() - STREAM_LIVED_MIN);
        assert!(backoff.failed(None).unwrap() <= FIRST_CEILING);
        backoff.greeted();
        backoff.succeeded();
        assert!(backoff.failed(None).unwrap() <= FIRST_CEILING);
    }

    #[test]
    fn a_long_poll_that_is_not_held_is_asked_again_ever_more_seldom() {
        let (hold, at_once) = (Duration::from_secs(25), Duration::from_millis(1));
        let mut backoff = backoff();
        for step in 0..3 * FAILURES_MAX {
            assert_eq!(backoff.step, step);
            assert!(backoff.after_nothing(at_once, hold, None).unwrap() >= FLOOR);
        }
        // A server that holds for less than it was asked holds all the same.
        for (held, hold) in [(hold, hold), (HELD_MIN, hold), (at_once, 2 * at_once)] {
            assert_eq!(backoff.after_nothing(held, hold, None), None, "{held:?} of {hold:?}");
        }
        let advised = Duration::from_secs(3);
        assert!(backoff.after_nothing(hold, hold, Some(advised)).unwrap() > advised);
    }

    #[test]
    fn a_first_wait_that_was_asked_for_wins_over_rule_and_advice_and_only_then() {
        let range = Duration::from_secs(7)..=Duration::from_secs(8);
        let options = Options { first_wait: Some(range.clone()), ..Options::default() };
        let mut backoff = Backoff::new(Duration::from_millis(1), &options);
        for _ in 0..3 {
            assert!(range.contains(&backoff.failed(Some(Duration::ZERO)).unwrap()));
            assert!(backoff.failed(None).unwrap() <= Duration::from_millis(2));
            backoff.succeeded();
        }
    }
}
