//! Bounds, overload, heartbeats and goodbye (§1.4, §1.5).

use std::io::Write;
use std::time::{Duration, Instant};

use wirelab::server::Options;
use wirelab_clients::wire::{BODY_BYTES_MAX, ServerFrame, Status, Transport};

use crate::http::{Headers, PING, TEXT, path};
use crate::server::{Server, Setup, wait_until};

fn server_with(change: impl FnOnce(&mut Options)) -> Server {
    let mut setup = Setup::default();
    change(&mut setup.options);
    setup.start()
}

#[test]
fn a_silent_stream_shows_its_first_bytes_at_once() {
    let server = Server::start();
    let id = server.create().id;
    let asked = Instant::now();
    let mut sse = server.stream(&path(Transport::Sse, &id, ""), &[]).unwrap();
    let first = sse.until("event: hello").unwrap().to_owned();
    let mut ndjson = server.stream(&path(Transport::Ndjson, &id, ""), &[]).unwrap();
    ndjson.until("hello").unwrap();
    let mut socket = server.websocket(&path(Transport::Websocket, &id, ""), &[]).unwrap();
    assert_eq!(socket.told(), Ok(ServerFrame::Hello { heartbeat_s: 15 }));
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");

    let cursor = server.show(&id).next;
    let whole = sse.until("}\n\n").unwrap();
    let (connected, rest) = first.split_once('\n').unwrap();
    let retry = rest.lines().next().unwrap().strip_prefix("retry: ").unwrap();
    assert_eq!(connected, ": connected");
    assert!(retry.bytes().all(|b| b.is_ascii_digit()));
    let hello = format!("event: hello\nid: {cursor}\ndata: {{\"cursor\":\"{cursor}\"}}\n\n");
    assert!(whole.ends_with(&hello), "{whole}");
}

#[test]
fn a_line_is_one_unnamed_event_whose_id_is_its_cursor() {
    let server = Server::start();
    let id = server.create().id;
    let mut sse = server.stream(&path(Transport::Sse, &id, ""), &[]).unwrap();
    sse.until("}\n\n").unwrap();
    let cursor = server.append(&id, &["a\r\nb"]).cursor;
    server.finish(&id, Status::Failed);
    let at_us = server.lines(&id, "").lines[0].at_us;
    let body = sse.rest().unwrap();
    let expected = format!(
        "}}\n\nid: {cursor}\ndata: {{\"seq\":1,\"at_us\":{at_us},\"text\":\"a\\r\\nb\"}}\n\n\
         event: finished\nid: {cursor}\ndata: {{\"cursor\":\"{cursor}\",\"status\":\"failed\"}}\n\n"
    );
    assert!(body.ends_with(&expected), "{body:?}");
}

#[test]
fn a_frame_that_declares_more_than_the_bound_is_refused_before_it_has_arrived() {
    let server = Server::start();
    let id = server.create().id;
    let mut socket = server.websocket(&path(Transport::Websocket, &id, ""), &[]).unwrap();
    socket.told().unwrap();
    socket.told().unwrap();
    // A masked text frame of 2^40 bytes, of which a little more than the bound is sent.
    let mut start = vec![0x81, 0xff];
    start.extend_from_slice(&(1_u64 << 40).to_be_bytes());
    start.extend_from_slice(&[0; 4]);
    let mut writer = socket.connection.socket.try_clone().unwrap();
    let sent = std::thread::spawn(move || {
        writer.write_all(&start).and_then(|()| writer.write_all(&vec![b'x'; BODY_BYTES_MAX + (64 << 10)]))
    });
    assert_eq!(socket.close_code(), Ok(1009));
    // The server may be gone before it took the rest.
    let _ = sent.join().unwrap();
}

#[test]
fn silence_is_broken_by_heartbeats() {
    let server = server_with(|options| options.heartbeat = Duration::from_millis(100));
    let id = server.create().id;
    let mut sse = server.stream(&path(Transport::Sse, &id, ""), &[]).unwrap();
    sse.until(": heartbeat\n\n: heartbeat\n\n").unwrap();
    let mut ndjson = server.stream(&path(Transport::Ndjson, &id, ""), &[]).unwrap();
    ndjson.until("}}\n\n\n").unwrap();
    let mut socket = server.websocket(&path(Transport::Websocket, &id, ""), &[]).unwrap();
    socket.told().unwrap();
    socket.told().unwrap();
    assert_eq!(socket.frame().unwrap().0, PING);
}

#[test]
fn a_socket_that_never_answers_a_ping_is_closed_and_one_that_does_lives() {
    const PONG: u8 = 10;
    let server = server_with(|options| options.heartbeat = Duration::from_millis(50));
    let id = server.create().id;
    let mut silent = server.websocket(&path(Transport::Websocket, &id, ""), &[]).unwrap();
    let mut lively = server.websocket(&path(Transport::Websocket, &id, ""), &[]).unwrap();
    for socket in [&mut silent, &mut lively] {
        socket.told().unwrap();
        socket.told().unwrap();
    }
    for _ in 0..10 {
        let (opcode, payload) = lively.frame().unwrap();
        assert_eq!(opcode, PING);
        lively.send(PONG, &payload).unwrap();
    }
    let closed = loop {
        match silent.frame().unwrap() {
            (PING, _) => {}
            (opcode, payload) => break (opcode, u16::from_be_bytes([payload[0], payload[1]])),
        }
    };
    assert_eq!(closed, (crate::http::CLOSE, 1008));
}

#[test]
fn a_websocket_answers_commands_and_survives_bad_ones() {
    let server = Server::start();
    let id = server.create().id;
    let mut socket = server.websocket(&path(Transport::Websocket, &id, ""), &[]).unwrap();
    socket.told().unwrap();
    socket.told().unwrap();
    socket.send(TEXT, br#"{"type":"ping","ref":[1,"x"]}"#).unwrap();
    match socket.told().unwrap() {
        ServerFrame::Pong { reference, .. } => assert_eq!(reference, Some(serde_json::json!([1, "x"]))),
        frame => panic!("{frame:?}"),
    }
    for bad in [&b"{"[..], b"7", br#"["ping"]"#, br#"{"type":"fly","ref":1}"#, br#"{"ref":1}"#] {
        socket.send(TEXT, bad).unwrap();
        match socket.told().unwrap() {
            ServerFrame::Error { problem, .. } => assert_eq!(problem.status, 400),
            frame => panic!("{frame:?}"),
        }
    }
    let cursor = server.append(&id, &["still here"]).cursor;
    assert!(matches!(socket.told(), Ok(ServerFrame::Line { line, .. }) if line.seq == cursor.after));
}

#[test]
fn an_unfit_handshake_is_refused_as_plain_http() {
    let server = Server::start();
    let id = server.create().id;
    let path = path(Transport::Websocket, &id, "");
    assert_eq!(server.get(&path).problem().unwrap().status, 400);
    let upgrade = |version: &str| {
        let headers: Headers = &[
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", version),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let mut connection = server.connection();
        connection.send("GET", &path, headers, b"").unwrap();
        connection.answer("GET").unwrap()
    };
    let old = upgrade("8");
    assert_eq!(old.problem().unwrap().status, 426);
    assert_eq!(old.header("sec-websocket-version"), Some("13"));
    let good = upgrade("13");
    assert_eq!(good.status, 101);
    // The example of RFC 6455 §1.3.
    assert_eq!(good.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(good.header("sec-websocket-extensions"), None);
}

#[test]
fn one_connection_too_many_is_told_to_come_back_later() {
    let server = server_with(|options| options.connections_max = 2);
    let mut first = server.connection();
    assert_eq!(first.ask("POST", "/api/deployments", &[], br#"{"name":"x"}"#).unwrap().status, 201);
    let listed: Vec<wirelab_clients::wire::Deployment> =
        first.ask("GET", "/api/deployments", &[], b"").unwrap().json();
    let id = &listed[0].id;
    let mut second = server.connection();
    assert_eq!(second.ask("GET", "/healthz", &[], b"").unwrap().status, 200);

    for over in [Transport::ShortPoll, Transport::LongPoll, Transport::Ndjson] {
        let answer = server.get(&path(over, id, ""));
        assert_eq!(answer.problem().unwrap().status, 503, "{over}");
        assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
    }
    let refused = server.websocket(&path(Transport::Websocket, id, ""), &[]).err().unwrap();
    assert_eq!(refused.problem().unwrap().status, 503);

    // A 503 would stop a browser's EventSource for good.
    let mut sse = server.connection();
    let answer = sse.ask("GET", &path(Transport::Sse, id, ""), &[], b"").unwrap();
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/event-stream")));
    let retry = answer.text().strip_prefix("retry: ").and_then(|rest| rest.strip_suffix("\n\n")).unwrap();
    assert!(retry.parse::<u64>().unwrap() >= 1_000);
    assert!(sse.is_closed_by_server());

    // A place that becomes free is given away.
    drop(second);
    wait_until("a place is free", || server.get("/healthz").status == 200);
}

#[test]
fn goodbye_ends_everything_properly_in_under_two_seconds() {
    let mut server = Server::start();
    let id = server.create().id;
    let mut polls: Vec<_> = (0..3).map(|_| server.connection()).collect();
    for poll in &mut polls {
        poll.send("GET", &path(Transport::LongPoll, &id, "?wait=55"), &[], b"").unwrap();
    }
    let mut sse = server.stream(&path(Transport::Sse, &id, ""), &[]).unwrap();
    sse.until("}\n\n").unwrap();
    let mut ndjson = server.stream(&path(Transport::Ndjson, &id, ""), &[]).unwrap();
    ndjson.until("}}\n").unwrap();
    let mut socket = server.websocket(&path(Transport::Websocket, &id, ""), &[]).unwrap();
    socket.told().unwrap();
    socket.told().unwrap();
    let mut idle = server.connection();
    assert_eq!(idle.ask("GET", &path(Transport::ShortPoll, &id, ""), &[], b"").unwrap().status, 200);
    wait_until("the polls are held", || server.waiters(Transport::LongPoll) == 3);
    let cursor = server.show(&id).next;

    let asked = Instant::now();
    server.say_goodbye();
    for mut poll in polls {
        let answer = poll.answer("GET").unwrap();
        assert_eq!((answer.status, answer.header("connection")), (204, Some("close")));
        assert_eq!(answer.header("etag"), Some(format!("\"{cursor}\"").as_str()));
        assert!(poll.is_closed_by_server());
    }
    let last = sse.rest().unwrap();
    let (_, retry) = last.rsplit_once("}\n\nretry: ").unwrap();
    assert!(retry.strip_suffix("\n\n").unwrap().parse::<u64>().unwrap() > 0);
    assert!(ndjson.rest().unwrap().ends_with("}}\n"));
    assert_eq!(socket.close_code(), Ok(1001));
    assert!(idle.is_closed_by_server());
    server.join();
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn an_ndjson_stream_is_hello_lines_and_its_end() {
    let server = Server::start();
    let id = server.create().id;
    let cursor = server.append(&id, &["x"]).cursor;
    server.finish(&id, Status::Succeeded);
    let at_us = server.lines(&id, "").lines[0].at_us;
    let body = server.stream(&path(Transport::Ndjson, &id, ""), &[]).unwrap().rest().unwrap();
    let epoch = &cursor.epoch;
    assert_eq!(
        body,
        format!(
            "{{\"hello\":{{\"cursor\":\"{epoch}.0\"}}}}\n{{\"seq\":1,\"at_us\":{at_us},\"text\":\"x\"}}\n\
             {{\"finished\":{{\"cursor\":\"{cursor}\",\"status\":\"succeeded\"}}}}\n"
        )
    );
}
