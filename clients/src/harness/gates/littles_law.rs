//! Little's law: polls held on average = polls per second × mean time that each is held.
//!
//! The server's gauge and the clients' clocks are independent of each other; without that the check would test nothing.
//! The law holds for averages over a long time. Over a short time it holds up to three errors, which are added up here.

use super::{Found, Gate};

use crate::harness::cell::Server;
use crate::harness::run_result::RunResult;
use crate::harness::statistics::sampling;
use crate::wire::Waits;

/// Standard errors of the sampled mean that are tolerated: one run in 370 is further off by chance.
const STANDARD_ERRORS: f64 = 3.0;

pub(super) const GATES: &[Gate] = &[Gate {
    name: "waiters",
    unit: "count",
    definition: "Long poll, Little's law. Left: polls that the server held, mean of samples. Right: polls per second × \
                 mean time from request to answer. They may differ by what is under way (polls per second × mean of \
                 append and delivery latency), by polls that cross an end of the cohort, and by three standard errors \
                 of the samples. Not compared where that is as much as all subscribers.",
    find: waiters,
}];

fn waiters(run: &RunResult) -> Found {
    let Expectation { held, tolerance } = match expectation(run) {
        Some(expectation) => expectation,
        None => return Found::not_compared(run.waiters_mean, None),
    };
    let Some(sampled) = run.waiters_mean.filter(|_| tolerance < f64::from(run.cell.subscribers_total()))
    else {
        return Found::not_compared(run.waiters_mean, Some(held));
    };
    let said = || {
        format!(
            "the server held {sampled:.2} polls on average, but the clients' times say {held:.2} ± {tolerance:.2} \
             (Little's law)"
        )
    };
    Found::equal(sampled, held, tolerance, said)
}

/// Expectation that follows from the clients' own times.
struct Expectation {
    /// Polls held on average.
    held: f64,
    /// Largest difference between the server's gauge and `held`.
    tolerance: f64,
}

/// Computes the expectation. `None`: the run has no long polls, or polls of other subscribers wait at the server too.
fn expectation(run: &RunResult) -> Option<Expectation> {
    let cell = &run.cell;
    let is_long_poll = cell.transport.waits() == Waits::ServerOnce && cell.fallback.is_empty();
    let is_alone = cell.server == Server::Wirelab && cell.stalled.is_none() && cell.late.is_none();
    if !is_long_poll || !is_alone || cell.fault.is_some() {
        return None;
    }
    let seconds = |us: f64| us / 1e6;
    let (window_s, hold) = (run.measured.as_secs_f64(), &run.timing.hold);
    let (mean_s, longest_s) = (seconds(hold.mean_us()?), seconds(hold.quantile_us(1.0)? as f64));
    let polls_per_s = hold.len() as f64 / window_s;
    let held = polls_per_s * mean_s;
    let subscribers = f64::from(cell.subscribers_total());

    let way_s = seconds(run.append.mean_us()? + run.delivery.latency.mean_us()?);
    let crossing = subscribers * longest_s / window_s;
    let chance = STANDARD_ERRORS * sampling::standard_error(held, subscribers, window_s);
    let tolerance = polls_per_s * way_s + crossing + chance;
    tolerance.is_finite().then_some(Expectation { held, tolerance })
}
