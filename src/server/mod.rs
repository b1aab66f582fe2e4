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
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use self::application::Application;
use crate::connection::protocol::{self, Spoken};
use crate::connection::{Connections, MeteredStream, Opening, Terms, http1, http2};
use crate::context::{Context, ServerOptions};
use crate::deployments::Deployments;
use crate::lab::Children;
use crate::lanes::Lanes;
use crate::metrics::Metrics;

/// Connections that are accepted beyond the bound, only to be answered 503. Without them an overloaded server would
/// look like one that hangs.
pub(crate) const REFUSED_CONNECTIONS_MAX: usize = 256;
/// Seconds that actix waits for open requests after it was told to stop. The shutdown token ends ours at once.
const SHUTDOWN_S_MAX: u64 = 1;
/// Time for a client to send a request head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Answer to a client whose first bytes, for [`HEAD_TIMEOUT`], do not tell its protocol.
const TOO_SLOW: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

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
                        // In a box: each of the futures around it would keep room for it twice.
                        let served = Box::pin(Abortable::new(serve(stream, app, config, terms), cut));
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
