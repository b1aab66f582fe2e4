//! A subscriber that falls back: it steps down when its transport does not get through, and only then.

use std::time::Duration;

use tokio::time::timeout;
use wirelab_clients::meter::Meter;
use wirelab_clients::wire::{Position, Status, Transport};
use wirelab_clients::{Ladder, Options, Polling, SubscribeError, Subscriber, Target};

use crate::http::{Api, SOON};
use crate::proxy::{Fault, Proxy};
use crate::server::{Server, Setup, wait_until};

const BELOW: [Transport; 2] = [Transport::LongPoll, Transport::ShortPoll];

/// From event streams over long polls to short polls.
fn ladder(way: &Api, deployment: &str, from: Position) -> Ladder {
    let options = Options {
        polling: Polling::every(Duration::from_millis(5)),
        reconnect_max: Duration::from_millis(5),
        ..Options::default()
    };
    let server = format!("http://{}", way.authority).parse().unwrap();
    let target = Target { server, deployment: deployment.parse().unwrap(), from };
    Ladder::new(Transport::Sse, &BELOW, target, &options, Meter::new())
}

/// The texts that come up to the end.
async fn texts(ladder: &mut Ladder) -> Vec<String> {
    let mut texts = Vec::new();
    loop {
        let next = timeout(SOON, ladder.next_batch()).await.expect("lines come");
        let batch = next.unwrap().batch;
        texts.extend(batch.lines.into_iter().map(|line| line.line.text));
        if batch.finished {
            return texts;
        }
    }
}

fn numbered(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("line {number}")).collect()
}

/// Reads a log of a thousand lines on the way that a fault makes of a server; where it stands in the end.
async fn reads_it_all_over(fault: Fault) -> Transport {
    let server = Server::start();
    let proxy = Proxy::start(&server, fault);
    let id = server.create().id;
    let lines = numbered(1_000);
    server.append(&id, &lines);
    server.finish(&id, Status::Succeeded);
    let mut ladder = ladder(&proxy.api(), id.as_str(), Position::Start);
    assert_eq!(texts(&mut ladder).await, lines, "{fault:?}");
    ladder.rung()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn nobody_steps_down_without_a_reason() {
    assert_eq!(reads_it_all_over(Fault::None).await, Transport::Sse);
    assert_eq!(reads_it_all_over(Fault::CutsTheFirst(3_000)).await, Transport::Sse);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_no_event_stream_is_stepped_down_from() {
    assert_eq!(reads_it_all_over(Fault::MislabelsStreams).await, Transport::LongPoll);
}

/// Before the hello, and after some lines: then they do not come again.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_rung_that_fails_again_and_again_is_stepped_down_from() {
    for first_bytes in [0, 20_000] {
        assert_eq!(reads_it_all_over(Fault::CutsStreams(first_bytes)).await, Transport::LongPoll);
    }
}

/// The classic: the head and the lines are there, and somebody waits for the end before they pass them on.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stream_that_is_held_back_is_stepped_down_from_and_its_lines_come() {
    let server = Server::start();
    let proxy = Proxy::start(&server, Fault::HoldsStreamsBack);
    let id = server.create().id;
    server.append(&id, &["before it came"]);
    let mut ladder = ladder(&proxy.api(), id.as_str(), Position::Now);
    let following = tokio::spawn(async move { (texts(&mut ladder).await, ladder.rung()) });
    wait_until("the stream is open", || server.waiters(Transport::Sse) == 1);
    let lines = numbered(10);
    server.append(&id, &lines);
    wait_until("it polls", || server.waiters(Transport::LongPoll) == 1);
    server.finish(&id, Status::Succeeded);
    assert_eq!(following.await.unwrap(), (lines, Transport::LongPoll));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_transport_that_the_server_lacks_is_stepped_down_from() {
    let mut setup = Setup::default();
    setup.options.transports = vec![Transport::ShortPoll];
    let server = setup.start();
    let id = server.create().id;
    server.append(&id, &numbered(10));
    server.finish(&id, Status::Succeeded);
    let mut ladder = ladder(&server, id.as_str(), Position::Start);
    assert_eq!(texts(&mut ladder).await, numbered(10));
    assert_eq!(ladder.rung(), Transport::ShortPoll);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_that_is_away_for_a_while_is_waited_for() {
    // Three connections for each failure: the stream's, and the API's two.
    let server = Server::start();
    let proxy = Proxy::start(&server, Fault::DropsTheFirst(12));
    let id = server.create().id;
    server.append(&id, &numbered(10));
    server.finish(&id, Status::Succeeded);
    let mut ladder = ladder(&proxy.api(), id.as_str(), Position::Start);
    assert_eq!(texts(&mut ladder).await, numbered(10));
    assert_eq!(ladder.rung(), Transport::Sse);
}

/// No other transport would have it.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_wrong_with_the_deployment_is_told_at_once() {
    let server = Server::start();
    for from in [Position::Start, Position::Now] {
        let mut unknown = ladder(&server, "01k3aaaaaaaa", from);
        let refused = timeout(SOON, unknown.next_batch()).await.unwrap().unwrap_err();
        assert!(matches!(refused, SubscribeError::Refused { status: 404, .. }), "{refused}");
        assert_eq!(unknown.rung(), Transport::Sse);
    }
    let id = server.create().id;
    let mut beyond = ladder(&server, id.as_str(), Position::After("k.7".parse().unwrap()));
    let refused = timeout(SOON, beyond.next_batch()).await.unwrap().unwrap_err();
    assert!(matches!(refused, SubscribeError::Gap(_)), "{refused}");
    assert_eq!(beyond.rung(), Transport::Sse);
}

/// The last rung has nothing below it: what is wrong with it is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_with_none_of_the_transports_is_refused_by() {
    let mut setup = Setup::default();
    setup.options.transports = vec![Transport::Ndjson];
    let server = setup.start();
    let id = server.create().id;
    let mut ladder = ladder(&server, id.as_str(), Position::Start);
    let refused = timeout(SOON, ladder.next_batch()).await.unwrap().unwrap_err();
    assert!(matches!(refused, SubscribeError::Refused { status: 404, .. }), "{refused}");
    assert_eq!(ladder.rung(), Transport::ShortPoll);
}
