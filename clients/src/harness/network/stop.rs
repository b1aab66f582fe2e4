//! A stop: the server's process is halted by SIGSTOP and goes on by SIGCONT.
//!
//! A tool that measures from the moment of sending sees one delayed request. A tool that measures from the due time
//! sees every line that fell into the pause (coordinated omission, as in wrk2's README). Connections stay open
//! meanwhile: the kernel still takes bytes for a process that sleeps.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Fault that stops the server's process for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// Time of the stop, counted as due times are.
    pub at: Duration,
    /// Time from SIGSTOP to SIGCONT.
    pub duration: Duration,
}

impl Stop {
    /// Stops the process `server` at the given time. `None`: the run did not start the server, which is left alone.
    pub(super) async fn run(self, start: Instant, server: Option<u32>) {
        let Some(pid) = server else { return };
        tokio::time::sleep_until((start + self.at).into()).await;
        let halted = Halted::halt(pid);
        tokio::time::sleep_until((start + self.at + self.duration).into()).await;
        drop(halted);
    }
}

/// A process that is halted; it goes on when this value is dropped, also when the run is given up.
struct Halted(Pid);

impl Halted {
    fn halt(pid: u32) -> Self {
        let pid = Pid::from_raw(pid as i32);
        // A server that is gone has ended the run already.
        let _ = kill(pid, Signal::SIGSTOP);
        Self(pid)
    }
}

impl Drop for Halted {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGCONT);
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    /// Returns the state letter of `/proc/PID/stat`.
    fn state(pid: u32) -> Option<char> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.chars().next()
    }

    async fn becomes(pid: u32, stopped: bool) {
        while (state(pid) == Some('T')) != stopped {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_stopped_process_goes_on_also_when_the_run_is_given_up() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let pid = child.id();
        let hour = Duration::from_secs(3_600);
        let stop = Stop { at: Duration::ZERO, duration: hour };
        let running = tokio::spawn(stop.run(Instant::now(), Some(pid)));
        becomes(pid, true).await;
        running.abort();
        becomes(pid, false).await;

        let stop = Stop { at: Duration::ZERO, duration: Duration::from_millis(20) };
        stop.run(Instant::now(), Some(pid)).await;
        becomes(pid, false).await;
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
