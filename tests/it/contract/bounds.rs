//! First bytes, heartbeats, overload and goodbye (docs/protocol.md, "Streams" and "Bounds, overload, goodbye").

use std::time::{Duration, Instant};

use wirelab::context::ServerOptions;
use wirelab_clients::wire::{ServerFrame, Status, Transport};

use crate::http::{PING, path};
use crate::server::{Server, Setup, wait_until};

fn server_with(change: impl FnOnce(&mut ServerOptions)) -> Server {
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
fn silence_is_broken_by_heartbeats() {
    let server = server_with(|options| options.heartbeat = Duration::from_millis(100));
    let id = server.create().id;
    let mut sse = server.stream(&path(Transport::Sse, &id, ""), &[]).unwrap();
    sse.until(": heartbeat\n: heartbeat\n").unwrap();
    let mut ndjson = server.stream(&path(Transport::Ndjson, &id, ""), &[]).unwrap();
    ndjson.until("}}\n\n\n").unwrap();
    let mut socket = server.websocket(&path(Transport::Websocket, &id, ""), &[]).unwrap();
    socket.told().unwrap();
    socket.told().unwrap();
    assert_eq!(socket.frame().unwrap().0, PING);
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
    let retry = answer.text().strip_prefix("retry: ").and_then(|rest| rest.strip_suffix('\n')).unwrap();
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
    assert!(retry.strip_suffix('\n').unwrap().parse::<u64>().unwrap() > 0);
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
