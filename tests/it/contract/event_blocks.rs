//! Blocks of an event stream as parsers meet them that are laxer than the standard.
//!
//! Such a parser hands over whatever stands between two blank lines, with data or without. A client that reads the data
//! of each event as JSON would fail at the first block without any.

use std::time::Duration;

use wirelab_clients::wire::{Status, Transport};

use super::websocket::server_with;
use crate::http::path;
use crate::server::{Server, wait_until};

/// Data of each block of a body, by the name of its event. What follows the last blank line is no block.
fn blocks(body: &str) -> Vec<(String, String)> {
    let mut blocks: Vec<_> = body.split("\n\n").collect();
    blocks.pop();
    let field = |block: &str, name: &str| {
        let mut values = block.lines().filter_map(|line| line.strip_prefix(name));
        values.next().map(str::to_owned)
    };
    let read = |block: &str| {
        let data = field(block, "data: ").unwrap_or_else(|| panic!("without data: {block:?} in {body:?}"));
        (field(block, "event: ").unwrap_or_default(), data)
    };
    blocks.into_iter().map(read).collect()
}

fn names(body: &str) -> Vec<String> {
    blocks(body).into_iter().map(|(name, _)| name).collect()
}

/// What every test here starts: heartbeats are due often.
fn hasty() -> Server {
    server_with(|options| options.heartbeat = Duration::from_millis(20))
}

#[test]
fn every_block_of_a_stream_is_an_event_with_data() {
    let server = hasty();
    let id = server.create().id;
    let mut plain = server.stream(&path(Transport::Sse, &id, ""), &[]).unwrap();
    let mut asking = server.stream(&path(Transport::Sse, &id, "?heartbeat=event"), &[]).unwrap();
    plain.until(": heartbeat").unwrap();
    asking.until("event: heartbeat\n").unwrap();
    server.append(&id, &["x"]);
    plain.until("\"text\":\"x\"").unwrap();
    server.finish(&id, Status::Succeeded);
    let body = plain.rest().unwrap();
    assert_eq!(names(&body), ["hello", "", "finished"], "{body}");
    let body = asking.rest().unwrap();
    let mut names = names(&body);
    names.retain(|name| name != "heartbeat");
    assert_eq!(names, ["hello", "", "finished"], "{body}");
}

#[test]
fn goodbye_and_overload_are_no_events() {
    let server = server_with(|options| options.connections_max = 2);
    let id = server.create().id;
    // The connection that created the deployment may not be gone yet.
    let follow = |transport| {
        let mut stream = None;
        wait_until("a place is free", || {
            stream = server.stream(&path(transport, &id, ""), &[]).ok();
            stream.is_some()
        });
        stream.unwrap()
    };
    let stream = follow(Transport::Sse);
    let _other = follow(Transport::Ndjson);
    let overload = server.get(&path(Transport::Sse, &id, ""));
    assert!(overload.text().starts_with("retry: "), "{}", overload.text());
    assert!(blocks(overload.text()).is_empty());
    server.say_goodbye();
    let body = stream.rest().unwrap();
    assert_eq!(names(&body), ["hello"], "{body}");
    assert!(body.lines().next_back().unwrap().starts_with("retry: "), "{body}");
}

#[test]
fn a_heartbeat_is_an_event_without_an_id_for_a_client_that_asks_for_one() {
    let server = hasty();
    let id = server.create().id;
    let mut stream = server.stream(&path(Transport::Sse, &id, "?from=now&heartbeat=event"), &[]).unwrap();
    stream.until(&"event: heartbeat\ndata: {}\n\n".repeat(3)).unwrap();
    server.finish(&id, Status::Succeeded);
    let body = stream.rest().unwrap();
    let comments: Vec<_> = body.lines().filter(|line| line.starts_with(':')).collect();
    assert_eq!(comments, [": connected"], "{body}");
    for block in body.split("\n\n").filter(|block| block.contains("event: heartbeat")) {
        assert!(!block.contains("id:"), "{block}");
    }
}

#[test]
fn another_kind_of_heartbeat_is_refused_by_name() {
    let server = Server::start();
    let id = server.create().id;
    for value in ["", "comment", "Event", "1"] {
        let refused = server.get(&path(Transport::Sse, &id, &format!("?heartbeat={value}")));
        assert_eq!(refused.status, 400, "{value:?}");
        let detail = refused.problem().unwrap().detail;
        assert!(detail.contains("heartbeat") && detail.contains(&format!("{value:?}")), "{detail}");
    }
    let twice = server.get(&path(Transport::Sse, &id, "?heartbeat=event&heartbeat=event"));
    assert_eq!(twice.status, 400);
    // Elsewhere it is a parameter like any other that is not known.
    assert_eq!(server.get(&path(Transport::ShortPoll, &id, "?heartbeat=comment")).status, 200);
}
