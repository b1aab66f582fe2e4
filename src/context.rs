//! The state that every handler receives: the deployments, the counters, the bounds of this server.
//!
//! `server` makes it at the start; transports, calls and the lab read it. It depends on none of them.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use clap::ValueEnum;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use wirelab_clients::wire::Transport;

use crate::access::Access;
use crate::access::addresses::AddressBounds;
use crate::connection::Connections;
use crate::deployments::Deployments;
use crate::exchange::arriving::ArrivingBounds;
use crate::exchange::compression::{Compression, WebsocketCompression};
use crate::exchange::problem::Refusal;
use crate::exchange::request::parameter;
use crate::lanes::{Lanes, tag};
use crate::metrics::{Caller, Metrics};
use crate::tls::ServerTls;

/// The bounds of one server. Each is an option of `wirelab serve`, except `workers`, `sockets_max`, `arriving` and
/// `turn_requests`.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Largest number of open connections; a request on one more is answered 503.
    pub connections_max: usize,
    /// Largest number of open sockets; one more is closed without an answer, since its descriptor belongs to a log. The
    /// sockets beyond `connections_max` are those on which a request is answered 503.
    pub sockets_max: usize,
    /// Silence on a stream after which the server sends a sign of life.
    pub heartbeat: Duration,
    /// Longest hold of a long poll.
    pub hold_max: Duration,
    /// Time without progress in a write after which the connection is closed.
    pub write_timeout: Duration,
    /// Time for which an idle connection is kept open for its next request.
    pub keep_alive: Duration,
    /// Other origins whose pages may use this server, such as `https://lab.example`.
    pub allow_origins: Vec<String>,
    /// Other origins whose pages may also send the cookie of a login.
    pub allow_credentials: Vec<String>,
    /// Certificate of a server that speaks TLS; `None`: it speaks HTTP without TLS.
    pub tls: Option<Arc<ServerTls>>,
    /// Names by which a server on the loopback may be called beside the loopback's own, without a port.
    pub hosts: Vec<String>,
    /// Who may do what.
    pub access: Access,
    /// Bounds of one address.
    pub address: AddressBounds,
    /// Number of worker threads.
    pub workers: usize,
    /// Bounds on request bodies and WebSocket messages that have begun and not ended.
    pub arriving: ArrivingBounds,
    /// Requests or messages of one connection that are answered before others get a turn.
    pub turn_requests: usize,
    /// Transports that are served; the path of any other transport is unknown (404).
    pub transports: Vec<Transport>,
    /// What drives a WebSocket.
    pub websocket_engine: WebsocketEngine,
    /// Compression of the lines of a WebSocket.
    pub websocket_compression: WebsocketCompression,
    /// Coding of bodies that carry lines.
    pub compression: Compression,
    /// Time for which a waiting answer gathers more lines after a first one; at most [`LINGER_MAX`].
    pub linger: Duration,
    /// Interval advised to pollers that found no line, in whole seconds; `None`: no advice.
    pub poll_advice: Option<Duration>,
    /// Folders and program of the lab; `None`: there is no lab.
    pub lab: Option<Lab>,
}

impl ServerOptions {
    /// Tells whether the pages of this other origin may use the server.
    pub(crate) fn lists(&self, origin: &str) -> bool {
        self.allow_origins.iter().chain(&self.allow_credentials).any(|listed| listed == origin)
    }

    /// Returns the scheme of this server's URLs.
    pub const fn scheme(&self) -> &'static str {
        match self.tls {
            Some(_) => "https",
            None => "http",
        }
    }
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

/// Shortest interval advised by `Retry-After`, which has whole seconds. 0 would advise a busy loop.
pub(crate) const POLL_ADVICE_MIN: Duration = Duration::from_secs(1);
/// Longest interval advised by `Retry-After`: clients poll again after five minutes, whatever they are told.
pub(crate) const POLL_ADVICE_MAX: Duration = Duration::from_secs(300);

/// Longest linger. A longer one could exceed the heartbeat of streams (15 s) or the default hold of long polls (25 s),
/// which would then come before any line.
pub const LINGER_MAX: Duration = Duration::from_secs(10);

/// Default of [`ServerOptions::turn_requests`]. Sixty-four requests take about a millisecond; giving way takes a
/// microsecond.
const TURN_REQUESTS: usize = 64;

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            connections_max: 19_000,
            sockets_max: usize::MAX,
            heartbeat: Duration::from_secs(15),
            hold_max: Duration::from_secs(55),
            write_timeout: Duration::from_secs(30),
            keep_alive: Duration::from_secs(75),
            allow_origins: Vec::new(),
            allow_credentials: Vec::new(),
            tls: None,
            hosts: Vec::new(),
            access: Access::Everybody,
            address: AddressBounds::default(),
            workers: std::thread::available_parallelism().map_or(1, Into::into),
            arriving: ArrivingBounds::default(),
            turn_requests: TURN_REQUESTS,
            transports: Transport::ALL.to_vec(),
            websocket_engine: WebsocketEngine::Cursor,
            websocket_compression: WebsocketCompression::Off,
            compression: Compression::Identity,
            linger: Duration::ZERO,
            poll_advice: None,
            lab: Some(Lab::default()),
        }
    }
}

/// The state that every handler receives.
pub struct Context {
    /// The deployments of this server.
    pub deployments: Deployments,
    /// The counters behind `/metrics`.
    pub metrics: Arc<Metrics>,
    /// The bounds of this server.
    pub options: ServerOptions,
    /// Permits for rooms: deployments that a WebSocket follows beside that of its path. There are as many permits as
    /// connections are allowed, so a server full of sockets can at most double the number of logs it follows.
    pub rooms: Arc<Semaphore>,
    /// Cancelled when the server stops.
    pub shutdown: CancellationToken,
    /// The lanes of pages, each with the server's counts for it.
    pub(crate) lanes: Arc<Lanes>,
    /// The open connections, which the lab can cut.
    pub(crate) connections: Arc<Connections>,
    /// The body of `/openapi.json`.
    pub(crate) description: String,
    /// The address on which the server listens.
    pub(crate) address: SocketAddr,
    /// Name of the cookie of a login. A browser keeps one set of cookies for all ports of a machine.
    pub(crate) cookie: String,
}

impl Context {
    /// Returns a future that ends when the page of this request is gone: the page that its parameter `page` names. The
    /// page opens the socket of `/api/lanes` by that name. Without the parameter the future never ends.
    pub(crate) fn until_page_is_gone(
        &self,
        request: &HttpRequest,
    ) -> Result<impl Future<Output = ()> + Send + use<>, Refusal> {
        let page = parameter(request.head(), "page")?;
        let gone = match page {
            Some(page) => Some(self.lanes.end_of(tag::parse_page(&page)?, Instant::now())?),
            None => None,
        };
        Ok(async move {
            match gone {
                Some(gone) => gone.await,
                None => std::future::pending().await,
            }
        })
    }
}

/// Folders and program of the lab. The folders are options of `wirelab serve`.
#[derive(Debug, Clone)]
pub struct Lab {
    /// The folder to which runs are written.
    pub results: PathBuf,
    /// The folder with plans and the recordings that they replay.
    pub data: PathBuf,
    /// The `wirelab` program, which the lab starts for each crowd and run.
    pub program: PathBuf,
}

impl Default for Lab {
    fn default() -> Self {
        // Without the path of this program the lab can start no process; its calls then answer with the error.
        let program = wirelab_clients::os::own_program().unwrap_or_default();
        Self { results: "results".into(), data: "data".into(), program }
    }
}

/// Answers 404; `detail` says what exists instead.
pub(crate) async fn no_such_path(
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, Refusal> {
    let detail = match Caller::of_path(request.path()).transport() {
        Some(transport) if !context.options.transports.contains(&transport) => {
            let served: Vec<_> = context.options.transports.iter().map(|served| served.name()).collect();
            format!("{transport} is not served here; choose one of {}", served.join(", "))
        }
        _ => {
            format!("there is nothing at {}; GET /openapi.json lists the calls", request.path())
        }
    };
    Err(Refusal::new(StatusCode::NOT_FOUND, detail))
}
