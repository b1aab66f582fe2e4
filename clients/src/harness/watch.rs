//! What a run watches beside its lines: the machine, the server's waiters, kernel memory, and counters over time.
//!
//! Started when the due times are known, looked at in the run's own loop, ended while every subscriber is still
//! connected. Nothing here touches a line.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::followers::Followers;
use super::hiccup::{HiccupProbe, Hiccups};
use super::kernel_memory::KernelMemory;
use super::series::{Sample, Sampler, SeriesPoint};
use super::waiters::WaitersProbe;

/// The probes of one run.
#[derive(Debug)]
pub(super) struct Watch {
    /// The first due time.
    start: Instant,
    kernel_before: KernelMemory,
    hiccup: Option<HiccupProbe>,
    waiters: Option<WaitersProbe>,
    sampler: Sampler,
}

/// What they found.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) hiccups: Hiccups,
    pub(super) kernel: KernelMemory,
    pub(super) waiters_mean: Option<f64>,
    pub(super) series: Vec<SeriesPoint>,
}

impl Watch {
    /// Watches from now on; the probes during `window`. `kernel_before`: read before anybody connected. `waiters`: of a
    /// server that can say.
    pub(super) fn start(
        start: Instant,
        window: Range<Instant>,
        kernel_before: KernelMemory,
        waiters: Option<WaitersProbe>,
    ) -> Self {
        // A machine without room for one more thread has no hiccups measured: an empty cell.
        let hiccup = HiccupProbe::start(window).ok();
        Self { start, kernel_before, hiccup, waiters, sampler: Sampler::default() }
    }

    /// Takes the next sample of the measured subscribers when it is time. `server_cpu` is asked only then.
    pub(super) fn look(&mut self, followers: &[Followers], server_cpu: impl FnOnce() -> Option<Duration>) {
        let now = Instant::now();
        let t_s = match now.checked_duration_since(self.start) {
            Some(since) => since.as_secs_f64(),
            None => -(self.start - now).as_secs_f64(),
        };
        if !self.sampler.is_due(t_s) {
            return;
        }
        let mut sample = Sample { server_cpu: server_cpu(), ..Sample::default() };
        let mut ages = Vec::new();
        for group in followers.iter().map(|follower| &follower.measured) {
            let traffic = group.traffic();
            sample.requests_count += traffic.requests.total();
            sample.l7_bytes += traffic.up_bytes + traffic.down_bytes;
            sample.connections_open_count += group.connections_open();
            ages.extend(group.staleness(now));
        }
        // Every deployment has as many subscribers.
        sample.staleness = ages.iter().sum::<Duration>().checked_div(ages.len() as u32);
        self.sampler.note(t_s, sample);
    }

    /// Ends the probes, while every subscriber is connected.
    pub(super) async fn finish(self) -> Watched {
        let kernel = KernelMemory::take().since(&self.kernel_before);
        let waiters_mean = match self.waiters {
            Some(waiters) => waiters.finish().await,
            None => None,
        };
        Watched {
            hiccups: self.hiccup.map(HiccupProbe::finish).unwrap_or_default(),
            kernel,
            waiters_mean,
            series: self.sampler.into_points(),
        }
    }
}
