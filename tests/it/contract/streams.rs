//! SSE and NDJSON as bytes: heads, ids, heartbeats, reconnection times, old clients.

use std::collections::HashSet;
use std::time::Duration;

use wirelab_clients::wire::{Status, Transport};

use crate::http::path;
use crate::server::{Server, Setup};

const STREAMS: [Transport; 2] = [Transport::Sse, Transport::Ndjson];

/// S1, S11.
#[test]
fn a_streams_head_says_that_it_is_one_whatever_is_accepted() {
    let server = Server::start();
    let id = server.create().id;
    for transport in STREAMS {
        for accept in [None, Some("*/*"), Some("text/event-stream"), Some("text/html, */*;q=0.1")] {
            let headers: Vec<_> = accept.iter().map(|accept| ("accept", *accept)).collect();
            let stream = server.stream(&path(transport, &id, ""), &headers).unwrap();
            let head = &stream.head;
            assert_eq!((head.status, head.header("content-length")), (200, None), "{transport} {accept:?}");
            assert_eq!(head.header("transfer-encoding"), Some("chunked"));
            assert_eq!(head.header("cache-control"), Some("no-store"));
            assert_eq!(head.header("x-accel-buffering"), Some("no"));
        }
    }
    let sse = server.stream(&path(Transport::Sse, &id, ""), &[]).unwrap();
    assert_eq!(sse.head.header("content-type"), Some("text/event-stream"));
    let ndjson = server.stream(&path(Transport::Ndjson, &id, ""), &[]).unwrap();
    assert_eq!(ndjson.head.header("content-type"), Some("application/x-ndjson"));
}

/// S3, S4, S5.
#[test]
fn events_have_an_id_and_one_space_and_a_heartbeat_has_neither() {
    let mut setup = Setup::default();
    setup.options.heartbeat = Duration::from_millis(20);
    let server = setup.start();
    let id = server.create().id;
    let cursor = server.append(&id, &[" two leading spaces survive: ", ""]).cursor;
    let mut sse = server.stream(&path(Transport::Sse, &id, ""), &[]).unwrap();
    sse.until(": heartbeat\n: heartbeat\n").unwrap();
    server.finish(&id, Status::Succeeded);
    let body = sse.rest().unwrap().replace(": heartbeat\n", "");
    let (start, hello) = body.split_once("event: ").unwrap();
    // The reconnection time stands in the block of the first event.
    assert!(start.starts_with(": connected\nretry: ") && start.lines().count() == 2, "{start:?}");
    let events = format!("event: {hello}");
    let events: Vec<_> = events.strip_suffix("\n\n").unwrap().split("\n\n").collect();
    assert_eq!(events.len(), 4, "{body}");
    for event in &events {
        for field in event.lines() {
            let (name, value) = field.split_once(": ").expect("one colon and one space");
            assert!(["id", "event", "data"].contains(&name) && !value.starts_with(' '), "{field:?}");
        }
        let ids: Vec<_> = event.lines().filter_map(|field| field.strip_prefix("id: ")).collect();
        assert!(matches!(ids[..], [id] if id.starts_with(&cursor.epoch.to_string())), "{event:?}");
    }
    assert!(events[0].starts_with("event: hello\nid: "), "{body}");
}

/// S6, on the wire: clients that were cut together must not come back together.
#[test]
fn reconnection_times_are_digits_and_differ() {
    let server = Server::start();
    let id = server.create().id;
    let times: HashSet<u64> = (0..20)
        .map(|_| {
            let mut stream = server.stream(&path(Transport::Sse, &id, ""), &[]).unwrap();
            let start = stream.until("\n\n").unwrap();
            let retry = start.lines().find_map(|line| line.strip_prefix("retry: ")).unwrap();
            assert!(retry.bytes().all(|byte| byte.is_ascii_digit()), "{retry:?}");
            retry.parse().unwrap()
        })
        .collect();
    assert!(times.len() > 10, "{times:?}");
    assert!(times.iter().all(|ms| (100..60_000).contains(ms)), "{times:?}");
}

/// S7.
#[test]
fn after_the_end_an_event_stream_is_204_without_a_body() {
    let server = Server::start();
    let id = server.create().id;
    let cursor = server.append(&id, &["x"]).cursor.to_string();
    server.finish(&id, Status::Failed);
    let mut connection = server.connection();
    for _ in 0..2 {
        let headers = [("last-event-id", cursor.as_str())];
        let answer = connection.ask("GET", &path(Transport::Sse, &id, ""), &headers, b"").unwrap();
        assert_eq!((answer.status, answer.header("content-length")), (204, None));
    }
}

/// N1: whatever a text holds, a record is one line.
#[test]
fn a_record_holds_no_line_end() {
    let server = Server::start();
    let id = server.create().id;
    let texts = ["a\nb", "a\r\nb", "\n", "\u{2028}\u{85}", "nul\0"];
    server.append(&id, &texts);
    server.finish(&id, Status::Succeeded);
    let body = server.stream(&path(Transport::Ndjson, &id, ""), &[]).unwrap().rest().unwrap();
    assert!(body.ends_with('\n') && !body.contains(['\r', '\0']));
    let records: Vec<serde_json::Value> =
        body.lines().map(|record| serde_json::from_str(record).unwrap()).collect();
    assert_eq!(records.len(), texts.len() + 2);
    for (record, text) in records[1..].iter().zip(texts) {
        assert_eq!(record["text"], text);
    }
}

/// N5, and as much for events: without chunks, the end of the connection is the end of the body.
#[test]
fn a_stream_of_http_1_0_is_delimited_by_its_connection() {
    let server = Server::start();
    for transport in STREAMS {
        let id = server.create().id;
        server.append(&id, &["x"]);
        server.finish(&id, Status::Succeeded);
        let answer = server.get_http_1_0(&path(transport, &id, ""));
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let head = head.to_ascii_lowercase();
        assert!(head.lines().next().unwrap().contains(" 200 "), "{head}");
        assert!(!head.contains("transfer-encoding") && !head.contains("content-length"), "{head}");
        assert!(!head.contains("keep-alive"), "{head}");
        // The first byte after the head is the stream's own: no size of a chunk stands there.
        assert!(
            body.starts_with(if transport == Transport::Sse { ": connected" } else { "{\"hello\"" }),
            "{body}"
        );
        assert!(body.contains("\"text\":\"x\"") && body.contains("succeeded"), "{body}");
    }
}
