//! An outage: connections end without goodbye, nobody gets in, nothing is lost.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use tokio::time::timeout;
use wirelab::context::WebsocketEngine;
use wirelab_clients::meter::Meter;
use wirelab_clients::wire::{Deployment, Line, Position, Status, Transport};
use wirelab_clients::{HttpVersion, Options, Polling, Target, connect};

use crate::http::{Answer, Api, Connection, SOON, path};
use crate::http2::{Http2, PREFACE};
use crate::server::{Server, Setup, wait_until};

const JSON: &str = "application/json";
const OUTAGE: &str = "/api/lab/outage";

fn begin(api: &Api, refuse_s: f64) -> Answer {
    api.post(OUTAGE, JSON, json!({ "refuse_s": refuse_s }).to_string())
}

/// Whether the server answers.
fn is_there(api: &Api) -> bool {
    api.try_ask("GET", "/healthz", &[], b"").is_ok_and(|answer| answer.status == 200)
}

/// How a connection ended, after whatever was still to be read.
fn end(socket: &mut TcpStream) -> Result<(), ErrorKind> {
    let mut buffer = [0; 4096];
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(error.kind()),
        }
    }
}

/// A deployment that the server feeds.
fn fed(api: &Api) -> Deployment {
    let body = r#"{"name":"fed","source":{"kind":"generate","rate_hz":200}}"#;
    api.post("/api/deployments", JSON, body).json()
}

#[test]
fn it_is_answered_and_then_every_open_connection_is_reset() {
    for engine in WebsocketEngine::ALL {
        resets_every_open_connection(&Setup::driven_by(engine).start());
    }
}

fn resets_every_open_connection(server: &Server) {
    let id = fed(server).id;
    let mut idle = server.connection();
    let mut kept = server.connection();
    kept.ask("GET", "/healthz", &[], b"").unwrap();
    let mut half_a_request = server.connection();
    half_a_request.socket.write_all(b"GET /heal").unwrap();
    let mut over_http2 = server.connection();
    over_http2.socket.write_all(&[PREFACE, &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat()).unwrap();
    over_http2.socket.read_exact(&mut [0; 9]).unwrap();
    let held = path(Transport::LongPoll, &server.create().id, "?wait=50");
    let mut poll = server.connection();
    poll.send("GET", &held, &[], b"").unwrap();
    let events = server.stream(&path(Transport::Sse, &id, ""), &[]).unwrap();
    let records = server.stream(&path(Transport::Ndjson, &id, ""), &[]).unwrap();
    let frames = server.websocket(&path(Transport::Websocket, &id, ""), &[]).unwrap();
    wait_until("the poll is held", || server.waiters(Transport::LongPoll) == 1);

    let ledgers = server.websocket("/api/lanes/abcdefgh12", &[]).unwrap();

    let mut asking = server.connection();
    let answer = asking.ask("POST", OUTAGE, &[("content-type", JSON)], br#"{"refuse_s":0.5}"#).unwrap();
    assert_eq!(answer.status, 202, "{}", answer.text());
    assert_eq!(answer.json::<Value>(), json!({ "refuse_s": 0.5 }));
    let sockets: [(&str, &mut TcpStream); 10] = [
        ("idle", &mut idle.socket),
        ("kept", &mut kept.socket),
        ("half a request", &mut half_a_request.socket),
        ("HTTP/2", &mut over_http2.socket),
        ("long-poll", &mut poll.socket),
        ("sse", &mut { events }.connection.socket),
        ("ndjson", &mut { records }.connection.socket),
        ("websocket", &mut { frames }.connection.socket),
        ("a page's ledgers", &mut { ledgers }.connection.socket),
        ("asking", &mut asking.socket),
    ];
    for (name, socket) in sockets {
        assert_eq!(end(socket), Err(ErrorKind::ConnectionReset), "{name}");
    }
    wait_until("the outage is over", || is_there(server));
    for transport in Transport::ALL {
        assert_eq!(server.waiters(transport), 0, "{transport} is still served to nobody");
        let open = server.metric(&format!("wirelab_connections{{transport=\"{transport}\"}}"));
        assert_eq!(open, 0, "{transport}");
    }
}

#[test]
fn whoever_connects_meanwhile_is_reset_and_afterwards_served() {
    let server = Server::start();
    let mut asking = server.connection();
    asking.ask("POST", OUTAGE, &[("content-type", JSON)], br#"{"refuse_s":0.6}"#).unwrap();
    assert_eq!(end(&mut asking.socket), Err(ErrorKind::ConnectionReset));
    let cut = Instant::now();
    let mut resets = 0;
    loop {
        let mut connection = TcpStream::connect(&server.authority).unwrap();
        // A reset is told once, by whatever is tried first.
        let written =
            connection.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        match written.map_err(|error| error.kind()).and_then(|()| end(&mut connection)) {
            Ok(()) => break,
            Err(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => resets += 1,
            Err(error) => panic!("{error} instead of a reset"),
        }
    }
    let lasted = cut.elapsed();
    assert!(resets > 3, "{resets}");
    // It began up to a scheduler's delay before its reset was read.
    assert!((Duration::from_millis(400)..Duration::from_secs(5)).contains(&lasted), "{lasted:?}");
}

#[test]
fn there_is_one_at_a_time() {
    let server = Server::start();
    let mut connection = server.connection();
    for status in [202, 409] {
        connection.send("POST", OUTAGE, &[("content-type", JSON)], br#"{"refuse_s":0.1}"#).unwrap();
        let answer = connection.answer("POST").unwrap();
        assert_eq!(answer.status, status, "{}", answer.text());
        if status == 409 {
            assert!(answer.problem().unwrap().detail.contains("outage"), "{}", answer.text());
        }
    }
    assert_eq!(end(&mut connection.socket), Err(ErrorKind::ConnectionReset));
    wait_until("another can begin", || {
        let again = server.try_ask("POST", OUTAGE, &[("content-type", JSON)], br#"{"refuse_s":0.1}"#);
        again.is_ok_and(|answer| answer.status == 202)
    });
}

#[test]
fn a_time_that_makes_no_sense_is_refused_with_the_bounds() {
    let server = Server::start();
    let values = ["0", "-1", "0.09", "30.1", "1e300", "1e999", "null", "\"5\"", "[5]", "true"];
    let bodies = values.map(|value| format!("{{\"refuse_s\":{value}}}"));
    for body in bodies.iter().map(String::as_str).chain(["", "{}", "5", "[5]", "{\"refuse_s\":1"]) {
        let problem = server.post(OUTAGE, JSON, body).problem().unwrap();
        assert_eq!(problem.status, 400, "{body}: {}", problem.detail);
    }
    let problem = begin(&server, 31.0).problem().unwrap();
    assert!(problem.detail.contains("0.1 to 30"), "{}", problem.detail);
    // Nothing was begun by any of them.
    assert_eq!(begin(&server, 0.1).status, 202);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn it_can_be_asked_for_over_http2_and_ends_that_connection_too() {
    let server = Server::start();
    let mut connection = Http2::open(&server.authority).await;
    let answer = connection.ask("POST", OUTAGE, &[("content-type", JSON)], br#"{"refuse_s":0.1}"#).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let ended = timeout(SOON, connection.ended()).await.expect("it is cut").expect_err("without goodbye");
    assert!(ended.is_io(), "{ended}");
    wait_until("the outage is over", || is_there(&server));
}

/// Follows to the end; the lines, and how often it had to come back.
async fn follow(
    api: Api,
    deployment: Deployment,
    transport: Transport,
    http: HttpVersion,
) -> (Vec<Line>, u64) {
    let polling = Polling::every(Duration::from_millis(20));
    let options = Options { polling, http, ..Options::default() };
    let server = format!("http://{}", api.authority).parse().unwrap();
    let meter = Meter::new();
    let target = Target { server, deployment: deployment.id, from: Position::Start };
    let mut subscriber = connect(transport, target, &options, meter.clone());
    let mut lines = Vec::new();
    loop {
        let received = timeout(SOON, subscriber.next_batch()).await;
        let received = received.unwrap_or_else(|_| panic!("{transport} hangs after {} lines", lines.len()));
        let batch = received.unwrap_or_else(|error| panic!("{transport}: {error}")).batch;
        lines.extend(batch.lines);
        if batch.finished {
            return (lines, meter.traffic().reconnects);
        }
    }
}

/// Clients of these transports follow one deployment through an outage.
async fn loses_nothing_and_repeats_nothing(transports: &[Transport], http: HttpVersion) {
    let server = Server::start();
    let deployment = fed(&server);
    let followers: Vec<_> = transports
        .iter()
        .map(|transport| {
            let following = follow(server.impatient(SOON), deployment.clone(), *transport, http);
            (*transport, tokio::spawn(following))
        })
        .collect();
    let all_opened = |count: i64| {
        let opened = |transport: &Transport| {
            server.metric(&format!("wirelab_connections_opened_total{{transport=\"{transport}\"}}"))
        };
        transports.iter().all(|transport| opened(transport) >= count)
    };
    wait_until("everybody follows", || all_opened(1));
    assert_eq!(begin(&server, 0.5).status, 202);
    let mut gone = server.connection();
    assert_eq!(end(&mut gone.socket), Err(ErrorKind::ConnectionReset));
    let (cut, cut_at) = (Instant::now(), SystemTime::now());
    wait_until("the outage is over", || is_there(&server));
    assert!(cut.elapsed() > Duration::from_millis(300), "there was no outage");
    let cut_us = cut_at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_micros() as u64;
    let meanwhile_us = cut_us..cut_us + 300_000;
    wait_until("everybody has come back", || all_opened(2));
    // Some that everybody sees live, after it.
    let back_at = server.show(&deployment.id).lines;
    wait_until("it is fed on", || server.show(&deployment.id).lines > back_at + 20);
    server.finish(&deployment.id, Status::Succeeded);

    let log = server.show(&deployment.id);
    for (transport, follower) in followers {
        let (lines, reconnects) = follower.await.unwrap();
        let seqs: Vec<u64> = lines.iter().map(|line| line.seq).collect();
        assert_eq!(seqs, (1..=log.lines).collect::<Vec<_>>(), "{transport}");
        assert!(reconnects > 0, "{transport} was not cut");
        let fed_meanwhile = lines.iter().filter(|line| meanwhile_us.contains(&line.at_us)).count();
        assert!(fed_meanwhile > 0, "{transport}: the source paused");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_client_that_follows_through_it_loses_nothing_and_repeats_nothing() {
    loses_nothing_and_repeats_nothing(&Transport::ALL, HttpVersion::Http1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn so_does_every_client_over_http2() {
    let polls_and_streams = [Transport::ShortPoll, Transport::LongPoll, Transport::Sse, Transport::Ndjson];
    loses_nothing_and_repeats_nothing(&polls_and_streams, HttpVersion::Http2).await;
}

#[test]
fn a_server_that_stops_during_one_stops_as_ever() {
    let mut server = Server::start();
    let mut asking = server.connection();
    asking.ask("POST", OUTAGE, &[("content-type", JSON)], br#"{"refuse_s":30}"#).unwrap();
    assert_eq!(end(&mut asking.socket), Err(ErrorKind::ConnectionReset));
    let said = Instant::now();
    server.say_goodbye();
    server.join();
    assert!(said.elapsed() < Duration::from_secs(5), "{:?}", said.elapsed());
}

#[test]
fn the_bound_on_connections_counts_as_before_afterwards() {
    let mut setup = Setup::default();
    setup.options.connections_max = 2;
    let server = setup.start();
    let (mut first, mut second) = (server.connection(), server.connection());
    let answered = |connection: &mut Connection| connection.ask("GET", "/healthz", &[], b"").unwrap().status;
    assert_eq!((answered(&mut first), answered(&mut second)), (200, 200));
    first.ask("POST", OUTAGE, &[("content-type", JSON)], br#"{"refuse_s":0.1}"#).unwrap();
    assert_eq!(end(&mut first.socket), Err(ErrorKind::ConnectionReset));
    wait_until("the outage is over", || is_there(&server));
    let mut after: Vec<Connection> = (0..3).map(|_| server.connection()).collect();
    // The one that looked whether it was over may still be ending.
    wait_until("two are served and one is refused", || {
        let mut statuses: Vec<u16> = after
            .iter_mut()
            .filter_map(|connection| {
                connection.ask("GET", "/healthz", &[], b"").ok().map(|answer| answer.status)
            })
            .collect();
        statuses.sort_unstable();
        let as_promised = statuses == [200, 200, 503];
        if !as_promised {
            after.clear();
            after.extend((0..3).map(|_| server.connection()));
        }
        as_promised
    });
}
