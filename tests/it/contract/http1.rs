//! What only the server's own loop of HTTP/1.1 keeps (docs/protocol.md, "Bounds, overload, goodbye").

use std::io::Write;

use wirelab_clients::wire::{Batch, Transport};

use crate::http::{Connection, half_close, path};
use crate::server::{Server, wait_until};

fn write(connection: &mut Connection, bytes: &[u8]) {
    connection.socket.write_all(bytes).unwrap();
}

/// Each answer follows its own request, whatever waits behind it: one state for both would drop the first one's body, or
/// send one after the second's head.
#[test]
fn a_head_and_a_get_in_one_write_have_each_its_own_answer() {
    let server = Server::start();
    let mut connection = server.connection();
    let ask = |method: &str| format!("{method} /healthz HTTP/1.1\r\nhost: {}\r\n\r\n", server.authority);
    for _ in 0..2 {
        write(&mut connection, ["GET", "HEAD", "GET"].map(&ask).concat().as_bytes());
        let lengths = ["GET", "HEAD", "GET"].map(|method| connection.answer(method).unwrap().body.len());
        assert!(lengths[0] > 0 && lengths[1] == 0 && lengths[2] == lengths[0], "{lengths:?}");
    }
}

#[test]
fn requests_beyond_what_is_read_ahead_are_answered_too() {
    const REQUESTS: usize = 5_000;
    let server = Server::start();
    let id = server.create().id;
    let mut connection = server.connection();
    connection.send("GET", &path(Transport::LongPoll, &id, "?wait=50"), &[], b"").unwrap();
    wait_until("the poll is held", || server.waiters(Transport::LongPoll) == 1);
    let mut writer = connection.socket.try_clone().unwrap();
    let ask = format!("GET /healthz HTTP/1.1\r\nhost: {}\r\n\r\n", server.authority);
    let written = std::thread::spawn(move || writer.write_all(ask.repeat(REQUESTS).as_bytes()));
    server.append(&id, &["x"]);
    assert_eq!(connection.answer("GET").unwrap().json::<Batch>().lines.len(), 1);
    for _ in 0..REQUESTS {
        assert_eq!(connection.answer("GET").unwrap().status, 200);
    }
    written.join().unwrap().unwrap();
}

/// As `nc -N` does.
#[test]
fn a_request_whose_client_sends_nothing_more_is_answered_if_the_answer_is_there() {
    let server = Server::start();
    let mut connection = server.connection();
    connection.send("GET", "/healthz", &[], b"").unwrap();
    half_close(&connection.socket);
    assert_eq!(connection.answer("GET").unwrap().status, 200);
    assert!(connection.is_closed_by_server());
}

#[test]
fn a_held_poll_ends_with_its_client() {
    let server = Server::start();
    let id = server.create().id;
    let mut connection = server.connection();
    connection.send("GET", &path(Transport::LongPoll, &id, "?wait=50"), &[], b"").unwrap();
    wait_until("the poll is held", || server.waiters(Transport::LongPoll) == 1);
    half_close(&connection.socket);
    assert!(connection.is_closed_by_server());
    wait_until("the poll has ended", || server.waiters(Transport::LongPoll) == 0);
}

#[test]
fn a_head_that_is_malformed_or_too_long_is_refused_and_closes_the_connection() {
    let server = Server::start();
    let long = format!("GET / HTTP/1.1\r\nhost: x\r\ncookie: {}", "x".repeat(200_000));
    for (head, status) in [
        ("GET\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", 400),
        (&long, 431),
    ] {
        let mut connection = server.connection();
        // The answer to an earlier request is complete before.
        connection.send("GET", "/healthz", &[], b"").unwrap();
        assert_eq!(connection.answer("GET").unwrap().status, 200);
        // The server may close before the last byte of a long head has left.
        let _ = connection.socket.write_all(head.as_bytes());
        let refused = connection.answer("GET").unwrap();
        assert_eq!((refused.status, refused.body.len()), (status, 0), "{:?}", &head[..head.len().min(80)]);
        assert_eq!(refused.header("connection"), Some("close"));
    }
}

#[test]
fn a_client_that_waits_for_100_gets_it_and_then_its_answer() {
    let server = Server::start();
    let id = server.create().id;
    let mut connection = server.connection();
    let head = format!(
        "POST /api/deployments/{id}/lines HTTP/1.1\r\nhost: {}\r\ncontent-type: text/plain\r\n\
         expect: 100-continue\r\ncontent-length: 5\r\n\r\n",
        server.authority
    );
    write(&mut connection, head.as_bytes());
    assert_eq!(connection.head().unwrap().status, 100);
    write(&mut connection, b"hello");
    assert_eq!(connection.answer("POST").unwrap().status, 201);
    assert_eq!(server.show(&id).lines, 1);
}

/// It came with its head, so nothing is left that could be taken for the next request.
#[test]
fn a_refused_body_that_has_come_as_a_whole_keeps_the_connection() {
    let server = Server::start();
    let mut connection = server.connection();
    for _ in 0..3 {
        let refused = connection.ask("POST", "/nowhere", &[], b"a body of some bytes").unwrap();
        assert_eq!((refused.status, refused.header("connection")), (404, None));
    }
}
