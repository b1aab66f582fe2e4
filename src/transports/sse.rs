//! Server-sent events: the server waits for ever, and browsers reconnect by themselves.
//!
//! One endless response of text events (WHATWG HTML §9.2). Each line of the log is an unnamed event whose id is the
//! cursor after it, so that the browser's own `Last-Event-ID` resumes exactly. After the end of the log the answer is
//! 204, the one status that tells an EventSource to stop.

use std::fmt::Display;

use actix_web::dev::RequestHead;
use actix_web::{HttpResponse, web};
use bytes::Bytes;
use rand::RngExt;
use serde::Serialize;
use wirelab_clients::wire::{DeploymentId, Finished, Gap, Hello, Outcome, Transport};

use super::endless::{self, Framing};
use crate::context::Context;
use crate::exchange::asked::{Answer, Asked};
use crate::exchange::problem::Refusal;
use crate::exchange::request;
use crate::exchange::route::no_store;
use crate::reader::{EncodedBatch, FramingName, LineFraming};

const CONTENT_TYPE: &str = "text/event-stream";
/// Bytes that an event adds to the JSON of its line: the names of two fields, a cursor of 33 bytes and three line ends.
const EVENT_BYTES_MAX: usize = 48;
/// Range of the reconnection time of a healthy stream, ms. It is random: otherwise all clients of a restarted server
/// would return at once.
const RETRY_MS: std::ops::Range<u64> = 500..1_500;
/// Range of the reconnection time when the server is overloaded or stopping, ms.
const RETRY_LATER_MS: std::ops::Range<u64> = 1_000..5_000;

/// Answers `GET …/sse?from=` with a stream; browsers send `Last-Event-ID`.
pub(super) async fn answer(
    asked: Asked,
    id: DeploymentId,
    context: web::Data<Context>,
) -> Result<Answer, Refusal> {
    let heartbeat = Heartbeat::asked(asked.head())?;
    let reader = context.deployments.reader(&id, request::position(asked.head())?).await?;
    if reader.finished().is_some() {
        let response = no_store(HttpResponse::NoContent()).finish();
        return Ok(Answer { response, outcome: Outcome::Empty });
    }
    Ok(endless::respond(&asked, reader, Sse { heartbeat }, context))
}

/// Makes the answer of an overloaded server: a stream that only says when to come back.
pub(crate) fn overloaded() -> HttpResponse {
    no_store(HttpResponse::Ok()).content_type(CONTENT_TYPE).body(retry(RETRY_LATER_MS))
}

/// How a stream that asks for it is told that the server lives: browsers hide comments from scripts.
#[derive(Clone, Copy)]
enum Heartbeat {
    /// A comment, which no parser hands over.
    Comment,
    /// An event named `heartbeat`, without an id, so that a script can have a watchdog.
    Event,
}

impl Heartbeat {
    /// Returns what `heartbeat` asks for; 400 if it is neither absent nor `event`.
    fn asked(head: &RequestHead) -> Result<Self, Refusal> {
        match request::parameter(head, "heartbeat")?.as_deref() {
            None => Ok(Self::Comment),
            Some("event") => Ok(Self::Event),
            Some(other) => Err(Refusal::bad_request(format!(
                "heartbeat {other:?} is not known; give heartbeat=event, or leave it out for comments"
            ))),
        }
    }
}

pub(super) struct Sse {
    heartbeat: Heartbeat,
}

impl LineFraming for Sse {
    const NAME: FramingName = FramingName::Sse;

    fn frame(_: &DeploymentId, batch: &EncodedBatch) -> Bytes {
        let bytes = batch.lines.iter().map(|line| line.json.len() + EVENT_BYTES_MAX).sum();
        let mut text = String::with_capacity(bytes);
        let mut cursor = batch.next.clone();
        for line in &batch.lines {
            let json = std::str::from_utf8(&line.json).expect("JSON of the store is UTF-8");
            cursor.after = line.seq;
            event(&mut text, None, Some(&cursor), json);
        }
        text.into()
    }
}

impl Framing for Sse {
    const TRANSPORT: Transport = Transport::Sse;
    const CONTENT_TYPE: &'static str = CONTENT_TYPE;

    fn hello(&self, hello: &Hello) -> Bytes {
        // One block: parsers that hand over a block without data would make an event of a reconnection time alone.
        let mut text = format!(": connected\n{}", retry(RETRY_MS));
        event(&mut text, Some("hello"), Some(&hello.cursor), &json(hello));
        text.into()
    }

    fn finished(&self, finished: &Finished) -> Bytes {
        one_event("finished", Some(&finished.cursor), finished)
    }

    fn gap(&self, gap: &Gap) -> Bytes {
        // The event has no id: the client's cursor stays after its last line.
        one_event("gap", None, gap)
    }

    fn deleted(&self) -> Bytes {
        one_event("deleted", None, &serde_json::json!({}))
    }

    fn heartbeat(&self) -> Bytes {
        match self.heartbeat {
            // Without a blank line: after a comment alone, some parsers take it for the end of an event.
            Heartbeat::Comment => Bytes::from_static(b": heartbeat\n"),
            // As every other event, it has JSON for its data.
            Heartbeat::Event => one_event("heartbeat", None, &serde_json::json!({})),
        }
    }

    fn goodbye(&self) -> Bytes {
        retry(RETRY_LATER_MS).into()
    }
}

/// Encodes a random reconnection time in digits only: browsers ignore the field otherwise. It takes effect with its line
/// end; a blank line would make an empty event of it in some parsers.
fn retry(range_ms: std::ops::Range<u64>) -> String {
    format!("retry: {}\n", rand::rng().random_range(range_ms))
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("our values have no key that JSON refuses")
}

fn one_event(name: &str, id: Option<&dyn Display>, data: &impl Serialize) -> Bytes {
    let mut text = String::new();
    event(&mut text, Some(name), id, &json(data));
    text.into()
}

/// Writes one event. Data is split at LF, CR and CRLF, since each of them ends a line of the stream. JSON has none of
/// them raw, but this function does not rely on it. Names and ids are the server's own and have no line end.
fn event(text: &mut String, name: Option<&str>, id: Option<&dyn Display>, data: &str) {
    use std::fmt::Write;
    if let Some(name) = name {
        writeln!(text, "event: {name}").expect("writing to a String does not fail");
    }
    if let Some(id) = id {
        writeln!(text, "id: {id}").expect("writing to a String does not fail");
    }
    let mut rest = data;
    loop {
        // Both line ends are single bytes. A search for bytes is fast, and this is the hot path of a long log.
        let end = memchr::memchr2(b'\r', b'\n', rest.as_bytes()).unwrap_or(rest.len());
        text.push_str("data: ");
        text.push_str(&rest[..end]);
        text.push('\n');
        if end == rest.len() {
            break;
        }
        let line_end = if rest[end..].starts_with("\r\n") { 2 } else { 1 };
        rest = &rest[end + line_end..];
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(data: &str) -> String {
        let mut text = String::new();
        event(&mut text, Some("e"), Some(&"k.1"), data);
        text
    }

    #[test]
    fn data_is_split_at_each_of_the_three_line_ends() {
        assert_eq!(framed(""), "event: e\nid: k.1\ndata: \n\n");
        assert_eq!(framed("a"), "event: e\nid: k.1\ndata: a\n\n");
        assert_eq!(framed("a\nb\rc\r\nd"), "event: e\nid: k.1\ndata: a\ndata: b\ndata: c\ndata: d\n\n");
        assert_eq!(framed("a\n\nb\n"), "event: e\nid: k.1\ndata: a\ndata: \ndata: b\ndata: \n\n");
        assert_eq!(framed(" a"), "event: e\nid: k.1\ndata:  a\n\n");
    }

    #[test]
    fn the_reconnection_time_is_digits_only_and_differs() {
        let times: std::collections::HashSet<String> = (0..50).map(|_| retry(RETRY_MS)).collect();
        assert!(times.len() > 10);
        for time in times {
            let digits = time.strip_prefix("retry: ").and_then(|t| t.strip_suffix("\n")).unwrap();
            assert!(digits.bytes().all(|b| b.is_ascii_digit()) && !digits.is_empty());
        }
    }
}
