//! Manners of clients: when they ask again, what they take for an end, and what they keep open.
//!
//! The rules of the SSE client alone are in `event_source`.

use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use wirelab_clients::traffic::Requests;
use wirelab_clients::wire::{Position, Status, Transport};
use wirelab_clients::{
    HttpVersion, Options, Polling, Received, SubscribeError, Subscriber, Target, connect, meter::Meter,
};

use crate::canned::{Asked, answered, answered_after};
use crate::http::SOON;
use crate::server::{Setup, wait_until};

async fn next(subscriber: &mut dyn Subscriber) -> Result<Received, SubscribeError> {
    timeout(SOON, subscriber.next_batch()).await.expect("it neither fails nor ends")
}

fn hasty() -> Options {
    Options {
        polling: Polling::every(Duration::from_millis(5)),
        hold: Duration::from_millis(50),
        reconnect_max: Duration::from_millis(5),
        ..Options::default()
    }
}

/// An answer with a length. The server closes, and says so: a request that crosses the end would be an error.
fn answer(head: &str, body: &str) -> String {
    format!("HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// A poll's answer with one line.
fn batch(seq: u64) -> String {
    let body = format!(
        r#"{{"lines":[{{"seq":{seq},"at_us":7,"text":"a"}}],"next":"k.{seq}","more":false,"finished":false}}"#
    );
    answer("200 OK", &body)
}

/// P7, and the same of every other client.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_client_stays_away_as_long_as_the_server_asks() {
    const RETRY_AFTER: Duration = Duration::from_secs(1);
    let overloaded = answer("503 Service Unavailable\r\nretry-after: 1", "");
    // Its own patience is shorter: the advice is a lower bound all the same.
    let options = hasty();
    let asking: Vec<_> = Transport::ALL
        .into_iter()
        .map(|transport| {
            let (mut subscriber, asked) = answered(transport, &options, std::slice::from_ref(&overloaded));
            tokio::spawn(async move { subscriber.next_batch().await });
            (transport, asked)
        })
        .collect();
    for (transport, asked) in asking {
        let when = || asked.recv_timeout(SOON).unwrap_or_else(|_| panic!("{transport} stays away")).at;
        let (first, second) = (when(), when());
        assert!(second - first >= RETRY_AFTER, "{transport} came back after {:?}", second - first);
    }
}

/// P8.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_poller_keeps_its_connection_and_counts_each_one() {
    /// The shortest that a server keeps to.
    const KEEP_ALIVE: Duration = Duration::from_secs(1);
    let mut setup = Setup::default();
    setup.options.keep_alive = KEEP_ALIVE;
    let server = setup.start();
    let slow = Options { polling: Polling::every(2 * KEEP_ALIVE), ..hasty() };
    let http_2 = |options| Options { http: HttpVersion::Http2, ..options };
    for (transport, options, requests, connections) in [
        (Transport::ShortPoll, hasty(), 20, 1),
        (Transport::LongPoll, hasty(), 20, 1),
        (Transport::ShortPoll, slow.clone(), 2, 2),
        (Transport::ShortPoll, http_2(hasty()), 20, 1),
        (Transport::LongPoll, http_2(hasty()), 20, 1),
        (Transport::ShortPoll, http_2(slow), 2, 2),
    ] {
        let id = server.create().id;
        let from = Position::Start;
        let url = format!("http://{}", server.authority).parse().unwrap();
        let meter = Meter::new();
        let target = Target { server: url, deployment: id.clone(), from };
        let mut subscriber = connect(transport, target, &options, meter.clone());
        let following = tokio::spawn(async move { next(&mut *subscriber).await });
        wait_until("it polls", || meter.traffic().requests.total() >= requests);
        let traffic = meter.traffic();
        assert_eq!(traffic.connections_opened, connections, "{transport}: {traffic:?}");
        assert_eq!((traffic.requests.error, traffic.reconnects), (0, traffic.connections_opened - 1));
        server.finish(&id, Status::Succeeded);
        assert!(following.await.unwrap().unwrap().batch.finished);
    }
}

/// L10: the server must be the one that ends a hold.
#[tokio::test]
async fn a_long_poller_waits_longer_than_the_hold_it_asked_for() {
    let expired = "HTTP/1.1 204 No Content\r\nconnection: close\r\netag: \"k.7\"\r\n\r\n".to_owned();
    let delay = 20 * hasty().hold;
    let (mut subscriber, asked) = answered_after(delay, Transport::LongPoll, &hasty(), &[expired, batch(8)]);
    assert_eq!(next(&mut *subscriber).await.unwrap().batch.next.to_string(), "k.8");
    let expected = Requests { data: 1, timeout: 1, ..Requests::default() };
    assert_eq!(subscriber.traffic().requests, expected, "it gave up before the server did");
    let heads: Vec<_> = asked.try_iter().map(|asked| asked.head).collect();
    assert!(heads[0].contains("wait=0.05") && heads[1].contains("from=k.7"), "{heads:?}");
}

/// L10: a back-off after each answer would take a quarter of a second on the average.
#[tokio::test]
async fn a_long_poller_that_got_lines_asks_again_at_once() {
    const ANSWERS: u64 = 20;
    let answers: Vec<_> = (1..=ANSWERS).map(batch).collect();
    let options = Options { reconnect_max: Duration::from_secs(30), ..hasty() };
    let (mut subscriber, _) = answered(Transport::LongPoll, &options, &answers);
    let asked = Instant::now();
    for seq in 1..=ANSWERS {
        assert_eq!(next(&mut *subscriber).await.unwrap().batch.next.after, seq);
    }
    let took = asked.elapsed();
    assert!(took < Duration::from_millis(125) * ANSWERS as u32, "{took:?}");
}

/// L10; that the delays are spread and grow is shown where they are drawn.
#[tokio::test]
async fn a_poller_counts_server_errors_and_asks_again() {
    for transport in [Transport::ShortPoll, Transport::LongPoll] {
        let failed = answer("500 Internal Server Error", "");
        let (mut subscriber, _) = answered(transport, &hasty(), &[failed.clone(), failed, batch(1)]);
        assert_eq!(next(&mut *subscriber).await.unwrap().batch.lines.len(), 1);
        let expected = Requests { data: 1, error: 2, ..Requests::default() };
        assert_eq!(subscriber.traffic().requests, expected, "{transport}");
    }
}

/// 408 and 429 say "not this time", not "no".
#[tokio::test]
async fn a_client_asks_again_after_a_refusal_that_passes() {
    for transport in [Transport::ShortPoll, Transport::LongPoll] {
        let refusals = ["408 Request Timeout", "429 Too Many Requests"].map(|status| answer(status, ""));
        let (mut subscriber, _) = answered(transport, &hasty(), &[&refusals[..], &[batch(1)]].concat());
        assert_eq!(next(&mut *subscriber).await.unwrap().batch.lines.len(), 1);
        let expected = Requests { data: 1, refused: 2, ..Requests::default() };
        assert_eq!(subscriber.traffic().requests, expected, "{transport}");
    }
}

const NDJSON: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n";
const HELLO: &str = "{\"hello\":{\"cursor\":\"k.0\"}}\n";
const LINE: &str = "{\"seq\":1,\"at_us\":7,\"text\":\"a\"}\n";
const FINISHED: &str =
    "{\"hello\":{\"cursor\":\"k.1\"}}\n{\"finished\":{\"cursor\":\"k.1\",\"status\":\"failed\"}}\n";
const LAST_CHUNK: &str = "0\r\n\r\n";

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

/// What an NDJSON subscriber got of two answers, and what it asked.
async fn followed(answers: [String; 2]) -> (Vec<u64>, Vec<String>) {
    let (mut subscriber, asked): (_, Receiver<Asked>) = answered(Transport::Ndjson, &hasty(), &answers);
    let mut seqs = Vec::new();
    loop {
        let batch = next(&mut *subscriber).await.unwrap().batch;
        seqs.extend(batch.lines.iter().map(|line| line.seq));
        if batch.finished {
            return (seqs, asked.try_iter().map(|asked| asked.head).collect());
        }
    }
}

/// N2, N3.
#[tokio::test]
async fn blank_lines_and_chunk_borders_mean_nothing() {
    let (start, end) = LINE.split_at(9);
    let first =
        [NDJSON, &chunk("\n"), &chunk(HELLO), &chunk("\n\r\n"), &chunk(start), &chunk(end), LAST_CHUNK];
    let second = [NDJSON, &chunk("\n"), &chunk(FINISHED), LAST_CHUNK];
    let (seqs, heads) = followed([first.concat(), second.concat()]).await;
    assert_eq!((seqs, heads.len()), (vec![1], 2));
}

/// N4: whether a body is cut or ends well, without `finished` the log has not ended, and half a record is none.
#[tokio::test]
async fn a_body_that_stops_is_no_end() {
    let half = chunk("{\"seq\":2,\"at_us\":7,\"te");
    let second = [NDJSON, &chunk(FINISHED), LAST_CHUNK].concat();
    for end in [half.as_str(), "", LAST_CHUNK, &[half.as_str(), LAST_CHUNK].concat(), "5\r\n{\"s"] {
        let first = [NDJSON, &chunk(HELLO), &chunk(LINE), end].concat();
        let (seqs, heads) = followed([first, second.clone()]).await;
        assert_eq!(seqs, [1], "{end:?}");
        assert!(heads[1].contains("/ndjson?from=k.1 "), "{end:?}: {heads:?}");
    }
}
