//! The HTTP server: makes a running service from a listener, the deployments, the options and a shutdown token.
//!
//! What holds for every request is in `application`. Here are the time limits of connections, the choice of the protocol
//! by the first bytes, and the shutdown: it takes less than two seconds, even with open streams.

mod admission;
mod application;
#[doc(hidden)]
pub mod bench;
mod callers;
mod cors;
mod login;
pub mod openapi;
mod page;
mod place;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_http::ServiceConfig;
use actix_http::error::DispatchError;
use actix_rt::net::TcpStream;
use actix_server::Server;
use actix_service::{fn_factory, fn_service};
use actix_web::web;
use futures_util::future::Abortable;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::application::Application;
use crate::connection::protocol::{self, Spoken};
use crate::connection::{Connections, MeteredStream, Opening, Terms, http1, http2};
use crate::context::{Context, ServerOptions};
use crate::deployments::Deployments;
use crate::lab::Children;
use crate::lanes::Lanes;
use crate::metrics::Metrics;
use crate::tls::ServerTls;

/// Connections that are accepted beyond the bound, only to be answered 503. Without them an overloaded server would
/// look like one that hangs.
pub(crate) const REFUSED_CONNECTIONS_MAX: usize = 256;
/// Seconds that actix waits for open requests after it was told to stop. The shutdown token ends ours at once.
const SHUTDOWN_S_MAX: u64 = 1;
/// Time for a client to send a request head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Answer to a client that speaks HTTP without TLS to a server that speaks TLS. Its request is not read.
const NEEDS_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: application/problem+json\r\n\
    content-length: 137\r\n\r\n{\"type\":\"about:blank\",\"title\":\"Bad Request\",\"status\":400,\"detail\":\"this port speaks HTTPS; \
    write the address with https:// (or wss://)\"}\n";
/// Answer to a client that speaks TLS to a server that does not: the fatal alert "handshake failure" (RFC 8446 §6).
const NO_TLS: &[u8] = &[21, 3, 3, 0, 2, 2, 40];
/// Answer to a client whose first bytes, for [`HEAD_TIMEOUT`], do not tell its protocol.
const TOO_SLOW: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Bytes of a client that is not understood which are dropped before its connection is closed, and the time for that.
const UNREAD_BYTES_MAX: u64 = 64 << 10;
const PARTING: Duration = Duration::from_secs(1);

/// Starts serving on `listener`. The returned future ends when `shutdown` is cancelled and all connections are closed.
pub fn start(
    listener: TcpListener,
    deployments: Deployments,
    options: ServerOptions,
    shutdown: CancellationToken,
) -> io::Result<Server> {
    let stopping = shutdown.clone();
    // actix counts connections per worker and chooses the worker by itself, so each worker may have all of them.
    let accepted_max = options.connections_max + REFUSED_CONNECTIONS_MAX;
    let builder = Server::build()
        .workers(options.workers)
        .max_concurrent_connections(accepted_max)
        .disable_signals()
        .shutdown_timeout(SHUTDOWN_S_MAX);
    let context = context(deployments, options, listener.local_addr()?, shutdown.clone());
    let (metrics, connections) = (context.metrics.clone(), context.connections.clone());
    let children = context.options.lab.is_some().then(|| Children::new(shutdown));
    let server = builder
        .listen("wirelab", listener, move || {
            let (context, connections) = (context.clone(), connections.clone());
            let (metrics, children) = (metrics.clone(), children.clone());
            fn_factory(move || {
                let app = Application::new(context.clone(), children.clone());
                let terms = Rc::new(Terms {
                    head_timeout: HEAD_TIMEOUT,
                    keep_alive: context.options.keep_alive,
                    write_timeout: context.options.write_timeout,
                    turn_requests: context.options.turn_requests,
                    shutdown: context.shutdown.clone(),
                });
                let (connections, metrics) = (connections.clone(), metrics.clone());
                let tls = context.options.tls.clone();
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
                        let served = serve(stream, app, config, terms, tls.clone());
                        // In a box: each of the futures around it would keep room for it twice.
                        let served = Box::pin(Abortable::new(served, cut));
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

/// Makes what every handler receives.
fn context(
    deployments: Deployments,
    options: ServerOptions,
    address: SocketAddr,
    shutdown: CancellationToken,
) -> web::Data<Context> {
    let cookie = format!("wirelab_{}", address.port());
    web::Data::new(Context {
        metrics: Metrics::new(deployments.lines_appended()),
        deployments,
        rooms: Arc::new(Semaphore::new(options.connections_max)),
        shutdown,
        lanes: Lanes::new(),
        connections: Connections::new(
            options.connections_max,
            options.sockets_max,
            options.arriving,
            options.address,
        ),
        description: openapi::json(&options, &cookie),
        cookie,
        address,
        options,
    })
}

/// Serves one connection until it ends, in the protocol of its first bytes.
async fn serve(
    mut stream: MeteredStream,
    app: Rc<Application>,
    config: ServiceConfig,
    terms: Rc<Terms>,
    tls: Option<Arc<ServerTls>>,
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
    let is_http2 = match (spoken, tls) {
        (Spoken::Nothing, _) => return Ok(stream.write_all(TOO_SLOW).await?),
        (Spoken::Http1 | Spoken::Http2, Some(_)) => return Ok(part(stream, NEEDS_TLS).await?),
        (Spoken::Tls, None) => return Ok(part(stream, NO_TLS).await?),
        (Spoken::Http1, None) => false,
        (Spoken::Http2, None) => true,
        (Spoken::Tls, Some(tls)) => {
            // In a box, like HTTP/2 below: every other connection would keep room for it.
            let handshake = Box::pin(stream.secure(tls.config()));
            stream = tokio::select! {
                secured = timeout(terms.head_timeout, handshake) => match secured {
                    Ok(secured) => secured?,
                    Err(_) => return Ok(()),
                },
                () = terms.shutdown.cancelled() => return Ok(()),
            };
            stream.agreed_on_http2()
        }
    };
    if is_http2 {
        let served = Box::pin(http2::serve(stream, peer, app, &terms));
        served.await.map_err(DispatchError::H2)
    } else {
        http1::serve(stream, peer, app, config, &terms).await
    }
}

/// Says one thing to a client that is not understood, and drops what it sends: a socket that is closed with unread bytes
/// may take the answer back (RFC 9112 §9.6).
async fn part(mut stream: MeteredStream, last: &[u8]) -> io::Result<()> {
    stream.write_all(last).await?;
    stream.shutdown().await?;
    // Whatever ends it, nothing more is owed.
    let _ =
        timeout(PARTING, tokio::io::copy(&mut stream.take(UNREAD_BYTES_MAX), &mut tokio::io::sink())).await;
    Ok(())
}
