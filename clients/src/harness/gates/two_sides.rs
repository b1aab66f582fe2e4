//! Two sides: the clients' counts are compared with those of the server and of the kernel.
//!
//! Counts are read when every connection is closed, so nothing is in flight and they must be equal. That holds where
//! both sides count, no other client was connected, and no connection was cut.

use super::{Found, Gate};
use crate::harness::cell::Server;
use crate::harness::network::Fault;
use crate::harness::run_result::CheckVerdict;
use crate::harness::run_result::RunResult;
use crate::options::HttpVersion;
use crate::traffic::{Packets, Traffic};

/// Bytes of the alert `close_notify` in a record of TLS 1.3 with a tag of 16 bytes (RFC 8446 §5.2, §6.1).
const CLOSE_ALERT_BYTES: u64 = 24;
/// Bytes of a SETTINGS frame that acknowledges (RFC 9113 §6.5). Without TLS it counts when it leaves the socket; inside of
/// TLS nobody knows when that is.
const ACKNOWLEDGEMENT_BYTES: u64 = 9;

pub(super) const GATES: &[Gate] = &[
    Gate {
        name: "requests-data",
        unit: "count",
        definition: "Requests answered with lines, and streams opened. Left: the clients' count. Right: the server's. \
                     Equal; a server that others use too may count more, which leaves the run unresolved.",
        find: |run| counted(run, "requests with data", |traffic| traffic.requests.data),
    },
    Gate {
        name: "requests-empty",
        unit: "count",
        definition: "Requests answered with nothing new; compared as `requests-data`.",
        find: |run| counted(run, "empty requests", |traffic| traffic.requests.empty),
    },
    Gate {
        name: "requests-timeout",
        unit: "count",
        definition: "Long polls whose hold expired; compared as `requests-data`.",
        find: |run| counted(run, "timed-out requests", |traffic| traffic.requests.timeout),
    },
    Gate {
        name: "requests-refused",
        unit: "count",
        definition: "Requests answered with 4xx or 503; compared as `requests-data`.",
        find: |run| counted(run, "refused requests", |traffic| traffic.requests.refused),
    },
    Gate {
        name: "requests-error",
        unit: "count",
        definition: "Requests answered with another 5xx, or cut; compared as `requests-data`.",
        find: |run| counted(run, "failed requests", |traffic| traffic.requests.error),
    },
    Gate {
        name: "l7-up",
        unit: "bytes",
        definition: "Bytes of HTTP from the subscribers to the server; compared as `requests-data`. Not compared where a proxy \
                     stands between, which writes heads of its own. Inside of TLS a connection of HTTP/2 may end while the \
                     client's last frame, an acknowledgement of 9 bytes, is on its way: the client may count it for each \
                     connection.",
        find: |run| {
            let found = bytes(run, "bytes up", |traffic| traffic.up_bytes);
            match (run.traffic.has_tls(), run.cell.options.http) {
                (true, HttpVersion::Http2) => unread(run, found, Sender::Client, ACKNOWLEDGEMENT_BYTES),
                (true, HttpVersion::Http1) | (false, _) => found,
            }
        },
    },
    Gate {
        name: "l7-down",
        unit: "bytes",
        definition: "Bytes of HTTP from the server to the subscribers; compared as `l7-up`.",
        find: |run| bytes(run, "bytes down", |traffic| traffic.down_bytes),
    },
    Gate {
        name: "tls-up",
        unit: "bytes",
        definition: "Bytes of TLS from the subscribers to the server; compared as `l7-up`. A connection may end before \
                     the last alert is read, so the sender may count 24 bytes more for each connection.",
        find: |run| {
            let found = bytes(run, "bytes of TLS up", |traffic| traffic.tls_up_bytes);
            unread(run, found, Sender::Client, CLOSE_ALERT_BYTES)
        },
    },
    Gate {
        name: "tls-down",
        unit: "bytes",
        definition: "Bytes of TLS from the server to the subscribers; compared as `tls-up`.",
        find: |run| {
            let found = bytes(run, "bytes of TLS down", |traffic| traffic.tls_down_bytes);
            unread(run, found, Sender::Server, CLOSE_ALERT_BYTES)
        },
    },
    Gate {
        name: "tcp-up",
        unit: "bytes",
        definition: "Left: bytes that the clients counted into their sockets. Right: those that TCP_INFO counts. Equal.",
        find: |run| carried(run, "up", run.traffic.socket_up_bytes(), |packets| packets.bytes_up),
    },
    Gate {
        name: "tcp-down",
        unit: "bytes",
        definition: "Left: bytes that the clients counted out of their sockets. Right: those that TCP_INFO counts. Equal.",
        find: |run| carried(run, "down", run.traffic.socket_down_bytes(), |packets| packets.bytes_down),
    },
];

fn counted(run: &RunResult, what: &str, count: fn(&Traffic) -> u64) -> Found {
    let client = count(&(run.traffic + run.traffic_beside));
    // Figures of one side only are reported as such: the other side neither confirms nor contradicts them.
    let alone = |verdict, why: &str| Found {
        verdict,
        said: Some(why.to_owned()),
        ..Found::not_compared(Some(client as f64), None)
    };
    match (&run.cell.server, &run.cell.fault, &run.traffic_seen_by_server) {
        (Server::Profile(_), _, _) => alone(
            CheckVerdict::Unresolved,
            "the server has no /metrics: requests and bytes are the clients' own counts, compared with nothing",
        ),
        (Server::Wirelab | Server::Running(_), Some(Fault::Cut(_)), _) => alone(
            CheckVerdict::NotMeasured,
            "requests and bytes that a cut took are counted by one side only: not compared",
        ),
        (Server::Wirelab | Server::Running(_), Some(Fault::Stop(_)) | None, None) => {
            alone(CheckVerdict::Unresolved, "the server's own counts could not be read")
        }
        (Server::Wirelab | Server::Running(_), Some(Fault::Stop(_)) | None, Some(seen)) => {
            let server = count(seen);
            let differs = format!("clients counted {client} {what}, the server {server}");
            let (broken, said) = match run.cell.server {
                // A transport that a subscriber left in the middle of a request has counted it on one side only.
                Server::Wirelab | Server::Running(_) if !run.cell.fallback.is_empty() => (
                    CheckVerdict::Unresolved,
                    format!("a subscriber may have left a transport in mid-request: {differs}"),
                ),
                Server::Running(_) if server > client => {
                    (CheckVerdict::Unresolved, format!("another client uses the server too: {differs}"))
                }
                Server::Wirelab | Server::Running(_) | Server::Profile(_) => (CheckVerdict::Fail, differs),
            };
            Found::judged(client == server, client as f64, server as f64, 0.0, broken, || said)
        }
    }
}

/// Compares bytes, where both sides count the same ones.
fn bytes(run: &RunResult, what: &str, count: fn(&Traffic) -> u64) -> Found {
    let found = counted(run, what, count);
    match &run.proxy {
        Some(proxy) if found.right.is_some() && found.verdict != CheckVerdict::Pass => Found {
            tolerance: None,
            verdict: CheckVerdict::NotMeasured,
            said: Some(format!(
                "{proxy} stands between the subscribers and the server and writes heads of its own: bytes are not \
                 compared, requests and lines are"
            )),
            ..found
        },
        Some(_) | None => found,
    }
}

/// Side that sends.
enum Sender {
    Client,
    Server,
}

/// Allows for the last bytes of each connection that nobody read.
fn unread(run: &RunResult, found: Found, sender: Sender, connection_bytes: u64) -> Found {
    let (Some(client), Some(server)) = (found.left, found.right) else { return found };
    let more = match sender {
        Sender::Client => client - server,
        Sender::Server => server - client,
    };
    let connections = run.traffic.connections_opened + run.traffic_beside.connections_opened;
    let tolerance = (connections * connection_bytes) as f64;
    match found.verdict {
        CheckVerdict::Fail if (0.0..=tolerance).contains(&more) => {
            Found { verdict: CheckVerdict::Pass, tolerance: Some(tolerance), said: None, ..found }
        }
        _ => found,
    }
}

fn carried(run: &RunResult, way: &str, client: u64, count: fn(&Packets) -> u64) -> Found {
    match run.packets.as_ref().map(count) {
        Some(kernel) => {
            let said = || format!("clients counted {client} bytes {way}, TCP_INFO {kernel}");
            Found::equal(client as f64, kernel as f64, 0.0, said)
        }
        None => Found::not_compared(Some(client as f64), None),
    }
}
