//! The passage of packets in one direction of a link: what is lost, what waits, and when the rest arrives.
//!
//! Pure: times count from the start of the link and are given by the caller. A packet that comes to the link finds the
//! queue full and is dropped, or waits until the link has sent it. Then it is lost, or arrives after its delay.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use crate::link::{Draws, OneWay, Order, Rate, Trace};

/// Bytes that may be on the way in one direction: what 1 Gbit/s sends in half a second. A link with more bandwidth and
/// delay would need memory without a bound. Packets beyond are dropped and counted on their own.
pub(super) const ON_THE_WAY_BYTES_MAX: usize = 64 << 20;
/// Bytes that leave at one opportunity of a trace (Netravali et al. 2015, Mahimahi).
const OPPORTUNITY_BYTES: usize = 1_500;

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It will arrive.
    Passes,
    /// It is lost on the link.
    Lost,
    /// It found the queue before the link full.
    QueueFull,
    /// More is on the way than this program keeps.
    TooMuchOnTheWay,
}

/// A packet on its way. Ordered by its time, then by its number.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Duration,
    number: u64,
    packet: Vec<u8>,
}

/// One direction of a link, with the packets in it.
#[derive(Debug)]
pub(super) struct Passage {
    way: OneWay,
    trace: Option<Times>,
    draws: Draws,
    /// When the link has sent everything that waits for it.
    free_at: Duration,
    /// Packets that wait for the link or are being sent: when each has left, and its bytes.
    waiting: VecDeque<(Duration, usize)>,
    waiting_bytes: u64,
    /// When the last packet is due: none arrives before it on a link that keeps the order.
    last_due: Duration,
    on_the_way: BinaryHeap<Reverse<Due>>,
    on_the_way_bytes: usize,
    packets_count: u64,
}

impl Passage {
    /// Makes an empty passage. `trace` is the parsed file of `way.trace`.
    pub(super) fn new(way: OneWay, trace: Option<Trace>, draws: Draws) -> Self {
        Self {
            way,
            trace: trace.map(Times::new),
            draws,
            free_at: Duration::ZERO,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            last_due: Duration::ZERO,
            on_the_way: BinaryHeap::new(),
            on_the_way_bytes: 0,
            packets_count: 0,
        }
    }

    /// Takes a packet that comes to the link at `now`. Times never decrease from call to call.
    pub(super) fn take(&mut self, packet: Vec<u8>, now: Duration) -> Fate {
        let bytes = packet.len();
        let Some(leaves) = self.leaves(bytes, now) else { return Fate::QueueFull };
        if self.draws.is_lost(&self.way, leaves) {
            return Fate::Lost;
        }
        let due = leaves + self.draws.delay(&self.way);
        let at = match self.way.order {
            Order::Free => due,
            Order::Kept => due.max(self.last_due),
        };
        if self.on_the_way_bytes + bytes > ON_THE_WAY_BYTES_MAX {
            return Fate::TooMuchOnTheWay;
        }
        self.last_due = self.last_due.max(at);
        self.on_the_way_bytes += bytes;
        self.packets_count += 1;
        self.on_the_way.push(Reverse(Due { at, number: self.packets_count, packet }));
        Fate::Passes
    }

    /// Returns when the next packet arrives. `None`: no packet is on the way.
    pub(super) fn next_due(&self) -> Option<Duration> {
        self.on_the_way.peek().map(|Reverse(due)| due.at)
    }

    /// Returns the next packet that has arrived at `now`.
    pub(super) fn arrived(&mut self, now: Duration) -> Option<Vec<u8>> {
        if self.next_due()? > now {
            return None;
        }
        let Reverse(due) = self.on_the_way.pop()?;
        self.on_the_way_bytes -= due.packet.len();
        Some(due.packet)
    }

    /// Returns when the link will have sent a packet that comes `now`. `None`: the queue before the link is full.
    fn leaves(&mut self, bytes: usize, now: Duration) -> Option<Duration> {
        if self.way.rate.is_none() && self.trace.is_none() {
            return Some(now);
        }
        while let Some((_, left)) = self.waiting.front().copied().filter(|(leaves, _)| *leaves <= now) {
            self.waiting.pop_front();
            self.waiting_bytes -= left as u64;
        }
        let queue_bytes = self.way.rate.map_or(Rate::QUEUE_BYTES_DEFAULT, |rate| rate.queue_bytes);
        if self.waiting_bytes + bytes as u64 > queue_bytes {
            return None;
        }
        self.free_at =
            self.free_at.max(now) + self.way.rate.map_or(Duration::ZERO, |rate| rate.time_of(bytes));
        if let Some(trace) = &mut self.trace {
            self.free_at = trace.leaves(bytes, self.free_at);
        }
        self.waiting.push_back((self.free_at, bytes));
        self.waiting_bytes += bytes as u64;
        Some(self.free_at)
    }
}

/// Place in a trace: the opportunity that is used next.
#[derive(Debug)]
struct Times {
    trace: Trace,
    index: u64,
    /// Bytes that may still leave at that opportunity.
    left_bytes: usize,
}

impl Times {
    fn new(trace: Trace) -> Self {
        Self { trace, index: 0, left_bytes: OPPORTUNITY_BYTES }
    }

    /// Uses the opportunities for a packet that may leave from `from` on, and returns the last one. What small packets
    /// leave of an opportunity is for those behind them, and an opportunity that comes while no packet waits is over.
    fn leaves(&mut self, mut bytes: usize, from: Duration) -> Duration {
        if self.trace.at(self.index) < from {
            self.index = self.index.max(self.trace.first_from(from));
            self.left_bytes = OPPORTUNITY_BYTES;
        }
        loop {
            let used = bytes.min(self.left_bytes);
            (bytes, self.left_bytes) = (bytes - used, self.left_bytes - used);
            let at = self.trace.at(self.index);
            if self.left_bytes == 0 {
                self.index += 1;
                self.left_bytes = OPPORTUNITY_BYTES;
            }
            if bytes == 0 {
                return at;
            }
        }
    }
}

#[cfg(test)]
mod tests;
