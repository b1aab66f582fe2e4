//! Advice of a server is a lower bound, and never a reason for a loop or for a herd: every client half against answers
//! that invite to one.

use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};
use wirelab_clients::meter::Meter;
use wirelab_clients::wire::{Position, Transport};
use wirelab_clients::{Adaptation, Options, Polling, Target, connect};

use crate::canned::{Asked, answering, follower};
use crate::http::{SOON, path};
use crate::server::{Setup, wait_until};

/// How long a client is watched.
const WATCHED: Duration = Duration::from_secs(2);
/// No wait is below 0.1 s, so no more requests than these fit. Most waits are far longer.
const REQUESTS_MAX: usize = 21;

fn refusal(status: &str, head: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{head}connection: close\r\ncontent-length: 0\r\n\r\n")
}

fn events(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n{body}")
}

const HELLO: &str = "event: hello\nid: k.0\ndata: {\"cursor\":\"k.0\"}\n\n";

/// Follows a server that always answers so; the requests of [`WATCHED`]. Errors if the client gave up by then.
async fn asks(transport: Transport, options: Options, answer: String) -> Result<usize, String> {
    let (authority, asked) = answering(move |_, _| Some(answer.clone()));
    let mut subscriber = follower(&authority, transport, &options);
    let following = tokio::spawn(async move {
        loop {
            if let Err(error) = subscriber.next_batch().await {
                return error.to_string();
            }
        }
    });
    sleep(WATCHED).await;
    if following.is_finished() {
        return Err(following.await.unwrap());
    }
    following.abort();
    Ok(asked.try_iter().count())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_advice_makes_a_loop_without_a_pause() {
    let http = |answer: &str| format!("HTTP/1.1 {answer}");
    let busy = refusal("503 Service Unavailable", "retry-after: 0\r\n");
    let mut cases: Vec<_> = Transport::ALL
        .into_iter()
        .map(|transport| (transport, "503, come back at once", Options::default(), busy.clone()))
        .collect();
    let ndjson = "200 OK\r\ncontent-type: application/x-ndjson\r\nconnection: close\r\n\r\n";
    let advised = Polling { adaptation: Adaptation::Server, ..Polling::every(Duration::from_millis(500)) };
    let advised = Options { polling: advised, ..Options::default() };
    let empty = r#"{"lines":[],"next":"k.0","more":true,"finished":false}"#;
    let empty = format!("200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{empty}", empty.len());
    let plain = Options::default;
    cases.extend([
        (Transport::Sse, "a stream that asks for no pause", plain(), events("retry: 0\n\n:\n\n")),
        (Transport::Sse, "hello and the end", plain(), events(&format!("retry: 0\n{HELLO}"))),
        (
            Transport::Ndjson,
            "hello and the end",
            plain(),
            http(&format!("{ndjson}{{\"hello\":{{\"cursor\":\"k.0\"}}}}\n")),
        ),
        (Transport::LongPoll, "204 at once", plain(), refusal("204 No Content", "etag: \"k.0\"\r\n")),
        (Transport::LongPoll, "204, at once", plain(), refusal("204 No Content", "retry-after: 0\r\n")),
        (Transport::LongPoll, "nothing at once", plain(), http(&empty)),
        (Transport::ShortPoll, "more, but nothing", plain(), http(&empty)),
        (Transport::ShortPoll, "304, at once", advised, refusal("304 Not Modified", "retry-after: 0\r\n")),
    ]);
    let asking: Vec<_> = cases
        .into_iter()
        .map(|(transport, what, options, answer)| {
            (transport, what, tokio::spawn(asks(transport, options, answer)))
        })
        .collect();
    for (transport, what, asking) in asking {
        let asked = asking.await.unwrap().unwrap_or_else(|why| panic!("{transport}, {what}: {why}"));
        assert!((1..=REQUESTS_MAX).contains(&asked), "{transport}, {what}: {asked} requests");
    }
}

/// The times between the requests of a client, up to the `count`th.
fn gaps(asked: &Receiver<Asked>, count: usize) -> Vec<Duration> {
    let times: Vec<Instant> =
        (0..count).map(|_| asked.recv_timeout(SOON).expect("it asks again").at).collect();
    times.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

fn follow(transport: Transport, authority: &str, options: &Options) {
    let mut subscriber = follower(authority, transport, options);
    tokio::spawn(async move { while subscriber.next_batch().await.is_ok() {} });
}

/// Waits little of its own, so that what it waits is what it was told.
fn impatient() -> Options {
    Options {
        polling: Polling::every(Duration::from_millis(5)),
        reconnect_max: Duration::from_millis(5),
        ..Options::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_date_is_obeyed_as_a_number_is_and_counted_from_the_servers_own_clock() {
    let date = "date: Sun, 06 Nov 1994 08:49:37 GMT\r\nretry-after: Sun, 06 Nov 1994 08:49:39 GMT\r\n";
    let later = refusal("503 Service Unavailable", date);
    let asked = Transport::ALL.map(|transport| {
        let later = later.clone();
        let (authority, asked) = answering(move |_, _| Some(later.clone()));
        follow(transport, &authority, &impatient());
        (transport, asked)
    });
    for (transport, asked) in asked {
        let gap = gaps(&asked, 2)[0];
        assert!(gap >= Duration::from_secs(2), "{transport} came back after {gap:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_reconnection_time_holds_until_the_server_asks_for_another() {
    let told = Duration::from_millis(600);
    let (authority, asked) = answering(|n, _| {
        Some(match n {
            0 => events(&format!("retry: 600\n{HELLO}")),
            // A refusal, a cut and a stream without the field change nothing.
            1 => refusal("503 Service Unavailable", ""),
            2 => "HTTP/1.1 200 OK\r\n".to_owned(),
            _ => events(HELLO),
        })
    });
    follow(Transport::Sse, &authority, &impatient());
    let gaps = gaps(&asked, 6);
    assert!(gaps.iter().all(|gap| *gap >= told), "{gaps:?}");
}

/// A server at its bound tells all the same time. Half of the time that they may take lies on each side of the middle;
/// that all of them choose one side by chance does not happen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_were_refused_together_come_back_apart() {
    const CLIENTS: usize = 40;
    const TOLD: Duration = Duration::from_secs(5);
    let mut setup = Setup::default();
    setup.options.connections_max = 1;
    let server = setup.start();
    let id = server.create().id;
    // The connection that created the deployment takes the only place until the server has seen its end.
    let mut only = None;
    wait_until("the place is free", || {
        only = server.stream(&path(Transport::Ndjson, &id, ""), &[]).ok();
        only.is_some()
    });
    let url = format!("http://{}", server.authority).parse().unwrap();
    let target = Target { server: url, deployment: id, from: Position::Start };
    let mut clients = Vec::new();
    for transport in [Transport::LongPoll, Transport::Ndjson, Transport::Websocket] {
        for _ in 0..CLIENTS {
            let meter = Meter::new();
            let mut subscriber = connect(transport, target.clone(), &Options::default(), meter.clone());
            let following = tokio::spawn(async move { while subscriber.next_batch().await.is_ok() {} });
            clients.push((transport, following, tokio::spawn(away(meter))));
        }
    }
    let mut away = Vec::new();
    for (transport, following, returning) in clients {
        let time = timeout(SOON + 2 * TOLD, returning).await.expect("it comes back").unwrap();
        following.abort();
        assert!(time >= TOLD, "{transport} was told {TOLD:?} and came back after {time:?}");
        away.push(time);
    }
    let early = away.iter().filter(|time| **time < TOLD * 3 / 2).count();
    assert!(early > 0 && early < away.len(), "{early} of {} came back in the first half", away.len());
    away.sort();
    let most = away.windows(CLIENTS).map(|times| times[CLIENTS - 1] - times[0]).min();
    assert!(most > Some(TOLD / 10), "a third of them came back within {most:?}");
}

/// The time from a client's first refusal to its second.
async fn away(meter: std::sync::Arc<Meter>) -> Duration {
    let refused = async |times| {
        while meter.traffic().requests.refused < times {
            sleep(Duration::from_millis(5)).await;
        }
        Instant::now()
    };
    let first = refused(1).await;
    refused(2).await - first
}
