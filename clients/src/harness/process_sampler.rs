//! The process sampler: what a process, or a group of them, costs, seen from outside.
//!
//! The harness takes one sample of the server before the first line and one after the drain, and keeps the
//! difference. A server is a process group: its workers are its cost too. Reading `/proc` costs the sampled process
//! nothing. Everything is Linux only, and `None` where it is not to be had.

use std::collections::{BTreeMap, BTreeSet};
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

/// Readings of every process of a group at one instant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupSample {
    processes: BTreeMap<u32, ProcessSample>,
}

impl GroupSample {
    /// Reads the processes of the group that `leader` leads now. A leader without a readable group is read alone.
    pub fn take(leader: u32) -> Self {
        let mut pids = processes_of_group(leader);
        pids.insert(leader);
        Self { processes: pids.into_iter().map(|pid| (pid, ProcessSample::take(pid))).collect() }
    }

    /// The cost of the whole group between `earlier` and this sample. A process that began in between cost all that
    /// it has used; where one ended in between, taking its counters with it, counters are `None`.
    pub fn since(&self, earlier: &Self) -> ProcessSample {
        let cost = |(pid, sample): (&u32, &ProcessSample)| match earlier.processes.get(pid) {
            Some(earlier) => sample.since(earlier),
            None => *sample,
        };
        let sum = self.processes.iter().map(cost).reduce(ProcessSample::plus).unwrap_or_default();
        let all_there = earlier.processes.keys().all(|pid| self.processes.contains_key(pid));
        if all_there {
            sum
        } else {
            ProcessSample { pss_anon_bytes: sum.pss_anon_bytes, ..Default::default() }
        }
    }
}

impl ProcessSample {
    /// Both together; `None` where either is.
    fn plus(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.zip(other.cpu).map(|(a, b)| a + b),
            run_delay: self.run_delay.zip(other.run_delay).map(|(a, b)| a + b),
            context_switches: self.context_switches.zip(other.context_switches).map(|(a, b)| a + b),
            pss_anon_bytes: self.pss_anon_bytes.zip(other.pss_anon_bytes).map(|(a, b)| a + b),
        }
    }
}

/// Every process whose group is `group`, zombies excluded: they cost nothing any more and tell nothing.
fn processes_of_group(group: u32) -> BTreeSet<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return BTreeSet::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        group_of(&stat).is_some_and(|(state, of)| of == group && state != "Z")
    })
    .collect()
}

/// State and process group of a `stat` file. The program's name before them may hold anything, but ends at the last
/// parenthesis.
fn group_of(stat: &str) -> Option<(&str, u32)> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let (state, _parent, group) = (fields.next()?, fields.next()?, fields.next()?);
    Some((state, group.parse().ok()?))
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
    fn a_groups_cost_is_the_sum_and_a_lost_worker_is_not_hidden() {
        let sample = |n: u64| ProcessSample {
            cpu: Some(Duration::from_micros(n)),
            run_delay: Some(Duration::from_micros(2 * n)),
            context_switches: Some(3 * n),
            pss_anon_bytes: Some(4 * n),
        };
        let group = |processes: &[(u32, u64)]| GroupSample {
            processes: processes.iter().map(|(pid, n)| (*pid, sample(*n))).collect(),
        };
        let before = group(&[(1, 10), (2, 20)]);
        // 1 used 5, 2 used 1, 3 began in between and used 7.
        let cost = group(&[(1, 15), (2, 21), (3, 7)]).since(&before);
        assert_eq!(cost, ProcessSample { pss_anon_bytes: Some(4 * 43), ..sample(13) });
        let cost = group(&[(1, 15)]).since(&before);
        assert_eq!(cost, ProcessSample { pss_anon_bytes: Some(60), ..ProcessSample::default() });
        assert_eq!(GroupSample::default().since(&GroupSample::default()), ProcessSample::default());
    }

    #[test]
    fn a_process_group_is_read_whatever_the_program_is_called() {
        assert_eq!(group_of("12 (a) b (c) S 1 77 77 0"), Some(("S", 77)));
        assert_eq!(group_of("12 (a"), None);
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
