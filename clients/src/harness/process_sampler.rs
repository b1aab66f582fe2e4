//! The process sampler: what a process costs, seen from outside.
//!
//! The harness takes one sample of the server before the first line and one after the drain, and keeps the
//! difference. Reading `/proc` costs the sampled process nothing. Everything is Linux only, and `None` where it is
//! not to be had.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::os;

/// Readings of one process at one instant; counters run since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProcessSample {
    /// CPU time of all threads, user and system.
    pub cpu: Option<Duration>,
    /// Time in which threads were ready but had no CPU: the best sign of saturation. Living threads only.
    pub run_delay: Option<Duration>,
    /// Voluntary and involuntary, of living threads.
    pub context_switches: Option<u64>,
    /// Anonymous memory, pages shared with other processes divided among them.
    pub pss_anon_bytes: Option<u64>,
}

impl ProcessSample {
    /// Reads the process `pid` now.
    pub fn take(pid: u32) -> Self {
        let proc = Path::new("/proc").join(pid.to_string());
        let tasks = tasks(&proc);
        Self {
            cpu: os::process_cpu(pid),
            run_delay: sum(&tasks, "schedstat", run_delay_ns).map(Duration::from_nanos),
            context_switches: sum(&tasks, "status", context_switches),
            pss_anon_bytes: fs::read_to_string(proc.join("smaps_rollup"))
                .ok()
                .as_deref()
                .and_then(pss_anon_bytes),
        }
    }

    /// The cost between `earlier` and this sample; memory as it is now. `None` also where a counter went back,
    /// because a thread ended in between and took its count with it.
    pub fn since(&self, earlier: &Self) -> Self {
        let between = |now: Option<Duration>, then: Option<Duration>| now?.checked_sub(then?);
        Self {
            cpu: between(self.cpu, earlier.cpu),
            run_delay: between(self.run_delay, earlier.run_delay),
            context_switches: self
                .context_switches
                .zip(earlier.context_switches)
                .and_then(|(now, then)| now.checked_sub(then)),
            pss_anon_bytes: self.pss_anon_bytes,
        }
    }
}

/// The folders of a process's threads.
fn tasks(proc: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = fs::read_dir(proc.join("task")) else { return Vec::new() };
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

/// The sum over threads; `None` if there are none or a file says nothing. A thread that ended meanwhile is left out.
fn sum(tasks: &[std::path::PathBuf], file: &str, value: fn(&str) -> Option<u64>) -> Option<u64> {
    let texts: Vec<String> =
        tasks.iter().filter_map(|task| fs::read_to_string(task.join(file)).ok()).collect();
    if texts.is_empty() {
        return None;
    }
    texts.iter().map(|text| value(text)).sum()
}

/// The second number of `schedstat`: ns spent waiting for a CPU.
fn run_delay_ns(schedstat: &str) -> Option<u64> {
    schedstat.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn context_switches(status: &str) -> Option<u64> {
    Some(field(status, "voluntary_ctxt_switches:")? + field(status, "nonvoluntary_ctxt_switches:")?)
}

fn pss_anon_bytes(smaps_rollup: &str) -> Option<u64> {
    Some(field(smaps_rollup, "Pss_Anon:")? * 1024)
}

/// The number after `name` at the beginning of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    value.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_proc_are_read_as_the_kernel_writes_them() {
        assert_eq!(run_delay_ns("1234 567 89\n"), Some(567));
        assert_eq!(run_delay_ns("1234"), None);
        let status = "Name:\tx\nvoluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t30\n";
        assert_eq!(context_switches(status), Some(42));
        assert_eq!(context_switches("Name:\tx\n"), None);
        let rollup =
            "0-1 ---p 00000000 00:00 0 [rollup]\nPss:   9 kB\nPss_Dirty: 8 kB\nPss_Anon:    116 kB\n";
        assert_eq!(pss_anon_bytes(rollup), Some(116 * 1024));
        assert_eq!(pss_anon_bytes("Pss: 9 kB\n"), None, "kernels before 5.9 do not tell");
    }

    #[test]
    fn a_cost_is_a_difference_and_memory_a_level() {
        let sample = |n: u64| ProcessSample {
            cpu: Some(Duration::from_micros(n)),
            run_delay: Some(Duration::from_micros(2 * n)),
            context_switches: Some(3 * n),
            pss_anon_bytes: Some(4 * n),
        };
        let cost = sample(10).since(&sample(7));
        assert_eq!(cost, ProcessSample { pss_anon_bytes: Some(40), ..sample(3) });
        let back = sample(7).since(&sample(10));
        assert_eq!((back.cpu, back.run_delay, back.context_switches), (None, None, None));
    }

    #[test]
    fn a_process_that_is_gone_gives_nothing() {
        assert_eq!(ProcessSample::take(0x3fff_ffff), ProcessSample::default());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_used_cpu_and_memory() {
        let sample = ProcessSample::take(std::process::id());
        assert!(sample.cpu.unwrap() > Duration::ZERO);
        assert!(sample.pss_anon_bytes.is_none_or(|bytes| bytes > 10_000), "{sample:?}");
        assert!(sample.context_switches.is_some());
    }
}
