//! The hiccup probe: how late this machine lets a thread wake.
//!
//! The probe's own thread sleeps 1 ms at a time, to absolute deadlines, as the publisher sleeps to due times. When it
//! wakes late, so do the publisher and the subscribers, whatever the server does: the machine stalled, a core was busy,
//! a neighbour collected garbage. After Gil Tene's jHiccup.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::process_sampler::ThreadCost;
use crate::latency::LatencyHistogram;
use crate::os;

/// Time between two deadlines. A thousand a second cost about 1 % of a core, and a stall of a few ms cannot hide.
pub const HICCUP_INTERVAL: Duration = Duration::from_millis(1);
/// Longest sleep before the probe looks whether to stop.
const NAP_MAX: Duration = Duration::from_millis(100);

/// A probe that is running. When dropped, it ends within 100 ms.
#[derive(Debug)]
pub struct HiccupProbe {
    thread: Option<JoinHandle<Hiccups>>,
    stop: Arc<AtomicBool>,
}

/// Results of a probe.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Hiccups {
    /// Lateness, waking − deadline, one sample per deadline.
    pub lateness: LatencyHistogram,
    /// Cost of the probe's own thread.
    pub cost: Option<ThreadCost>,
}

impl HiccupProbe {
    /// Starts a probe during `window`, on a thread of its own.
    pub fn start(window: Range<Instant>) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::Builder::new().name("hiccup".to_owned()).spawn(move || {
            os::fine_timers();
            let lateness = probe(window, &stopped);
            Hiccups { lateness, cost: ThreadCost::of_this_thread() }
        })?;
        Ok(Self { thread: Some(thread), stop })
    }

    /// Ends the probe and returns its results; blocks for as long as one sleep.
    pub fn finish(mut self) -> Hiccups {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("it is taken only here");
        thread.join().expect("the probe's thread has no panic")
    }
}

impl Drop for HiccupProbe {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Sleeps from deadline to deadline until the window or the probe ends.
fn probe(window: Range<Instant>, stop: &AtomicBool) -> LatencyHistogram {
    let mut lateness = LatencyHistogram::default();
    let mut deadline = window.start;
    while deadline < window.end && !stop.load(Ordering::Relaxed) {
        let now = Instant::now();
        match deadline.checked_duration_since(now) {
            Some(left) if !left.is_zero() => thread::sleep(left.min(NAP_MAX)),
            // Every deadline that a stall swallowed is a sample of its own: one long stall is many late samples.
            _ => {
                lateness.record(now - deadline);
                deadline += HICCUP_INTERVAL;
            }
        }
    }
    lateness
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn every_deadline_of_the_window_has_a_sample() {
        let start = Instant::now() + 5 * MS;
        let lateness = probe(start..start + 20 * MS, &AtomicBool::new(false));
        assert_eq!(lateness.len(), 20);
    }

    /// A window that began 50 ms ago stands for a machine that stood still for 50 ms.
    #[test]
    fn a_stall_makes_every_deadline_late_that_it_swallowed() {
        let start = Instant::now().checked_sub(50 * MS).unwrap();
        let lateness = probe(start..start + 50 * MS, &AtomicBool::new(false));
        assert_eq!(lateness.len(), 50);
        let us = |quantile| lateness.quantile_us(quantile).unwrap();
        assert!(us(1.0) >= 50_000 && us(0.5) >= 25_000, "{} {}", us(1.0), us(0.5));
    }

    #[test]
    fn a_probe_ends_when_it_is_told_to_and_says_what_it_cost() {
        let start = Instant::now();
        let probe = HiccupProbe::start(start..start + Duration::from_secs(3_600)).unwrap();
        let hiccups = probe.finish();
        assert!(hiccups.lateness.len() < 3_600_000);
        assert_eq!(hiccups.cost.is_some(), cfg!(target_os = "linux"));
    }
}
