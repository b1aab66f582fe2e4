//! What a client sends and does when it asks in another way than by default.
//!
//! `conformance::strategies` checks that lines and counts stay right meanwhile.

use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::time::timeout;
use wirelab::exchange::compression::Compression as Offered;
use wirelab_clients::meter::Meter;
use wirelab_clients::wire::{Batch, Position, Status, Transport};
use wirelab_clients::{
    Adaptation, Compression, Condition, HttpVersion, Options, PollConnections, Polling, Subscriber, Target,
    connect,
};

use crate::canned::{Asked, answered};
use crate::http::SOON;
use crate::server::Setup;

/// Asks again within this by itself; an order of magnitude below what it is told in these tests.
const INTERVAL: Duration = Duration::from_millis(5);

fn polling(polling: Polling) -> Options {
    Options { polling, reconnect_max: INTERVAL, hold: Duration::from_secs(1), ..Options::default() }
}

/// A poll's answer with one line, and more of a head.
fn batch(seq: u64, head: &str) -> String {
    let body = batch_json(seq);
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nconnection: close\r\n{head}content-length: {length}\r\n\r\n{body}")
}

fn batch_json(seq: u64) -> String {
    format!(
        r#"{{"lines":[{{"seq":{seq},"at_us":7,"text":"a"}}],"next":"k.{seq}","more":false,"finished":false}}"#
    )
}

async fn next(subscriber: &mut dyn Subscriber) -> Batch {
    timeout(SOON, subscriber.next_batch()).await.expect("it neither fails nor ends").unwrap().batch
}

/// The requests that bring two lines, one after the other.
async fn asked_twice(transport: Transport, options: &Options, head: &str) -> [Asked; 2] {
    let (mut subscriber, asked): (_, Receiver<Asked>) =
        answered(transport, options, &[batch(1, head), batch(2, head)]);
    for seq in [1, 2] {
        assert_eq!(next(&mut *subscriber).await.next.after, seq);
    }
    [asked.recv_timeout(SOON).unwrap(), asked.recv_timeout(SOON).unwrap()]
}

fn says(asked: &Asked, field: &str) -> bool {
    asked.head.to_ascii_lowercase().contains(&format!("\r\n{field}"))
}

#[tokio::test]
async fn a_poller_that_obeys_comes_back_when_a_good_answer_says() {
    const RETRY_AFTER: Duration = Duration::from_secs(1);
    for (adaptation, is_obeyed) in [(Adaptation::Server, true), (Adaptation::None, false)] {
        let options = polling(Polling { adaptation, ..Polling::every(INTERVAL) });
        let [first, second] = asked_twice(Transport::ShortPoll, &options, "retry-after: 1\r\n").await;
        assert_eq!(
            second.at - first.at >= RETRY_AFTER,
            is_obeyed,
            "{adaptation}: {:?}",
            second.at - first.at
        );
    }
}

#[tokio::test]
async fn a_poller_repeats_the_entity_tag_it_was_given_unless_it_asks_plainly() {
    for (condition, is_said) in [(Condition::IfNoneMatch, true), (Condition::Plain, false)] {
        let options = polling(Polling { condition, ..Polling::every(INTERVAL) });
        let [first, second] = asked_twice(Transport::ShortPoll, &options, "etag: W/\"k.1\"\r\n").await;
        assert!(!says(&first, "if-none-match"));
        assert_eq!(says(&second, "if-none-match: w/\"k.1\"\r\n"), is_said, "{condition}: {}", second.head);
    }
}

#[tokio::test]
async fn a_long_poller_takes_its_turn_between_an_answer_and_a_question() {
    const TURN: Duration = Duration::from_millis(100);
    let options = Options { turn: TURN, ..polling(Polling::every(INTERVAL)) };
    let [first, second] = asked_twice(Transport::LongPoll, &options, "").await;
    assert!(second.at - first.at >= TURN, "{:?}", second.at - first.at);
}

#[tokio::test]
async fn a_poller_with_a_connection_per_poll_says_so() {
    for transport in [Transport::ShortPoll, Transport::LongPoll] {
        for (connections, is_said) in
            [(PollConnections::PerRequest, true), (PollConnections::KeepAlive, false)]
        {
            let options = Options { connections, ..polling(Polling::every(INTERVAL)) };
            for asked in asked_twice(transport, &options, "").await {
                assert_eq!(says(&asked, "connection: close"), is_said, "{transport}, {connections}");
            }
        }
    }
}

/// The real server keeps a connection open unless it is told otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_poll_has_a_connection_and_every_connection_a_poll() {
    for http in [HttpVersion::Http1, HttpVersion::Http2] {
        for transport in [Transport::ShortPoll, Transport::LongPoll] {
            let server = Setup::default().start();
            let id = server.create().id;
            let options = Options {
                connections: PollConnections::PerRequest,
                http,
                ..polling(Polling::every(INTERVAL))
            };
            let target = Target {
                server: format!("http://{}", server.authority).parse().unwrap(),
                deployment: id.clone(),
                from: Position::Start,
            };
            let mut subscriber = connect(transport, target, &options, Meter::new());
            for text in ["one", "two", "three"] {
                server.append(&id, &[text]);
                assert_eq!(next(&mut *subscriber).await.lines[0].line.text, text);
            }
            let traffic = subscriber.traffic();
            assert_eq!(traffic.connections_opened, traffic.requests.total(), "{transport}, HTTP/{http}");
        }
    }
}

/// That the bytes are those of the network, and not of the text, is X12's to say.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn gzip_is_asked_for_and_takes_fewer_bytes() {
    let mut setup = Setup::default();
    setup.options.compression = Offered::Gzip;
    let server = setup.start();
    let id = server.create().id;
    let texts: Vec<_> = (0..500).map(|number| format!("line {number} of many that look alike")).collect();
    server.append(&id, &texts);
    server.finish(&id, Status::Succeeded);
    for transport in [Transport::ShortPoll, Transport::LongPoll, Transport::Sse, Transport::Ndjson] {
        let mut down_bytes = Vec::new();
        for compression in [Compression::Identity, Compression::Gzip] {
            let options = Options { compression, ..polling(Polling::every(INTERVAL)) };
            let target = Target {
                server: format!("http://{}", server.authority).parse().unwrap(),
                deployment: id.clone(),
                from: Position::Start,
            };
            let mut subscriber = connect(transport, target, &options, Meter::new());
            let mut count = 0;
            loop {
                let batch = next(&mut *subscriber).await;
                count += batch.lines.len();
                if batch.finished {
                    break;
                }
            }
            assert_eq!(count, texts.len());
            down_bytes.push(subscriber.traffic().down_bytes);
        }
        assert!(down_bytes[1] < down_bytes[0] / 2, "{transport}: {down_bytes:?}");
    }
}

/// Otherwise a server takes it for dead, and closes.
#[tokio::test]
async fn a_poller_that_sleeps_answers_pings() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let asleep = Instant::now();
    let answering = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(socket).await.unwrap();
        let (_, mut respond) = connection.accept().await.unwrap().unwrap();
        let head = http::Response::builder().header("retry-after", "60").body(()).unwrap();
        respond.send_response(head, false).unwrap().send_data(Bytes::from(batch_json(1)), true).unwrap();
        let mut pings = connection.ping_pong().unwrap();
        let pinged = tokio::select! {
            pinged = pings.ping(h2::Ping::opaque()) => pinged.is_ok(),
            _ = connection.accept() => false,
        };
        assert!(pinged, "it asked or went away");
        connection.abrupt_shutdown(h2::Reason::NO_ERROR);
    });
    let polling = Polling { adaptation: Adaptation::Server, ..Polling::every(INTERVAL) };
    let options = Options { polling, http: HttpVersion::Http2, ..Options::default() };
    let target = Target { server, deployment: "01k3aaaa".parse().unwrap(), from: Position::Start };
    let mut subscriber = connect(Transport::ShortPoll, target, &options, Meter::new());
    assert_eq!(next(&mut *subscriber).await.next.after, 1);
    tokio::select! {
        answered = answering => answered.unwrap(),
        _ = subscriber.next_batch() => panic!("it was told to sleep"),
        () = tokio::time::sleep(SOON) => panic!("no answer after {:?}", asleep.elapsed()),
    }
}
