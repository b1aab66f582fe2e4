//! The process sampler: the cost of a process, or of a group of processes, seen from outside.
//!
//! The harness samples the server before the first line and after the drain, and keeps the difference. A server is a
//! process group, because its workers are part of its cost. Reading `/proc` costs the sampled process nothing.
//! Everything is Linux only, and `None` where the system does not give it.

use derive_more::Add;
use serde::{Deserialize, Serialize};

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::os;

/// Most CPU time of threads that ended between two readings up to which the counters of living threads stand for the
/// whole process. A process has some short threads of little work, and its files are read one after the other.
const ENDED_CPU_MAX: Duration = Duration::from_millis(2);
/// Divisor of the process's CPU time that gives a second such bound: a fiftieth, below what repeated runs differ by.
const ENDED_CPU_DIVISOR: u32 = 50;

/// Cost of a process, until an instant or between two.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessSample {
    /// CPU time of all threads, user and system, ended ones included.
    pub cpu: Option<Duration>,
    /// Time in which threads were ready but had no CPU: the best sign of saturation. Living threads only.
    pub run_delay: Option<Duration>,
    /// Context switches, voluntary and involuntary, of living threads.
    pub context_switches: Option<u64>,
    /// Anonymous memory; pages shared with other processes are divided among them.
    pub pss_anon_bytes: Option<u64>,
}

impl ProcessSample {
    /// Reads the process `pid` now; counters count from its start.
    pub fn take(pid: u32) -> Self {
        ProcessReading::take(pid).sample
    }
}

/// Cost of a thread since it began. A thread's counters end with it, so a thread that ends before its process is read
/// reports its cost as its last act.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Add)]
pub struct ThreadCost {
    cpu: Duration,
    run_delay: Duration,
    context_switches: u64,
}

impl ThreadCost {
    /// Reads the cost of the calling thread. Linux only.
    pub fn of_this_thread() -> Option<Self> {
        let proc = Path::new("/proc/thread-self");
        let schedstat = fs::read_to_string(proc.join("schedstat")).ok()?;
        let status = fs::read_to_string(proc.join("status")).ok()?;
        Some(Self {
            cpu: Duration::from_nanos(cpu_ns(&schedstat)?),
            run_delay: Duration::from_nanos(run_delay_ns(&schedstat)?),
            context_switches: context_switches(&status)?,
        })
    }
}

/// Reading of one process at one instant, to be compared with a reading at another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProcessReading {
    sample: ProcessSample,
    /// CPU time of living threads. The rest of the process's CPU time was used by threads that have ended.
    living_cpu: Option<Duration>,
    /// CPU time of the process after its threads were read; `sample.cpu` is that from before. A busy process works on
    /// while its files are read.
    cpu_after: Option<Duration>,
}

impl ProcessReading {
    /// Reading of a process that has not begun.
    const NOTHING_YET: Self = Self {
        sample: ProcessSample {
            cpu: Some(Duration::ZERO),
            run_delay: Some(Duration::ZERO),
            context_switches: Some(0),
            pss_anon_bytes: Some(0),
        },
        living_cpu: Some(Duration::ZERO),
        cpu_after: Some(Duration::ZERO),
    };

    /// Reads the process `pid` now.
    pub fn take(pid: u32) -> Self {
        let proc = Path::new("/proc").join(pid.to_string());
        let tasks = tasks(&proc);
        let cpu = os::process_cpu(pid);
        let schedstats = texts(&tasks, "schedstat");
        let sample = ProcessSample {
            cpu,
            run_delay: sum(&schedstats, run_delay_ns).map(Duration::from_nanos),
            context_switches: sum(&texts(&tasks, "status"), context_switches),
            pss_anon_bytes: fs::read_to_string(proc.join("smaps_rollup"))
                .ok()
                .as_deref()
                .and_then(pss_anon_bytes),
        };
        let living_cpu = sum(&schedstats, cpu_ns).map(Duration::from_nanos);
        Self { sample, living_cpu, cpu_after: os::process_cpu(pid) }
    }

    /// Returns the cost between `earlier` and this reading; memory as it is now. Counters of living threads are
    /// `None` where threads that ended in between did a part of the work, because their counts ended with them.
    pub fn since(&self, earlier: &Self) -> ProcessSample {
        self.since_with(earlier, ThreadCost::default())
    }

    /// Returns the cost between `earlier` and this reading, where threads that began and ended in between reported
    /// the cost `ended`.
    pub fn since_with(&self, earlier: &Self, ended: ThreadCost) -> ProcessSample {
        let (now, then) = (&self.sample, &earlier.sample);
        let between = |now: Option<Duration>, then: Option<Duration>| now?.checked_sub(then?);
        let cpu = between(now.cpu, then.cpu);
        // What threads that ended have used for certain: least now, most then.
        let ended_cpu = self.ended_cpu(self.sample.cpu).zip(earlier.ended_cpu(earlier.cpu_after));
        let ended_cpu = ended_cpu.map(|(now, then)| now.saturating_sub(then));
        let all_counted = cpu.zip(ended_cpu).is_some_and(|(cpu, ended_cpu)| {
            ended_cpu.saturating_sub(ended.cpu) <= ENDED_CPU_MAX.max(cpu / ENDED_CPU_DIVISOR)
        });
        let cost = ProcessSample { cpu, pss_anon_bytes: now.pss_anon_bytes, ..ProcessSample::default() };
        if !all_counted {
            return cost;
        }
        ProcessSample {
            run_delay: between(now.run_delay, then.run_delay).map(|living| living + ended.run_delay),
            context_switches: now
                .context_switches
                .zip(then.context_switches)
                .and_then(|(now, then)| now.checked_sub(then))
                .map(|living| living + ended.context_switches),
            ..cost
        }
    }

    /// Returns the CPU time of threads that have ended, out of the process's CPU time `of_all`: at least this where that
    /// was read before the threads, at most this where it was read after them. Living threads that went on working
    /// meanwhile may seem to have used more than the whole process; the result is then 0.
    fn ended_cpu(&self, of_all: Option<Duration>) -> Option<Duration> {
        Some(of_all?.saturating_sub(self.living_cpu?))
    }
}

/// Readings of every process of a group at one instant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupSample {
    processes: BTreeMap<u32, ProcessReading>,
}

impl GroupSample {
    /// Reads the processes of the group that `leader` leads now. A leader without a readable group is read alone.
    pub fn take(leader: u32) -> Self {
        let mut pids = processes_of_group(leader);
        pids.insert(leader);
        Self { processes: pids.into_iter().map(|pid| (pid, ProcessReading::take(pid))).collect() }
    }

    /// Returns the cost of the whole group between `earlier` and this sample. A process that began in between cost
    /// all that it has used. Where a process ended in between, counters are `None`, because its counts ended with it.
    pub fn since(&self, earlier: &Self) -> ProcessSample {
        let cost = |(pid, reading): (&u32, &ProcessReading)| {
            reading.since(earlier.processes.get(pid).unwrap_or(&ProcessReading::NOTHING_YET))
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
    /// Adds two costs; a value is `None` where either is.
    fn plus(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.zip(other.cpu).map(|(a, b)| a + b),
            run_delay: self.run_delay.zip(other.run_delay).map(|(a, b)| a + b),
            context_switches: self.context_switches.zip(other.context_switches).map(|(a, b)| a + b),
            pss_anon_bytes: self.pss_anon_bytes.zip(other.pss_anon_bytes).map(|(a, b)| a + b),
        }
    }
}

/// Returns every process of the group `group`, without zombies, which cost nothing and have no counters.
fn processes_of_group(group: u32) -> BTreeSet<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return BTreeSet::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        group_of(&stat).is_some_and(|(state, of)| of == group && state != "Z")
    })
    .collect()
}

/// Parses the state and the process group of a `stat` file. The program's name before them may hold anything, but
/// ends at the last parenthesis.
fn group_of(stat: &str) -> Option<(&str, u32)> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let (state, _parent, group) = (fields.next()?, fields.next()?, fields.next()?);
    Some((state, group.parse().ok()?))
}

/// Returns the folders of a process's threads.
fn tasks(proc: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = fs::read_dir(proc.join("task")) else { return Vec::new() };
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

/// Reads a file of each thread. A thread that ended meanwhile is left out.
fn texts(tasks: &[std::path::PathBuf], file: &str) -> Vec<String> {
    tasks.iter().filter_map(|task| fs::read_to_string(task.join(file)).ok()).collect()
}

/// Sums a value over threads; `None` if there are none or a file lacks it.
fn sum(texts: &[String], value: fn(&str) -> Option<u64>) -> Option<u64> {
    if texts.is_empty() {
        return None;
    }
    texts.iter().map(|text| value(text)).sum()
}

/// Returns the first number of `schedstat`: ns spent on a CPU.
fn cpu_ns(schedstat: &str) -> Option<u64> {
    schedstat.split_ascii_whitespace().next()?.parse().ok()
}

/// Returns the second number of `schedstat`: ns spent waiting for a CPU.
fn run_delay_ns(schedstat: &str) -> Option<u64> {
    schedstat.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn context_switches(status: &str) -> Option<u64> {
    Some(field(status, "voluntary_ctxt_switches:")? + field(status, "nonvoluntary_ctxt_switches:")?)
}

fn pss_anon_bytes(smaps_rollup: &str) -> Option<u64> {
    Some(field(smaps_rollup, "Pss_Anon:")? * 1024)
}

/// Returns the number after `name` at the beginning of a line.
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
        assert_eq!(cpu_ns("1234 567 89\n"), Some(1234));
        assert_eq!(cpu_ns("\n"), None);
        let status = "Name:\tx\nvoluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t30\n";
        assert_eq!(context_switches(status), Some(42));
        assert_eq!(context_switches("Name:\tx\n"), None);
        let rollup =
            "0-1 ---p 00000000 00:00 0 [rollup]\nPss:   9 kB\nPss_Dirty: 8 kB\nPss_Anon:    116 kB\n";
        assert_eq!(pss_anon_bytes(rollup), Some(116 * 1024));
        assert_eq!(pss_anon_bytes("Pss: 9 kB\n"), None, "kernels before 5.9 do not tell");
    }

    fn sample(n: u64) -> ProcessSample {
        ProcessSample {
            cpu: Some(Duration::from_micros(n)),
            run_delay: Some(Duration::from_micros(2 * n)),
            context_switches: Some(3 * n),
            pss_anon_bytes: Some(4 * n),
        }
    }

    /// Makes a reading of a process in which no thread has ended.
    fn reading(n: u64) -> ProcessReading {
        let cpu = Some(Duration::from_micros(n));
        ProcessReading { sample: sample(n), living_cpu: cpu, cpu_after: cpu }
    }

    #[test]
    fn a_cost_is_a_difference_and_memory_a_level() {
        let cost = reading(10).since(&reading(7));
        assert_eq!(cost, ProcessSample { pss_anon_bytes: Some(40), ..sample(3) });
        let back = reading(7).since(&reading(10));
        assert_eq!((back.cpu, back.run_delay, back.context_switches), (None, None, None));
    }

    #[test]
    fn counters_are_empty_rather_than_too_small_where_threads_ended() {
        // CPU time of the process and of its living threads, before and after, in µs; whether counters are told.
        for (before, after, told) in [
            ((0, 0), (1_000_000, 1_000_000), true),
            // 2 ms may be missing, or a fiftieth of a longer time.
            ((0, 0), (50_000, 48_000), true),
            ((0, 0), (50_000, 47_999), false),
            ((0, 0), (1_000_000, 980_000), true),
            ((0, 0), (1_000_000, 979_999), false),
            // A thread per request: next to nothing is used by those that live.
            ((5_000, 5_000), (905_000, 6_000), false),
            // What ended before the first reading is in neither.
            ((700_000, 100_000), (800_000, 200_000), true),
            // A thread that lived at the first reading takes all its count with it.
            ((700_000, 700_000), (800_000, 200_000), false),
            // Read one after the other, living threads may seem to have used more than all.
            ((100_000, 104_000), (200_000, 200_000), true),
        ] {
            let reading = |(cpu, living): (u64, u64), n: u64| ProcessReading {
                sample: ProcessSample { cpu: Some(Duration::from_micros(cpu)), ..sample(n) },
                living_cpu: Some(Duration::from_micros(living)),
                cpu_after: Some(Duration::from_micros(cpu)),
            };
            let cost = reading(after, 10).since(&reading(before, 7));
            let expected = ProcessSample {
                cpu: Some(Duration::from_micros(after.0 - before.0)),
                run_delay: told.then_some(Duration::from_micros(6)),
                context_switches: told.then_some(9),
                pss_anon_bytes: Some(40),
            };
            assert_eq!(cost, expected, "{before:?} {after:?}");
        }
        // Where the kernel gives nothing about threads, it is unknown what ended.
        let cost = ProcessReading { living_cpu: None, ..reading(10) }.since(&reading(7));
        assert_eq!((cost.cpu, cost.run_delay, cost.context_switches), (sample(3).cpu, None, None));
    }

    /// A busy process works on while the files of its threads are read: 30 ms at the first reading, of which threads
    /// that had ended before seem to have used as much less.
    #[test]
    fn work_while_a_process_is_read_is_not_taken_for_that_of_a_thread_that_ended() {
        let ms = |ms| Some(Duration::from_millis(ms));
        let of = |cpu, living, after, n| ProcessReading {
            sample: ProcessSample { cpu: ms(cpu), ..sample(n) },
            living_cpu: ms(living),
            cpu_after: ms(after),
        };
        let cost = of(600, 500, 600, 10).since(&of(300, 230, 330, 7));
        assert_eq!((cost.run_delay, cost.context_switches), (sample(3).run_delay, Some(9)));
    }

    #[test]
    fn a_thread_that_said_what_it_cost_before_it_ended_is_counted() {
        let us = Duration::from_micros;
        let reading = |cpu: u64, living: u64, n: u64| ProcessReading {
            sample: ProcessSample { cpu: Some(us(cpu)), ..sample(n) },
            living_cpu: Some(us(living)),
            cpu_after: Some(us(cpu)),
        };
        // Of 100 ms, 40 were used by a thread that has ended.
        let (before, after) = (reading(0, 0, 7), reading(100_000, 60_000, 10));
        assert_eq!(after.since(&before).run_delay, None);
        let thread = ThreadCost { cpu: us(25_000), run_delay: us(300), context_switches: 50 };
        let cost = after.since_with(&before, thread);
        assert_eq!(
            (cost.run_delay, cost.context_switches),
            (None, None),
            "15 ms were used by unknown threads"
        );
        let both = thread + ThreadCost { cpu: us(14_000), run_delay: us(3), context_switches: 1 };
        let cost = after.since_with(&before, both);
        assert_eq!((cost.run_delay, cost.context_switches), (Some(us(6 + 303)), Some(9 + 51)));
        assert_eq!(cost.cpu, Some(us(100_000)), "the process's clock has all of it already");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_thread_knows_what_it_cost_and_nobody_elses() {
        let cost = std::thread::spawn(|| {
            // A thread that has done nothing may have cost nothing yet: it works until the clock has seen it.
            loop {
                let cost = ThreadCost::of_this_thread().unwrap();
                if cost.cpu > Duration::from_millis(1) {
                    return cost;
                }
            }
        });
        let all = ProcessReading::take(std::process::id()).sample.cpu.unwrap();
        assert!(cost.join().unwrap().cpu < all + Duration::from_secs(1));
    }

    #[test]
    fn a_groups_cost_is_the_sum_and_a_lost_worker_is_not_hidden() {
        let group = |processes: &[(u32, u64)]| GroupSample {
            processes: processes.iter().map(|(pid, n)| (*pid, reading(*n))).collect(),
        };
        let before = group(&[(1, 10), (2, 20)]);
        // 1 used 5, 2 used 1, 3 began in between and used 7.
        let cost = group(&[(1, 15), (2, 21), (3, 7)]).since(&before);
        assert_eq!(cost, ProcessSample { pss_anon_bytes: Some(4 * 43), ..sample(13) });
        let cost = group(&[(1, 15)]).since(&before);
        assert_eq!(cost, ProcessSample { pss_anon_bytes: Some(60), ..ProcessSample::default() });
        assert_eq!(GroupSample::default().since(&GroupSample::default()), ProcessSample::default());

        // 3 began in between, and most of its work was done by threads that have ended.
        let mut after = group(&[(1, 10), (2, 20)]);
        let busy = ProcessReading { living_cpu: Some(Duration::from_micros(1)), ..reading(9_000) };
        after.processes.insert(3, busy);
        let cost = after.since(&before);
        assert_eq!((cost.cpu, cost.run_delay, cost.context_switches), (sample(9_000).cpu, None, None));
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
        let ProcessReading { sample, living_cpu, cpu_after } = ProcessReading::take(std::process::id());
        assert!(sample.cpu.unwrap() > Duration::ZERO);
        assert!(cpu_after.unwrap() >= sample.cpu.unwrap());
        assert!(living_cpu.unwrap() > Duration::ZERO);
        assert!(sample.pss_anon_bytes.is_none_or(|bytes| bytes > 10_000), "{sample:?}");
        assert!(sample.context_switches.is_some());
    }
}
