//! Bounds per address, over the network of this machine. The loopback has none.
//!
//! A machine without another address than the loopback leaves the tests of `src/access/addresses.rs`.

use super::*;
use crate::http::{Connection, SOON};
use crate::server::{Binary, own_address, wait_until};

/// A server that everybody may use, seen from another address than the loopback, and from the loopback.
struct Bounded {
    server: Binary,
    outside: Api,
    inside: Api,
}

fn bounded(bounds: &[&str]) -> Option<Bounded> {
    let Some(address) = own_address() else {
        println!("this machine has no address but its loopback");
        return None;
    };
    let server = Binary::serve("0.0.0.0:0", &[&["--store", "memory", "--open"], bounds].concat());
    let (_, port) = server.authority.rsplit_once(':').unwrap();
    let (outside, inside) = (Api::new(format!("{address}:{port}")), Api::new(format!("127.0.0.1:{port}")));
    Some(Bounded { server, outside, inside })
}

#[track_caller]
fn refused(answer: &Answer, flag: &str) {
    let problem = answer.problem().unwrap();
    assert!(problem.status == 429 && problem.detail.contains(flag), "{}: {}", problem.status, problem.detail);
    let wait_s: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait_s), "{wait_s}");
}

#[test]
fn one_address_has_so_many_connections_and_the_next_is_answered() {
    let Some(Bounded { server: _server, outside, inside }) = bounded(&["--address-connections-max", "3"])
    else {
        return;
    };
    let id = inside.create().id;
    let sse = format!("/api/deployments/{id}/sse");
    let held: Vec<_> = (0..3).map(|_| outside.stream(&sse, &[]).unwrap()).collect();
    refused(&outside.get("/api/deployments"), "--address-connections-max");
    // A browser gives up an EventSource for good after any status but 200.
    let stream = outside.get(&sse);
    assert_eq!((stream.status, stream.header("content-type")), (200, Some("text/event-stream")));
    assert!(stream.text().starts_with("retry: "), "{}", stream.text());
    for _ in 0..10 {
        assert_eq!(inside.get("/api/deployments").status, 200, "others have theirs");
    }
    // Far beyond, nothing is answered, so that refusals do not take what others need.
    let silent: Vec<_> = (0..40).map(|_| outside.connection()).collect();
    wait_until("a connection is closed without an answer", || {
        let answer = outside.try_ask("GET", "/healthz", &[], b"");
        answer.is_err()
    });
    drop(silent);
    drop(held);
    wait_until("a place is free again", || {
        outside.try_ask("GET", "/healthz", &[], b"").is_ok_and(|answer| answer.status == 200)
    });
}

#[test]
fn one_address_sends_so_many_requests_per_second() {
    let Some(Bounded { server: _server, outside, inside }) = bounded(&["--address-requests-max", "5"]) else {
        return;
    };
    let ask = |api: &Api| {
        let mut connection = Connection::open(&api.authority, SOON).unwrap();
        connection.ask("GET", "/api/transports", &[], b"").unwrap()
    };
    let answers: Vec<_> = (0..40).map(|_| ask(&outside)).collect();
    let beyond: Vec<_> = answers.iter().filter(|answer| answer.status == 429).collect();
    assert!(answers[..10].iter().all(|answer| answer.status == 200), "two seconds of them at once");
    assert!(!beyond.is_empty(), "40 requests took less than 6 s");
    beyond.iter().for_each(|answer| refused(answer, "--address-requests-max"));
    assert!((0..40).all(|_| ask(&inside).status == 200));
    let mut connection = outside.connection();
    let hasty = (0..40).map(|_| connection.ask("GET", "/healthz", &[], b"").unwrap().status);
    assert!(hasty.collect::<Vec<_>>().contains(&429), "one connection is not more than many");
    wait_until("after a while it may again", || ask(&outside).status == 200);
}

#[test]
fn one_address_creates_so_many_deployments_per_minute() {
    let Some(Bounded { server: _server, outside, inside }) = bounded(&["--address-creations-max", "2"])
    else {
        return;
    };
    let create = |api: &Api| api.post("/api/deployments", "application/json", r#"{"name":"x"}"#);
    let answers: Vec<_> = (0..4).map(|_| create(&outside)).collect();
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [201, 201, 429, 429]);
    refused(&answers[3], "--address-creations-max");
    assert_eq!(outside.get("/api/deployments").json::<Vec<serde_json::Value>>().len(), 2, "reading goes on");
    assert!((0..5).all(|_| create(&inside).status == 201));
}

#[test]
fn zero_turns_a_bound_off() {
    let off =
        ["--address-connections-max", "0", "--address-requests-max", "0", "--address-creations-max", "0"];
    let Some(Bounded { server: _server, outside, inside: _ }) = bounded(&off) else { return };
    for _ in 0..80 {
        let answer = outside.post("/api/deployments", "application/json", r#"{"name":"x"}"#);
        assert_eq!(answer.status, 201, "the default is 60");
    }
}
