//! The measured server, as a process of its own.
//!
//! The harness never links the server. It starts `wirelab serve`, or the start script of another server, on a free port
//! with an empty folder. It reads the address from the server's first line, and ends the server after the run. A server
//! that dies or says nothing is an error with the last lines that it wrote. Dropping a [`ServerProcess`] kills the
//! server.
//!
//! Each server leads a process group of its own. So its workers are measured and ended with it, and Ctrl-C in the
//! terminal reaches the harness alone.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::cell::{StoreKind, Tls};
use super::network::laid::Laid;
use crate::ServerUrl;
use crate::os;
use crate::tls::{ClientTls, InvalidAuthorities, Trust};

/// Longest time from start to the line with the address: opening an empty store takes milliseconds.
const START_MAX: Duration = Duration::from_secs(10);
/// Longest time from SIGTERM to the end; the contract says under 2 s.
const STOP_MAX: Duration = Duration::from_secs(3);
/// Time between two looks at a server that was told to stop.
const LOOK: Duration = Duration::from_millis(5);
/// Most lines of the server's stderr that are kept for an error.
const STDERR_LINES_MAX: usize = 20;
/// Most bytes of one line of output; the rest becomes lines of its own.
const OUTPUT_LINE_BYTES_MAX: u64 = 4 << 10;

/// First characters of the server's first line, before its URL.
const LISTENING: &str = "listening on ";
/// Folder in that of the server, and the file in it, of the certificate that wirelab's server makes for itself.
const TLS_FOLDER: &str = "tls";
const CERTIFICATE: &str = "certificate.pem";

/// Variables with tokens. They are for other servers, and this one may be another's program.
const SECRETS: [&str; 2] = ["WIRELAB_TOKEN", "WIRELAB_ACCESS"];
/// Further flags of a server on another address than the loopback: that of a network which only this program reaches. All
/// of its clients are one address, which is not to be bounded.
const BEYOND_LOOPBACK: [&str; 7] = [
    "--open",
    "--address-connections-max",
    "0",
    "--address-requests-max",
    "0",
    "--address-creations-max",
    "0",
];

/// Command that starts a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerCommand {
    /// `wirelab serve`.
    Wirelab {
        /// Program that has the command `serve`: usually this one.
        program: PathBuf,
        /// Store of the server's logs.
        store: StoreKind,
        /// Whether it speaks TLS, with a certificate of its own.
        tls: Tls,
        /// Further flags of `serve`.
        arguments: Vec<String>,
    },
    /// The start script of another server. It gets an empty folder as its only argument and listens on a free port of
    /// 127.0.0.1. It prints its address as `wirelab serve` does, stays in the foreground, and ends when its stdin does.
    Script {
        /// Path of the script.
        path: PathBuf,
    },
}

impl ServerCommand {
    fn program(&self) -> &Path {
        match self {
            Self::Wirelab { program, .. } => program,
            Self::Script { path } => path,
        }
    }

    fn command(&self, folder: &Path, bind: SocketAddr) -> Command {
        let mut command = Command::new(self.program());
        for secret in SECRETS {
            command.env_remove(secret);
        }
        match self {
            // The path may be that of this program in /proc; lists of processes show this name instead.
            Self::Wirelab { program: _, store, tls, arguments } => {
                command
                    .arg0("wirelab")
                    .args(["serve", "--bind", &bind.to_string(), "--store", store.name(), "--data"])
                    .arg(folder.join("data"))
                    .args(arguments)
                    .args(["--no-lab", "--stop-at-stdin-end"]);
                if !bind.ip().is_loopback() {
                    command.args(BEYOND_LOOPBACK);
                }
                match tls {
                    Tls::None => {}
                    Tls::FullHandshake | Tls::Resumption => {
                        command.args(["--tls", "self-signed", "--tls-folder"]).arg(folder.join(TLS_FOLDER));
                    }
                }
            }
            Self::Script { path: _ } => {
                command.arg(folder);
            }
        }
        command
    }
}

/// A running server.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
    addr: SocketAddr,
    url: ServerUrl,
    pid: u32,
    stderr: LastLines,
    // The folder is removed when the server is gone.
    folder: TempDir,
}

/// Error of a server that did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServerProcessError {
    /// The program could not be started, or the data folder could not be made.
    #[error("cannot start the server {program}: {error}")]
    Start {
        /// Path of the program.
        program: String,
        /// Error of the operating system.
        #[source]
        error: io::Error,
    },
    /// The server ended before it listened.
    #[error("the server ended before it listened ({status}){said}")]
    Ended {
        /// Exit status of the server.
        status: String,
        /// Last lines of the server's stderr.
        said: Said,
    },
    /// The server did not print its address in time.
    #[error("the server did not print \"{LISTENING}http://ADDRESS\" within {} s{said}", START_MAX.as_secs())]
    Silent {
        /// Last lines of the server's stderr.
        said: Said,
    },
    /// The certificate that the server made cannot be read.
    #[error("the server's own certificate cannot be used: {0}")]
    Certificate(#[source] InvalidAuthorities),
    /// The server's monotonic clock is shifted against ours: it runs in another time namespace.
    #[error(
        "the server reads another clock ({theirs}, this program {ours}); start both in the same time namespace"
    )]
    OtherClock {
        /// Name of the server's clock.
        theirs: String,
        /// Name of this program's clock.
        ours: String,
    },
    /// The server's first line is not its address.
    #[error("the server's first line is {line:?} instead of \"{LISTENING}http://ADDRESS\"{said}")]
    Unclear {
        /// First line that the server printed.
        line: String,
        /// Last lines of the server's stderr.
        said: Said,
    },
}

/// The last lines of a server's stderr, to be appended to an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said(Vec<String>);

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return f.write_str("; it wrote nothing to stderr");
        }
        write!(f, "; its last lines:\n{}", self.0.join("\n"))
    }
}

/// Takes the first line of a server apart: its scheme and its address.
fn listening(line: &str) -> Option<(&'static str, SocketAddr)> {
    let url = line.strip_prefix(LISTENING)?.trim();
    let (scheme, addr) = match url.strip_prefix("http://") {
        Some(addr) => ("http", addr),
        None => ("https", url.strip_prefix("https://")?),
    };
    Some((scheme, addr.parse().ok()?))
}

fn url_of(scheme: &str, addr: SocketAddr) -> ServerUrl {
    format!("{scheme}://{addr}").parse().expect("a socket address is host and port")
}

impl ServerProcess {
    /// Starts a server with an empty folder and waits until it listens.
    pub async fn spawn(command: &ServerCommand) -> Result<Self, ServerProcessError> {
        Self::spawn_on(&Laid::direct(), command).await
    }

    /// Starts a server at its place in a network, with an empty folder, and waits until it listens.
    pub async fn spawn_on(network: &Laid, command: &ServerCommand) -> Result<Self, ServerProcessError> {
        let start =
            |error| ServerProcessError::Start { program: command.program().display().to_string(), error };
        let folder = tempfile::Builder::new().prefix("wirelab-").tempdir().map_err(start)?;
        let mut command = command.command(folder.path(), network.server_address());
        command
            .process_group(0)
            // The kernel closes stdin when this process dies, however it dies: kill -9 leaves no server behind.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = network.spawn_beside(command).map_err(start)?;
        let pid = child.id().expect("a child that was not waited for has a pid");
        let stderr = LastLines::default();
        let (first, first_line) = oneshot::channel();
        let stdout = child.stdout.take().expect("stdout is piped");
        let errors = child.stderr.take().expect("stderr is piped");
        // Both outputs are read until the end, or the server would block on a full pipe.
        let mut first = Some(first);
        tokio::spawn(drain(stdout, move |line| {
            if let Some(first) = first.take() {
                let _ = first.send(line);
            }
        }));
        let keep = stderr.clone();
        let drained = tokio::spawn(drain(errors, move |line| keep.push(line)));
        // From here on, dropping the value ends the whole group.
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = Self { child, addr: nowhere, url: url_of("http", nowhere), pid, stderr, folder };
        match timeout(START_MAX, first_line).await {
            Ok(Ok(line)) => match listening(&line) {
                Some((scheme, addr)) => {
                    (server.addr, server.url) = (addr, url_of(scheme, addr));
                    if server.url.tls().is_some() {
                        let own = Trust::File(server.folder.path().join(TLS_FOLDER).join(CERTIFICATE));
                        let tls = ClientTls::new(own).map_err(ServerProcessError::Certificate)?;
                        server.url = server.url.clone().secured_by(tls);
                    }
                    one_clock(os::monotonic_clock(std::process::id()), os::monotonic_clock(pid))?;
                    Ok(server)
                }
                None => Err(ServerProcessError::Unclear { line, said: server.said() }),
            },
            // The server closed its stdout: it is about to end.
            Ok(Err(_)) => {
                let status = match server.wait(STOP_MAX).await {
                    Some(status) => status.to_string(),
                    None => "it closed its stdout and still runs".to_owned(),
                };
                let _ = timeout(STOP_MAX, drained).await;
                Err(ServerProcessError::Ended { status, said: server.said() })
            }
            Err(_) => Err(ServerProcessError::Silent { said: server.said() }),
        }
    }

    /// Returns the server's URL, whose certificate is trusted if it is its own.
    pub fn url(&self) -> &ServerUrl {
        &self.url
    }

    /// Returns the address on which the server listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns the pid of the process, which is also that of the group that it leads.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Returns how the server ended, if it has ended: a server that dies breaks the run. Kills what is left of its
    /// group.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        let running = self.child.id().is_some();
        let ended = self.child.try_wait().ok().flatten();
        if running && ended.is_some() {
            // As long as a process is left in the group, the kernel gives its number to no other.
            self.signal_group(Signal::SIGKILL);
        }
        ended
    }

    /// Returns the last lines of the server's stderr.
    pub fn said(&self) -> Said {
        self.stderr.said()
    }

    /// Ends the server and every process of its group: SIGTERM, then SIGKILL after 3 s, and for processes that outlive
    /// the server.
    pub async fn stop(mut self) -> io::Result<Stopped> {
        if let Some(status) = self.has_ended() {
            return Ok(Stopped { status, killed: false });
        }
        self.signal_group(Signal::SIGTERM);
        match self.wait(STOP_MAX).await {
            Some(status) => Ok(Stopped { status, killed: false }),
            None => {
                self.signal_group(Signal::SIGKILL);
                Ok(Stopped { status: self.child.wait().await?, killed: true })
            }
        }
    }

    /// Waits until the server has ended and returns how; `None`: not within `limit`. Its stdin stays open meanwhile:
    /// closing it would hide that SIGTERM was ignored.
    async fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let until = Instant::now() + limit;
        loop {
            let ended = self.has_ended();
            if ended.is_some() || Instant::now() > until {
                return ended;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn signal_group(&self, signal: Signal) {
        // An error means that no process is left, which is the aim.
        let _ = killpg(Pid::from_raw(self.pid as i32), signal);
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        if self.child.id().is_some() {
            self.signal_group(Signal::SIGKILL);
        }
    }
}

/// Refuses a server whose clock is not ours. Where a system does not name its clocks, all processes have the same one.
fn one_clock(ours: Option<String>, theirs: Option<String>) -> Result<(), ServerProcessError> {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) if ours != theirs => Err(ServerProcessError::OtherClock { theirs, ours }),
        (Some(_), Some(_)) | (None, _) | (_, None) => Ok(()),
    }
}

/// End of a server that was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped {
    /// Exit status of the server.
    pub status: ExitStatus,
    /// Whether it had to be killed because it did not obey SIGTERM in time.
    pub killed: bool,
}

/// Newest lines of an output.
#[derive(Debug, Clone, Default)]
struct LastLines(Arc<Mutex<VecDeque<String>>>);

impl LastLines {
    fn push(&self, line: String) {
        let mut lines = self.0.lock().expect("no holder panics");
        lines.push_back(line);
        if lines.len() > STDERR_LINES_MAX {
            lines.pop_front();
        }
    }

    fn said(&self) -> Said {
        Said(self.0.lock().expect("no holder panics").iter().cloned().collect())
    }
}

/// Gives every line to `each` until the output ends.
async fn drain(output: impl AsyncRead + Unpin, mut each: impl FnMut(String)) {
    let mut output = BufReader::new(output);
    loop {
        let mut line = Vec::new();
        match (&mut output).take(OUTPUT_LINE_BYTES_MAX).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => each(String::from_utf8_lossy(&line).trim_end().to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::OnceLock;

    use nix::sys::signal::kill;

    /// Returns the path of a script that stands in for a server. All scripts are written before the first is started: a
    /// script that another test's fork still holds open for writing cannot be executed.
    fn script_path(name: &str) -> PathBuf {
        static FOLDER: OnceLock<TempDir> = OnceLock::new();
        let folder = FOLDER.get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let listen = "echo listening on http://127.0.0.1:4711\n";
            for (name, body) in [
                ("good", format!("{listen}exec sleep 600")),
                ("arguments", format!("{listen}echo \"$@\" >&2\n[ -d \"${{7%/data}}\" ] && echo a folder >&2\nexec sleep 600")),
                ("dies", "i=0; while [ $i -lt 30 ]; do i=$((i+1)); echo word $i >&2; done; exit 7".into()),
                ("unclear", "echo hello\nexec sleep 600".into()),
                ("workers", format!("{listen}sleep 600 & echo $! >&2\ntrap 'exit 0' TERM\ncat <&0 >/dev/null & wait")),
                ("stubborn", format!("trap '' TERM\n{listen}while :; do sleep 0.1; done")),
                ("talks", format!("{listen}i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo out; echo err $i >&2; done\nexit 3")),
            ] {
                let path = folder.path().join(name);
                std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            }
            folder
        });
        folder.path().join(name)
    }

    fn script(name: &str) -> ServerCommand {
        let arguments = vec!["--hold-max".to_owned(), "9s".to_owned()];
        ServerCommand::Wirelab {
            program: script_path(name),
            store: StoreKind::Disk,
            tls: Tls::None,
            arguments,
        }
    }

    fn is_alive(pid: u32) -> bool {
        kill(Pid::from_raw(pid as i32), None).is_ok()
    }

    #[tokio::test]
    async fn a_server_is_started_told_its_address_and_stopped() {
        let server = ServerProcess::spawn(&script("good")).await.unwrap();
        assert_eq!(server.addr().to_string(), "127.0.0.1:4711");
        assert!(is_alive(server.pid()));
        let (pid, stopped) = (server.pid(), server.stop().await.unwrap());
        assert!(!stopped.killed && !stopped.status.success());
        assert!(!is_alive(pid));
    }

    #[tokio::test]
    async fn it_gets_a_free_port_an_empty_folder_and_the_flags() {
        let server = ServerProcess::spawn(&script("arguments")).await.unwrap();
        let folder = server.folder.path().to_owned();
        while server.said().0.len() < 2 {
            tokio::task::yield_now().await;
        }
        let said = server.said().0;
        let expected = format!(
            "serve --bind 127.0.0.1:0 --store disk --data {}/data --hold-max 9s --no-lab --stop-at-stdin-end",
            folder.display()
        );
        assert_eq!(said, [expected.as_str(), "a folder"]);
        server.stop().await.unwrap();
        assert!(!folder.exists());
    }

    #[tokio::test]
    async fn a_server_that_dies_is_told_with_its_last_words() {
        let said = ServerProcess::spawn(&script("dies")).await.unwrap_err().to_string();
        assert!(said.starts_with("the server ended before it listened (exit status: 7)"), "{said}");
        assert!(said.ends_with("word 29\nword 30") && !said.contains("word 10\n"), "{said}");
    }

    #[tokio::test]
    async fn a_first_line_without_address_is_told() {
        let said = ServerProcess::spawn(&script("unclear")).await.unwrap_err().to_string();
        assert!(said.starts_with("the server's first line is \"hello\""), "{said}");
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_told() {
        let command = ServerCommand::Script { path: "/nowhere/wirelab".into() };
        let said = ServerProcess::spawn(&command).await.unwrap_err().to_string();
        assert!(said.starts_with("cannot start the server /nowhere/wirelab: "), "{said}");
    }

    #[test]
    fn a_server_with_another_clock_is_refused() {
        let clock = |number: u64| Some(format!("time:[{number}]"));
        assert!(one_clock(clock(7), clock(7)).is_ok() && one_clock(clock(7), None).is_ok());
        let said = one_clock(clock(7), clock(8)).unwrap_err().to_string();
        assert!(said.contains("time:[8]") && said.contains("the same time namespace"), "{said}");
    }

    #[tokio::test]
    async fn a_server_that_ignores_sigterm_is_killed() {
        let server = ServerProcess::spawn(&script("stubborn")).await.unwrap();
        let (pid, began) = (server.pid(), Instant::now());
        let stopped = server.stop().await.unwrap();
        assert!(stopped.killed && !is_alive(pid));
        assert!(began.elapsed() >= STOP_MAX);
    }

    #[tokio::test]
    async fn workers_end_with_their_server_even_if_it_forgets_them() {
        let server =
            ServerProcess::spawn(&ServerCommand::Script { path: script_path("workers") }).await.unwrap();
        while server.said().0.is_empty() {
            tokio::task::yield_now().await;
        }
        let worker = server.said().0[0].parse().unwrap();
        assert!(is_alive(worker));
        let stopped = server.stop().await.unwrap();
        assert!(!stopped.killed && stopped.status.success());
        // A killed worker is a zombie until the process that inherited it looks.
        let gone = || {
            let stat = std::fs::read_to_string(format!("/proc/{worker}/stat")).unwrap_or_default();
            !is_alive(worker) || stat.contains(") Z ")
        };
        let began = Instant::now();
        while !gone() {
            assert!(began.elapsed() < Duration::from_secs(30), "it lives on");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_talkative_server_never_blocks_on_its_pipes() {
        let mut server = ServerProcess::spawn(&script("talks")).await.unwrap();
        let began = Instant::now();
        let status = loop {
            assert!(began.elapsed() < Duration::from_secs(60), "it is blocked");
            match server.has_ended() {
                Some(status) => break status,
                None => tokio::task::yield_now().await,
            }
        };
        assert_eq!(status.code(), Some(3));
    }

    #[tokio::test]
    async fn a_dropped_server_is_killed() {
        let server = ServerProcess::spawn(&script("good")).await.unwrap();
        let pid = server.pid();
        drop(server);
        let began = Instant::now();
        while is_alive(pid) {
            assert!(began.elapsed() < Duration::from_secs(30), "it lives on");
            tokio::task::yield_now().await;
        }
    }
}
