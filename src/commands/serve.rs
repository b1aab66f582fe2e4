//! `wirelab serve`: reads a certificate, opens a store and a listener, and runs the server until a signal.

use std::collections::HashSet;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::gethostname;
use tokio::net::TcpSocket;
use tokio_util::sync::CancellationToken;
use wirelab_clients::os;

use super::tokens::access;
use super::{Exit, Failure, Hangups, StdinEnd, StopRequest, descriptors, remark, say};
use crate::access::addresses::AddressBounds;
use crate::commands::cli::{self, ServeArguments, TlsArgument};
use crate::context::Lab;
use crate::context::ServerOptions;
use crate::deployments::Deployments;
use crate::server;
use crate::store::LogStore;
use crate::store::disk::{DescriptorBudget, DiskStore};
use crate::store::memory::MemoryStore;
use crate::terminal::complain;
use crate::tls::{CertificateSource, SelfSigned, ServerTls};

/// Connections that the kernel completes before they are accepted. A reconnect storm of thousands must not lose its
/// SYNs, which would show as latencies of a second. The kernel's own limit (somaxconn) may be lower.
const BACKLOG: u32 = 4_096;
/// Shortest keep-alive. The clock of actix has steps of half a second: a shorter time could close a connection under a
/// request that comes at once.
const KEEP_ALIVE_MIN: Duration = Duration::from_secs(1);

/// Serves until Ctrl-C, SIGTERM or, with `--stop-at-stdin-end`, the end of stdin.
pub async fn run(mut arguments: ServeArguments) -> Result<Exit, Failure> {
    let access = access(&arguments)?;
    let mut options = ServerOptions {
        connections_max: arguments.connections_max,
        heartbeat: arguments.heartbeat,
        hold_max: arguments.hold_max,
        write_timeout: arguments.write_timeout,
        keep_alive: arguments.keep_alive,
        allow_origins: std::mem::take(&mut arguments.allow_origin),
        allow_credentials: std::mem::take(&mut arguments.allow_credentials),
        access,
        address: AddressBounds {
            connections_max: arguments.address_connections_max,
            requests_max: arguments.address_requests_max,
            creations_max: arguments.address_creations_max,
        },
        hosts: arguments.host.clone(),
        websocket_engine: arguments.websocket_engine,
        websocket_compression: arguments.websocket_compression,
        compression: arguments.compression,
        linger: arguments.linger,
        poll_advice: arguments.poll_advice,
        lab: (!arguments.no_lab).then(|| Lab {
            results: arguments.results.clone(),
            data: arguments.lab_data.clone(),
            ..Lab::default()
        }),
        ..ServerOptions::default()
    };
    if !arguments.transports.is_empty() {
        // Transports keep their fixed order, each once.
        options.transports.retain(|transport| arguments.transports.contains(transport));
    }
    if options.heartbeat.is_zero()
        || options.write_timeout.is_zero()
        || options.connections_max == 0
        || arguments.running_max == 0
    {
        return Err(Failure::usage(
            "--heartbeat, --write-timeout, --connections-max and --running-max must be above 0",
        ));
    }
    if options.keep_alive < KEEP_ALIVE_MIN {
        return Err(Failure::usage(format!(
            "--keep-alive must be at least {} s; the server cannot keep a shorter time",
            KEEP_ALIVE_MIN.as_secs()
        )));
    }
    options.tls = certificate(&arguments)?.map(ServerTls::new).transpose().map_err(Failure::usage)?;
    let budget = share_descriptors(&mut options);

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
            let opened = DiskStore::open_within(arguments.data, arguments.retain_lines, budget);
            Arc::new(opened.map_err(Failure::environment)?)
        }
    };
    let deployments = Deployments::new(store, arguments.recordings)
        .await
        .map_err(Failure::environment)?
        .running_at_most(arguments.running_max);
    let shutdown = CancellationToken::new();
    let (tls, scheme) = (options.tls.clone(), options.scheme());
    let server =
        server::start(listener, deployments, options, shutdown.clone()).map_err(Failure::environment)?;
    // Signals are caught before the address is said: a program that reads it may send one.
    let stdin_end = StdinEnd::of_flag(arguments.stop_at_stdin_end);
    let mut stop = match tls {
        Some(tls) => {
            remark(&format!(
                "the certificate in {} has the SHA-256 fingerprint {}",
                tls.certificate().display(),
                tls.fingerprint()
            ));
            tokio::spawn(read_again(Hangups::listen(), tls));
            StopRequest::listen_but_for_hangups(stdin_end)
        }
        None => StopRequest::listen(stdin_end),
    };
    say(&format!("listening on {scheme}://{address}\n"))?;
    tokio::spawn(async move {
        stop.asked().await;
        shutdown.cancel();
    });
    server.await.map_err(Failure::environment)?;
    Ok(Exit::Ok)
}

/// Returns where the certificate comes from, if the server is to speak TLS.
fn certificate(arguments: &ServeArguments) -> Result<Option<CertificateSource>, Failure> {
    match (arguments.tls, &arguments.tls_cert, &arguments.tls_key) {
        (Some(TlsArgument::SelfSigned), ..) => {
            let names = own_names(arguments);
            Ok(Some(CertificateSource::SelfSigned(SelfSigned::new(arguments.tls_folder.clone(), names))))
        }
        (None, Some(certificate), Some(key)) => {
            Ok(Some(CertificateSource::Files { certificate: certificate.clone(), key: key.clone() }))
        }
        (None, None, None) => Ok(None),
        (None, Some(_), None) | (None, None, Some(_)) => {
            Err(Failure::usage("--tls-cert and --tls-key belong together; give both"))
        }
    }
}

/// Returns the names and addresses by which clients call this server, as far as it can know them.
fn own_names(arguments: &ServeArguments) -> Vec<String> {
    let mut names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    let address = arguments.bind.ip();
    if !address.is_unspecified() {
        names.push(address.to_string());
    }
    // A host without a name, or with one that is no text, is called by the others.
    names.extend(gethostname().ok().and_then(|name| name.into_string().ok()).filter(|name| !name.is_empty()));
    names.extend(arguments.host.iter().cloned());
    let mut known = HashSet::new();
    names.retain(|name| known.insert(name.clone()));
    names
}

/// Reads the certificate again at each hangup.
async fn read_again(mut hangups: Hangups, tls: Arc<ServerTls>) {
    loop {
        hangups.next().await;
        match tls.reload() {
            Ok(()) => {
                remark(&format!("read the certificate again; its fingerprint is {}", tls.fingerprint()));
            }
            Err(error) => complain(format!("the last certificate stays in use: {error}")),
        }
    }
}

/// Gives sockets and logs their own descriptors. If the limit is too low for `--connections-max`, the server says so and
/// serves fewer.
fn share_descriptors(options: &mut ServerOptions) -> DescriptorBudget {
    let Some(limit) = os::raise_open_files() else { return DescriptorBudget::default() };
    let shares = descriptors::share(limit, options.connections_max, options.workers);
    if shares.connections < options.connections_max {
        remark(&format!(
            "serving at most {} connections instead of {}: this process may open {limit} files; raise the limit with \
             `ulimit -n`",
            shares.connections, options.connections_max
        ));
    }
    (options.connections_max, options.sockets_max) = (shares.connections, shares.sockets);
    shares.logs
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restarted server must not wait until the kernel forgets the connections of the last one.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}
