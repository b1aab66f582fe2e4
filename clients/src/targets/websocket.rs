//! WebSocket frames of a server with a profile.
//!
//! Socket, handshake and back-off are those of wirelab's own client half. The profile says what the client sends
//! after opening, and what it answers to which frame.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::{FutureExt, SinkExt, StreamExt};
use hyper::header::{HeaderName, HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use super::profile::Speech;
use super::resuming::Follow;
use super::{News, PROFILE_SILENCE_MAX, Resumption, TextSource};
use crate::backoff::Backoff;
use crate::http::NoLines;
use crate::meter::Meter;
use crate::silence::Silence;
use crate::stream::Stream;
use crate::transports::WEBSOCKET_FIRST_CEILING;
use crate::upgrade::{NotUpgraded, opened, upgrade};
use crate::wire::BATCH_LINES_MAX;
use crate::{Options, Received, ServerUrl, SubscribeError};

/// Follower by WebSocket frames.
pub(super) struct Websocket {
    server: ServerUrl,
    speech: Speech,
    socket: Option<WebSocketStream<Stream>>,
    /// Watch over the socket.
    silence: Silence,
    /// What came with a later read than the lines before it: a frame, or the end of the socket.
    held_back: Option<Option<(Utf8Bytes, Instant)>>,
    backoff: Backoff,
    meter: Arc<Meter>,
}

impl Websocket {
    pub(super) fn new(server: ServerUrl, speech: Speech, options: &Options, meter: Arc<Meter>) -> Self {
        let backoff = Backoff::new(WEBSOCKET_FIRST_CEILING, options);
        let silence = Silence::new(PROFILE_SILENCE_MAX);
        Self { server, speech, socket: None, silence, held_back: None, backoff, meter }
    }

    /// Upgrades, then sends the frames that the profile lists first.
    async fn handshake(&self, position: &Resumption) -> Result<WebSocketStream<Stream>, NotUpgraded> {
        let value = |text: &str| HeaderValue::from_str(text).expect("the profile's headers were checked");
        let mut headers = Vec::new();
        for (name, text) in position.headers() {
            headers.push((HeaderName::from_bytes(name.as_bytes()).map_err(Error::from)?, value(&text)));
        }
        headers.extend(self.speech.protocol.iter().map(|text| (SEC_WEBSOCKET_PROTOCOL, value(text))));
        let path = position.path();
        let mut socket = upgrade(&self.server, &path, headers, self.meter.clone()).await?;
        for frame in &self.speech.send {
            socket.send(Message::text(frame.fill(&position.deployment, ""))).await?;
        }
        Ok(socket)
    }

    /// Returns the next text frame and when it was read; `None`: the socket is closed or cut. Cancel-safe.
    async fn frame(&mut self) -> Option<(Utf8Bytes, Instant)> {
        if let Some(held_back) = self.held_back.take() {
            return held_back;
        }
        let socket = self.socket.as_mut()?;
        loop {
            let message = self.silence.limit(&self.meter, socket.next()).await??.ok()?;
            match message {
                Message::Text(text) => return Some((text, self.meter.last_read())),
                Message::Close(_) => return None,
                Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_) => {}
            }
        }
    }

    /// Sends the profile's answer to a frame. If the answer cannot be written, the next read notices it.
    async fn answer(&mut self, frame: &str, deployment: &str) {
        let Some(socket) = &mut self.socket else { return };
        let mut answers = self.speech.answers.iter();
        if let Some(answer) = answers.find(|answer| frame.starts_with(&answer.begins)) {
            let _ = socket.send(Message::text(answer.send.fill(deployment, ""))).await;
        }
    }
}

#[async_trait]
impl Follow for Websocket {
    async fn read(&mut self, position: &mut Resumption) -> Result<Option<Received>, NoLines> {
        if self.socket.is_none() {
            self.socket = Some(opened(self.handshake(position), &self.meter).await?);
            (self.silence, self.held_back) = (Silence::new(PROFILE_SILENCE_MAX), None);
            self.backoff.greeted();
            self.meter.succeeded();
        }
        let Some((frame, at)) = self.frame().await else {
            self.socket = None;
            return Err(NoLines::Later { why: "the socket was closed".to_owned(), advised: None });
        };
        let mut news = News::default();
        position.read(&frame, TextSource::Frame, &mut news)?;
        if news.is_empty() {
            self.answer(&frame, &position.deployment).await;
            return Ok(None);
        }
        self.backoff.succeeded();
        // The lines that the same read brought belong to the same moment; later ones are not waited for.
        while !news.finished && news.lines.len() < BATCH_LINES_MAX {
            match self.frame().now_or_never() {
                Some(Some((frame, read))) if read == at => {
                    let before = news.lines.len();
                    let understood = position.read(&frame, TextSource::Frame, &mut news);
                    if understood.is_err() || news.lines.len() == before && !news.finished {
                        // Not a line: it is answered, or refused, after these lines.
                        self.held_back = Some(Some((frame, read)));
                        break;
                    }
                }
                Some(later) => {
                    self.held_back = Some(later);
                    break;
                }
                None => break,
            }
        }
        Ok(position.received(news, at))
    }

    async fn back_off(&mut self, why: &str, advised: Option<Duration>) -> Result<(), SubscribeError> {
        let delay = self.backoff.after(why, advised, &self.server, &self.meter)?;
        tokio::time::sleep(delay).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets::profile::Profile;
    use crate::targets::{ProfileTarget, subscribe};
    use tokio::net::TcpListener;
    use tokio_tungstenite::accept_hdr_async;
    use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

    const PROFILE: &str = r#"
about = "Like Socket.IO, with a position."
url = "http://127.0.0.1:1"
publish = { path = "/", body = "{text}" }
[subscribe]
wire = "websocket"
path = "/socket?v=4"
headers = { x-room = "{deployment}" }
protocol = "logs"
send = ["hello {deployment}"]
answers = [{ begins = "40", send = '42["join","{deployment}"]' }, { begins = "2", send = "3" }]
resume = [{ take = "/1/id", send = "query after" }]
[subscribe.line]
prefix = "42"
only = { "/0" = "log" }
text = "/1/text"
"#;

    /// Accepts one subscriber. Returns the path that it asked for, and its socket.
    async fn accepted(listener: &TcpListener) -> (String, WebSocketStream<tokio::net::TcpStream>) {
        let (socket, _) = listener.accept().await.unwrap();
        let mut path = String::new();
        #[allow(clippy::result_large_err, reason = "the library's signature")]
        let look = |request: &Request, mut response: Response| {
            path = request.uri().to_string();
            assert_eq!(request.headers()["x-room"], "web");
            let protocol = request.headers()[SEC_WEBSOCKET_PROTOCOL].clone();
            assert_eq!(protocol, "logs");
            response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, protocol);
            Ok(response)
        };
        let socket = accept_hdr_async(socket, look).await.unwrap();
        (path, socket)
    }

    async fn told(socket: &mut WebSocketStream<tokio::net::TcpStream>) -> String {
        socket.next().await.unwrap().unwrap().into_text().unwrap().to_string()
    }

    #[tokio::test]
    async fn a_profile_is_spoken_word_by_word_and_a_reconnect_says_where_it_was() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let profile = Arc::new(Profile::parse("test", PROFILE).unwrap());
        let target =
            ProfileTarget { profile, server, deployment: "web".to_owned(), unmatched: Arc::default() };
        let options = Options { reconnect_max: Duration::from_millis(10), ..Options::default() };
        let meter = Meter::new();
        let mut subscriber = subscribe(target, &options, meter.clone());
        let serving = tokio::spawn(async move {
            let (path, mut socket) = accepted(&listener).await;
            assert_eq!(path, "/socket?v=4");
            assert_eq!(told(&mut socket).await, "hello web");
            socket.send(Message::text("40{}")).await.unwrap();
            assert_eq!(told(&mut socket).await, "42[\"join\",\"web\"]");
            for frame in ["42[\"joined\",\"web\"]", "2", "42[\"log\",{\"text\":\"1 a b\",\"id\":7}]"] {
                socket.send(Message::text(frame)).await.unwrap();
            }
            assert_eq!(told(&mut socket).await, "3");
            drop(socket);
            let (path, mut socket) = accepted(&listener).await;
            socket.send(Message::text("42[\"log\",{\"text\":\"0 1\"}]")).await.unwrap();
            (path, socket)
        });
        let first = subscriber.next_batch().await.unwrap().batch;
        assert_eq!((first.lines[0].seq, first.lines[0].line.text.as_str()), (1, "a b"));
        let end = subscriber.next_batch().await.unwrap().batch;
        assert_eq!((end.finished, end.next.after, end.lines.len()), (true, 1, 0));
        assert!(subscriber.next_batch().await.unwrap().batch.finished, "the end stays");
        assert_eq!(serving.await.unwrap().0, "/socket?v=4&after=7");
        assert_eq!((meter.traffic().requests.data, meter.traffic().reconnects), (2, 1));
    }
}
