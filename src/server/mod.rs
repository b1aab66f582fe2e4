//! The HTTP server: makes a running service from a listener, the deployments, the options and a shutdown token.
//!
//! Depends on no single transport except for the overload answer of SSE. Here is what holds for every request:
//! counting, turns, hosts, origins, overload, the rest of bodies, and the headers of every answer. A shutdown takes less
//! than two seconds, even with open streams.

mod callers;
pub mod openapi;
mod page;

use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{Request, ServiceConfig};
use actix_rt::net::TcpStream;
use actix_server::Server;
use actix_service::{
    IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt, fn_factory, fn_service, map_config,
};
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{AppConfig, ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::Version;
use actix_web::http::header::{HeaderValue, RETRY_AFTER, UPGRADE, X_CONTENT_TYPE_OPTIONS};
use actix_web::middleware::{Condition, Next, from_fn};
use actix_web::{App, Error, HttpMessage, HttpResponse, ResponseError, web};
use futures_util::future::Abortable;
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use wirelab_clients::wire::{Outcome, Transport};

use crate::connection::protocol::{self, Spoken};
use crate::connection::{Connections, Ledger, MeteredStream, Opening, Terms};
use crate::connection::{http1, http2};
use crate::context::{Context, ServerOptions, no_such_path};
use crate::deployments::Deployments;
use crate::exchange::incoming::Incoming;
use crate::exchange::problem::Refusal;
use crate::lab::Children;
use crate::lanes::{Lane, Lanes};
use crate::metrics::{Caller, Metrics};
use crate::{api, lab, transports};

/// Connections that are accepted beyond the bound, only to be answered 503. Without them an overloaded server would
/// look like one that hangs.
pub(crate) const REFUSED_CONNECTIONS_MAX: usize = 256;
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
    let connections = Connections::new(options.connections_max, options.sockets_max, options.arriving);
    let stopping = shutdown.clone();
    // actix counts connections per worker and chooses the worker by itself, so each worker may have all of them.
    let accepted_max = options.connections_max + REFUSED_CONNECTIONS_MAX;
    let builder = Server::build()
        .workers(options.workers)
        .max_concurrent_connections(accepted_max)
        .disable_signals()
        .shutdown_timeout(SHUTDOWN_S_MAX);
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
            let (context, connections) = (context.clone(), connections.clone());
            let (metrics, children) = (metrics.clone(), children.clone());
            fn_factory(move || {
                let app = application(context.clone(), children.clone()).new_service(());
                let terms = Rc::new(Terms {
                    head_timeout: HEAD_TIMEOUT,
                    keep_alive: context.options.keep_alive,
                    write_timeout: context.options.write_timeout,
                    turn_requests: context.options.turn_requests,
                    shutdown: context.shutdown.clone(),
                });
                let (connections, metrics) = (connections.clone(), metrics.clone());
                async move {
                    let (app, config) = (Rc::new(app.await?), http1::config(&terms));
                    Ok::<_, ()>(fn_service(move |socket: TcpStream| {
                        let (stream, cut) = MeteredStream::new(
                            socket,
                            metrics.clone(),
                            connections.clone(),
                            terms.write_timeout,
                        );
                        let (app, config, terms) = (app.clone(), config.clone(), terms.clone());
                        let served = Abortable::new(serve(stream, app, config, terms), cut);
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
    app: Rc<impl Service<Request, Response = ServiceResponse<BoxBody>, Error = HttpResponse> + 'static>,
    config: ServiceConfig,
    terms: Rc<Terms>,
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
    if spoken != Spoken::Nothing {
        tokio::select! {
            opening = stream.open() => match opening {
                Opening::Open => {}
                Opening::Left => return Ok(()),
            },
            () = terms.shutdown.cancelled() => {}
        }
    }
    match spoken {
        Spoken::Http1 => http1::serve(stream, peer, app, config, &terms).await?,
        Spoken::Http2 => {
            // In a box: every other connection would keep room for it.
            let served = Box::pin(http2::serve(stream, peer, app, &terms));
            served.await.map_err(DispatchError::H2)?;
        }
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
        .wrap(Condition::new(!origins.is_empty(), callers::cors(&origins)))
        .wrap(from_fn(every_request))
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
    mut request: ServiceRequest,
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
    let ledger = Ledger::of(request.request());
    ledger.claim(caller, lane.clone());
    let share = ledger.share();
    Incoming::guard(&mut request, &share);
    if request.headers().contains_key(UPGRADE) {
        // For the messages of a WebSocket, which bounds them one by one.
        request.extensions_mut().insert(share);
    }
    // HTTP/1.0 has no chunks: a body without a length ends with its connection (RFC 9112 §6.1, §6.3).
    let knows_chunks = request.version() >= Version::HTTP_11;
    let mut counted = Counted { metrics: &context.metrics, caller, lane, outcome: Outcome::Error };
    let mut response = next.call(request).await?.map_into_boxed_body();
    let asked = response.request().clone();
    if let Some(refusal) = callers::after_cors(&asked, response.response_mut()) {
        response = response.into_response(refusal.error_response());
    }
    counted.outcome = outcome(response.response());
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !knows_chunks {
        let head = response.response_mut().head_mut();
        head.no_chunking(true);
        head.set_connection_type(actix_http::ConnectionType::Close);
    }
    Ok(response)
}

/// Refuses requests beyond the bound on connections, with an unfit host, with an invalid lane, or of an origin that is not
/// allowed.
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
    let may_ask = callers::check_host(request.request(), context)
        .and_then(|()| callers::check_origin(request.request(), &context.options.allow_origins));
    if let Err(refusal) = may_ask {
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
