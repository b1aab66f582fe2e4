//! WebSocket frames of a server with a profile.
//!
//! The same socket, handshake, back-off and watchdog as wirelab's own client half; what is said after opening and
//! what is answered to what comes from the profile.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use futures_util::{SinkExt, StreamExt};
use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::profile::Speech;
use super::{News, Position, ProfileTarget};
use crate::backoff::Backoff;
use crate::http::{Answer, CONNECT_TIMEOUT, Refusal, refused};
use crate::meter::{Meter, MeteredSocket};
use crate::traffic::Traffic;
use crate::transports::{ANSWER_TIMEOUT, SILENCE_MAX, WEBSOCKET_FIRST_CEILING};
use crate::upgrade::upgrade;
use crate::wire::Outcome;
use crate::{Options, Received, ServerUrl, SubscribeError, Subscriber};

/// A WebSocket subscriber.
pub(super) struct Websocket {
    server: ServerUrl,
    position: Position,
    speech: Speech,
    socket: Option<WebSocketStream<MeteredSocket>>,
    backoff: Backoff,
    meter: Arc<Meter>,
}

impl Websocket {
    pub(super) fn new(target: ProfileTarget, speech: Speech, options: &Options, meter: Arc<Meter>) -> Self {
        let backoff = Backoff::new(WEBSOCKET_FIRST_CEILING, options.reconnect_max);
        let position = Position::new(&target);
        Self { server: target.server, position, speech, socket: None, backoff, meter }
    }

    async fn open(&mut self) -> Result<(), SubscribeError> {
        let opened_before = self.meter.traffic().connections_opened;
        match timeout(CONNECT_TIMEOUT + ANSWER_TIMEOUT, self.handshake()).await {
            Ok(Ok(socket)) => {
                self.meter.count(Outcome::Data);
                self.backoff.succeeded();
                self.socket = Some(socket);
                Ok(())
            }
            Ok(Err(Error::Http(response))) => {
                let (head, body) = response.into_parts();
                let status = StatusCode::from_u16(head.status.as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
                let at = self.meter.last_read();
                let answer =
                    Answer { status, headers: head.headers, body: body.unwrap_or_default().into(), at };
                match refused(&answer, &self.meter) {
                    Refusal::Final(error) => Err(error),
                    Refusal::Later { why, advised: _ } => self.back_off(&why).await,
                }
            }
            Ok(Err(error)) => {
                // Cut after the connection was there, so a request had been sent.
                if self.meter.traffic().connections_opened > opened_before {
                    self.meter.count(Outcome::Error);
                }
                self.back_off(&error.to_string()).await
            }
            Err(_) => self.back_off("no handshake in time").await,
        }
    }

    /// Upgrades and says what the profile says first.
    async fn handshake(&self) -> Result<WebSocketStream<MeteredSocket>, Error> {
        let value = |text: &str| HeaderValue::from_str(text).expect("the profile's headers were checked");
        let mut headers = Vec::new();
        for (name, text) in self.position.headers() {
            headers.push((HeaderName::from_bytes(name.as_bytes())?, value(&text)));
        }
        headers.extend(self.speech.protocol.iter().map(|text| (SEC_WEBSOCKET_PROTOCOL, value(text))));
        let path = self.position.path();
        let mut socket = upgrade(self.server.authority(), &path, headers, self.meter.clone()).await?;
        for frame in &self.speech.send {
            socket.send(Message::text(frame.fill(&self.position.deployment, ""))).await?;
        }
        Ok(socket)
    }

    /// The next text frame and when it was read; `None`: the socket is closed or cut. Cancel-safe.
    async fn frame(&mut self) -> Option<(String, Instant)> {
        let socket = self.socket.as_mut()?;
        loop {
            let message = timeout(SILENCE_MAX, socket.next()).await.ok()??.ok()?;
            match message {
                Message::Text(text) => return Some((text.to_string(), self.meter.last_read())),
                Message::Close(_) => return None,
                Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_) => {}
            }
        }
    }

    /// Says what the profile answers to a frame. An answer that cannot be written is noticed by the next read.
    async fn answer(&mut self, frame: &str) {
        let Some(socket) = &mut self.socket else { return };
        let mut answers = self.speech.answers.iter();
        if let Some(answer) = answers.find(|answer| frame.starts_with(&answer.begins)) {
            let _ = socket.send(Message::text(answer.send.fill(&self.position.deployment, ""))).await;
        }
    }

    async fn back_off(&mut self, why: &str) -> Result<(), SubscribeError> {
        let delay = self.backoff.failed(None).ok_or_else(|| SubscribeError::Unreachable {
            server: self.server.to_string(),
            failures: self.backoff.failures() - 1,
            last: why.to_owned(),
        })?;
        tokio::time::sleep(delay).await;
        Ok(())
    }
}

#[async_trait]
impl Subscriber for Websocket {
    async fn next_batch(&mut self) -> Result<Received, SubscribeError> {
        loop {
            if let Some(ended) = &self.position.ended {
                return Ok(ended.clone());
            }
            if self.socket.is_none() {
                self.open().await?;
                continue;
            }
            let Some((frame, at)) = self.frame().await else {
                self.socket = None;
                self.back_off("the socket was closed").await?;
                continue;
            };
            let mut news = News::default();
            self.position.read(&frame, None, &mut news)?;
            if let Some(received) = self.position.received(news, at) {
                return Ok(received);
            }
            self.answer(&frame).await;
        }
    }

    fn traffic(&self) -> Traffic {
        self.meter.traffic()
    }
}
