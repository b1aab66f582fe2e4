//! Back-off: how long to stay away from a server that just failed.
//!
//! Full jitter: each delay is uniform between zero and a ceiling that doubles, so that the clients of a restarted
//! server do not all return in the same instant (RFC 6455 §7.2.3 asks for this).

use std::time::Duration;

use rand::RngExt;

/// Ceiling of the ceiling: a server that is back is found within half a minute.
const CEILING_MAX: Duration = Duration::from_secs(30);
/// Failures in a row after which a subscriber gives up.
const FAILURES_MAX: u32 = 10;

/// Failures in a row of one subscriber.
#[derive(Debug)]
pub(crate) struct Backoff {
    first_ceiling: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(first_ceiling: Duration) -> Self {
        Self { first_ceiling, failures: 0 }
    }

    /// The server answered: the next failure is a first one.
    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// How long to wait after one more failure; a time the server advised wins. `None`: give up.
    pub(crate) fn failed(&mut self, advised: Option<Duration>) -> Option<Duration> {
        self.failures += 1;
        if self.failures > FAILURES_MAX {
            return None;
        }
        let ceiling = self.first_ceiling.saturating_mul(1 << (self.failures - 1)).min(CEILING_MAX);
        let drawn = rand::rng().random_range(Duration::ZERO..=ceiling);
        Some(advised.map_or(drawn, |advised| advised.min(CEILING_MAX)))
    }

    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_are_spread_and_end() {
        let mut backoff = Backoff::new(Duration::from_millis(100));
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
}
