//! The network between the server and its clients: whom it delays, whom not, and how it ends.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::timeout;
use wirelab_clients::wire::{Deployment, Transport};

use crate::http::{Answer, Api, Connection, SOON, Socket, path};
use crate::http2::Http2;
use crate::server::{Server, Setup, wait_until};

const NETWORK: &str = "/api/lab/network";
const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
const TEXT: [(&str, &str); 1] = [("content-type", "text/plain")];
/// A silence that is not over before a busy machine has sent something into it.
const SILENCE: Duration = Duration::from_secs(5);
/// The delay of these tests, each way.
const DELAY: Duration = Duration::from_millis(80);
/// Longest time of the quickest of five exchanges without delay. It is below `DELAY`, so a delay is told from a busy
/// machine.
const PROMPT: Duration = Duration::from_millis(75);

fn set(api: &Api, network: &Value) -> Answer {
    api.ask("PUT", NETWORK, JSON, network.to_string().as_bytes())
}

#[track_caller]
fn delays(api: &Api) {
    let answer = set(api, &json!({ "delay_ms": DELAY.as_millis() as u64 }));
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn none() -> Value {
    json!({ "delay_ms": 0.0, "jitter_ms": 0.0, "link_kbit_s": null, "silence_s": 0.0 })
}

fn shown(api: &Api) -> Value {
    api.get(NETWORK).json()
}

/// What is left of a silence, s.
fn left(api: &Api) -> f64 {
    shown(api)["silence_s"].as_f64().unwrap()
}

/// Whether a silence of this length, which was just set, has begun. It is announced 0.1 s before, and a busy machine may
/// begin it later than it should.
fn is_on(api: &Api, length: Duration) -> bool {
    left(api) < length.as_secs_f64() - 0.5
}

/// How long an exchange over an open connection takes.
fn exchange(connection: &mut Connection, path: &str) -> Duration {
    let asked = Instant::now();
    let answer = connection.ask("GET", path, &[], b"").unwrap();
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    asked.elapsed()
}

/// The quickest of some: a busy machine makes some of them late, and a delay makes all of them late.
fn quickest(connection: &mut Connection, path: &str) -> Duration {
    (0..5).map(|_| exchange(connection, path)).min().unwrap()
}

/// How long ago the first line of this text was appended.
fn since_append(text: &str) -> Duration {
    let at_us = text.split_once("\"at_us\":").unwrap().1.split_once(',').unwrap().0;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    now - Duration::from_micros(at_us.parse().unwrap())
}

/// How long the server takes to tell its clock over the socket of a page's ledgers: the quickest of some.
fn clock(ledgers: &mut Socket) -> Duration {
    let ask = |_| {
        let asked = Instant::now();
        ledgers.send(1, br#"{"type":"clock","ref":1}"#).unwrap();
        let told: Value = serde_json::from_slice(&ledgers.frame().unwrap().1).unwrap();
        assert_eq!(told["type"], "clock");
        asked.elapsed()
    };
    (0..5).map(ask).min().unwrap()
}

#[test]
fn it_is_shown_set_as_a_whole_and_taken_away() {
    let server = Server::start();
    assert_eq!(shown(&server), none());
    let asked = json!({ "delay_ms": 100, "jitter_ms": 20.5, "link_kbit_s": 1600 });
    let expected = json!({ "delay_ms": 100.0, "jitter_ms": 20.5, "link_kbit_s": 1600, "silence_s": 0.0 });
    let answer = set(&server, &asked);
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")), "{}", answer.text());
    assert_eq!(answer.json::<Value>(), expected);
    assert_eq!(shown(&server), expected);
    // What is absent is nothing.
    let answer: Value = set(&server, &json!({ "delay_ms": 5 })).json();
    assert_eq!(answer, json!({ "delay_ms": 5.0, "jitter_ms": 0.0, "link_kbit_s": null, "silence_s": 0.0 }));
    let answer = server.ask("DELETE", NETWORK, &[], b"");
    assert_eq!((answer.status, answer.json::<Value>()), (200, none()));
}

#[test]
fn a_value_that_makes_no_sense_is_refused_by_name_and_range() {
    let server = Server::start();
    for (body, said) in [
        (r#"{"delay_ms":300.1}"#, "delay_ms 300.1 is out of range; give 0 to 300 ms each way"),
        (r#"{"delay_ms":-1}"#, "delay_ms -1"),
        (r#"{"delay_ms":1e999}"#, "number out of range"),
        (r#"{"delay_ms":10,"jitter_ms":10.5}"#, "jitter_ms 10.5 is out of range; give 0 to 10"),
        (r#"{"jitter_ms":-1}"#, "jitter_ms -1"),
        (r#"{"link_kbit_s":31}"#, "link_kbit_s 31 is out of range; give 32 to 1000000 kbit/s"),
        (r#"{"link_kbit_s":1000001}"#, "link_kbit_s 1000001"),
        (r#"{"link_kbit_s":-1}"#, "invalid value"),
        (r#"{"silence_s":30.1}"#, "silence_s 30.1 is out of range; give 0 to 30 seconds"),
        (r#"{"silence_s":-0.1}"#, "silence_s -0.1"),
        (r#"{"delay_ms":"5"}"#, "invalid type"),
        (r#"{"delay":100}"#, "unknown field `delay`, expected one of `delay_ms`"),
        (r#"{"delay_ms":5,"silence":1}"#, "unknown field `silence`"),
        ("[5]", "an example: {\"delay_ms\":100"),
        ("", "an example"),
    ] {
        let answer = server.ask("PUT", NETWORK, JSON, body.as_bytes());
        let problem = answer.problem().unwrap();
        assert!(problem.status == 400 && problem.detail.contains(said), "{body}: {}", problem.detail);
    }
    assert_eq!(shown(&server), none(), "one of them was set");
    let answer = server.ask("PUT", &format!("{NETWORK}?page=X"), JSON, b"{}");
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert_eq!(server.post(NETWORK, "application/json", "{}").status, 405);
}

#[test]
fn a_new_connection_pays_a_round_trip_and_every_exchange_another() {
    let server = Server::start();
    delays(&server);
    let opened = Instant::now();
    let mut connection = server.connection();
    exchange(&mut connection, "/healthz");
    assert!(opened.elapsed() >= 4 * DELAY, "{:?}", opened.elapsed());
    let took = quickest(&mut connection, "/healthz");
    assert!(took >= 2 * DELAY, "{took:?}");
    assert!(took < 3 * DELAY, "an open connection pays for its opening again: {took:?}");
}

#[test]
fn connections_that_are_open_enter_it_and_leave_it() {
    let server = Server::start();
    let mut connection = server.connection();
    assert!(quickest(&mut connection, "/healthz") < PROMPT);
    delays(&server);
    let took = quickest(&mut connection, "/healthz");
    assert!(took >= 2 * DELAY && took < 4 * DELAY, "{took:?}");
    server.ask("DELETE", NETWORK, &[], b"");
    assert!(quickest(&mut connection, "/healthz") < PROMPT);
    assert!(quickest(&mut server.connection(), "/healthz") < PROMPT);
}

#[test]
fn a_line_of_a_stream_comes_one_delay_later_and_that_of_a_poll_two() {
    let server = Server::start();
    let id = server.create().id;
    let mut events = server.stream(&path(Transport::Sse, &id, "?from=now"), &[]).unwrap();
    let mut records = server.stream(&path(Transport::Ndjson, &id, "?from=now"), &[]).unwrap();
    let mut poll = server.connection();
    poll.send("GET", &path(Transport::LongPoll, &id, "?from=now&wait=20"), &[], b"").unwrap();
    wait_until("the poll is held", || server.waiters(Transport::LongPoll) == 1);
    delays(&server);
    let mut publisher = server.connection();
    let lines = format!("/api/deployments/{id}/lines");
    publisher.ask("POST", &lines, &TEXT, b"late").unwrap();
    for stream in [&mut events, &mut records] {
        let text = stream.until("late").unwrap().to_owned();
        assert!(since_append(&text) >= DELAY, "{text}");
    }
    let held = poll.answer("GET").unwrap();
    assert!(held.text().contains("late"), "{}", held.text());

    // One by one, to tell one delay from two. An append is answered one delay after it, like the line.
    let late = (1..=5).map(|number| {
        let text = format!("number {number}");
        publisher.ask("POST", &lines, &TEXT, text.as_bytes()).unwrap();
        let all = events.until(&text).unwrap();
        since_append(&all[all.rfind("data: ").unwrap()..])
    });
    let least = late.min().unwrap();
    assert!(least >= DELAY && least < 2 * DELAY, "{least:?}");
    let took = quickest(&mut poll, &path(Transport::ShortPoll, &id, ""));
    assert!(took >= 2 * DELAY && took < 4 * DELAY, "{took:?}");
}

#[test]
fn requests_of_the_lab_and_ledgers_pass_beside_it_and_the_next_request_does_not() {
    let server = Server::start();
    delays(&server);
    let mut connection = server.connection();
    assert!(quickest(&mut connection, NETWORK) < PROMPT, "the lab is delayed");
    let took = quickest(&mut connection, "/healthz");
    assert!(took >= 2 * DELAY && took < 4 * DELAY, "a connection that carried the lab: {took:?}");
    assert!(quickest(&mut connection, "/api/lab") < PROMPT, "a connection that carried others");
    assert!(quickest(&mut connection, "/healthz") >= 2 * DELAY);

    let mut opened = [1, 2, 3, 4, 5].map(|number| {
        let began = Instant::now();
        let mut ledgers = server.websocket(&format!("/api/lanes/abcdefgh1{number}"), &[]).unwrap();
        let told = [(); 3].map(|()| ledgers.frame().unwrap().1);
        (began.elapsed(), ledgers, told)
    });
    let took = opened.iter().map(|(took, ..)| *took).min().unwrap();
    assert!(took < 2 * DELAY, "the ledgers are delayed: {took:?}");
    let [(_, ledgers, [hello, _, network]), ..] = &mut opened;
    assert!(hello.starts_with(b"{\"type\":\"hello\""));
    let took = clock(ledgers);
    assert!(took < PROMPT, "the clock is delayed: {took:?}");
    // It is told to every page, and whenever it changes.
    let told: Value = serde_json::from_slice(network).unwrap();
    assert_eq!((&told["type"], &told["delay_ms"]), (&json!("network"), &json!(80.0)));
    server.ask("DELETE", NETWORK, &[], b"");
    let told: Value = serde_json::from_slice(&ledgers.frame().unwrap().1).unwrap();
    assert_eq!((&told["type"], &told["delay_ms"]), (&json!("network"), &json!(0.0)));
}

#[test]
fn a_connection_passes_as_its_last_request_says_although_that_came_before_the_link() {
    let server = Server::start();
    let id = server.create().id;
    // A connection of the lab, which carries a poll next.
    delays(&server);
    let mut connection = server.connection();
    assert!(quickest(&mut connection, NETWORK) < PROMPT);
    server.ask("DELETE", NETWORK, &[], b"");
    connection.send("GET", &path(Transport::LongPoll, &id, "?from=now&wait=20"), &[], b"").unwrap();
    wait_until("the poll is held", || server.waiters(Transport::LongPoll) == 1);
    let mut ledgers = server.websocket("/api/lanes/abcdefgh1", &[]).unwrap();
    for kind in ["hello", "ledgers"] {
        let told: Value = serde_json::from_slice(&ledgers.frame().unwrap().1).unwrap();
        assert_eq!(told["type"], kind);
    }
    delays(&server);
    let told: Value = serde_json::from_slice(&ledgers.frame().unwrap().1).unwrap();
    assert_eq!(told["type"], "network");

    let mut publisher = server.connection();
    publisher.send("POST", &format!("/api/deployments/{id}/lines"), &TEXT, b"late").unwrap();
    let held = connection.answer("GET").unwrap();
    let late = since_append(held.text());
    assert!(late >= DELAY, "the poll passes beside the link: {late:?}");
    let took = clock(&mut ledgers);
    assert!(took < PROMPT, "the clock is delayed: {took:?}");
}

#[test]
fn in_a_silence_nothing_arrives_and_afterwards_who_lost_bytes_is_reset() {
    let server = Server::start();
    let id = server.create().id;
    let mut spared = server.connection();
    exchange(&mut spared, "/healthz");
    let mut events = server.stream(&path(Transport::Sse, &id, ""), &[]).unwrap();
    wait_until("it follows", || server.waiters(Transport::Sse) == 1);
    let mut asking = server.connection();
    exchange(&mut asking, "/healthz");
    let began = Instant::now();
    let answer = set(&server, &json!({ "silence_s": SILENCE.as_secs_f64() }));
    assert_eq!(answer.status, 200, "it is answered: {}", answer.text());
    assert!(answer.json::<Value>()["silence_s"].as_f64().unwrap() > 4.0, "{}", answer.text());
    wait_until("it is silent", || is_on(&server, SILENCE));
    asking.send("GET", "/healthz", &[], b"").unwrap();
    // A connection that is made now is served when the silence is over.
    let mut new = server.connection();
    new.send("GET", "/healthz", &[], b"").unwrap();
    let mut late = new.socket.try_clone().unwrap();
    let served = std::thread::spawn(move || {
        std::io::Read::read(&mut late, &mut [0; 12]).map(|count| (count, Instant::now()))
    });
    // The lab is there all the time.
    assert!(quickest(&mut server.connection(), NETWORK) < PROMPT);
    assert!(left(&server) > 0.0, "it is over too early");
    let failed = asking.answer("GET").unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::ConnectionReset, "{failed}");
    assert!(began.elapsed() >= SILENCE, "{:?}", began.elapsed());
    let (count, at) = served.join().unwrap().unwrap();
    assert!(count == 12 && at - began >= SILENCE, "{:?}", at - began);
    wait_until("it is over", || left(&server) == 0.0);
    exchange(&mut spared, "/healthz");
    server.append(&id, &["after it"]);
    events.until("after it").unwrap();
}

#[test]
fn a_stream_that_lost_lines_in_a_silence_is_reset_and_a_new_connection_waits_for_its_end() {
    let server = Server::start();
    let fed = json!({ "name": "fed", "source": { "kind": "generate", "rate_hz": 50 } });
    let fed: Deployment = server.post("/api/deployments", "application/json", fed.to_string()).json();
    let mut events = server.stream(&path(Transport::Sse, &fed.id, ""), &[]).unwrap();
    events.until("data: ").unwrap();
    let began = Instant::now();
    set(&server, &json!({ "silence_s": SILENCE.as_secs_f64() }));
    wait_until("it is silent", || is_on(&server, SILENCE));
    let mut through = server.connection();
    through.send("GET", &format!("/api/deployments/{}", fed.id), &[], b"").unwrap();
    assert!(left(&server) > 0.0, "it is over too early");
    // No request was sent on the stream: the lines that the server sent are what it lost.
    let failed = loop {
        match events.connection.piece() {
            Ok(piece) => assert!(piece.is_some(), "the stream ended as if it were complete"),
            Err(failed) => break failed,
        }
    };
    assert_eq!(failed.kind(), ErrorKind::ConnectionReset, "{failed}");
    assert!(began.elapsed() >= SILENCE, "{:?}", began.elapsed());
    assert_eq!(through.answer("GET").unwrap().status, 200, "the connection was opened after the silence");
    assert!(began.elapsed() >= SILENCE, "{:?}", began.elapsed());
}

#[test]
fn a_silence_can_be_ended_early_and_a_change_of_the_delay_does_not_end_it() {
    let server = Server::start();
    set(&server, &json!({ "silence_s": 30 }));
    let changed: Value = set(&server, &json!({ "delay_ms": 5 })).json();
    assert!(changed["silence_s"].as_f64().unwrap() > 28.0, "{changed}");
    let ended: Value = set(&server, &json!({ "delay_ms": 5, "silence_s": 0 })).json();
    assert_eq!(ended["silence_s"], 0.0);
    exchange(&mut server.connection(), "/healthz");
    set(&server, &json!({ "silence_s": 30 }));
    std::thread::sleep(Duration::from_millis(200));
    server.ask("DELETE", NETWORK, &[], b"");
    exchange(&mut server.connection(), "/healthz");

    // Whoever waits for its end meanwhile does not wait for the end that it had.
    let mut lossy = server.connection();
    exchange(&mut lossy, "/healthz");
    set(&server, &json!({ "silence_s": 30 }));
    std::thread::sleep(Duration::from_millis(200));
    lossy.send("GET", "/healthz", &[], b"").unwrap();
    let mut new = server.connection();
    new.send("GET", "/healthz", &[], b"").unwrap();
    // Until the server has read both.
    std::thread::sleep(Duration::from_millis(500));
    set(&server, &json!({ "silence_s": 0 }));
    assert_eq!(lossy.answer("GET").unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(new.answer("GET").unwrap().status, 200);
}

#[test]
fn a_client_that_leaves_in_a_silence_gives_its_place_back() {
    let mut setup = Setup::default();
    setup.options.connections_max = 2;
    let server = setup.start();
    assert_eq!(set(&server, &json!({ "silence_s": 30 })).status, 200);
    std::thread::sleep(Duration::from_millis(200));
    let waiting: Vec<Connection> = (0..2)
        .map(|_| {
            let mut connection = server.connection();
            connection.send("GET", "/healthz", &[], b"").unwrap();
            connection
        })
        .collect();
    let mut answer = server.get(NETWORK);
    wait_until("both places are taken", || {
        answer = server.get(NETWORK);
        answer.status == 503
    });
    drop(waiting);
    wait_until("a place is free", || {
        answer = server.get(NETWORK);
        answer.status == 200
    });
    let shown: Value = answer.json();
    assert!(shown["silence_s"].as_f64().unwrap() > 0.0, "it became free when the silence was over");
}

#[test]
fn it_ends_with_the_page_that_set_it_and_not_with_another() {
    let server = Server::start();
    let page = "abcdefgh12";
    let mut ledgers = server.websocket(&format!("/api/lanes/{page}"), &[]).unwrap();
    let answer = server.ask("PUT", &format!("{NETWORK}?page={page}"), JSON, br#"{"delay_ms":5}"#);
    assert_eq!(answer.status, 200, "{}", answer.text());
    server.ask("DELETE", &format!("{NETWORK}?page=zyxwvuts98"), &[], b"");
    assert_eq!(shown(&server)["delay_ms"], 5.0, "another page has taken it away");
    // The page closes its socket itself: it is gone a while later.
    ledgers.send(8, &1000_u16.to_be_bytes()).unwrap();
    let gone = Instant::now();
    wait_until("it ends with the page", || shown(&server) == none());
    assert!(gone.elapsed() > Duration::from_secs(8), "a page that is loaded again keeps it");

    server.ask("PUT", &format!("{NETWORK}?page={page}"), JSON, br#"{"delay_ms":5}"#);
    server.ask("DELETE", &format!("{NETWORK}?page={page}"), &[], b"");
    assert_eq!(shown(&server), none());
}

#[test]
fn bytes_are_counted_as_before_and_a_rate_takes_its_time() {
    let server = Server::start();
    let id = server.create().id;
    let text = "x".repeat(1_000);
    server.append(&id, &vec![text; 20]);
    let lines = path(Transport::ShortPoll, &id, "");
    let bytes = |direction: &str| {
        server.metric(&format!("wirelab_bytes_total{{transport=\"short-poll\",direction=\"{direction}\"}}"))
    };
    let count = || {
        let before = [bytes("up"), bytes("down")];
        let asked = Instant::now();
        let answer = server.connection().ask("GET", &lines, &[], b"").unwrap();
        let took = asked.elapsed();
        assert_eq!(answer.status, 200);
        wait_until("it is counted", || bytes("down") - before[1] > 20_000);
        wait_until("the connection is closed", || {
            server.metric("wirelab_connections{transport=\"short-poll\"}") == 0
        });
        ([bytes("up") - before[0], bytes("down") - before[1]], took)
    };
    let counts = [(); 3].map(|()| count());
    let without = counts[0].0;
    assert!(counts.iter().all(|(bytes, _)| *bytes == without), "{counts:?}");
    let quick = counts.iter().map(|(_, took)| *took).min().unwrap();
    // 20 kB at 320 kbit/s.
    set(&server, &json!({ "delay_ms": 10, "link_kbit_s": 320 }));
    let (with, slow) = count();
    assert_eq!(without, with);
    assert!(slow >= Duration::from_millis(500), "{slow:?}");
    assert!(slow > quick + Duration::from_millis(400), "{slow:?} after {quick:?}");
}

#[test]
fn a_cut_resets_at_once_what_is_behind_it() {
    let server = Server::start();
    set(&server, &json!({ "delay_ms": 300 }));
    let mut connection = server.connection();
    exchange(&mut connection, "/healthz");
    connection.send("GET", "/healthz", &[], b"").unwrap();
    let answer = server.post("/api/lab/outage", "application/json", r#"{"refuse_s":0.1}"#);
    assert_eq!(answer.status, 202, "{}", answer.text());
    let failed = connection.answer("GET").unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::ConnectionReset, "{failed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn connections_of_http2_go_through_it_too() {
    let server = Server::start();
    let mut before = Http2::open(&server.authority).await;
    delays(&server);
    let opened = Instant::now();
    let mut after = Http2::open(&server.authority).await;
    for connection in [&mut before, &mut after] {
        let asked = Instant::now();
        let answer = timeout(SOON, connection.ask("GET", "/healthz", &[], b"")).await.unwrap();
        assert_eq!(answer.status, 200);
        assert!(asked.elapsed() >= 2 * DELAY, "{:?}", asked.elapsed());
    }
    assert!(opened.elapsed() >= 4 * DELAY, "{:?}", opened.elapsed());
}
