//! `wirelab serve`: opens a store and a listener, and runs the server until a signal.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpSocket;
use tokio_util::sync::CancellationToken;
use wirelab_clients::os;

use super::{Exit, Failure, StdinEnd, StopRequest, remark, say};
use crate::commands::cli::{self, ServeArguments};
use crate::context::Lab;
use crate::context::ServerOptions;
use crate::deployments::Deployments;
use crate::server;
use crate::store::disk::DiskStore;
use crate::store::memory::MemoryStore;
use crate::store::{LogStore, StoreError};

/// Connections that the kernel completes before they are accepted. A reconnect storm of thousands must not lose its
/// SYNs, which would show as latencies of a second. The kernel's own limit (somaxconn) may be lower.
const BACKLOG: u32 = 4_096;
/// Shortest keep-alive. The clock of actix has steps of half a second: a shorter time could close a connection under a
/// request that comes at once.
const KEEP_ALIVE_MIN: Duration = Duration::from_secs(1);
/// File descriptors besides the connections: listener, log files, runtime. If the limit is low, half of it.
const OTHER_DESCRIPTORS: u64 = 512;

/// Serves until Ctrl-C, SIGTERM or, with `--stop-at-stdin-end`, the end of stdin.
pub async fn run(arguments: ServeArguments) -> Result<Exit, Failure> {
    let mut options = ServerOptions {
        connections_max: arguments.connections_max,
        heartbeat: arguments.heartbeat,
        hold_max: arguments.hold_max,
        write_timeout: arguments.write_timeout,
        keep_alive: arguments.keep_alive,
        allow_origins: arguments.allow_origin,
        websocket_engine: arguments.websocket_engine,
        compression: arguments.compression,
        linger: arguments.linger,
        poll_advice: arguments.poll_advice,
        lab: (!arguments.no_lab).then(|| Lab {
            results: arguments.results,
            data: arguments.lab_data,
            ..Lab::default()
        }),
        ..ServerOptions::default()
    };
    if !arguments.transports.is_empty() {
        // Transports keep their fixed order, each once.
        options.transports.retain(|transport| arguments.transports.contains(transport));
    }
    if options.heartbeat.is_zero() || options.write_timeout.is_zero() || options.connections_max == 0 {
        return Err(Failure::usage("--heartbeat, --write-timeout and --connections-max must be above 0"));
    }
    if options.keep_alive < KEEP_ALIVE_MIN {
        return Err(Failure::usage(format!(
            "--keep-alive must be at least {} s; the server cannot keep a shorter time",
            KEEP_ALIVE_MIN.as_secs()
        )));
    }
    if let Some(descriptors) = os::raise_open_files() {
        let possible = (descriptors - OTHER_DESCRIPTORS.min(descriptors / 2)).max(1) as usize;
        if options.connections_max > possible {
            remark(&format!(
                "serving at most {possible} connections instead of {}: this process may open {descriptors} \
                 files; raise the limit with `ulimit -n`",
                options.connections_max
            ));
            options.connections_max = possible;
        }
    }

    let listener = listen(arguments.bind).map_err(|error| {
        Failure::environment(format!(
            "cannot listen on {}: {error}; choose another address with --bind, or port 0 for a free port",
            arguments.bind
        ))
    })?;
    let address = listener.local_addr().map_err(Failure::environment)?;
    let store: Arc<dyn LogStore> = match arguments.store {
        cli::Store::Memory => Arc::new(MemoryStore::new(arguments.retain_lines)),
        cli::Store::Disk => {
            let opened = DiskStore::open(arguments.data, arguments.retain_lines);
            Arc::new(opened.map_err(|error| match error {
                StoreError::Io { .. } => Failure::environment(format!(
                    "{error}; make it readable and writable for this user, or choose another folder with --data"
                )),
                error => Failure::environment(error),
            })?)
        }
    };
    let deployments = Deployments::new(store, arguments.recordings).await.map_err(Failure::environment)?;
    let shutdown = CancellationToken::new();
    let server =
        server::start(listener, deployments, options, shutdown.clone()).map_err(Failure::environment)?;
    // Signals are caught before the address is said: a program that reads it may send one.
    let mut stop = StopRequest::listen(StdinEnd::of_flag(arguments.stop_at_stdin_end));
    say(&format!("listening on http://{address}\n"))?;
    tokio::spawn(async move {
        stop.asked().await;
        shutdown.cancel();
    });
    server.await.map_err(Failure::environment)?;
    Ok(Exit::Ok)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restarted server must not wait until the kernel forgets the connections of the last one.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}
