//! `--linger`: a waiting answer lets lines gather behind a first one, and keeps back nothing else.

use std::time::{Duration, Instant};

use wirelab::context::LINGER_MAX;
use wirelab_clients::wire::{Batch, ServerFrame, Status, Transport, Wire};

use crate::http::{Api, SOON, path};
use crate::server::{Server, Setup, wait_until};

/// Far below the longest linger: what comes within it was not kept back.
const PATIENCE: Duration = Duration::from_secs(6);

fn lingering(linger: Duration) -> Server {
    let mut setup = Setup::default();
    setup.options.linger = linger;
    setup.start()
}

fn patient_below_the_linger(server: &Server) -> Api {
    assert!(PATIENCE < LINGER_MAX && LINGER_MAX < SOON);
    server.impatient(PATIENCE)
}

#[test]
fn a_held_poll_is_answered_with_all_that_came_until_the_end() {
    let server = lingering(LINGER_MAX);
    let api = patient_below_the_linger(&server);
    let id = server.create().id;
    let mut held = api.connection();
    held.send("GET", &path(Transport::LongPoll, &id, ""), &[], b"").unwrap();
    wait_until("the poll is held", || server.waiters(Transport::LongPoll) == 1);
    for text in ["one", "two", "three"] {
        server.append(&id, &[text]);
        assert_eq!(server.waiters(Transport::LongPoll), 1, "{text} alone was answered");
    }
    // The end is not kept back.
    server.finish(&id, Status::Succeeded);
    let batch: Batch = held.answer("GET").unwrap().json();
    assert_eq!((batch.lines.len(), batch.finished), (3, true));
}

#[test]
fn a_stream_sends_what_gathered_as_one_piece() {
    let server = lingering(LINGER_MAX);
    let api = patient_below_the_linger(&server);
    for transport in [Transport::Sse, Transport::Ndjson] {
        let id = server.create().id;
        let mut stream = api.stream(&path(transport, &id, ""), &[]).unwrap();
        stream.until("hello").unwrap();
        for text in ["one", "two"] {
            server.append(&id, &[text]);
            // Answered by the same server: by now a stream that does not linger has sent the first.
            server.show(&id);
        }
        server.finish(&id, Status::Succeeded);
        let gathered = loop {
            let piece = String::from_utf8(stream.connection.piece().unwrap().unwrap()).unwrap();
            if piece.contains("\"one\"") {
                break piece;
            }
        };
        assert!(gathered.contains("\"two\""), "{transport}: {gathered}");
    }
}

/// A lower bound holds on any machine.
#[test]
fn every_waiting_transport_keeps_a_first_line_for_the_linger() {
    const LINGER: Duration = Duration::from_millis(200);
    let server = lingering(LINGER);
    for transport in Transport::ALL {
        let id = server.create().id;
        let asked = match transport.wire() {
            Wire::ShortPoll => continue,
            Wire::LongPoll => {
                let mut held = server.connection();
                held.send("GET", &path(transport, &id, ""), &[], b"").unwrap();
                wait_until("the poll is held", || server.waiters(transport) == 1);
                let asked = Instant::now();
                server.append(&id, &["x"]);
                assert_eq!(held.answer("GET").unwrap().json::<Batch>().lines.len(), 1);
                asked
            }
            Wire::Sse | Wire::Ndjson => {
                let mut stream = server.stream(&path(transport, &id, ""), &[]).unwrap();
                stream.until("hello").unwrap();
                wait_until("the stream waits", || server.waiters(transport) == 1);
                let asked = Instant::now();
                server.append(&id, &["x"]);
                stream.until("\"x\"").unwrap();
                asked
            }
            Wire::Websocket => {
                let mut socket = server.websocket(&path(transport, &id, ""), &[]).unwrap();
                socket.told().unwrap();
                socket.told().unwrap();
                let asked = Instant::now();
                server.append(&id, &["x"]);
                assert!(matches!(socket.told(), Ok(ServerFrame::Line { .. })));
                asked
            }
        };
        let took = asked.elapsed();
        assert!(took >= LINGER, "{transport} came after {took:?}");
    }
}

/// L1 and L3 under a linger: what was there is answered at once, and a hold is a hold.
#[test]
fn lines_that_were_there_and_an_expiring_hold_are_not_kept_back() {
    let server = lingering(LINGER_MAX);
    let api = patient_below_the_linger(&server);
    let id = server.create().id;
    server.append(&id, &["x"]);
    let there = api.get(&path(Transport::LongPoll, &id, "?wait=55"));
    assert_eq!(there.json::<Batch>().lines.len(), 1);
    for transport in [Transport::Sse, Transport::Ndjson] {
        api.stream(&path(transport, &id, ""), &[]).unwrap().until("\"x\"").unwrap();
    }

    let mut held = api.connection();
    held.send("GET", &path(Transport::LongPoll, &id, "?from=now&wait=1"), &[], b"").unwrap();
    wait_until("the poll is held", || server.waiters(Transport::LongPoll) == 1);
    server.append(&id, &["y"]);
    let answer = held.answer("GET").unwrap();
    assert_eq!((answer.status, answer.json::<Batch>().lines.len()), (200, 1));
    assert_eq!(api.get(&path(Transport::LongPoll, &id, "?from=now&wait=0")).status, 204);
}

#[test]
fn a_full_batch_and_a_deletion_are_not_kept_back() {
    let server = lingering(LINGER_MAX);
    let api = patient_below_the_linger(&server);
    let id = server.create().id;
    let mut held = api.connection();
    let ask = path(Transport::LongPoll, &id, "?from=now");
    held.send("GET", &ask, &[], b"").unwrap();
    wait_until("the poll is held", || server.waiters(Transport::LongPoll) == 1);
    server.append(&id, &["x"; 600]);
    let batch: Batch = held.answer("GET").unwrap().json();
    assert_eq!((batch.lines.len(), batch.more), (512, true));

    held.send("GET", &ask, &[], b"").unwrap();
    wait_until("the poll is held", || server.waiters(Transport::LongPoll) == 1);
    server.append(&id, &["y"]);
    assert_eq!(server.ask("DELETE", &format!("/api/deployments/{id}"), &[], b"").status, 204);
    assert_eq!(held.answer("GET").unwrap().problem().unwrap().status, 404);
}

#[test]
fn goodbye_waits_for_no_linger() {
    let mut server = lingering(LINGER_MAX);
    let id = server.create().id;
    let mut held = patient_below_the_linger(&server).connection();
    held.send("GET", &path(Transport::LongPoll, &id, ""), &[], b"").unwrap();
    let mut stream = server.stream(&path(Transport::Sse, &id, ""), &[]).unwrap();
    stream.until("hello").unwrap();
    wait_until("both wait", || {
        server.waiters(Transport::LongPoll) == 1 && server.waiters(Transport::Sse) == 1
    });
    server.append(&id, &["x"]);
    let asked = Instant::now();
    server.say_goodbye();
    // The line is not lost: the client comes back with its cursor.
    assert_eq!(held.answer("GET").unwrap().json::<Batch>().lines.len(), 1);
    stream.rest().unwrap();
    server.join();
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
}
