//! CPU time of processes, in nanoseconds, from Linux's /proc. The runs read it at both ends of their window.

use std::fs;
use std::time::Duration;

/// CPU time that all threads of `process` have had so far; of threads that ended meanwhile nothing.
pub(crate) fn of(process: u32) -> Result<Duration, String> {
    let folder = format!("/proc/{process}/task");
    let threads =
        fs::read_dir(&folder).map_err(|error| format!("{folder}: {error}; the server has ended"))?;
    let nanoseconds = threads.filter_map(Result::ok).filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    Ok(Duration::from_nanos(nanoseconds.sum()))
}

/// The sum over `processes`.
pub(crate) fn of_all(processes: &[u32]) -> Result<Duration, String> {
    processes.iter().copied().map(of).sum()
}
