//! The server under test: in this process on a thread of its own, or as the real binary; always on a free port.
//!
//! It stops when dropped. No test sleeps for a fixed time: [`wait_until`] waits for a condition.

use std::io::{BufRead, BufReader};
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::ops::Deref;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio_util::sync::CancellationToken;
use wirelab::context::Lab;
use wirelab::context::{ServerOptions, WebsocketEngine};
use wirelab::deployments::Deployments;
use wirelab::server;
use wirelab::store::LogStore;
use wirelab::store::memory::MemoryStore;

use crate::http::{Api, SOON};

/// What a server is made of.
pub(crate) struct Setup {
    pub(crate) store: Arc<dyn LogStore>,
    pub(crate) options: ServerOptions,
    pub(crate) recordings: PathBuf,
}

impl Default for Setup {
    fn default() -> Self {
        let options = ServerOptions { workers: 2, lab: Some(lab()), ..ServerOptions::default() };
        Self { store: Arc::new(MemoryStore::new(0)), options, recordings: "data/recordings".into() }
    }
}

/// The lab of a server in this process: its children are those of the real binary, as this process is none.
pub(crate) fn lab() -> Lab {
    Lab { program: env!("CARGO_BIN_EXE_wirelab").into(), ..Lab::default() }
}

impl Setup {
    /// The defaults, WebSockets driven by this engine.
    pub(crate) fn driven_by(engine: WebsocketEngine) -> Self {
        let mut setup = Self::default();
        setup.options.websocket_engine = engine;
        setup
    }

    /// With one thread for all connections.
    pub(crate) fn on_one_worker(mut self) -> Self {
        self.options.workers = 1;
        self
    }

    /// Broken: a connection may go on for as long as it has something to send.
    pub(crate) fn without_turns(mut self) -> Self {
        self.options.turn_requests = usize::MAX;
        self
    }

    /// The real server, over another store.
    pub(crate) fn over(self, store: impl LogStore + 'static) -> Server {
        Self { store: Arc::new(store), ..self }.start()
    }

    /// The real server, which closes a connection once a write has made no progress for so long.
    pub(crate) fn giving_up_after(mut self, write_timeout: Duration) -> Server {
        self.options.write_timeout = write_timeout;
        self.start()
    }

    /// The real server, over these parts.
    pub(crate) fn start(self) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port exists");
        let authority = listener.local_addr().expect("it is bound").to_string();
        let shutdown = CancellationToken::new();
        let stopping = shutdown.clone();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
            runtime.expect("a runtime can be started").block_on(async {
                let deployments =
                    Deployments::new(self.store, self.recordings).await.expect("the store can be listed");
                let server = server::start(listener, deployments, self.options, stopping);
                server.expect("the server starts").await.expect("the server ends well");
            });
        });
        Server { api: Api::new(authority), shutdown, thread: Some(thread) }
    }
}

/// A server in this process.
pub(crate) struct Server {
    api: Api,
    shutdown: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// With an empty memory store and the defaults.
    pub(crate) fn start() -> Self {
        Setup::default().start()
    }

    /// Over a store, with the defaults.
    pub(crate) fn over(store: impl LogStore + 'static) -> Self {
        Setup::default().over(store)
    }

    /// Tells the server to stop, without waiting for it.
    pub(crate) fn say_goodbye(&self) {
        self.shutdown.cancel();
    }

    /// Waits until the server is gone.
    pub(crate) fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server does not panic");
        }
    }
}

impl Deref for Server {
    type Target = Api;
    fn deref(&self) -> &Api {
        &self.api
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.cancel();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking(), "the server panicked");
        }
    }
}

/// A server in this process that closes a connection once a write has made no progress for so long.
pub(crate) fn giving_up_after(write_timeout: Duration) -> Server {
    Setup::default().giving_up_after(write_timeout)
}

/// The real binary, serving.
pub(crate) struct Binary {
    api: Api,
    child: Child,
    /// Kept open: a server whose stdout is closed could not say anything more.
    _stdout: BufReader<ChildStdout>,
}

impl Binary {
    /// `wirelab serve --bind … ARGUMENTS`; returns once it listens.
    pub(crate) fn serve(bind: &str, arguments: &[&str]) -> Self {
        Self::of(wirelab().args(["serve", "--bind", bind]).args(arguments))
    }

    /// Another command that says where it listens, once it does.
    pub(crate) fn of(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the binary was built");
        let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut said = String::new();
        while stdout.read_line(&mut said).expect("stdout can be read") > 0 {
            let line = said.lines().next_back().unwrap_or_default();
            let url = line.split_once("listening on ").and_then(|(_, url)| url.split_once("://"));
            if let Some(("http" | "https", authority)) = url {
                return Self { api: Api::new(authority.to_owned()), child, _stdout: stdout };
            }
        }
        let _ = child.kill();
        panic!("{command:?} said {said:?} and {:?}", child.wait());
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, whatever comes of it.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).expect("it was not waited for");
    }

    /// How it ended, if that was within `limit`.
    pub(crate) fn ended_within(&mut self, limit: Duration) -> Option<ExitStatus> {
        let mut status = None;
        holds_within(limit, || {
            status = self.child.try_wait().expect("it was started");
            status.is_some()
        });
        status
    }

    /// kill -9.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it was started");
    }

    /// Closes its stdin, which ends one that was started with `--stop-at-stdin-end`.
    pub(crate) fn end_by_stdin(mut self) {
        // Waiting closes it.
        let status = self.child.wait().expect("it was started");
        assert!(status.success(), "{status}");
    }

    /// SIGTERM; how it ended, and after how long.
    pub(crate) fn terminate(mut self) -> (ExitStatus, Duration) {
        let asked = Instant::now();
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM).expect("it runs");
        let status = self.child.wait().expect("it was started");
        (status, asked.elapsed())
    }
}

impl Deref for Binary {
    type Target = Api;
    fn deref(&self) -> &Api {
        &self.api
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        // Already gone after `kill` and `terminate`.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The real binary with no arguments yet.
pub(crate) fn wirelab() -> Command {
    Command::new(env!("CARGO_BIN_EXE_wirelab"))
}

/// Waits until `condition` holds; says `what` when it does not within [`SOON`].
#[track_caller]
pub(crate) fn wait_until(what: &str, condition: impl FnMut() -> bool) {
    assert!(holds_within(SOON, condition), "{what}: not within {SOON:?}");
}

/// Whether `condition` holds before `limit` has passed. Asked every few milliseconds.
pub(crate) fn holds_within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    /// Shortest and longest time between two looks, an eighth of the wait so far: a look often asks the server under test,
    /// which shares the machine with what is waited for.
    const LOOK_INTERVAL: [Duration; 2] = [Duration::from_millis(2), Duration::from_millis(20)];
    let began = Instant::now();
    let [shortest, longest] = LOOK_INTERVAL;
    loop {
        if condition() {
            return true;
        }
        if began.elapsed() > limit {
            return false;
        }
        thread::sleep((began.elapsed() / 8).clamp(shortest, longest));
    }
}

/// An address of this machine that is not its loopback, if it has one. Nothing is sent.
pub(crate) fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|address| !address.is_loopback())
}
