//! The machine of an experiment, without its name: what it is, and how busy it was.
//!
//! `Manifest` holds both, and `compare` names what differs between two machines. Every value is read from files of
//! Linux's `/proc` and `/sys`. What a system does not tell is absent, never 0, and `absent` names it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use nix::unistd::{SysconfVar, sysconf};
use serde::{Deserialize, Serialize};

use crate::os;

/// Settings of the kernel that change how TCP delivers lines, as `sysctl` names them. All clients and servers of a run
/// share them.
const SYSCTLS: [&str; 15] = [
    "net.core.default_qdisc",
    "net.core.rmem_max",
    "net.core.somaxconn",
    "net.core.wmem_max",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_autocorking",
    "net.ipv4.tcp_congestion_control",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_moderate_rcvbuf",
    "net.ipv4.tcp_notsent_lowat",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_slow_start_after_idle",
    "net.ipv4.tcp_timestamps",
    "net.ipv4.tcp_tw_reuse",
    "net.ipv4.tcp_wmem",
];

/// A machine, without its name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Operating system: `linux`, `macos`, …
    pub os: String,
    /// Release of the kernel.
    pub kernel: Option<String>,
    /// Model name of the first processor.
    pub cpu_model: Option<String>,
    /// Number of processors that this process may use.
    pub cores_count: Option<u64>,
    /// What chooses the clock frequency of the processors: `performance`, `powersave`, …; several where they differ.
    #[serde(default)]
    pub cpu_governor: Option<String>,
    /// Hypervisor that runs the machine: `kvm`, `vmware`, …; `vm` where it does not say its name, `none` on hardware.
    #[serde(default)]
    pub virtualisation: Option<String>,
    /// Soft limit of open descriptors.
    pub open_files_max: Option<u64>,
    /// Physical memory.
    pub memory_bytes: Option<u64>,
    /// Settings of the kernel's TCP by the names that `sysctl` uses.
    #[serde(default)]
    pub sysctls: BTreeMap<String, String>,
}

impl Machine {
    /// Describes the machine that this process runs on.
    pub fn describe() -> Self {
        Self::described_by(Path::new("/"))
    }

    /// Describes a machine by the files below `root`.
    fn described_by(root: &Path) -> Self {
        let text = |path: &str| fs::read_to_string(root.join(path)).ok().map(|text| text.trim().to_owned());
        let cpus = text("proc/cpuinfo").unwrap_or_default();
        let memory = text("proc/meminfo").unwrap_or_default();
        Self {
            os: std::env::consts::OS.to_owned(),
            // `/proc/version` is not read: it names the builder of the kernel, and where.
            kernel: text("proc/sys/kernel/osrelease"),
            cpu_model: value_of(&cpus, "model name").map(str::to_owned),
            cores_count: cores_count(),
            cpu_governor: governors(&root.join("sys/devices/system/cpu")),
            virtualisation: virtualisation(&cpus, text),
            open_files_max: os::max_open_files(),
            memory_bytes: value_of(&memory, "MemTotal").and_then(kilobytes),
            sysctls: SYSCTLS
                .into_iter()
                .filter_map(|name| Some((name.to_owned(), sysctl(root, name)?)))
                .collect(),
        }
    }

    /// Names what the system did not tell, as members of the manifest.
    pub(super) fn absent(&self) -> Vec<String> {
        let Self { os: _, kernel, cpu_model, cores_count, cpu_governor, virtualisation, .. } = self;
        let members = [
            ("kernel", kernel.is_none()),
            ("cpu_model", cpu_model.is_none()),
            ("cores_count", cores_count.is_none()),
            ("cpu_governor", cpu_governor.is_none()),
            ("virtualisation", virtualisation.is_none()),
            ("open_files_max", self.open_files_max.is_none()),
            ("memory_bytes", self.memory_bytes.is_none()),
        ];
        let missing =
            members.into_iter().filter(|(_, is_absent)| *is_absent).map(|(name, _)| name.to_owned());
        let unknown = SYSCTLS.into_iter().filter(|name| !self.sysctls.contains_key(*name));
        missing
            .chain(unknown.map(|name| format!("sysctls.{name}")))
            .map(|name| format!("machine.{name}"))
            .collect()
    }
}

/// Counts the processors that this process may use.
pub(super) fn cores_count() -> Option<u64> {
    std::thread::available_parallelism().ok().map(|cores| cores.get() as u64)
}

/// Returns the governors of all processors, each once.
fn governors(cpus: &Path) -> Option<String> {
    let governor = |cpu: fs::DirEntry| fs::read_to_string(cpu.path().join("cpufreq/scaling_governor")).ok();
    let found: BTreeSet<String> =
        fs::read_dir(cpus).ok()?.flatten().filter_map(governor).map(|text| text.trim().to_owned()).collect();
    (!found.is_empty()).then(|| found.into_iter().collect::<Vec<_>>().join(", "))
}

/// Makers of virtual machines: words of the firmware's tables, and the name that is told for them.
const MAKERS: [(&str, &str); 12] = [
    ("KVM", "kvm"),
    ("OpenStack", "kvm"),
    ("QEMU", "qemu"),
    ("VMware", "vmware"),
    ("innotek", "virtualbox"),
    ("VirtualBox", "virtualbox"),
    ("Xen", "xen"),
    ("Bochs", "bochs"),
    ("Parallels", "parallels"),
    ("Amazon EC2", "amazon"),
    ("Google Compute Engine", "google"),
    ("Apple Virtualization", "apple"),
];
/// Clocks that only one hypervisor offers to its guests.
const CLOCKS: [(&str, &str); 3] = [("kvm-clock", "kvm"), ("hyperv", "hyper-v"), ("xen", "xen")];

/// Names the hypervisor by the firmware's tables, then by the clocks that it offers. A processor with a list of flags
/// says at least whether there is one.
fn virtualisation(cpus: &str, text: impl Fn(&str) -> Option<String>) -> Option<String> {
    let flags = value_of(cpus, "flags")?;
    if !flags.split_whitespace().any(|flag| flag == "hypervisor") {
        return Some("none".to_owned());
    }
    let tables = ["product_name", "sys_vendor", "board_vendor", "bios_vendor"];
    let firmware: Vec<String> =
        tables.iter().filter_map(|table| text(&format!("sys/class/dmi/id/{table}"))).collect();
    let maker = MAKERS.into_iter().find(|(word, _)| firmware.iter().any(|text| text.contains(word)));
    let hyper_v = firmware.iter().any(|text| text.contains("Microsoft")).then_some("hyper-v");
    let clocks =
        text("sys/devices/system/clocksource/clocksource0/available_clocksource").unwrap_or_default();
    let clock = CLOCKS.into_iter().find(|(word, _)| clocks.contains(word));
    let named = maker.map(|(_, name)| name).or(hyper_v).or(clock.map(|(_, name)| name));
    Some(named.unwrap_or("vm").to_owned())
}

/// Returns the value of a kernel setting, its numbers separated by single spaces.
fn sysctl(root: &Path, name: &str) -> Option<String> {
    let value = fs::read_to_string(root.join("proc/sys").join(name.replace('.', "/"))).ok()?;
    Some(value.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Returns the value of the first `name : value` line.
fn value_of<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

fn kilobytes(text: &str) -> Option<u64> {
    Some(text.strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// How busy the machine was from the start of an experiment to its last run. An experiment that was continued adds up
/// the time of its parts; the pauses between them do not count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// Load average over one minute before the first run: threads that run or wait to run.
    pub average_before: Option<f64>,
    /// Load average over one minute after the last run, which contains the harness itself.
    pub average_after: Option<f64>,
    /// Time of all processors together, s.
    pub cpu_s: Option<f64>,
    /// Part of that time that the hypervisor gave to other machines, s: *steal*.
    pub cpu_steal_s: Option<f64>,
}

impl Load {
    /// Names what the system did not tell, as members of the manifest.
    pub(super) fn absent(&self) -> Vec<String> {
        let Self { average_before, average_after: _, cpu_s, cpu_steal_s } = self;
        let members = [
            ("load.average_before", average_before.is_none()),
            ("load.cpu_s", cpu_s.is_none()),
            ("load.cpu_steal_s", cpu_steal_s.is_none()),
        ];
        members.into_iter().filter(|(_, is_absent)| *is_absent).map(|(name, _)| name.to_owned()).collect()
    }
}

/// Watches the load of the machine over an experiment, or a part of one.
#[derive(Debug)]
pub struct LoadWatch {
    /// Load of the earlier parts.
    earlier: Load,
    start: Option<CpuTimes>,
}

impl LoadWatch {
    /// Begins to watch. `earlier` is what the earlier parts of a continued experiment saw.
    pub fn begin(earlier: Option<Load>) -> Self {
        let first = || Load {
            average_before: load_average(),
            average_after: None,
            cpu_s: CpuTimes::read().map(|_| 0.0),
            cpu_steal_s: CpuTimes::read().map(|_| 0.0),
        };
        Self { earlier: earlier.unwrap_or_else(first), start: CpuTimes::read() }
    }

    /// Returns the load from the start of the experiment until now.
    pub fn so_far(&self) -> Load {
        let since = self.start.zip(CpuTimes::read());
        let added = |earlier: Option<f64>, of: fn(&CpuTimes) -> f64| {
            let (start, now) = since?;
            let s = earlier? + (of(&now) - of(&start)).max(0.0);
            // The kernel counts hundredths of a second; further digits are those of the sum.
            Some((s * 1e3).round() / 1e3)
        };
        Load {
            average_before: self.earlier.average_before,
            average_after: load_average(),
            cpu_s: added(self.earlier.cpu_s, |times| times.all_s),
            cpu_steal_s: added(self.earlier.cpu_steal_s, |times| times.steal_s),
        }
    }
}

fn load_average() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

/// Time of all processors since the system started.
#[derive(Debug, Clone, Copy, PartialEq)]
struct CpuTimes {
    all_s: f64,
    steal_s: f64,
}

impl CpuTimes {
    fn read() -> Option<Self> {
        let ticks_per_s = sysconf(SysconfVar::CLK_TCK).ok()??;
        Self::parse(&fs::read_to_string("/proc/stat").ok()?, ticks_per_s as f64)
    }

    /// Parses the first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal. The two numbers of
    /// guests that follow are contained in the first two.
    fn parse(stat: &str, ticks_per_s: f64) -> Option<Self> {
        let mut words = stat.lines().next()?.split_whitespace();
        if words.next()? != "cpu" {
            return None;
        }
        let ticks: Vec<f64> = words.take(8).map(str::parse).collect::<Result<_, _>>().ok()?;
        let steal = *ticks.get(7)?;
        Some(Self { all_s: ticks.iter().sum::<f64>() / ticks_per_s, steal_s: steal / ticks_per_s })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes a machine of files and describes it.
    fn described(files: &[(&str, &str)]) -> Machine {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Machine::described_by(root.path())
    }

    #[test]
    fn the_files_of_linux_are_read_as_the_kernel_writes_them() {
        let machine = described(&[
            (
                "proc/cpuinfo",
                "processor\t: 0\nmodel name\t: Example CPU @ 3: GHz\nflags\t: fpu\n\nmodel name\t: B\n",
            ),
            ("proc/meminfo", "MemTotal:  2048 kB\n"),
            ("proc/sys/kernel/osrelease", "6.1.0\n"),
            ("proc/sys/net/ipv4/tcp_rmem", "4096\t131072\t6291456\n"),
            ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n"),
            ("sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "performance\n"),
            ("sys/devices/system/cpu/cpu2/cpufreq/scaling_governor", "powersave\n"),
        ]);
        let of = |value: &Option<String>| value.clone().unwrap();
        assert_eq!(
            (of(&machine.kernel), of(&machine.cpu_model)),
            ("6.1.0".into(), "Example CPU @ 3: GHz".into())
        );
        assert_eq!(machine.memory_bytes, Some(2 << 20));
        assert_eq!(of(&machine.cpu_governor), "performance, powersave");
        assert_eq!(of(&machine.virtualisation), "none");
        assert_eq!(
            machine.sysctls,
            [("net.ipv4.tcp_rmem".to_owned(), "4096 131072 6291456".to_owned())].into()
        );
        let absent = machine.absent();
        assert!(absent.contains(&"machine.sysctls.net.core.somaxconn".to_owned()), "{absent:?}");
        assert!(
            !absent.iter().any(|name| name.contains("governor") || name.contains("tcp_rmem")),
            "{absent:?}"
        );
    }

    #[test]
    fn what_a_system_does_not_tell_is_absent_and_named() {
        let machine = described(&[]);
        assert_eq!((&machine.cpu_governor, &machine.virtualisation), (&None, &None));
        for name in
            ["machine.kernel", "machine.cpu_governor", "machine.virtualisation", "machine.memory_bytes"]
        {
            assert!(machine.absent().iter().any(|absent| absent == name), "{name}");
        }
        let unknown = Load::default().absent();
        assert_eq!(unknown, ["load.average_before", "load.cpu_s", "load.cpu_steal_s"]);
    }

    #[test]
    fn a_hypervisor_is_told_by_its_firmware_then_by_its_clock() {
        const CLOCK: &str = "sys/devices/system/clocksource/clocksource0/available_clocksource";
        const PRODUCT: &str = "sys/class/dmi/id/product_name";
        const VENDOR: &str = "sys/class/dmi/id/sys_vendor";
        for (files, name) in [
            (vec![(PRODUCT, "VMware7,1"), (CLOCK, "tsc")], "vmware"),
            (vec![(VENDOR, "QEMU"), (PRODUCT, "KVM Virtual Machine")], "kvm"),
            (vec![(VENDOR, "Microsoft Corporation")], "hyper-v"),
            (vec![(CLOCK, "tsc kvm-clock")], "kvm"),
            (vec![(VENDOR, "Somebody"), (CLOCK, "tsc")], "vm"),
            (vec![], "vm"),
        ] {
            let files = [files, vec![("proc/cpuinfo", "flags\t\t: fpu hypervisor lahf_lm\n")]].concat();
            assert_eq!(described(&files).virtualisation.as_deref(), Some(name));
        }
    }

    #[test]
    fn stolen_time_is_the_eighth_number_and_guests_count_once() {
        let stat = "cpu  100 0 50 800 10 0 10 30 99 99\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        assert_eq!(CpuTimes::parse(stat, 100.0), Some(CpuTimes { all_s: 10.0, steal_s: 0.3 }));
        assert_eq!(CpuTimes::parse("cpu 1 2 3 4", 100.0), None);
        assert_eq!(CpuTimes::parse("intr 1", 100.0), None);
    }

    #[test]
    fn a_continued_experiment_adds_up_its_parts() {
        let earlier = Load {
            average_before: Some(7.5),
            average_after: Some(1.0),
            cpu_s: Some(60.0),
            cpu_steal_s: Some(2.0),
        };
        let watch = LoadWatch { earlier, start: Some(CpuTimes { all_s: 0.0, steal_s: 0.0 }) };
        let load = watch.so_far();
        assert_eq!(load.average_before, Some(7.5));
        if cfg!(target_os = "linux") {
            assert!(
                load.cpu_s.is_some_and(|s| s > 60.0) && load.cpu_steal_s.is_some_and(|s| s >= 2.0),
                "{load:?}"
            );
            assert!(load.average_after.is_some() && LoadWatch::begin(None).so_far().absent().is_empty());
        }
    }
}
