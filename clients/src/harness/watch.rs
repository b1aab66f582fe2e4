//! The watch of a run, beside its lines: the machine, the server's waiters, kernel memory, and counters over time.
//!
//! The run starts it when the due times are known, calls it in its own loop, and ends it while every subscriber is
//! still connected. Nothing here touches a line.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::followers::Followers;
use super::hiccup::{HiccupProbe, Hiccups};
use super::kernel_memory::KernelMemory;
use super::series::{Sample, Sampler, SeriesPoint};
use super::waiters::WaitersProbe;

/// The probes of one run that are running.
#[derive(Debug)]
pub(super) struct Watch {
    /// Instant that due times count from.
    start: Instant,
    kernel_before: KernelMemory,
    hiccup: Option<HiccupProbe>,
    waiters: Option<WaitersProbe>,
    sampler: Sampler,
}

/// Results of the probes.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) hiccups: Hiccups,
    pub(super) kernel: KernelMemory,
    pub(super) waiters_mean: Option<f64>,
    pub(super) series: Vec<SeriesPoint>,
}

impl Watch {
    /// Starts the watch; the hiccup probe runs during `window`. `kernel_before`: kernel memory before the first
    /// connection. `waiters`: the probe of a server that can say.
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

    /// Takes the next sample of the measured subscribers, if it is time. `server_cpu` is called only then.
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
        // All deployments have the same number of subscribers.
        sample.staleness = ages.iter().sum::<Duration>().checked_div(ages.len() as u32);
        self.sampler.note(t_s, sample);
    }

    /// Ends the probes and returns their results. Every subscriber must still be connected.
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
