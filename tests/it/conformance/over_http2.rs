//! The promises of every transport of HTTP, over HTTP/2 by prior knowledge.
//!
//! WebSockets are not offered over it. Raw requests of the `h2` crate, so that nothing is shared with the clients.

use std::io::Write;
use std::time::{Duration, Instant};

use wirelab_clients::wire::{
    Batch, Cursor, DeploymentId, Line, NdjsonRecord, Status, Transport, Waits, Wire,
};

use super::stalls::{self, LOG_LINES, LONG_LOGS, STALLED_BYTES_MAX, settled};
use super::{is_the_log, snapshot};
use crate::http::{Api, Connection, half_close, path};
use crate::http2::{Http2, PREFACE, Streamed, frame, get};
use crate::server::{Binary, Server, Setup, giving_up_after, holds_within, wait_until};

/// One test per promise and transport.
macro_rules! over_http2 {
    ($($promise:ident;)+) => {
        $(mod $promise {
            use super::*;
            over_http2! { @ $promise short_poll ShortPoll, long_poll LongPoll, sse Sse, ndjson Ndjson }
        })+
    };
    (@ $promise:ident $($test:ident $transport:ident),+) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
        async fn $test() {
            super::$promise(Transport::$transport).await;
        })+
    };
}

over_http2! {
    x1_a_log_is_read_as_posted;
    x3_x8_a_position_starts_where_the_table_says_or_is_refused_first;
    x4_the_end_is_signalled;
    x9_a_stalled_reader_delays_nobody_and_loses_nothing;
    x9_an_answer_without_progress_is_given_up;
    x9_readers_with_endless_windows_cost_bounded_memory;
    x10_a_vanished_client_frees_its_waiter;
    x11_goodbye_reaches_everybody_in_under_two_seconds;
    x12_both_sides_count_the_same;
}

/// Everything after a position of a log that has ended.
async fn follow(http2: &mut Http2, transport: Transport, id: &DeploymentId, from: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    match transport.wire() {
        Wire::ShortPoll | Wire::LongPoll => {
            let mut query = from.to_owned();
            loop {
                let batch: Batch = http2.get(&path(transport, id, &query)).await.json();
                lines.extend(batch.lines);
                query = format!("?from={}", batch.next);
                if batch.finished {
                    return lines;
                }
            }
        }
        Wire::Sse | Wire::Ndjson => {
            let stream = http2.stream(&path(transport, id, from), &[]).await;
            let answer = stream.whole().await.expect("it ends properly");
            lines_of(transport, answer.text())
        }
        Wire::Websocket => panic!("not over HTTP/2"),
    }
}

fn lines_of(transport: Transport, body: &str) -> Vec<Line> {
    let parse = |json: &str| serde_json::from_str(json).expect("a line is JSON");
    if transport.wire() == Wire::Sse {
        // An event without a name is a line; our JSON has no raw line end.
        let events = body.split("\n\n").filter(|event| !event.contains("event: "));
        return events.filter_map(|event| Some(parse(event.split_once("\ndata: ")?.1))).collect();
    }
    let records = body.lines().filter(|record| !record.is_empty());
    let records = records.map(|record| serde_json::from_str(record).expect("a record is JSON"));
    records
        .filter_map(|record| match record {
            NdjsonRecord::Line(line) => Some(line),
            NdjsonRecord::Control(_) => None,
        })
        .collect()
}

async fn x1_a_log_is_read_as_posted(transport: Transport) {
    let server = Server::start();
    let mut http2 = Http2::open(&server.authority).await;
    for count in [1, 100, 5_000] {
        let id = server.create().id;
        let texts: Vec<_> = (0..count).map(|number| format!("line {number} – é\r\n\u{2028}")).collect();
        server.append(&id, &texts);
        server.finish(&id, Status::Succeeded);
        let lines = follow(&mut http2, transport, &id, "").await;
        is_the_log(&lines, &texts, 0).unwrap();
        assert_eq!(lines, snapshot(&server, &id));
    }
}

async fn x3_x8_a_position_starts_where_the_table_says_or_is_refused_first(transport: Transport) {
    let server = Server::start();
    let mut http2 = Http2::open(&server.authority).await;
    let id = server.create().id;
    let last = server.append(&id, &["1", "2", "3"]).cursor;
    server.finish(&id, Status::Failed);
    let at = |after| Cursor { after, ..last.clone() };
    for (from, texts) in [
        (String::new(), &["1", "2", "3"][..]),
        (format!("?from={}", at(0)), &["1", "2", "3"]),
        (format!("?from={}", at(1)), &["2", "3"]),
    ] {
        let lines = follow(&mut http2, transport, &id, &from).await;
        is_the_log(&lines, texts, 3 - texts.len() as u64).unwrap();
    }
    for (from, status) in [
        (format!("?from={}", at(4)), 410),
        ("?from=zzz.1".to_owned(), 410),
        ("?from=".to_owned(), 400),
        ("?from=x".to_owned(), 400),
        ("?from=now&from=now".to_owned(), 400),
    ] {
        let refused = http2.get(&path(transport, &id, &from)).await;
        let problem = refused.problem().unwrap();
        assert_eq!((refused.status, problem.earliest.is_some()), (status, status == 410), "{from}");
    }
    let headers = [("last-event-id", last.to_string())];
    let headers = [(headers[0].0, headers[0].1.as_str())];
    let at_the_end = http2.stream(&path(transport, &id, "?from=x"), &headers).await;
    assert_eq!(at_the_end.head.status, if transport.wire() == Wire::Sse { 204 } else { 200 });
    let unknown = "01k3aaaaaaaa".parse().unwrap();
    assert_eq!(http2.get(&path(transport, &unknown, "")).await.problem().unwrap().status, 404);
}

/// To who is at the tail before it comes, and to who asks afterwards.
async fn x4_the_end_is_signalled(transport: Transport) {
    let server = Server::start();
    let id = server.create().id;
    server.append(&id, &["x"]);
    let mut http2 = Http2::open(&server.authority).await;
    let ask = path(transport, &id, "?from=now");
    let waiting = match transport.wire() {
        Wire::ShortPoll => None,
        _ => {
            let asked = http2.send("GET", &ask, &[], b"").await.unwrap();
            wait_until("it waits", || server.waiters(transport) == 1);
            Some(asked)
        }
    };
    server.finish(&id, Status::Cancelled);
    let ends = |answer: &str| answer.contains("\"finished\":true") || answer.contains("cancelled");
    if let Some(waiting) = waiting {
        let answer = Streamed::of(waiting).await.unwrap().whole().await.unwrap();
        assert!(ends(answer.text()), "{}", answer.text());
    }
    // Held, it would not be answered as long as this test waits.
    let afterwards = http2.stream(&path(transport, &id, "?from=now&wait=55"), &[]).await;
    let afterwards = afterwards.whole().await.unwrap();
    assert!(afterwards.status == 204 || ends(afterwards.text()), "{afterwards:?}");
    let before_the_tail = http2.get(&path(transport, &id, "")).await;
    assert!(ends(before_the_tail.text()));
}

/// Larger than a stream's window, and in steps than a batch.
const LONG_LINES: usize = 64;

fn long_log(server: &Api) -> (DeploymentId, Vec<String>) {
    let id = server.create().id;
    let texts: Vec<_> = (0..LONG_LINES).map(|number| format!("{number:0>8192}")).collect();
    server.append(&id, &texts);
    server.finish(&id, Status::Succeeded);
    (id, texts)
}

/// An answer of which as much has come as its window takes.
async fn stalled(http2: &mut Http2, transport: Transport, id: &DeploymentId) -> (Streamed, usize) {
    const STREAM_WINDOW_BYTES: usize = 65_535;
    let mut stalled = http2.stream(&path(transport, id, ""), &[]).await;
    let mut held = 0;
    while held < STREAM_WINDOW_BYTES {
        held += stalled.piece().await.expect("there is more").unwrap();
    }
    assert_eq!(held, STREAM_WINDOW_BYTES, "{transport} got more than it has window for");
    (stalled, held)
}

/// Neither on other connections nor beside it on its own.
async fn x9_a_stalled_reader_delays_nobody_and_loses_nothing(transport: Transport) {
    let server = Server::start();
    let (id, texts) = long_log(&server);
    let mut http2 = Http2::open(&server.authority).await;
    let (mut stalled, held) = stalled(&mut http2, transport, &id).await;
    is_the_log(&follow(&mut http2, transport, &id, "").await, &texts, 0).unwrap();

    stalled.take(held);
    let resumed = stalled.whole().await.unwrap();
    let lines = match transport.wire() {
        Wire::ShortPoll | Wire::LongPoll => resumed.json::<Batch>().lines,
        _ => lines_of(transport, resumed.text()),
    };
    // Of a poll, the first batch.
    is_the_log(&lines, &texts[..lines.len()], 0).unwrap();
    assert!(lines.len() * 8192 > held);
}

async fn x9_an_answer_without_progress_is_given_up(transport: Transport) {
    let server = giving_up_after(Duration::from_secs(1));
    let (id, _) = long_log(&server);
    let mut http2 = Http2::open(&server.authority).await;
    let (mut stalled, _) = stalled(&mut http2, transport, &id).await;
    let end = stalled.piece().await.expect("it is no proper end");
    assert_eq!(end.unwrap_err().reason(), Some(h2::Reason::CANCEL));
    wait_until("nothing waits for it", || server.waiters(transport) == 0);
    // The connection lives.
    assert_eq!(http2.get("/healthz").await.status, 200);
}

/// A connection that grants windows without end, asks, and reads nothing.
fn reads_nothing(api: &Api, transport: Transport, id: &DeploymentId) -> Connection {
    const SETTINGS: u8 = 4;
    const WINDOW_UPDATE: u8 = 8;
    const WINDOW_MAX: [u8; 4] = 0x7fff_ffff_u32.to_be_bytes();
    // What is left of it after the 65 535 that it starts with.
    const WINDOW_REST: [u8; 4] = (0x7fff_ffff_u32 - 65_535).to_be_bytes();
    let mut connection = api.connection();
    let initial_window_size = [&[0, 4], &WINDOW_MAX[..]].concat();
    let said = [
        PREFACE,
        &frame(SETTINGS, 0, 0, &initial_window_size),
        &frame(WINDOW_UPDATE, 0, 0, &WINDOW_REST),
        &get(1, &path(transport, id, "")),
    ];
    connection.socket.write_all(&said.concat()).expect("the server reads");
    connection
}

async fn x9_readers_with_endless_windows_cost_bounded_memory(transport: Transport) {
    const READERS: u64 = 4;
    let _alone = LONG_LOGS.lock().await;
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory"]);
    let id = stalls::long_log(&server, LOG_LINES).await;
    let before = settled(server.pid()).await.unwrap();
    let readers: Vec<_> = (0..READERS).map(|_| reads_nothing(&server, transport, &id)).collect();
    // Each was answered, as far as its socket takes it.
    let down = format!("wirelab_bytes_total{{transport=\"{transport}\",direction=\"down\"}}");
    wait_until("they are answered", || server.metric(&down).cast_unsigned() > READERS * 100_000);
    let cost = settled(server.pid()).await.unwrap().saturating_sub(before) / READERS;
    drop(readers);
    assert!(cost <= STALLED_BYTES_MAX, "a stalled reader costs {cost} bytes");
}

/// As over HTTP/1.1: the reader has granted all it could be sent, and its socket takes nothing. A poll's batch fits into
/// the kernel's buffers: its connection is idle, not stalled.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn x9_a_streams_socket_without_progress_is_closed() {
    for transport in [Transport::Sse, Transport::Ndjson] {
        is_closed_when_stalled(transport).await;
    }
}

async fn is_closed_when_stalled(transport: Transport) {
    let server = giving_up_after(Duration::from_secs(1));
    let _alone = LONG_LOGS.lock().await;
    let id = stalls::long_log(&server, LOG_LINES).await;
    let stalled = reads_nothing(&server, transport, &id);
    let gauge = format!("wirelab_connections{{transport=\"{transport}\"}}");
    wait_until("it asks", || server.metric(&gauge) == 1);
    wait_until("it is closed", || server.metric(&gauge) == 0);
    drop(stalled);
}

/// How a client can go.
#[derive(Debug, Clone, Copy)]
enum Vanish {
    /// It resets its request and keeps the connection.
    TakesBack,
    /// FIN.
    Closes,
    /// RST.
    Resets,
    /// FIN, but its socket is open.
    HalfCloses,
}

async fn x10_a_vanished_client_frees_its_waiter(transport: Transport) {
    const CLIENTS: i64 = 5;
    let server = Server::start();
    let id = server.create().id;
    let held = || match transport.wire() {
        // No waiter: its connection.
        Wire::ShortPoll => server.metric(&format!("wirelab_connections{{transport=\"{transport}\"}}")),
        _ => server.waiters(transport),
    };
    for vanish in [Vanish::TakesBack, Vanish::Closes, Vanish::Resets, Vanish::HalfCloses] {
        if matches!((transport.waits(), vanish), (Waits::Client, Vanish::TakesBack)) {
            continue;
        }
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            let mut http2 = Http2::open(&server.authority).await;
            let asked = http2.send("GET", &path(transport, &id, ""), &[], b"").await.unwrap();
            clients.push((http2, asked));
        }
        wait_until("all are waiting", || held() == CLIENTS);
        let mut staying = Vec::new();
        let mut open = Vec::new();
        for (http2, asked) in clients {
            match vanish {
                Vanish::TakesBack => {
                    drop(asked);
                    open.push(http2);
                }
                Vanish::Closes => drop(http2.abandon().await),
                Vanish::Resets => http2.abandon().await.set_zero_linger().unwrap(),
                Vanish::HalfCloses => {
                    let socket = http2.abandon().await.into_std().unwrap();
                    half_close(&socket);
                    staying.push(socket);
                }
            }
        }
        assert!(holds_within(Duration::from_secs(1), || held() == 0), "{vanish:?}: {} are held", held());
        for http2 in open {
            http2.close().await;
        }
    }
}

async fn x11_goodbye_reaches_everybody_in_under_two_seconds(transport: Transport) {
    const CONNECTIONS: usize = 200;
    let mut server = Server::start();
    let id = server.create().id;
    let mut crowd = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut http2 = Http2::open(&server.authority).await;
        let asked = http2.send("GET", &path(transport, &id, ""), &[], b"").await.unwrap();
        crowd.push((http2, asked));
    }
    let gauge = if transport.wire() == Wire::ShortPoll { "connections" } else { "waiters" };
    let gauge = format!("wirelab_{gauge}{{transport=\"{transport}\"}}");
    wait_until("all are there", || server.metric(&gauge) == CONNECTIONS as i64);
    let tag = format!("\"{}\"", server.show(&id).next);
    let asked = Instant::now();
    server.say_goodbye();
    for (http2, answer) in crowd {
        let answer = Streamed::of(answer).await.unwrap().whole().await.expect("the body ends properly");
        match transport.wire() {
            Wire::ShortPoll => assert_eq!(answer.status, 200),
            Wire::LongPoll => {
                assert_eq!((answer.status, answer.header("etag")), (204, Some(tag.as_str())));
            }
            Wire::Sse => {
                let (_, retry) = answer.text().rsplit_once("\n\nretry: ").expect("a time to come back");
                assert!(retry.trim_end().parse::<u32>().is_ok(), "{retry}");
            }
            _ => assert!(answer.text().ends_with("}}\n"), "{}", answer.text()),
        }
        http2.ended().await.expect("GOAWAY with no error");
    }
    server.join();
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
}

async fn x12_both_sides_count_the_same(transport: Transport) {
    const CONNECTIONS_MAX: usize = 8;
    let mut setup = Setup::default();
    setup.options.connections_max = CONNECTIONS_MAX;
    let server = setup.start();
    let ended = server.create().id;
    server.append(&ended, &["x"; 600]);
    server.finish(&ended, Status::Succeeded);
    let live = server.create().id;
    let unknown = "01k3aaaaaaaa".parse().unwrap();

    let (mut up, mut down) = (0, 0);
    let mut requests = [0; 4];
    let mut connections = 0;
    for _ in 0..2 {
        let mut http2 = Http2::open(&server.authority).await;
        connections += 1;
        let all = http2.stream(&path(transport, &ended, ""), &[]).await.whole().await.unwrap();
        assert_eq!(all.status, 200);
        requests[0] += 1;
        let at_the_end = http2.get(&path(transport, &ended, "?from=now")).await;
        requests[if transport.wire() == Wire::Ndjson { 0 } else { 1 }] += 1;
        assert!([200, 204].contains(&at_the_end.status));
        if transport.wire() == Wire::LongPoll {
            assert_eq!(http2.get(&path(transport, &live, "?from=now&wait=0.01")).await.status, 204);
            requests[2] += 1;
        }
        assert_eq!(http2.get(&path(transport, &unknown, "")).await.status, 404);
        assert_eq!(http2.get(&path(transport, &ended, "?from=x")).await.status, 400);
        requests[3] += 2;
        let (sent, received) = http2.close().await;
        (up, down) = (up + sent, down + received);
    }
    wait_until("they are closed", || {
        server.metric(&format!("wirelab_connections{{transport=\"{transport}\"}}")) == 0
    });
    let counted = ["data", "empty", "timeout", "refused"].map(|outcome| {
        server.metric(&format!("wirelab_requests_total{{transport=\"{transport}\",outcome=\"{outcome}\"}}"))
    });
    assert_eq!(counted, requests);
    let of = |name: &str| server.metric(&format!("{name}{{transport=\"{transport}\"}}"));
    assert_eq!(of("wirelab_connections_opened_total"), connections);
    let lines = if transport.waits().is_poll() { 512 } else { 600 };
    assert_eq!(of("wirelab_lines_delivered_total"), 2 * lines);
    let bytes = |direction| {
        let labels = format!("transport=\"{transport}\",direction=\"{direction}\"");
        server.metric(&format!("wirelab_bytes_total{{{labels}}}")).cast_unsigned()
    };
    assert_eq!((bytes("up"), bytes("down")), (up, down));
}
