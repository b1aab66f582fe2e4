//! The operating system: limits, timers and CPU clocks.
//!
//! The harness asks here for what the standard library does not give. `nix` wraps every call, so there is no
//! `unsafe`. What only Linux can give is `None` elsewhere, and becomes an empty cell.

use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::time::{ClockId, clock_gettime};
#[cfg(target_os = "linux")]
use nix::unistd::Pid;

/// Linux's PID_MAX_LIMIT. A CPU clock's id keeps only 29 bits of the pid.
#[cfg(target_os = "linux")]
const PID_MAX: u32 = 1 << 22;

/// Descriptors this process may have open now (the soft limit). `None` if the system does not say.
pub fn max_open_files() -> Option<u64> {
    getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft)
}

/// Raises the soft limit of open descriptors to the hard one, for this process and its children, and returns
/// the limit that holds then.
pub fn raise_open_files() -> Option<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    // Refused (macOS caps it below an "unlimited" hard limit): the old limit still holds, and is told.
    let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    max_open_files()
}

/// Lets the calling thread's sleeps end within 1 µs of their time instead of 50 µs. Linux only; elsewhere, and
/// where it is refused, sleeps stay coarse, which `send_lateness` then shows.
pub fn fine_timers() {
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_timerslack(1_000);
}

/// CPU time that the process `pid` has used since it began, all threads, user and system. Linux only.
pub fn process_cpu(pid: u32) -> Option<Duration> {
    #[cfg(target_os = "linux")]
    {
        // 0 would be this process, and a number beyond every pid is cut to somebody else's.
        if !(1..=PID_MAX).contains(&pid) {
            return None;
        }
        let pid = Pid::from_raw(pid as i32);
        clock_gettime(ClockId::pid_cpu_clock_id(pid).ok()?).ok().map(Duration::from)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = pid;
        None
    }
}

/// CPU time that this process has used since it began.
pub fn own_cpu() -> Option<Duration> {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).ok().map(Duration::from)
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    /// Uses at least `time` of CPU.
    fn burn(time: Duration) {
        let before = own_cpu().unwrap();
        while own_cpu().unwrap() - before < time {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn the_cpu_clock_of_a_process_runs_while_it_works() {
        let before = process_cpu(std::process::id()).unwrap();
        burn(Duration::from_millis(5));
        let used = process_cpu(std::process::id()).unwrap() - before;
        assert!(used >= Duration::from_millis(5), "{used:?}");
    }

    #[test]
    fn a_process_that_does_not_exist_has_no_cpu_clock() {
        for pid in [0, PID_MAX, PID_MAX + 1, 0x3fff_ffff, u32::MAX] {
            assert_eq!(process_cpu(pid), None, "{pid}");
        }
    }

    #[test]
    fn raising_the_open_files_never_lowers_them() {
        let before = max_open_files().unwrap();
        assert!(raise_open_files().unwrap() >= before);
        assert_eq!(raise_open_files(), max_open_files());
    }
}
