//! Back-off: how long a client stays away from a server that just failed.
//!
//! Full jitter: each delay is uniform between zero and a ceiling that doubles. So the clients of a restarted server do
//! not all return in the same instant (RFC 6455 §7.2.3 asks for this).

use std::ops::RangeInclusive;
use std::time::Duration;

use rand::RngExt;

use crate::meter::Meter;
use crate::{Options, ServerUrl, SubscribeError};

/// Failures in a row after which a subscriber gives up.
const FAILURES_MAX: u32 = 10;

/// Counts the failures in a row of one subscriber and draws the delay after each.
#[derive(Debug)]
pub(crate) struct Backoff {
    first_ceiling: Duration,
    ceiling_max: Duration,
    first_wait: Option<RangeInclusive<Duration>>,
    failures: u32,
}

impl Backoff {
    /// Creates a back-off whose first delay lies below `first_ceiling`, or within [`Options::first_wait`] if that is
    /// set. No other delay is longer than [`Options::reconnect_max`].
    pub(crate) fn new(first_ceiling: Duration, options: &Options) -> Self {
        let Options { reconnect_max, first_wait, .. } = options;
        Self { first_ceiling, ceiling_max: *reconnect_max, first_wait: first_wait.clone(), failures: 0 }
    }

    /// Notes that the server answered: the next failure counts as the first.
    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Counts one more failure and returns how long to wait after it; a time that the server advised wins. `None`: give
    /// up.
    pub(crate) fn failed(&mut self, advised: Option<Duration>) -> Option<Duration> {
        self.failures += 1;
        if self.failures > FAILURES_MAX {
            return None;
        }
        if let Some(range) = self.first_wait.clone()
            && self.failures == 1
        {
            return Some(rand::rng().random_range(range));
        }
        let ceiling = self.first_ceiling.saturating_mul(1 << (self.failures - 1)).min(self.ceiling_max);
        let drawn = rand::rng().random_range(Duration::ZERO..=ceiling);
        Some(advised.map_or(drawn, |advised| advised.min(self.ceiling_max)))
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

    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CEILING_MAX: Duration = Duration::from_secs(30);

    #[test]
    fn delays_grow_are_spread_and_end() {
        let options = Options { reconnect_max: CEILING_MAX, ..Options::default() };
        let mut backoff = Backoff::new(Duration::from_millis(100), &options);
        for failure in 0..FAILURES_MAX {
            let ceiling = Duration::from_millis(100 << failure).min(CEILING_MAX);
            assert!(backoff.failed(None).unwrap() <= ceiling);
        }
        assert_eq!(backoff.failed(None), None);
        backoff.succeeded();
        let firsts: std::collections::HashSet<_> = (0..100)
            .map(|_| {
                backoff.succeeded();
                backoff.failed(None).unwrap()
            })
            .collect();
        assert!(firsts.len() > 90, "no jitter");
        assert_eq!(backoff.failed(Some(Duration::from_secs(3))), Some(Duration::from_secs(3)));
        assert_eq!(backoff.failed(Some(Duration::from_secs(3_000))), Some(CEILING_MAX));
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
