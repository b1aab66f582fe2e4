//! What the SSE client does with answers that are not a stream (Q12, Q13 of docs/protocol.md), against canned
//! answers.

use std::sync::mpsc;
use std::time::Duration;

use tokio::time::timeout;
use wirelab_clients::traffic::Requests;
use wirelab_clients::wire::Transport;
use wirelab_clients::{Options, Received, SubscribeError, Subscriber};

use crate::canned::{Asked, answered};
use crate::http::SOON;

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n";
const HELLO: &str = "retry: 1\n\nevent: hello\nid: k.0\ndata: {\"cursor\":\"k.0\"}\n\n";
const LINE: &str = "id: k.1\ndata: {\"seq\":1,\"at_us\":7,\"text\":\"a\"}\n\n";

fn server(answers: &[String]) -> (Box<dyn Subscriber>, mpsc::Receiver<Asked>) {
    let options = Options { reconnect_max: Duration::from_millis(5), ..Options::default() };
    answered(Transport::Sse, &options, answers)
}

async fn next(subscriber: &mut dyn Subscriber) -> Result<Received, SubscribeError> {
    timeout(SOON, subscriber.next_batch()).await.expect("it neither fails nor ends")
}

#[tokio::test]
async fn another_content_type_fails_and_is_not_asked_again() {
    for kind in ["text/plain", "application/json", "text/event-streams"] {
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: 0\r\n\r\n");
        let (mut subscriber, seen) = server(&[answer]);
        let refused = next(&mut *subscriber).await;
        assert!(
            matches!(&refused, Err(SubscribeError::OtherAnswer { found, .. }) if found == kind),
            "{kind}: {refused:?}"
        );
        assert_eq!(seen.try_iter().count(), 1);
    }
}

#[tokio::test]
async fn another_status_fails_and_is_not_asked_again() {
    for status in [301, 400, 401, 404] {
        let (mut subscriber, seen) = server(&[format!("HTTP/1.1 {status} No\r\ncontent-length: 0\r\n\r\n")]);
        let refused = next(&mut *subscriber).await;
        assert!(
            matches!(refused, Err(SubscribeError::Refused { status: s, .. }) if s == status),
            "{refused:?}"
        );
        assert_eq!(seen.try_iter().count(), 1);
    }
}

#[tokio::test]
async fn a_content_type_may_have_parameters_and_any_case() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream; charset=utf-8\r\n\r\n";
    let (mut subscriber, _) = server(&[format!("{head}{HELLO}{LINE}")]);
    assert_eq!(next(&mut *subscriber).await.unwrap().batch.lines.len(), 1);
}

#[tokio::test]
async fn a_stream_that_ends_is_asked_again_with_the_last_id() {
    let finished = "event: finished\nid: k.1\ndata: {\"cursor\":\"k.1\",\"status\":\"succeeded\"}\n\n";
    // An event that is cut off is no event, and its id is not the last.
    let cut = "id: k.2\ndata: {\"seq\":2,";
    let (mut subscriber, seen) =
        server(&[format!("{HEAD}\r\n{HELLO}{LINE}{cut}"), format!("{HEAD}\r\n{HELLO}{finished}")]);
    assert_eq!(next(&mut *subscriber).await.unwrap().batch.next.to_string(), "k.1");
    assert!(next(&mut *subscriber).await.unwrap().batch.finished);
    let heads: Vec<_> = seen.try_iter().map(|asked| asked.head).collect();
    assert!(!heads[0].contains("last-event-id"), "{}", heads[0]);
    assert!(heads[1].contains("\r\nlast-event-id: k.1\r\n"), "{}", heads[1]);
}

#[tokio::test]
async fn no_content_stops_for_good() {
    let (mut subscriber, seen) =
        server(&[format!("{HEAD}\r\n{HELLO}{LINE}"), "HTTP/1.1 204 No Content\r\n\r\n".to_owned()]);
    next(&mut *subscriber).await.unwrap();
    for _ in 0..3 {
        let ended = next(&mut *subscriber).await.unwrap().batch;
        assert!(ended.finished && ended.lines.is_empty() && ended.next.to_string() == "k.1");
    }
    assert_eq!(seen.try_iter().count(), 2, "it asked again after the end");
}

#[tokio::test]
async fn an_overloaded_server_counts_as_refused_and_is_asked_again() {
    let (mut subscriber, _) = server(&[
        format!("{HEAD}content-length: 10\r\n\r\nretry: 1\n\n"),
        // It says that it closes: a request that crossed the close would count as an error.
        "HTTP/1.1 503 No\r\nretry-after: 0\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".to_owned(),
        format!("{HEAD}\r\n{HELLO}{LINE}"),
    ]);
    next(&mut *subscriber).await.unwrap();
    let requests = subscriber.traffic().requests;
    assert_eq!(requests, Requests { data: 1, refused: 2, ..Requests::default() });
}
