//! Lanes: what a page asks with `lane=<page>.<n>` arrives in that lane's ledger, as `/metrics` has it, and nowhere else.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use wirelab_clients::wire::{LaneLedger, LedgerFrame, Status, Transport, Wire};

use super::websocket::{BINARY, PONG, command, frame, server_with, write};
use crate::http::{Api, CLOSE, Connection, Headers, PING, Socket, TEXT, path, upgrade};
use crate::http2::Http2;
use crate::server::{Server, wait_until};

const PAGE: &str = "k3x9q2w7";

fn ledgers_path(page: &str) -> String {
    format!("/api/lanes/{page}")
}

/// The tag of a lane of [`PAGE`], behind a `?` or a `&`.
fn lane(number: u16) -> String {
    format!("lane={PAGE}.{number}")
}

/// A page that reads its ledgers.
struct Page {
    socket: Socket,
    /// Which ledgers these are.
    id: String,
    lanes: BTreeMap<u16, LaneLedger>,
}

impl Page {
    /// Its greeting is read: which ledgers these are, and what they hold already.
    #[track_caller]
    fn open(api: &Api) -> Self {
        let socket = api.websocket(&ledgers_path(PAGE), &[]).unwrap();
        let mut page = Self { socket, id: String::new(), lanes: BTreeMap::new() };
        match page.told() {
            LedgerFrame::Hello { ledgers, heartbeat_s: 15 } => page.id = ledgers,
            frame => panic!("{frame:?}"),
        }
        page.changed();
        page
    }

    /// The next text frame; pings are passed over.
    #[track_caller]
    fn told(&mut self) -> LedgerFrame {
        serde_json::from_value(self.told_json()).unwrap()
    }

    #[track_caller]
    fn told_json(&mut self) -> Value {
        loop {
            match self.socket.frame().unwrap_or_else(|error| panic!("{error} after {:?}", self.lanes)) {
                (TEXT, json) => return serde_json::from_slice(&json).unwrap(),
                (PING, _) => {}
                (opcode, payload) => panic!("opcode {opcode}: {}", payload.escape_ascii()),
            }
        }
    }

    /// The lanes of the next frame, which must be of ledgers.
    #[track_caller]
    fn changed(&mut self) -> Vec<u16> {
        match self.told() {
            LedgerFrame::Ledgers { lanes } => {
                self.lanes.extend(lanes.iter().map(|ledger| (ledger.lane, *ledger)));
                lanes.iter().map(|ledger| ledger.lane).collect()
            }
            frame => panic!("{frame:?}"),
        }
    }

    /// Reads frames until a lane's ledger is such.
    #[track_caller]
    fn until(&mut self, number: u16, condition: impl Fn(&LaneLedger) -> bool) -> LaneLedger {
        loop {
            if let Some(ledger) = self.lanes.get(&number).filter(|ledger| condition(ledger)) {
                return *ledger;
            }
            self.changed();
        }
    }

    fn say(&mut self, json: Value) {
        command(&mut self.socket, json);
    }

    /// What the server says of one command.
    #[track_caller]
    fn answer(&mut self, json: Value) -> Value {
        self.say(json);
        self.told_json()
    }
}

/// The same figures from `/metrics`, as if they were a lane's.
fn metrics(api: &Api, transport: Transport, lane: u16) -> LaneLedger {
    let of = |name: &str, label: &str| {
        api.metric(&format!("{name}{{transport=\"{transport}\"{label}}}")).cast_unsigned()
    };
    let requests = |outcome| of("wirelab_requests_total", &format!(",outcome=\"{outcome}\""));
    let bytes = |direction| of("wirelab_bytes_total", &format!(",direction=\"{direction}\""));
    let mut ledger = LaneLedger {
        data: requests("data"),
        empty: requests("empty"),
        timeout: requests("timeout"),
        refused: requests("refused"),
        error: requests("error"),
        connections: of("wirelab_connections_opened_total", ""),
        connections_open: of("wirelab_connections", ""),
        bytes_up: bytes("up"),
        bytes_down: bytes("down"),
        ..LaneLedger::new(lane)
    };
    ledger.requests = ledger.data + ledger.empty + ledger.timeout + ledger.refused + ledger.error;
    ledger
}

/// One answer of each kind that the transport has, in a lane, and all its connections closed again. What was asked.
fn ask_in_every_way(server: &Server, transport: Transport, number: u16) -> LaneLedger {
    let ended = server.create().id;
    let last = server.append(&ended, &["one", "two"]).cursor;
    server.finish(&ended, Status::Succeeded);
    let (lane, silent) = (lane(number), server.create().id);
    let all = path(transport, &ended, &format!("?{lane}"));
    let unknown = path(transport, &"01k3aaaaaaaa".parse().unwrap(), &format!("?{lane}"));
    let mut kept = server.connection();
    let mut ask = |path: &str, headers: Headers| kept.ask("GET", path, headers, b"").unwrap().status;
    let mut asked =
        LaneLedger { requests: 2, data: 1, refused: 1, connections: 1, ..LaneLedger::new(number) };

    assert_eq!(ask(&unknown, upgrade(transport)), 404);
    match transport.wire() {
        Wire::ShortPoll => {
            assert_eq!(ask(&all, &[("if-none-match", "*")]), 304);
            assert_eq!(ask(&all, &[]), 200);
            asked = LaneLedger { requests: 3, empty: 1, ..asked };
        }
        Wire::LongPoll => {
            assert_eq!(ask(&path(transport, &silent, &format!("?wait=0&{lane}")), &[]), 204);
            assert_eq!(ask(&all, &[]), 200);
            asked = LaneLedger { requests: 3, timeout: 1, ..asked };
        }
        Wire::Sse => {
            assert_eq!(ask(&format!("{all}&from={last}"), &[]), 204);
            server.stream(&all, &[]).unwrap().rest().unwrap();
            asked = LaneLedger { requests: 3, empty: 1, connections: 2, ..asked };
        }
        Wire::Ndjson => {
            server.stream(&all, &[]).unwrap().rest().unwrap();
            asked.connections = 2;
        }
        Wire::Websocket => {
            let mut socket = server.websocket(&all, &[]).unwrap();
            while socket.frame().unwrap().0 != CLOSE {}
            asked.connections = 2;
        }
    }
    asked
}

// What is counted.

#[test]
fn every_transport_arrives_in_its_lane_as_the_server_counts_it() {
    let server = Server::start();
    let mut page = Page::open(&server);
    for (transport, number) in Transport::ALL.into_iter().zip(1..) {
        let asked = ask_in_every_way(&server, transport, number);
        let ended = |ledger: &LaneLedger| {
            (ledger.requests, ledger.connections, ledger.connections_open)
                == (asked.requests, asked.connections, 0)
        };
        let told = page.until(number, ended);
        assert_eq!(told, metrics(&server, transport, number), "{transport}");
        let (bytes_up, bytes_down) = (told.bytes_up, told.bytes_down);
        assert_eq!(told, LaneLedger { bytes_up, bytes_down, ..asked }, "{transport}");
        assert!(bytes_up > 0 && bytes_down > 0, "{transport}: {told:?}");
    }
}

#[test]
fn a_request_is_counted_when_it_begins_and_its_outcome_when_it_is_answered() {
    let server = Server::start();
    let mut page = Page::open(&server);
    let id = server.create().id;
    let poll = path(Transport::LongPoll, &id, &format!("?{}", lane(1)));
    let (mut answered, mut vanishing) = (server.connection(), server.connection());
    answered.send("GET", &poll, &[], b"").unwrap();
    vanishing.send("GET", &poll, &[], b"").unwrap();
    let held = page.until(1, |ledger| ledger.requests == 2);
    assert_eq!((held.data, held.error, held.connections_open), (0, 0, 2));
    wait_until("both are held", || server.waiters(Transport::LongPoll) == 2);

    drop(vanishing);
    let gone = page.until(1, |ledger| ledger.error == 1 && ledger.connections_open == 1);
    assert_eq!((gone.requests, gone.data), (2, 0));
    server.append(&id, &["news"]);
    assert_eq!(answered.answer("GET").unwrap().status, 200);
    let both = page.until(1, |ledger| ledger.data == 1);
    assert_eq!((both.requests, both.error, both.connections), (2, 1, 2));
}

#[test]
fn any_call_may_be_a_lanes() {
    let server = Server::start();
    let mut page = Page::open(&server);
    let id = server.create().id;
    let plain: Headers = &[("content-type", "text/plain")];
    for (method, path, headers, status) in [
        ("GET", "/".to_owned(), &[] as Headers, 200),
        ("HEAD", format!("/api/deployments/{id}"), &[], 200),
        ("POST", format!("/api/deployments/{id}/lines"), plain, 201),
        ("GET", "/nothing".to_owned(), &[], 404),
        ("DELETE", format!("/api/deployments/{id}"), &[], 204),
    ] {
        let path = format!("{path}?{}", lane(1));
        assert_eq!(server.ask(method, &path, headers, b"x").status, status, "{method} {path}");
    }
    let told = page.until(1, |ledger| ledger.connections == 5 && ledger.connections_open == 0);
    assert_eq!((told.requests, told.data, told.refused), (5, 4, 1));
}

#[test]
fn lanes_that_share_a_connection_each_count_it_once_and_the_last_to_ask_has_it() {
    let server = Server::start();
    let mut page = Page::open(&server);
    let id = server.create().id;
    let mut kept = server.connection();
    let mut ask = |tag: &str| {
        let path = path(Transport::ShortPoll, &id, tag);
        assert_eq!(kept.ask("GET", &path, &[], b"").unwrap().status, 200);
    };
    let (first, second) = (format!("?{}", lane(1)), format!("?{}", lane(2)));
    let figures = |ledger: &LaneLedger| (ledger.requests, ledger.connections, ledger.connections_open);

    ask(&first);
    page.until(1, |ledger| figures(ledger) == (1, 1, 1));
    ask(&second);
    page.until(1, |ledger| figures(ledger) == (1, 1, 0));
    page.until(2, |ledger| figures(ledger) == (1, 1, 1));
    ask(&first);
    page.until(2, |ledger| figures(ledger) == (1, 1, 0));
    page.until(1, |ledger| figures(ledger) == (2, 1, 1));
    // Nobody's request is nobody's connection.
    ask("");
    page.until(1, |ledger| figures(ledger) == (2, 1, 0));
    drop(kept);
    wait_until("the connection is closed", || {
        server.metric("wirelab_connections{transport=\"short-poll\"}") == 0
    });

    // Requests of one length, answers of one length.
    let (one, two) = (page.lanes[&1], page.until(2, |ledger| ledger.bytes_down > 0));
    assert_eq!((one.bytes_up, one.bytes_down), (2 * two.bytes_up, 2 * two.bytes_down));
    let all = metrics(&server, Transport::ShortPoll, 0);
    let untagged_up = two.bytes_up - second.len() as u64;
    assert_eq!(all.bytes_up, one.bytes_up + two.bytes_up + untagged_up);
    assert_eq!(all.bytes_down, one.bytes_down + 2 * two.bytes_down);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http_2_lanes_share_a_connection_and_its_bytes() {
    let server = Server::start();
    let id = server.create().id;
    server.append(&id, &["one"]);
    let mut page = Page::open(&server);
    let mut connection = Http2::open(&server.authority).await;
    let tagged = |transport, number| path(transport, &id, &format!("?{}", lane(number)));
    let mut sse = connection.stream(&tagged(Transport::Sse, 1), &[]).await;
    sse.until("one").await;
    let first = page.until(1, |ledger| ledger.data == 1);
    assert_eq!((first.connections, first.connections_open), (1, 1));
    assert_eq!(connection.get(&tagged(Transport::ShortPoll, 2)).await.status, 200);
    let second = page.until(2, |ledger| ledger.data == 1);
    assert_eq!((second.connections, second.connections_open), (1, 1));
    page.until(1, |ledger| ledger.connections_open == 0);

    // What the stream carries now is counted for the lane that asked last.
    server.append(&id, &["two"]);
    sse.until("two").await;
    let later = page.until(2, |ledger| ledger.bytes_down > second.bytes_down);
    assert_eq!(later.requests, 1);
    server.finish(&id, Status::Succeeded);
    sse.whole().await.unwrap();
    let (up, down) = connection.close().await;
    page.until(2, |ledger| ledger.connections_open == 0);
    let sum = |of: fn(&LaneLedger) -> u64| page.lanes.values().map(of).sum::<u64>();
    assert_eq!((sum(|ledger| ledger.bytes_up), sum(|ledger| ledger.bytes_down)), (up, down));
}

#[test]
fn only_lanes_that_changed_are_told_and_at_most_ten_times_a_second() {
    let server = Server::start();
    let mut page = Page::open(&server);
    let ask = |connection: &mut Connection, number| {
        connection.ask("GET", &format!("/healthz?{}", lane(number)), &[], b"").unwrap();
    };
    let (mut one, mut two) = (server.connection(), server.connection());
    ask(&mut one, 1);
    ask(&mut two, 2);
    page.until(1, |ledger| ledger.data == 1 && ledger.bytes_down > 0);
    page.until(2, |ledger| ledger.data == 1 && ledger.bytes_down > 0);

    let (began, mut frames) = (Instant::now(), 0);
    for asked in 2..=200 {
        ask(&mut two, 2);
        assert_eq!(page.lanes[&1].requests, 1);
        if asked % 20 == 0 {
            while page.lanes[&2].data < asked {
                assert_eq!(page.changed(), [2], "the other lane did nothing");
                frames += 1;
            }
        }
    }
    // One that was due when this began, then one per interval.
    let most = 2 + began.elapsed().as_millis() / 100;
    assert!((1..=most).contains(&frames), "{frames} frames in {:?}", began.elapsed());
}

// What is not counted.

#[test]
fn a_malformed_lane_is_refused_by_every_path_and_changes_nothing() {
    let server = Server::start();
    let id = server.create().id;
    for tag in ["x", "k3x9q2w7", "k3x9q2w7.0", "k3x9q2w7.01", "k3x9q2w7.1000", "K3X9Q2W7.1", "k3x9q2w.1", ""]
    {
        for path in ["/healthz", "/", "/nothing", &format!("/api/deployments/{id}/sse"), &ledgers_path(PAGE)]
        {
            let problem = server.get(&format!("{path}?lane={tag}")).problem().unwrap();
            assert_eq!(problem.status, 400, "{path} {tag:?}");
            assert!(problem.detail.contains(&format!("lane {tag:?}")), "{}", problem.detail);
        }
    }
    let twice = server.get(&format!("/healthz?{0}&{0}", lane(1))).problem().unwrap();
    assert_eq!((twice.status, twice.detail.contains("parameter lane is given twice")), (400, true));
    let path = format!("/api/deployments/{id}/lines?lane=x");
    assert_eq!(server.post(&path, "text/plain", "a").status, 400);
    assert_eq!(server.show(&id).lines, 0);
}

#[test]
fn what_was_asked_before_the_socket_opened_is_in_the_ledger_and_what_others_ask_is_not() {
    let server = Server::start();
    let tagged = format!("/healthz?{}", lane(1));
    for _ in 0..3 {
        assert_eq!(server.get(&tagged).status, 200);
    }
    let mut page = Page::open(&server);
    assert_eq!(page.lanes[&1].requests, 3);
    server.get("/healthz?lane=another00.1");
    server.get("/healthz");
    server.get(&tagged);
    page.until(1, |ledger| (ledger.requests, ledger.connections) == (4, 4));
    assert_eq!(page.lanes.len(), 1);
}

#[test]
fn a_socket_of_ledgers_has_no_lane_and_does_not_feed_itself() {
    let server = Server::start();
    let mut page = Page::open(&server);
    for path in [ledgers_path(PAGE), format!("/api/l%61nes/{PAGE}")] {
        let mut tagged = server.websocket(&format!("{path}?{}", lane(1)), &[]).unwrap();
        command(&mut tagged, json!({"type": "clock"}));
        while serde_json::from_slice::<Value>(&tagged.frame().unwrap().1).unwrap()["type"] != "clock" {}
    }
    server.get(&format!("/healthz?{}", lane(2)));
    page.until(2, |ledger| ledger.data == 1);
    assert!(!page.lanes.contains_key(&1), "{:?}", page.lanes);
}

// The socket.

#[test]
fn a_socket_that_comes_back_finds_its_counts_and_another_server_says_that_its_are_others() {
    let server = Server::start();
    let mut page = Page::open(&server);
    let mut kept = server.connection();
    let mut ask = || kept.ask("GET", &format!("/healthz?{}", lane(7)), &[], b"").unwrap().status;
    assert_eq!(ask(), 200);
    let before = page.until(7, |ledger| ledger.data == 1 && ledger.bytes_down > 0);
    let id = page.id.clone();
    drop(page);
    // Also while there is none.
    assert_eq!(ask(), 200);

    let mut page = Page::open(&server);
    let after = page.until(7, |ledger| ledger.data == 2 && ledger.bytes_down > before.bytes_down);
    assert_eq!((page.id.as_str(), after.requests, after.connections), (id.as_str(), 2, 1));
    let elsewhere = Server::start();
    assert_ne!(Page::open(&elsewhere).id, id);
}

#[test]
fn the_clock_is_told_at_once_and_the_ref_comes_back() {
    let server = Server::start();
    let mut page = Page::open(&server);
    let now_us = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64;
    for reference in [json!(1), json!("x"), json!({"a": [1, null]})] {
        let before = now_us();
        let told = page.answer(json!({"type": "clock", "ref": reference}));
        assert_eq!((&told["type"], &told["ref"]), (&json!("clock"), &reference));
        assert!((before..=now_us()).contains(&told["at_us"].as_u64().unwrap()), "{told}");
    }
    let told = page.answer(json!({"type": "clock"}));
    assert_eq!((&told["type"], told.get("ref")), (&json!("clock"), None));
}

#[test]
fn anything_else_is_an_error_and_the_socket_lives() {
    let server = Server::start();
    let mut page = Page::open(&server);
    for (said, reference) in [
        (json!({"type": "publish", "ref": 5}), json!(5)),
        (json!({"clock": 1}), Value::Null),
        (json!([1]), Value::Null),
        (json!({"type": "clock", "ref": "x".repeat(2_000)}), Value::Null),
    ] {
        let told = page.answer(said.clone());
        assert_eq!((&told["type"], &told["ref"]), (&json!("error"), &reference), "{said}");
        assert_eq!(told["problem"]["status"], 400, "{said}");
        assert!(told["problem"]["detail"].as_str().unwrap().contains("\"type\":\"clock\""), "{told}");
    }
    write(&mut page.socket, &frame(0x80 | BINARY, b"clock"));
    assert_eq!(page.told_json()["problem"]["status"], 400);
    write(&mut page.socket, &frame(0x80 | PING, b"are you there"));
    assert_eq!(page.socket.frame().unwrap(), (PONG, b"are you there".to_vec()));
    assert_eq!(page.answer(json!({"type": "clock", "ref": 9}))["ref"], 9);

    write(&mut page.socket, &frame(0x80 | CLOSE, &1000_u16.to_be_bytes()));
    assert_eq!(page.socket.close_code(), Ok(1000));
    assert!(page.socket.connection.is_closed_by_server());
}

#[test]
fn a_command_has_4_kib_at_most() {
    let server = Server::start();
    let mut page = Page::open(&server);
    write(&mut page.socket, &frame(0x80 | TEXT, &[b' '; 4 << 10]));
    assert_eq!(page.told_json()["problem"]["status"], 400, "read, and found to be no command");
    write(&mut page.socket, &frame(0x80 | TEXT, &[b' '; (4 << 10) + 1]));
    assert_eq!(page.socket.close_code(), Ok(1009));
}

#[test]
fn a_broken_protocol_and_an_unanswered_ping_close_it() {
    let server = server_with(|options| options.heartbeat = Duration::from_millis(50));
    let mut socket = server.websocket(&ledgers_path(PAGE), &[]).unwrap();
    write(&mut socket, &[0x81, 1, b'x']);
    let close_code = |socket: &mut Socket| loop {
        match socket.frame().unwrap() {
            (TEXT | PING, _) => {}
            (CLOSE, payload) => return u16::from_be_bytes([payload[0], payload[1]]),
            frame => panic!("{frame:?}"),
        }
    };
    assert_eq!(close_code(&mut socket), 1002);

    let mut silent = server.websocket(&ledgers_path(PAGE), &[]).unwrap();
    let mut pings = 0;
    loop {
        match silent.frame().unwrap() {
            (TEXT, _) => {}
            (PING, _) => pings += 1,
            (CLOSE, payload) => break assert_eq!(payload[..2], 1008_u16.to_be_bytes()),
            frame => panic!("{frame:?}"),
        }
    }
    assert_eq!(pings, 2);
}

#[test]
fn news_for_a_page_that_vanished_does_not_keep_its_socket_open() {
    let heartbeat = Duration::from_millis(300);
    let server = server_with(move |options| options.heartbeat = heartbeat);
    let mut vanished = server.websocket(&ledgers_path(PAGE), &[]).unwrap();
    let (began, mut news, mut pings) = (Instant::now(), 0, 0);
    loop {
        match vanished.frame().unwrap() {
            // Each frame is followed by a request, so that there is always something to tell.
            (TEXT, _) => {
                assert!(began.elapsed() < 30 * heartbeat, "{pings} pings beside {news} news, and no end");
                assert_eq!(server.get(&format!("/healthz?{}", lane(1))).status, 200);
                news += 1;
            }
            (PING, _) => pings += 1,
            (CLOSE, payload) => break assert_eq!(payload[..2], 1008_u16.to_be_bytes()),
            frame => panic!("{frame:?}"),
        }
    }
    assert_eq!(pings, 2);
    assert!(news > 2, "{news} frames in three heartbeats");
}

#[test]
fn goodbye_is_1001() {
    let mut server = Server::start();
    let mut page = Page::open(&server);
    let asked = Instant::now();
    server.say_goodbye();
    assert_eq!(page.socket.close_code(), Ok(1001));
    page.socket.send(CLOSE, &1001_u16.to_be_bytes()).unwrap();
    assert!(page.socket.connection.is_closed_by_server());
    server.join();
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_handshake_or_comes_from_another_origin_is_refused() {
    let server = Server::start();
    let path = ledgers_path(PAGE);
    let plain = server.get(&path).problem().unwrap();
    assert_eq!(
        (plain.status, plain.detail.contains("is a WebSocket; send `Upgrade: websocket`")),
        (400, true),
        "{plain:?}"
    );
    assert_eq!(server.ask("POST", &path, &[], b"").status, 405);

    let foreign = server.websocket(&path, &[("origin", "https://evil.example")]).map(drop).unwrap_err();
    assert_eq!(foreign.problem().unwrap().status, 403);
    let own = format!("http://{}", server.authority);
    assert!(server.websocket(&path, &[("origin", &own)]).is_ok());

    for page in ["short", "UPPERCASE", "k3x9-2w7", "abcdefghijklmnopqrstuvwxyz0"] {
        let refused = server.websocket(&ledgers_path(page), &[]).map(drop).unwrap_err().problem().unwrap();
        assert_eq!((refused.status, refused.detail.contains(page)), (400, true), "{refused:?}");
    }
    let mut http2 = Http2::open(&server.authority).await;
    let refused = http2.get(&path).await.problem().unwrap();
    assert_eq!((refused.status, refused.detail.contains("HTTP/1.1")), (400, true), "{refused:?}");
}

#[test]
fn a_page_has_three_sockets_at_most_and_a_closed_one_makes_room() {
    let server = Server::start();
    let mut open: Vec<_> = (0..3).map(|_| Page::open(&server)).collect();
    let refused = server.websocket(&ledgers_path(PAGE), &[]).map(drop).unwrap_err();
    let problem = refused.problem().unwrap();
    assert_eq!((problem.status, refused.header("retry-after")), (503, Some("30")));
    assert!(problem.detail.contains("3 sockets open"), "{}", problem.detail);
    server.websocket(&ledgers_path("another00"), &[]).unwrap();

    server.get(&format!("/healthz?{}", lane(1)));
    for page in &mut open {
        page.until(1, |ledger| ledger.data == 1);
    }
    open.pop();
    wait_until("a place is free", || server.websocket(&ledgers_path(PAGE), &[]).is_ok());
}
