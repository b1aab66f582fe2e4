//! Bodies and messages that do not end, or that nobody reads (docs/protocol.md, "Bounds, overload, goodbye").

use std::io::Write;
use std::time::{Duration, Instant};

use wirelab::context::WebsocketEngine;
use wirelab::exchange::arriving::ArrivingBounds;
use wirelab_clients::wire::{BODY_BYTES_MAX, DeploymentId, Transport};

use super::websocket::{enter, frame, server_with, write};
use crate::http::{Api, Connection, TEXT, path};
use crate::http2::Http2;
use crate::server::{Server, wait_until};

/// A server that waits a second for the next bytes.
fn impatient(engine: WebsocketEngine) -> Server {
    server_with(|options| {
        options.websocket_engine = engine;
        options.arriving.step = Duration::from_secs(1);
        options.keep_alive = Duration::from_secs(1);
    })
}

fn lines(id: &DeploymentId) -> String {
    format!("/api/deployments/{id}/lines")
}

/// The head of an append, and the first bytes of its body.
fn begin(api: &Api, path: &str, length: usize, first: &[u8]) -> Connection {
    let mut connection = api.connection();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\r\n",
        api.authority
    );
    connection.socket.write_all(&[head.as_bytes(), first].concat()).unwrap();
    connection
}

#[test]
fn a_body_that_comes_too_slowly_is_408_and_nothing_of_it_is_kept() {
    let server = impatient(WebsocketEngine::Cursor);
    let id = server.create().id;
    let asked = Instant::now();
    let mut one_byte = begin(&server, &lines(&id), 9, b"x");
    let mut almost_all = begin(&server, &lines(&id), 100_000, &[b'x'; 99_999]);
    let mut json = begin(&server, &format!("/api/deployments/{id}/finish"), 100, b"{");
    for connection in [&mut one_byte, &mut almost_all, &mut json] {
        let problem = connection.answer("POST").unwrap().problem().unwrap();
        assert_eq!(problem.status, 408, "{}", problem.detail);
        assert!(connection.is_closed_by_server());
    }
    assert!(asked.elapsed() > Duration::from_secs(1));
    assert_eq!(server.show(&id).lines, 0);
}

/// Slots are those of `--connections-max`.
#[test]
fn who_does_not_end_what_it_began_gives_its_slot_back() {
    let unread = "POST /nowhere HTTP/1.1\r\nhost: localhost\r\n";
    for (what, first, later) in [
        ("a body", format!("{unread}content-length: 9\r\n\r\nx"), ""),
        ("a chunked body", format!("{unread}transfer-encoding: chunked\r\n\r\n1\r\nx\r\n"), ""),
        ("half a next head", "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\nGET / HT".to_owned(), "TP"),
    ] {
        let server = server_with(|options| {
            options.connections_max = 3;
            options.keep_alive = Duration::from_secs(1);
        });
        let mut held: Vec<_> = (0..3).map(|_| server.connection()).collect();
        for connection in &mut held {
            connection.socket.write_all(first.as_bytes()).unwrap();
            connection.head().unwrap();
            // What comes after the answer does not begin the time anew.
            connection.socket.write_all(later.as_bytes()).unwrap();
        }
        wait_until(what, || server.get("/healthz").status == 200);
        drop(held);
    }
}

/// One connection of HTTP/2 with a hundred bodies took 800 MB.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn unfinished_bodies_have_one_budget_with_a_part_for_each_connection() {
    const PART: usize = 2 << 20;
    let server = server_with(|options| {
        options.arriving =
            ArrivingBounds { connection_bytes: PART, server_bytes: 2 * PART, ..options.arriving };
    });
    let id = server.create().id;
    let mut http2 = Http2::open(&server.authority).await;
    let whole = vec![b'x'; PART + 1];
    let answer = http2.ask("POST", &lines(&id), &[("content-type", "text/plain")], &whole).await;
    assert_eq!(answer.problem().unwrap().status, 503);
    assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
    assert_eq!(http2.get("/healthz").await.status, 200, "the connection goes on");

    // Over all connections: a large one more is refused, a small one is taken.
    let refused = || {
        let answer = server.post(&lines(&id), "text/plain", vec![b'x'; PART * 2 / 3]);
        (answer.status == 503).then_some(answer)
    };
    let (mut held, mut answer, mut patience) = (Vec::new(), None, Duration::from_millis(20));
    wait_until("the budget is used", || {
        // One that is asked too early takes the room of a held one, which is refused in its place.
        held.clear();
        let begun = || begin(&server, &lines(&id), BODY_BYTES_MAX, &vec![b'x'; PART * 2 / 3]);
        held.extend([begun(), begun()]);
        std::thread::sleep(patience);
        patience *= 2;
        answer = refused();
        answer.is_some()
    });
    assert!(answer.unwrap().problem().unwrap().detail.contains("unfinished"));
    assert_eq!(server.post(&lines(&id), "text/plain", "x").status, 201);
    drop(held);
    wait_until("the budget is free again", || refused().is_none());
}

#[test]
fn a_message_that_does_not_end_closes_its_socket_with_1008() {
    for engine in WebsocketEngine::ALL {
        let server = impatient(engine);
        let id = server.create().id;
        let half = frame(0x80 | TEXT, &[b'x'; 1000]);
        for begun in [&frame(TEXT, b"x"), &half[..500]] {
            let mut socket = enter(&server, &id, "");
            write(&mut socket, begun);
            // Control frames are no part of it.
            if begun.len() < 100 {
                write(&mut socket, &frame(0x8a, b"still there"));
            }
            assert_eq!(socket.close_code(), Ok(1008), "{engine}");
        }
    }
}

#[test]
fn a_message_beyond_the_budget_closes_its_socket_with_1013() {
    for engine in WebsocketEngine::ALL {
        let server = server_with(|options| {
            options.websocket_engine = engine;
            options.arriving.connection_bytes = 1 << 20;
        });
        let mut socket = enter(&server, &server.create().id, "");
        write(&mut socket, &frame(TEXT, &vec![b'x'; 2 << 20]));
        assert_eq!(socket.close_code(), Ok(1013), "{engine}");
    }
}

/// A client of HTTP/1.1 that sends before it looks: closing under it would reset the connection, and the answer with it.
#[test]
fn a_refusal_reaches_a_client_that_is_still_sending() {
    const SENT: usize = 24 << 20;
    let server = Server::start();
    let id = server.create().id;
    for (status, path, kind, coding) in [
        (413, lines(&id), "text/plain", format!("content-length: {SENT}")),
        (415, lines(&id), "application/xml", format!("content-length: {SENT}")),
        (404, "/nowhere".to_owned(), "text/plain", format!("content-length: {SENT}")),
        (413, lines(&id), "text/plain", "transfer-encoding: chunked".to_owned()),
        (404, "/nowhere".to_owned(), "text/plain", "transfer-encoding: chunked".to_owned()),
    ] {
        let mut connection = server.connection();
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\n{coding}\r\n\r\n");
        let mut bytes = head.into_bytes();
        if coding.ends_with("chunked") {
            bytes.extend(format!("{SENT:x}\r\n").as_bytes());
        }
        bytes.resize(bytes.len() + SENT, b'x');
        // All of it goes out before anything is read.
        connection.socket.write_all(&bytes).unwrap_or_else(|error| panic!("{status} {coding}: {error}"));
        let answer = connection.answer("POST").unwrap();
        assert_eq!(answer.problem().unwrap().status, status, "{coding}");
        assert_eq!(answer.header("connection"), Some("close"));
    }
}

/// Known from its head: no byte of the body is waited for.
#[test]
fn a_length_above_the_bound_is_refused_at_once() {
    let server = Server::start();
    let id = server.create().id;
    let mut connection = begin(&server, &lines(&id), BODY_BYTES_MAX + 1, b"");
    assert_eq!(connection.answer("POST").unwrap().problem().unwrap().status, 413);
}

#[test]
fn a_stream_whose_request_has_a_body_is_served_and_freed_when_its_client_leaves() {
    let server = Server::start();
    let id = server.create().id;
    let mut connection = server.connection();
    let head = format!(
        "GET {} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 200000\r\n\r\n",
        path(Transport::Sse, &id, "")
    );
    connection.socket.write_all(head.as_bytes()).unwrap();
    connection.socket.write_all(&vec![b'x'; 100_000]).unwrap();
    assert_eq!(connection.head().unwrap().status, 200);
    server.append(&id, &["line"]);
    let mut text = String::new();
    while !text.contains("\"line\"") {
        text.push_str(&String::from_utf8(connection.piece().unwrap().unwrap()).unwrap());
    }
    drop(connection);
    wait_until("the waiter is freed", || server.waiters(Transport::Sse) == 0);
}
