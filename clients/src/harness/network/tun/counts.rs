//! Counts of a link: what came to it, what arrived, and what was dropped for which reason.

use std::time::Duration;

/// Packets and their bytes, IP headers included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Number of packets.
    pub count: u64,
    /// Bytes of these packets.
    pub bytes: u64,
}

impl Amount {
    pub(super) fn add(&mut self, bytes: usize) {
        self.count += 1;
        self.bytes += bytes as u64;
    }
}

/// What happened in one direction of a link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WayCounts {
    /// Packets that came to the link.
    pub taken: Amount,
    /// Packets that arrived at the other end.
    pub delivered: Amount,
    /// Packets that the link lost, as it was described.
    pub lost: Amount,
    /// Packets that found the queue before the link full.
    pub queue_full: Amount,
    /// Packets that were dropped although the link would have delivered them: more was on the way than this program
    /// keeps, or the kernel did not take them.
    pub unplanned: Amount,
    /// Packets that the kernel dropped before they came to the link: this program did not take them in time.
    pub not_taken_count: u64,
    /// Longest time by which a packet arrived too late: this program was not woken in time.
    pub late_max: Duration,
}

/// What happened on a link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LinkCounts {
    /// From the subscribers to the server.
    pub up: WayCounts,
    /// From the server to the subscribers.
    pub down: WayCounts,
    /// CPU time of the thread that moves the packets. `None`: the system does not say.
    pub cpu: Option<Duration>,
    /// Whether a device failed: nothing has been moved since.
    pub has_failed: bool,
}

impl LinkCounts {
    /// Counts the packets that were dropped although the link would have delivered them.
    pub fn unplanned_count(&self) -> u64 {
        [self.up, self.down].iter().map(|way| way.unplanned.count + way.not_taken_count).sum()
    }
}
