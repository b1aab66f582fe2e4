//! How `serve` shares the descriptors of its process: sockets and logs have budgets of their own.
//!
//! Without budgets, running deployments would take the descriptors of new connections, or the other way round. Pure.

use crate::server::REFUSED_CONNECTIONS_MAX;
use crate::store::disk::DescriptorBudget;

/// Descriptors of the process itself: stdio, listener, lock, runtime, the lab's processes, files of the page.
const FIXED: usize = 32;
/// Descriptors of one worker thread: its event queue and what wakes it.
const PER_WORKER: usize = 4;
/// The sockets' part of scarce descriptors that is kept for refused connections: one in so many.
const REFUSED_PART: usize = 8;
/// The logs' part of scarce descriptors is at least one in so many.
const LOGS_PART: usize = 4;

/// The descriptors of one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shares {
    /// Connections that are served: as many as were asked for, or as many as there are descriptors for.
    pub(super) connections: usize,
    /// Sockets that may be open, those of refused connections included.
    pub(super) sockets: usize,
    pub(super) logs: DescriptorBudget,
}

/// Shares `limit` descriptors among `workers` threads, the logs, and connections of which `connections_max` are asked
/// for.
pub(super) fn share(limit: u64, connections_max: usize, workers: usize) -> Shares {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let free = limit.saturating_sub(FIXED + PER_WORKER * workers).max(2 * LOGS_PART);
    let beside_asked = free.saturating_sub(connections_max.saturating_add(REFUSED_CONNECTIONS_MAX));
    let logs = beside_asked.max(free / LOGS_PART).min(DescriptorBudget::default().descriptors_max());
    let sockets = free - logs;
    let refused = (sockets / REFUSED_PART).clamp(1, REFUSED_CONNECTIONS_MAX);
    Shares {
        connections: connections_max.min(sockets - refused),
        sockets,
        // In the proportion of the default: of five descriptors, two files for appends with their seconds, one access.
        logs: DescriptorBudget { writes: (logs * 2 / 5).max(1), accesses: (logs / 5).max(1) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_and_connections_have_budgets_that_fit_the_limit() {
        for limit in [64, 128, 256, 1_024, 4_096, 20_000, 1 << 20, u64::MAX] {
            for workers in [1, 2, 16] {
                for asked in [1, 60, 1_000, 19_000, usize::MAX] {
                    let shares = share(limit, asked, workers);
                    let text = format!("{limit} descriptors, {workers} workers, {asked} asked: {shares:?}");
                    assert!(shares.logs.writes >= 1 && shares.logs.accesses >= 1, "{text}");
                    assert!((1..=asked).contains(&shares.connections), "{text}");
                    assert!(shares.connections < shares.sockets, "{text}");
                    let used = (FIXED + PER_WORKER * workers).saturating_add(shares.sockets);
                    let used = used.saturating_add(shares.logs.descriptors_max());
                    assert!(used as u64 <= limit.max(104 + 8), "{text}");
                }
            }
        }
    }

    #[test]
    fn the_defaults_fit_twenty_thousand_descriptors() {
        let shares = share(20_000, 19_000, 8);
        assert_eq!((shares.connections, shares.logs), (19_000, DescriptorBudget::default()));
        assert_eq!(share(128, 19_000, 2).connections, 58);
    }
}
