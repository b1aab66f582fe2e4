//! The HTTP server: makes a running service from a listener, the deployments, the options and a shutdown token.
//!
//! Depends on no single transport except for the overload answer of SSE. Here is what holds for every request:
//! counting, overload, origins, and the headers of every answer. A shutdown takes less than two seconds, even with open
//! streams.

pub mod openapi;
mod page;

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_cors::Cors;
use actix_http::error::DispatchError;
use actix_http::{HttpService, KeepAlive, Protocol, Request};
use actix_rt::net::TcpStream;
use actix_server::Server;
use actix_service::{
    IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt, fn_factory, fn_service, map_config,
};
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{AppConfig, ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{
    self, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::http::{Method, Uri, Version};
use actix_web::middleware::{Condition, Next, from_fn};
use actix_web::{App, Error, HttpMessage, HttpRequest, HttpResponse, ResponseError, web};
use futures_util::future::Abortable;
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use wirelab_clients::wire::{Outcome, Transport};

use crate::connection::http2;
use crate::connection::protocol::{self, Spoken};
use crate::connection::{Connections, Ledger, MeteredStream};
use crate::context::{Context, ServerOptions, no_such_path};
use crate::deployments::Deployments;
use crate::exchange::problem::Refusal;
use crate::lab::Children;
use crate::lanes::{Lane, Lanes};
use crate::metrics::{Caller, Metrics};
use crate::{api, lab, transports};

/// Connections that are accepted beyond the bound, only to be answered 503. Without them an overloaded server would
/// look like one that hangs.
const REFUSED_CONNECTIONS_MAX: usize = 256;
/// Seconds that actix waits for open requests after it was told to stop. The shutdown token ends ours at once.
const SHUTDOWN_S_MAX: u64 = 1;
/// Time for a client to send a request head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Answer to a client whose first bytes, for [`HEAD_TIMEOUT`], do not tell its protocol.
const TOO_SLOW: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
/// `Retry-After` of an overloaded server, s.
const RETRY_AFTER_S: u64 = 5;

/// Starts serving on `listener`. The returned future ends when `shutdown` is cancelled and all connections are closed.
pub fn start(
    listener: TcpListener,
    deployments: Deployments,
    options: ServerOptions,
    shutdown: CancellationToken,
) -> io::Result<Server> {
    let metrics = Metrics::new(deployments.lines_appended());
    let connections = Connections::new(options.connections_max, options.sockets_max);
    let stopping = shutdown.clone();
    // actix counts connections per worker and chooses the worker by itself, so each worker may have all of them.
    let accepted_max = options.connections_max + REFUSED_CONNECTIONS_MAX;
    let builder = Server::build()
        .workers(options.workers)
        .max_concurrent_connections(accepted_max)
        .disable_signals()
        .shutdown_timeout(SHUTDOWN_S_MAX);
    let draining = builder.graceful_shutdown_signal();
    let rooms = Arc::new(Semaphore::new(options.connections_max));
    let description = openapi::json(&options);
    let address = listener.local_addr()?;
    let context = Context {
        deployments,
        metrics: metrics.clone(),
        options,
        rooms,
        shutdown: shutdown.clone(),
        lanes: Lanes::new(),
        connections: connections.clone(),
        description,
        address,
    };
    let children = context.options.lab.is_some().then(|| Children::new(shutdown));
    let context = web::Data::new(context);
    let server = builder
        .listen("wirelab", listener, move || {
            let (context, connections, draining) = (context.clone(), connections.clone(), draining.clone());
            let (metrics, children) = (metrics.clone(), children.clone());
            fn_factory(move || {
                let draining = draining.clone();
                let http1 = HttpService::build()
                    .graceful_shutdown_signal(move || {
                        let draining = draining.clone();
                        async move { draining.notified().await }
                    })
                    .keep_alive(KeepAlive::Timeout(context.options.keep_alive))
                    .client_request_timeout(HEAD_TIMEOUT)
                    // A client's FIN ends its request; otherwise a held poll would outlive its client.
                    .h1_allow_half_closed(false)
                    .on_connect_ext(|stream: &MeteredStream, extensions| {
                        extensions.insert(stream.ledger());
                    })
                    .finish(application(context.clone(), children.clone()))
                    .new_service(());
                let http2 = application(context.clone(), children.clone()).new_service(());
                let terms = http2::Terms {
                    head_timeout: HEAD_TIMEOUT,
                    keep_alive: context.options.keep_alive,
                    write_timeout: context.options.write_timeout,
                    shutdown: context.shutdown.clone(),
                };
                let (connections, metrics) = (connections.clone(), metrics.clone());
                async move {
                    let (http1, http2) = (Rc::new(http1.await?), Rc::new(http2.await?));
                    Ok::<_, ()>(fn_service(move |socket: TcpStream| {
                        let (stream, cut) = MeteredStream::new(
                            socket,
                            metrics.clone(),
                            connections.clone(),
                            terms.write_timeout,
                        );
                        let (http1, http2, terms) = (http1.clone(), http2.clone(), terms.clone());
                        let served = Abortable::new(serve(stream, http1, http2, terms), cut);
                        // A connection that was cut ends without an error.
                        async move { served.await.unwrap_or(Ok(())) }
                    }))
                }
            })
        })?
        .run();
    let handle = server.handle();
    tokio::spawn(async move {
        stopping.cancelled().await;
        handle.stop(true).await;
    });
    Ok(server)
}

/// Serves one connection until it ends, in the protocol of its first bytes.
async fn serve(
    mut stream: MeteredStream,
    http1: Rc<impl Service<(MeteredStream, Protocol, Option<SocketAddr>), Error = DispatchError>>,
    http2: Rc<impl Service<Request, Response = ServiceResponse<BoxBody>, Error = HttpResponse> + 'static>,
    terms: http2::Terms,
) -> Result<(), DispatchError> {
    // Each line leaves at once: the reader decides about batches, not the kernel.
    stream.socket().set_nodelay(true)?;
    let peer = stream.socket().peer_addr().ok();
    let spoken = tokio::select! {
        // A request that has arrived is answered, even during a shutdown.
        biased;
        spoken = protocol::spoken(stream.socket(), terms.head_timeout) => spoken?,
        // No request has arrived, so nothing needs an answer.
        () = terms.shutdown.cancelled() => return Ok(()),
    };
    match spoken {
        Spoken::Http1 => {
            poll_fn(|cx| http1.poll_ready(cx)).await?;
            http1.call((stream, Protocol::Http1, peer)).await?;
        }
        Spoken::Http2 => http2::serve(stream, peer, http2, terms).await.map_err(DispatchError::H2)?,
        Spoken::Nothing => stream.write_all(TOO_SLOW).await?,
    }
    Ok(())
}

/// Makes the application in the form that both protocols call.
fn application(
    context: web::Data<Context>,
    children: Option<Children>,
) -> impl ServiceFactory<
    Request,
    Config = (),
    Response = ServiceResponse<BoxBody>,
    Error = HttpResponse,
    InitError = (),
    Service: 'static,
    Future: 'static,
> {
    let app = app(context, children).into_factory().map_err(|error: Error| error.error_response());
    map_config(app, |()| AppConfig::default())
}

/// Makes the application: routes, and around them what holds for every request.
fn app(
    context: web::Data<Context>,
    children: Option<Children>,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<BoxBody>,
        Error = Error,
        InitError = (),
    >,
> {
    let ServerOptions { allow_origins: origins, transports: served, .. } = context.options.clone();
    App::new()
        .app_data(context)
        .configure(api::mount)
        .configure(|config| transports::mount(config, &served))
        .configure(|config| lab::mount(config, children.clone()))
        .configure(page::mount)
        .default_service(web::to(no_such_path))
        .wrap(from_fn(refuse_some))
        // Wraps the refusals: a page of an allowed origin must be able to read them.
        .wrap(Condition::new(!origins.is_empty(), cors(&origins)))
        .wrap(from_fn(every_request))
}

/// Sets CORS headers for the listed origins only: what scripts of their pages may send and read.
fn cors(origins: &[String]) -> Cors {
    let cors = origins.iter().fold(Cors::default(), |cors, origin| cors.allowed_origin(origin));
    cors.allowed_methods([Method::GET, Method::HEAD, Method::POST, Method::DELETE])
        .allowed_headers([
            CONTENT_TYPE,
            header::IF_NONE_MATCH,
            HeaderName::from_static("last-event-id"),
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static("prefer"),
        ])
        .expose_headers([
            header::ETAG,
            header::LOCATION,
            RETRY_AFTER,
            HeaderName::from_static("preference-applied"),
        ])
        .max_age(600)
}

/// Counts a request when it is dropped, even if its client has gone before the answer.
struct Counted<'a> {
    metrics: &'a Metrics,
    caller: Caller,
    lane: Option<Arc<Lane>>,
    outcome: Outcome,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.metrics.of(self.caller).count(self.outcome);
        if let Some(lane) = &self.lane {
            lane.answered(self.outcome);
        }
    }
}

/// The refusal of a request's lane, on its way to [`refuse_some`].
struct UnknownLane(Refusal);

async fn every_request(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let context = request.app_data::<web::Data<Context>>().expect("set in app()").clone();
    let caller = Caller::of_path(request.path());
    // The path as routing reads it, with its escapes decoded.
    let path = request.match_info().as_str();
    let lane = context.lanes.of(path, request.query_string()).unwrap_or_else(|refusal| {
        request.extensions_mut().insert(UnknownLane(refusal));
        None
    });
    if let Some(lane) = &lane {
        lane.asked();
    }
    Ledger::of(request.request()).claim(caller, lane.clone());
    // HTTP/1.0 has no chunks: a body without a length ends with its connection (RFC 9112 §6.1, §6.3).
    let knows_chunks = request.version() >= Version::HTTP_11;
    let mut counted = Counted { metrics: &context.metrics, caller, lane, outcome: Outcome::Error };
    let mut response = next.call(request).await?.map_into_boxed_body();
    counted.outcome = outcome(response.response());
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !knows_chunks {
        let head = response.response_mut().head_mut();
        head.no_chunking(true);
        head.set_connection_type(actix_http::ConnectionType::Close);
    }
    Ok(response)
}

/// Refuses requests beyond the bound on connections, with an invalid lane, or of an origin that is not allowed.
async fn refuse_some(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let context = request.app_data::<web::Data<Context>>().expect("set in app()");
    if Ledger::of(request.request()).is_refused() {
        let caller = Caller::of_path(request.path());
        return Ok(request.into_response(overloaded(caller)));
    }
    let unknown = request.extensions_mut().remove();
    if let Some(UnknownLane(refusal)) = unknown {
        return Ok(request.into_response(refusal.error_response()));
    }
    if let Err(refusal) = check_origin(request.request(), &context.options.allow_origins) {
        return Ok(request.into_response(refusal.error_response()));
    }
    Ok(next.call(request).await?.map_into_boxed_body())
}

/// Returns the outcome that the handler has set in an extension; without one the status decides.
fn outcome(response: &HttpResponse) -> Outcome {
    let told = response.extensions().get::<Outcome>().copied();
    told.unwrap_or_else(|| {
        let status = response.status();
        let failed = status.is_client_error() || status.is_server_error();
        if failed { Outcome::of_refusal(status.as_u16()) } else { Outcome::Data }
    })
}

/// Answers 503, except on `/sse`: a browser gives up an EventSource for good after any status but 200.
fn overloaded(caller: Caller) -> HttpResponse {
    let mut response = match caller.transport() {
        Some(Transport::Sse) => transports::sse::overloaded(),
        _ => Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("the server has as many connections as it allows; try again in {RETRY_AFTER_S} s"),
        )
        .with_header(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S))
        .error_response(),
    };
    response.head_mut().set_connection_type(actix_http::ConnectionType::Close);
    response.extensions_mut().insert(Outcome::Refused);
    response
}

/// Checks that writes and WebSocket upgrades come from the server's own pages, from listed origins, or from programs.
fn check_origin(request: &HttpRequest, allowed: &[String]) -> Result<(), Refusal> {
    let upgrade = request.headers().contains_key(header::UPGRADE);
    let reads_only = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let Some(origin) = request.headers().get(header::ORIGIN) else { return Ok(()) };
    if reads_only && !upgrade {
        return Ok(());
    }
    let origin = origin.to_str().unwrap_or_default();
    if allowed.iter().any(|allowed| allowed == origin) || is_same_origin(request, origin) {
        return Ok(());
    }
    let remedy = match request.path().starts_with(lab::PREFIX) {
        // The lab's guard allows no origin but the server's own, so no option of the server helps.
        true => "open the page that this server serves".to_owned(),
        false => format!("start the server with --allow-origin {origin} to allow it"),
    };
    Err(Refusal::new(StatusCode::FORBIDDEN, format!("origin {origin:?} is not allowed to do this; {remedy}")))
}

/// Tells whether `origin` is the server's own. Host and port must agree; the scheme may differ, since a proxy may have
/// ended TLS.
fn is_same_origin(request: &HttpRequest, origin: &str) -> bool {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let Ok(origin) = origin.parse::<Uri>() else { return false };
    let port = match origin.scheme_str() {
        Some("http") => 80,
        Some("https") => 443,
        _ => return false,
    };
    let with_port = |authority: &actix_web::http::uri::Authority| {
        (authority.host().to_ascii_lowercase(), authority.port_u16().unwrap_or(port))
    };
    match (origin.authority(), host.and_then(|host| host.parse().ok())) {
        (Some(origin), Some(host)) => with_port(origin) == with_port(&host),
        _ => false,
    }
}
