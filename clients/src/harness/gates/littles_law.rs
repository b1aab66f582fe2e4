//! Little's law: polls held on average = polls per second × mean time that each is held.
//!
//! The server's gauge and the clients' clocks are independent of each other; without that the check would test nothing.
//! The law holds for averages over a long time. Over a short time it holds up to three errors, which are added up here.
//!
//! The client's time of a poll has the way there and back in it, and the server's has not. Over a link that way is known,
//! so it is taken off: over 25 ms each way it would be most of the time of a poll.

use super::{Found, Gate};

use crate::harness::cell::Server;
use crate::harness::network::emulated::PublisherPlace;
use crate::harness::network::link_figures::mean_delays_s;
use crate::harness::run_result::{CheckVerdict, RunResult};
use crate::harness::statistics::sampling;
use crate::link::{Link, Loss, OneWay};
use crate::wire::Waits;

/// Standard errors of the sampled mean that are tolerated: one run in 370 is further off by chance.
const STANDARD_ERRORS: f64 = 3.0;

pub(super) const GATES: &[Gate] = &[Gate {
    name: "waiters",
    unit: "count",
    definition: "Long poll, Little's law. Left: polls that the server held, mean of samples. Right: polls per second × \
                 mean time from request to answer, less the round trip of the network's link. They may differ by \
                 what is under way (polls per second × mean of append and delivery latency, less the link's delays in them), \
                 by polls that cross an end of the cohort, and by three standard errors of the samples. Where the \
                 link loses packets or has a rate or a trace, a poll takes longer on the way than its delay says: \
                 a smaller left is then not measured. Not compared where the tolerance is as much as all subscribers.",
    find: waiters,
}];

fn waiters(run: &RunResult) -> Found {
    let Expectation { held, tolerance, way } = match expectation(run) {
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
    // Either the polls took longer on their way, or the gauge is wrong: nothing follows.
    if way == Way::AtLeast && sampled < held - tolerance {
        return Found::not_compared(Some(sampled), Some(held));
    }
    let holds = (sampled - held).abs() <= tolerance;
    Found::judged(holds, sampled, held, tolerance, CheckVerdict::Fail, said)
}

/// What is known of a poll's way there and back over the link of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Its mean: the link's delays.
    Known,
    /// A part of it: packets are sent again, or wait for others.
    AtLeast,
}

impl Way {
    fn over(link: &Link) -> Self {
        let is_known = |way: &OneWay| way.loss == Loss::None && way.rate.is_none() && way.trace.is_none();
        match is_known(&link.up) && is_known(&link.down) {
            true => Self::Known,
            false => Self::AtLeast,
        }
    }
}

/// Expectation that follows from the clients' own times.
struct Expectation {
    /// Polls held on average.
    held: f64,
    /// Largest difference between the server's gauge and `held`.
    tolerance: f64,
    way: Way,
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
    let [up_s, down_s] = mean_delays_s(&cell.network.link);
    let held = polls_per_s * (mean_s - up_s - down_s).max(0.0);
    let subscribers = f64::from(cell.subscribers_total());

    // What the link takes of an append, which is there and back across it, and of a line's way to its readers. It was
    // taken off above; the rest is what the machine takes.
    let link_s = match cell.network.publisher {
        PublisherPlace::Beside => down_s,
        PublisherPlace::Across => (up_s + down_s) + (up_s + down_s),
    };
    let way_s = (seconds(run.append.mean_us()? + run.delivery.latency.mean_us()?) - link_s).max(0.0);
    let crossing = subscribers * longest_s / window_s;
    let chance = STANDARD_ERRORS * sampling::standard_error(held, subscribers, window_s);
    let tolerance = polls_per_s * way_s + crossing + chance;
    tolerance.is_finite().then_some(Expectation { held, tolerance, way: Way::over(&cell.network.link) })
}
