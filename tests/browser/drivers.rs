//! The programs that drive a browser, each on a port that the kernel picks: chromedriver and geckodriver. Started by
//! `browser`; they end, with whatever they started, when dropped. Nothing here speaks WebDriver.

use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::browser::Engine;

/// Ports that may be taken in a row.
const STARTS_MAX: u32 = 5;

/// A driver, and whatever it started.
pub(crate) struct Driver {
    process: Child,
    pub(crate) url: String,
}

impl Driver {
    /// Files that the driver and its browser leave behind go to `temporary`.
    pub(crate) fn start(engine: Engine, temporary: &Path) -> Self {
        let mut said = String::new();
        // chromedriver takes a free port of IPv6 and ends when somebody else has the same one of IPv4; geckodriver
        // looks for a free port for the browser and lets go of it before the browser takes it.
        for _ in 0..STARTS_MAX {
            said.clear();
            if let Some(started) = Self::try_start(engine, temporary, &mut said) {
                return started;
            }
        }
        panic!("the driver of {engine:?} ended {STARTS_MAX} times and said {said:?}");
    }

    fn try_start(engine: Engine, temporary: &Path, said: &mut String) -> Option<Self> {
        let (mut command, before_its_port) = match engine {
            Engine::Chromium => {
                let mut command = Command::new("chromedriver");
                command.args(["--port=0", "--log-level=SEVERE"]);
                (command, "started successfully on port ")
            }
            Engine::Firefox => {
                let mut command = Command::new(geckodriver());
                command.args(["--port=0", "--websocket-port=0", "--profile-root"]).arg(temporary);
                (command, "Listening on 127.0.0.1:")
            }
        };
        // A process group of its own: a browser that did not quit goes with it.
        command.env("TMPDIR", temporary).env("HOME", temporary).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let spawned = command.spawn();
        let mut process = spawned.unwrap_or_else(|error| panic!("{command:?}: {error}; {}", engine.remedy()));
        let mut stdout = BufReader::new(process.stdout.take().expect("it is piped"));
        while stdout.read_line(said).expect("stdout can be read") > 0 {
            let last = said.lines().next_back().unwrap_or_default();
            if let Some((_, port)) = last.trim_end_matches('.').rsplit_once(before_its_port) {
                let url = format!("http://127.0.0.1:{port}");
                // Read to its end: a driver whose stdout is closed ends, one whose stdout is full hangs.
                thread::spawn(move || io::copy(&mut stdout, &mut io::sink()));
                return Some(Self { process, url });
            }
        }
        let _ = process.wait();
        None
    }
}

/// Debian has no package of it: `scripts/test` installs it here. Elsewhere it may be a command.
fn geckodriver() -> PathBuf {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin/geckodriver");
    if installed.exists() { installed } else { "geckodriver".into() }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = killpg(Pid::from_raw(self.process.id().cast_signed()), Signal::SIGKILL);
        let _ = self.process.wait();
    }
}
