//! Targets that are not wirelab's: profiles of other servers, and subscribers for them.
//!
//! A profile says how to publish to such a server, how to follow it, and what it needs for a reconnect. The harness
//! then measures it with the connection, meter, back-off, publisher and recorder that it uses for wirelab itself.
//! Only what a profile cannot express differs: these servers do not number lines, so each published text carries its
//! number (see [`numbered`]).

pub mod line;
mod long_poll;
pub mod numbered;
pub mod profile;
mod resuming;
mod sse;
pub mod template;
mod websocket;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use hyper::header::HeaderMap;
use serde_json::Value;

use crate::meter::Meter;
use crate::spare;
use crate::wire::{Batch, Cursor, Line, NewLine, Seq};
use crate::{Options, Received, ServerUrl, SubscribeError, Subscriber};
use line::Found;
use numbered::Numbered;
use profile::{Profile, SendBack, Subscribe, SubscribeWire, Take};
use resuming::Resuming;

/// Longest silence of a server with a profile, after which its subscriber reconnects. Such a server promises no sign
/// of life, so silence does not mean that it is dead. A reconnect costs lines where the server keeps none.
const PROFILE_SILENCE_MAX: Duration = Duration::from_secs(3_600);

/// Server to follow, and the deployment there.
#[derive(Debug, Clone)]
pub struct ProfileTarget {
    /// Profile: how to speak to the server.
    pub profile: Arc<Profile>,
    /// Address of the server.
    pub server: ServerUrl,
    /// Name that replaces `{deployment}`.
    pub deployment: String,
    /// What the server sent first that the profile does not take for a line; shared by all subscribers of the target.
    pub unmatched: Arc<OnceLock<String>>,
}

/// Most characters of an unmatched answer that are kept: enough to see its type and its first members.
const UNMATCHED_CHARS_MAX: usize = 200;

/// Returns a subscriber of a server with a profile. It connects when it is first asked for a batch.
pub fn subscribe(target: ProfileTarget, options: &Options, meter: Arc<Meter>) -> Box<dyn Subscriber> {
    let position = Resumption::new(&target);
    let (server, counted) = (target.server, meter.clone());
    match &target.profile.subscribe.wire {
        SubscribeWire::Sse { event } => {
            let sse = sse::Sse::new(server, event.clone(), options, meter);
            Box::new(Resuming::new(sse, position, counted))
        }
        SubscribeWire::LongPoll => {
            let long_poll = long_poll::LongPoll::new(server, options, meter);
            Box::new(Resuming::new(long_poll, position, counted))
        }
        SubscribeWire::Websocket(speech) => {
            let websocket = websocket::Websocket::new(server, speech.clone(), options, meter);
            Box::new(Resuming::new(websocket, position, counted))
        }
    }
}

/// Position of a subscriber in a log: the lines that it has, and what to send back for the rest.
struct Resumption {
    profile: Arc<Profile>,
    deployment: String,
    cursor: Cursor,
    /// Value for each entry of the profile's `resume`, once one was seen.
    taken: Vec<Option<String>>,
    ended: Option<Received>,
    unmatched: Arc<OnceLock<String>>,
}

impl Resumption {
    fn new(target: &ProfileTarget) -> Self {
        let profile = target.profile.clone();
        let epoch = "numbered".parse().expect("8 plain characters are an epoch");
        let taken = vec![None; profile.subscribe.resume.len()];
        let (deployment, unmatched) = (target.deployment.clone(), target.unmatched.clone());
        Self { profile, deployment, cursor: Cursor { epoch, after: 0 }, taken, ended: None, unmatched }
    }

    fn subscribe(&self) -> &Subscribe {
        &self.profile.subscribe
    }

    /// Returns the path to request, with resume values in its query.
    fn path(&self) -> String {
        let mut path = self.subscribe().path.fill(&self.deployment, "");
        for (name, value) in self.sent_back(|send| match send {
            SendBack::Query(name) => Some(name.as_str()),
            SendBack::Header(_) => None,
        }) {
            path.push(if path.contains('?') { '&' } else { '?' });
            path.push_str(name);
            path.push('=');
            path.push_str(&percent_encoded(value));
        }
        path
    }

    /// Returns the profile's headers, and the resume values that are sent as headers.
    fn headers(&self) -> Vec<(&str, String)> {
        let fixed = self.subscribe().headers.iter();
        let fixed = fixed.map(|(name, value)| (name.as_str(), value.fill(&self.deployment, "")));
        let resumed = self.sent_back(|send| match send {
            SendBack::Header(name) => Some(name.as_str()),
            SendBack::Query(_) => None,
        });
        fixed.chain(resumed.into_iter().map(|(name, value)| (name, value.to_owned()))).collect()
    }

    fn sent_back<'a>(&'a self, place: impl Fn(&'a SendBack) -> Option<&'a str>) -> Vec<(&'a str, &'a str)> {
        let entries = self.subscribe().resume.iter().zip(&self.taken);
        entries.filter_map(|(resume, taken)| Some((place(&resume.send)?, taken.as_deref()?))).collect()
    }

    /// Returns the id of the last event, for the parser of the next stream.
    fn event_id(&self) -> &str {
        let mut entries = self.subscribe().resume.iter().zip(&self.taken);
        let taken = entries.find(|(resume, _)| resume.take == Take::EventId);
        taken.and_then(|(_, taken)| taken.as_deref()).unwrap_or_default()
    }

    /// Adds the line in one text from the wire to `news`.
    fn read(&mut self, data: &str, source: TextSource<'_>, news: &mut News) -> Result<(), SubscribeError> {
        let found = self.subscribe().line.find(data).map_err(SubscribeError::Contract)?;
        let Some(Found { text, json }) = found else {
            self.pass_over(source, data);
            return Ok(());
        };
        match numbered::read(&text) {
            Numbered::Line { seq, text } => news.push(seq, text),
            Numbered::End { after } => {
                self.cursor.after = after;
                news.finished = true;
            }
            // No publisher sent such a text: the recorder counts it as unpublished.
            Numbered::Unnumbered => news.push(0, &text),
        }
        for (resume, taken) in self.profile.subscribe.resume.iter().zip(&mut self.taken) {
            let value = match &resume.take {
                Take::EventId => source.event_id().filter(|id| !id.is_empty()).map(str::to_owned),
                Take::Header(name) => source.header(name).map(str::to_owned),
                Take::Pointer(pointer) => json.as_ref().and_then(|json| json.pointer(pointer)).map(text_of),
            };
            // A line without a new value keeps the previous one.
            *taken = value.or(taken.take());
        }
        Ok(())
    }

    /// Notes what is not a line by the profile. Servers send such things on purpose too; the note counts only where no
    /// line comes at all.
    fn pass_over(&self, source: TextSource<'_>, data: &str) {
        self.unmatched.get_or_init(|| {
            let data: String = data.chars().take(UNMATCHED_CHARS_MAX).collect();
            match source {
                TextSource::Event { name, .. } => format!("the event {name:?} with the data {data:?}"),
                TextSource::Answer(_) => format!("the answer {data:?}"),
                TextSource::Frame => format!("the frame {data:?}"),
            }
        });
    }

    /// Turns the news into a batch for the caller; `None`: there were none.
    fn received(&mut self, news: News, at: Instant) -> Option<Received> {
        if news.is_empty() {
            return None;
        }
        let News { lines, finished } = news;
        if !finished {
            let newest = lines.iter().map(|line| line.seq).max().unwrap_or_default();
            self.cursor.after = self.cursor.after.max(newest);
        }
        let batch = Batch { lines, next: self.cursor.clone(), more: false, finished };
        if finished {
            let end = Batch { lines: Vec::new(), next: batch.next.clone(), more: false, finished };
            self.ended = Some(Received { batch: end, at });
        }
        Some(Received { batch, at })
    }
}

/// Source of a text.
#[derive(Clone, Copy)]
enum TextSource<'a> {
    /// Server-sent event with this type and this id; empty: no id.
    Event { name: &'a str, id: &'a str },
    /// Answer to a poll, with these headers.
    Answer(&'a HeaderMap),
    /// WebSocket frame.
    Frame,
}

impl<'a> TextSource<'a> {
    fn event_id(self) -> Option<&'a str> {
        match self {
            Self::Event { id, .. } => Some(id),
            Self::Answer(_) | Self::Frame => None,
        }
    }

    fn header(self, name: &str) -> Option<&'a str> {
        match self {
            Self::Answer(headers) => headers.get(name)?.to_str().ok(),
            Self::Event { .. } | Self::Frame => None,
        }
    }
}

/// Lines that one read brought, and whether the end of the log was among them.
#[derive(Default)]
struct News {
    lines: Vec<Line>,
    finished: bool,
}

impl News {
    fn is_empty(&self) -> bool {
        self.lines.is_empty() && !self.finished
    }

    fn push(&mut self, seq: Seq, text: &str) {
        // Only a server of the contract says when a line was appended.
        self.lines.push(Line { seq, at_us: 0, line: NewLine::plain(spare::text(text)) });
    }
}

/// Returns a string as it is, any other value as JSON.
fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Encodes the value of a query parameter (RFC 3986 §2.3: everything but the unreserved characters).
fn percent_encoded(value: &str) -> String {
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    value.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::SinkExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;
    use tokio_tungstenite::accept_async;
    use tokio_tungstenite::tungstenite::Message;

    const PROFILE: &str = r#"
about = "An example."
url = "http://127.0.0.1:1"
[publish]
path = "/"
body = "{text}"
[subscribe]
wire = "sse"
path = "/{deployment}/stream?format=text"
headers = { x-room = "{deployment}" }
resume = [
    { take = "event-id", send = "header last-event-id" },
    { take = "/at", send = "query after" },
]
[subscribe.line]
text = "/text"
"#;

    fn target(profile: Arc<Profile>, server: ServerUrl) -> ProfileTarget {
        ProfileTarget { profile, server, deployment: "web".to_owned(), unmatched: Arc::default() }
    }

    fn position() -> Resumption {
        let profile = Arc::new(Profile::parse("example", PROFILE).unwrap());
        let server = "http://127.0.0.1:1".parse().unwrap();
        Resumption::new(&target(profile, server))
    }

    #[test]
    fn what_was_taken_from_the_last_line_is_sent_back_and_a_first_request_sends_none() {
        let mut position = position();
        assert_eq!(position.path(), "/web/stream?format=text");
        assert_eq!(position.headers(), [("x-room", "web".to_owned())]);
        let mut news = News::default();
        position
            .read(r#"{"text":"3 hello","at":7}"#, TextSource::Event { name: "message", id: "a" }, &mut news)
            .unwrap();
        position
            .read(
                r#"{"text":"5 you","at":"8 & 9"}"#,
                TextSource::Event { name: "message", id: "" },
                &mut news,
            )
            .unwrap();
        assert_eq!(position.path(), "/web/stream?format=text&after=8%20%26%209");
        assert_eq!(position.headers()[1..], [("last-event-id", "a".to_owned())]);
        assert_eq!(position.event_id(), "a");
        let received = position.received(news, Instant::now()).unwrap();
        assert_eq!((received.batch.next.after, received.batch.finished), (5, false));
        assert_eq!(received.batch.lines[1].line.text, "you");
    }

    #[test]
    fn the_end_says_how_many_lines_there_were() {
        let mut position = position();
        let mut news = News::default();
        position.read(r#"{"text":"3 hello"}"#, TextSource::Frame, &mut news).unwrap();
        position.read(r#"{"text":"0 9"}"#, TextSource::Frame, &mut news).unwrap();
        let received = position.received(news, Instant::now()).unwrap();
        assert_eq!((received.batch.next.after, received.batch.finished), (9, true));
        assert!(position.ended.unwrap().batch.lines.is_empty());
    }

    #[test]
    fn a_text_that_nobody_numbered_is_a_line_that_nobody_published() {
        let mut position = position();
        let mut news = News::default();
        position.read(r#"{"text":"welcome"}"#, TextSource::Frame, &mut news).unwrap();
        assert_eq!(news.lines[0].seq, 0);
        assert!(position.read("no JSON", TextSource::Frame, &mut news).is_err());
    }
    /// Starts a server that drops its first connection and, once `meter` has told of that outage, brings a line on
    /// the second.
    async fn interrupted(listener: TcpListener, wire: &str, meter: Arc<Meter>) -> TcpStream {
        drop(listener.accept().await.unwrap());
        meter.outage().wait_for(Option::is_some).await.unwrap();
        let (mut socket, _) = listener.accept().await.unwrap();
        if wire == "websocket" {
            let mut socket = accept_async(socket).await.unwrap();
            socket.send(Message::text("1 a")).await.unwrap();
            return socket.into_inner();
        }
        let asked = socket.read(&mut [0; 1024]).await.unwrap();
        assert!(asked > 0);
        let body = if wire == "sse" { "data: 1 a\n\n" } else { "1 a" };
        let kind = if wire == "sse" { "text/event-stream" } else { "text/plain" };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}", body.len());
        let answer = format!("{head}\r\n\r\n{body}");
        socket.write_all(answer.as_bytes()).await.unwrap();
        socket
    }

    #[tokio::test]
    async fn on_every_wire_the_meter_tells_of_an_outage_until_the_server_answers() {
        for wire in ["long-poll", "sse", "websocket"] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let server = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
            let profile = "about = \"x\"\nurl = \"http://127.0.0.1:1\"\npublish = { path = \"/\", body = \"{text}\" }\n";
            let profile = format!("{profile}subscribe = {{ wire = \"{wire}\", path = \"/\" }}");
            let profile = Arc::new(Profile::parse("example", &profile).unwrap());
            let options = Options { reconnect_max: Duration::from_millis(10), ..Options::default() };
            let meter = Meter::new();
            let mut subscriber = subscribe(target(profile, server), &options, meter.clone());
            let both =
                async { tokio::join!(interrupted(listener, wire, meter.clone()), subscriber.next_batch()) };
            let (_open, received) = timeout(Duration::from_secs(10), both).await.expect(wire);
            assert_eq!(received.unwrap().batch.lines[0].line.text, "a", "{wire}");
            assert_eq!(*meter.outage().borrow(), None, "{wire}");
        }
    }
}
