//! What every handler is given: the deployments, the counters, the bounds of this server.
//!
//! Made by `server` when it starts; transports, calls and the lab read it. Knows none of them.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use clap::ValueEnum;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use wirelab_clients::wire::Transport;

use crate::connection::Connections;
use crate::deployments::Deployments;
use crate::exchange::compression::Compression;
use crate::exchange::problem::Refusal;
use crate::lanes::Lanes;
use crate::metrics::{Caller, Metrics};

/// The bounds of one server; every one is a flag of `wirelab serve`.
#[derive(Debug, Clone)]
pub struct Options {
    /// Open connections; one more is answered 503.
    pub connections_max: usize,
    /// Silence after which a stream sends a sign of life.
    pub heartbeat: Duration,
    /// Longest hold of a long poll.
    pub hold_max: Duration,
    /// A write without progress for this long closes the connection.
    pub write_timeout: Duration,
    /// How long an idle connection is kept for its next request.
    pub keep_alive: Duration,
    /// Other origins that browsers may call from, such as `https://lab.example`.
    pub allow_origins: Vec<String>,
    /// Threads.
    pub workers: usize,
    /// What is served; the path of another transport is as unknown as any.
    pub transports: Vec<Transport>,
    /// What drives a WebSocket.
    pub websocket_engine: WebsocketEngine,
    /// How bodies that carry lines may be coded.
    pub compression: Compression,
    /// How long a waiting answer gathers lines behind a first one; at most [`LINGER_MAX`].
    pub linger: Duration,
    /// The interval that pollers without news are advised, in whole seconds.
    pub poll_advice: Option<Duration>,
    /// What the lab works with; `None`: there is no lab.
    pub lab: Option<Lab>,
}

/// The code that drives one WebSocket. The frames are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum WebsocketEngine {
    /// A streaming body that reads the logs by cursors when the socket can take more.
    #[default]
    Cursor,
    /// An actor of actix-web-actors, which is deprecated upstream: here to be compared, not for work.
    Actor,
}

impl WebsocketEngine {
    /// Every engine.
    pub const ALL: [Self; 2] = [Self::Cursor, Self::Actor];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cursor => "cursor",
            Self::Actor => "actor",
        }
    }
}

impl fmt::Display for WebsocketEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Shortest advice that `Retry-After` can give, but 0, which would be a busy loop.
pub(crate) const POLL_ADVICE_MIN: Duration = Duration::from_secs(1);
/// Longest advice: clients look again after five minutes, whatever they are told.
pub(crate) const POLL_ADVICE_MAX: Duration = Duration::from_secs(300);

/// Longest linger: below the heartbeat of streams (15 s) and the default hold of polls (25 s), which would otherwise
/// come before any line.
pub const LINGER_MAX: Duration = Duration::from_secs(10);

impl Default for Options {
    fn default() -> Self {
        Self {
            connections_max: 19_000,
            heartbeat: Duration::from_secs(15),
            hold_max: Duration::from_secs(55),
            write_timeout: Duration::from_secs(30),
            keep_alive: Duration::from_secs(75),
            allow_origins: Vec::new(),
            workers: std::thread::available_parallelism().map_or(1, Into::into),
            transports: Transport::ALL.to_vec(),
            websocket_engine: WebsocketEngine::Cursor,
            compression: Compression::Identity,
            linger: Duration::ZERO,
            poll_advice: None,
            lab: Some(Lab::default()),
        }
    }
}

/// What every handler is given.
pub struct Context {
    /// The deployments.
    pub deployments: Deployments,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// The bounds.
    pub options: Options,
    /// Rooms that sockets enter beside that of their path: as many as there may be connections, so that a server
    /// full of sockets can double what it follows and no more.
    pub rooms: Arc<Semaphore>,
    /// Cancelled when the server says goodbye.
    pub shutdown: CancellationToken,
    /// The lanes of pages, each with its ledger.
    pub(crate) lanes: Arc<Lanes>,
    /// What is open, for the lab to cut.
    pub(crate) connections: Arc<Connections>,
    /// `/openapi.json`.
    pub(crate) description: String,
    /// Where the server listens.
    pub(crate) address: SocketAddr,
}

/// What the lab works with; every one is a flag of `wirelab serve`.
#[derive(Debug, Clone)]
pub struct Lab {
    /// The folder that runs are written to.
    pub results: PathBuf,
    /// The folder with plans, and what they name.
    pub data: PathBuf,
    /// wirelab itself: what crowds and runs are processes of.
    pub program: PathBuf,
}

impl Default for Lab {
    fn default() -> Self {
        // Without a path of its own nothing can be started, which is told to whoever asks.
        let program = std::env::current_exe().unwrap_or_default();
        Self { results: "results".into(), data: "data".into(), program }
    }
}

/// 404, with what there is instead.
pub(crate) async fn no_such_path(
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, Refusal> {
    let detail = match Caller::of_path(request.path()).transport() {
        Some(transport) if !context.options.transports.contains(&transport) => {
            let served: Vec<_> = context.options.transports.iter().map(|served| served.name()).collect();
            format!("{transport} is not served here; there is {}", served.join(", "))
        }
        _ => {
            format!("there is nothing at {}; the calls start with /api/, see /api/transports", request.path())
        }
    };
    Err(Refusal::new(StatusCode::NOT_FOUND, detail))
}
