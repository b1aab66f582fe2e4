//! X7, X10: servers that die and clients that vanish.

use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use wirelab::context::WebsocketEngine;
use wirelab_clients::Options;
use wirelab_clients::wire::{DeploymentId, Position, Status, Transport, Wire};

use super::{Kept, follow, follow_to_the_end, is_the_log, quick, subscriber_with};
use crate::http::{Api, Connection, half_close, path, upgrade};
use crate::server::{Binary, holds_within, wait_until};

/// Lines that must be acknowledged before the server is killed.
const ACKNOWLEDGED: u64 = 50;

/// Kills the real binary while a writer writes and a subscriber follows, and starts it again on its data.
/// A server that is killed and started again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Restarted {
    pub(crate) store: &'static str,
    pub(crate) engine: WebsocketEngine,
}

pub(crate) async fn x7_an_acknowledged_line_survives_kill_9(
    transport: Transport,
    restarted: &Restarted,
) -> Kept {
    let Restarted { store, engine } = *restarted;
    let (data, empty) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let serve = |bind: &str, data: &std::path::Path| {
        let data = data.to_str().expect("a plain path");
        let arguments = ["--store", store, "--data", data, "--websocket-engine", engine.name()];
        Binary::serve(bind, &arguments)
    };
    let server = serve("127.0.0.1:0", data.path());
    let api = (*server).clone();
    let deployment = api.create();
    let other = api.create().id;
    let elsewhere = api.append(&other, &["elsewhere"]).cursor;
    // Its ten tries must last longer than a busy machine needs to start the server again.
    let patient = Options { reconnect_max: Duration::from_secs(1), ..quick() };
    let following = subscriber_with(&patient, transport, &api, &deployment.id, Position::Start);
    let following = tokio::spawn(follow_to_the_end(following));

    let acknowledged = AtomicU64::new(0);
    thread::scope(|scope| {
        scope.spawn(|| write_until_cut(&api, &deployment.id, &acknowledged));
        wait_until("lines are acknowledged", || acknowledged.load(Ordering::Relaxed) >= ACKNOWLEDGED);
        server.kill();
    });
    let acknowledged = acknowledged.into_inner();
    let server = serve(&api.authority, data.path());

    let answer = api.get(&format!("/api/deployments/{}", deployment.id));
    if answer.status != 200 {
        return Err(format!("after the restart the deployment is gone: {}", answer.status));
    }
    let now = api.show(&deployment.id);
    if now.next.epoch != deployment.next.epoch {
        return Err(format!("the epoch was {}, now it is {}", deployment.next.epoch, now.next.epoch));
    }
    // One request may have been written and not answered.
    if !(acknowledged..=acknowledged + 1).contains(&now.lines) {
        return Err(format!("{acknowledged} lines were acknowledged, {} are there", now.lines));
    }
    let all: Vec<_> = (1..=now.lines + 10).map(|number| format!("line {number}")).collect();
    api.append(&deployment.id, &all[now.lines as usize..]);
    api.finish(&deployment.id, Status::Succeeded);
    // The subscriber that saw the server die, and one that comes after.
    is_the_log(&following.await.map_err(|error| error.to_string())??, &all, 0)?;
    is_the_log(&follow(transport, api.clone(), deployment.id.clone(), Position::Start).await?, &all, 0)?;

    status_is(410, transport, &api, &deployment.id, &format!("?from={elsewhere}"))?;
    server.kill();
    let server = serve(&api.authority, empty.path());
    status_is(404, transport, &server, &deployment.id, &format!("?from={}", now.next))
}

/// One line per request, each sent after the answer to the one before.
fn write_until_cut(api: &Api, id: &DeploymentId, acknowledged: &AtomicU64) {
    let mut connection = api.connection();
    let path = format!("/api/deployments/{id}/lines");
    for number in 1_u64.. {
        let line = format!("line {number}\n");
        match connection.ask("POST", &path, &[("content-type", "text/plain")], line.as_bytes()) {
            Ok(answer) if answer.status == 201 => acknowledged.store(number, Ordering::Relaxed),
            _ => return,
        }
    }
}

fn status_is(status: u16, transport: Transport, api: &Api, id: &DeploymentId, query: &str) -> Kept {
    let given = api.ask("GET", &path(transport, id, query), upgrade(transport), b"").status;
    if given == status { Ok(()) } else { Err(format!("{query:?} gave {given} instead of {status}")) }
}

/// How a client can go.
#[derive(Debug, Clone, Copy)]
enum Vanish {
    /// It closes its socket: FIN.
    Closes,
    /// It resets the connection: RST.
    Resets,
    /// It says that it will send no more, and stays: FIN, but its socket is open.
    HalfCloses,
}

/// Clients that vanish together.
const CLIENTS: i64 = 5;

pub(crate) async fn x10_a_vanished_client_frees_its_waiter(transport: Transport, api: &Api) -> Kept {
    let id = api.create().id;
    for vanish in [Vanish::Closes, Vanish::Resets, Vanish::HalfCloses] {
        let clients: Vec<_> = (0..CLIENTS).map(|_| wait_for_lines(transport, api, &id)).collect();
        wait_until("all are waiting", || held(transport, api) == CLIENTS);
        let gone = Instant::now();
        // Those that only half-close stay to the end of this round.
        let staying: Vec<_> =
            clients.into_iter().filter_map(|client| vanish_by(vanish, client.socket)).collect();
        let freed = holds_within(Duration::from_secs(1), || held(transport, api) == 0);
        if !freed {
            let held = held(transport, api);
            return Err(format!("{vanish:?}: {held} of {CLIENTS} are held after {:?}", gone.elapsed()));
        }
        drop(staying);
    }
    Ok(())
}

/// What a client of this transport holds on the server: a waiter, or for short polls its connection alone.
fn held(transport: Transport, api: &Api) -> i64 {
    match transport.wire() {
        Wire::ShortPoll => api.metric(&format!("wirelab_connections{{transport=\"{transport}\"}}")),
        Wire::LongPoll | Wire::Sse | Wire::Ndjson | Wire::Websocket => api.waiters(transport),
    }
}

fn wait_for_lines(transport: Transport, api: &Api, id: &DeploymentId) -> Connection {
    let mut connection = api.connection();
    connection.send("GET", &path(transport, id, ""), upgrade(transport), b"").expect("the server reads");
    connection
}

fn vanish_by(vanish: Vanish, socket: TcpStream) -> Option<TcpStream> {
    match vanish {
        Vanish::Closes => None,
        Vanish::Resets => {
            socket.set_nonblocking(true).expect("an open socket can be set");
            let socket = tokio::net::TcpStream::from_std(socket).expect("inside a runtime");
            socket.set_zero_linger().expect("an open socket can be set");
            None
        }
        Vanish::HalfCloses => {
            half_close(&socket);
            Some(socket)
        }
    }
}
