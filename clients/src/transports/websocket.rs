//! WebSocket: the server waits for ever, on a connection that both sides may write to.
//!
//! The client upgrades one HTTP request (RFC 6455). From then on there are no requests and no headers: each line of the
//! log is one text frame, compressed if the client offers that and the server takes it up (RFC 7692). The protocol does not reconnect by itself and no frame carries an id. So the client keeps its
//! position, its back-off and its watchdog.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::StreamExt;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::{SILENCE_MAX, end_of, path, received};
use crate::backoff::Backoff;
use crate::decode::LineFrame;
use crate::deflate::Offer;
use crate::frame_socket::FrameSocket;
use crate::http::NoLines;
use crate::meter::Meter;
use crate::silence::Silence;
use crate::spare;
use crate::stream::Stream;
use crate::traffic::Traffic;
use crate::upgrade::{NotUpgraded, opened, upgrade_for_frames};
use crate::wire::{BATCH_LINES_MAX, Cursor, Gap, Line, Position, ServerFrame, Transport};
use crate::{Options, Received, SubscribeError, Subscriber, Target};

/// First back-off ceiling. A server that closed thousands of sockets must not see all clients at once: the first
/// attempt of each lies somewhere in these five seconds.
pub(crate) const FIRST_CEILING: Duration = Duration::from_secs(5);
/// Longest time for the closing handshake.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// A WebSocket subscriber.
pub struct Websocket {
    target: Target,
    /// Compression that the handshake offers.
    offer: Offer,
    socket: Option<WebSocketStream<FrameSocket<Stream>>>,
    /// Watch over the socket.
    silence: Silence,
    /// How a frame with a line is written.
    frames: LineFrame,
    /// Frame that came with a later read than the batch before it, or the error in its place.
    held_back: Option<Result<(Frame, Instant), SubscribeError>>,
    cursor: Option<Cursor>,
    ended: Option<Received>,
    backoff: Backoff,
    meter: Arc<Meter>,
}

/// A frame of the server.
enum Frame {
    Line(Line),
    Control(ServerFrame),
}

impl Websocket {
    /// Follows `target`; connects at the first batch.
    pub fn new(target: Target, options: &Options, meter: Arc<Meter>) -> Self {
        let backoff = Backoff::new(FIRST_CEILING, options);
        let frames = LineFrame::of(&target.deployment);
        let silence = Silence::new(SILENCE_MAX);
        Self {
            target,
            offer: Offer::of(options.compression),
            socket: None,
            silence,
            frames,
            held_back: None,
            cursor: None,
            ended: None,
            backoff,
            meter,
        }
    }

    async fn open(&mut self) -> Result<(), SubscribeError> {
        if let Some(cursor) = &self.cursor {
            self.target.from = Position::After(cursor.clone());
        }
        // An answer other than 101 is plain HTTP, given before any upgrade; it may be final.
        match opened(self.handshake(), &self.meter).await {
            Ok(socket) => {
                (self.socket, self.silence) = (Some(socket), Silence::new(SILENCE_MAX));
                Ok(())
            }
            Err(NoLines::Final(error)) => Err(error),
            Err(NoLines::Later { why, advised }) => self.back_off(&why, advised).await,
        }
    }

    /// Opens the socket: GET with `Upgrade: websocket` and a random key; 101 with the key's hash; then frames. An offer
    /// to compress them stands in the request, and the answer says what was taken of it.
    async fn handshake(&self) -> Result<WebSocketStream<FrameSocket<Stream>>, NotUpgraded> {
        let path = path(Transport::Websocket, &self.target, &[]);
        upgrade_for_frames(&self.target.server, &path, self.offer, self.meter.clone()).await
    }

    /// Returns the next frame and when it was read. `None`: the socket is closed or cut. Cancel-safe.
    async fn frame(&mut self) -> Result<Option<(Frame, Instant)>, SubscribeError> {
        if let Some(held_back) = self.held_back.take() {
            return held_back.map(Some);
        }
        let Some(socket) = &mut self.socket else { return Ok(None) };
        // A server that is silent for so long is gone.
        let next = poll_fn(|cx| poll_frame(socket, &self.frames, &self.meter, cx));
        self.silence.limit(&self.meter, next).await.unwrap_or(Ok(None))
    }

    /// Reads until there is something to return. `None`: the socket is gone, and the client must come back later.
    async fn read(&mut self) -> Result<Option<Received>, SubscribeError> {
        loop {
            let Some((frame, at)) = self.frame().await? else { return Ok(None) };
            let frame = match frame {
                Frame::Line(line) => {
                    self.backoff.succeeded();
                    return self.lines_of_one_read(line, at).await.map(Some);
                }
                Frame::Control(frame) => frame,
            };
            match frame {
                ServerFrame::Subscribed { cursor, .. } => {
                    self.backoff.greeted();
                    self.meter.succeeded();
                    self.cursor = Some(cursor);
                }
                ServerFrame::Finished { cursor, .. } => {
                    self.cursor = Some(cursor);
                    self.close().await;
                    return received(&mut self.cursor, Vec::new(), true, at).map(Some);
                }
                ServerFrame::Gap { earliest, latest, .. } => {
                    return Err(SubscribeError::Gap(Gap { earliest, latest }));
                }
                ServerFrame::Deleted { .. } => return Err(SubscribeError::Deleted),
                // Lines are above. The others answer commands, of which this client sends none.
                ServerFrame::Line { .. }
                | ServerFrame::Hello { .. }
                | ServerFrame::Unsubscribed { .. }
                | ServerFrame::Published { .. }
                | ServerFrame::Pong { .. }
                | ServerFrame::Error { .. } => {}
            }
        }
    }

    /// Returns a batch of this line and those that the same read brought. They belong to the same moment; later ones are
    /// not waited for.
    async fn lines_of_one_read(&mut self, first: Line, at: Instant) -> Result<Received, SubscribeError> {
        let mut lines = spare::list();
        lines.push(first);
        if self.held_back.is_none()
            && let Some(socket) = &mut self.socket
        {
            self.held_back = poll_fn(|cx| {
                while lines.len() < BATCH_LINES_MAX {
                    match poll_frame(socket, &self.frames, &self.meter, cx) {
                        Poll::Ready(Ok(Some((Frame::Line(line), read)))) if read == at => lines.push(line),
                        // A later read, another frame or an error is kept for the next call.
                        Poll::Ready(Ok(Some(later))) => return Poll::Ready(Some(Ok(later))),
                        Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                        Poll::Ready(Ok(None)) | Poll::Pending => break,
                    }
                }
                Poll::Ready(None)
            })
            .await;
        }
        received(&mut self.cursor, lines, false, at)
    }

    /// Closes the socket with the closing handshake: each side sends a close frame, then the server closes TCP.
    async fn close(&mut self) {
        if let Some(mut socket) = self.socket.take() {
            socket.get_mut().stop_offering();
            // Reading answers the server's close frame with ours. However this ends, the client has the whole log.
            let closing = async { while let Some(Ok(_)) = socket.next().await {} };
            let _ = timeout(CLOSE_TIMEOUT, closing).await;
        }
    }

    async fn back_off(&mut self, why: &str, advised: Option<Duration>) -> Result<(), SubscribeError> {
        let delay = self.backoff.after(why, advised, &self.target.server, &self.meter)?;
        tokio::time::sleep(delay).await;
        Ok(())
    }
}

/// Takes the next frame and when it was read. `None`: the socket is closed or cut. Pings are answered inside.
fn poll_frame(
    socket: &mut WebSocketStream<FrameSocket<Stream>>,
    frames: &LineFrame,
    meter: &Meter,
    cx: &mut Context<'_>,
) -> Poll<Result<Option<(Frame, Instant)>, SubscribeError>> {
    loop {
        if let Some(line) = socket.get_mut().take_text(|text| frames.line(str::from_utf8(text).ok()?)) {
            return Poll::Ready(Ok(Some((Frame::Line(line), meter.last_read()))));
        }
        let Poll::Ready(message) = socket.poll_next_unpin(cx) else {
            if socket.get_ref().offers() {
                continue;
            }
            return Poll::Pending;
        };
        if matches!(message, Some(Ok(Message::Close(_)) | Err(_)) | None) {
            // A line behind the end must not be taken for the next one.
            socket.get_mut().stop_offering();
        }
        return Poll::Ready(match message {
            Some(Ok(Message::Text(text))) => match Frame::decode(&text) {
                Ok(frame) => Ok(Some((frame, meter.last_read()))),
                Err(error) => {
                    Err(SubscribeError::Contract(format!("the server sent an invalid frame: {error}")))
                }
            },
            Some(Ok(Message::Close(_)) | Err(_)) | None => Ok(None),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_))) => {
                continue;
            }
        });
    }
}

impl Frame {
    fn decode(text: &str) -> serde_json::Result<Self> {
        let frame = serde_json::from_str(text)?;
        Ok(if let ServerFrame::Line { line, .. } = frame { Self::Line(line) } else { Self::Control(frame) })
    }
}

#[async_trait]
impl Subscriber for Websocket {
    async fn next_batch(&mut self) -> Result<Received, SubscribeError> {
        loop {
            if let Some(ended) = &self.ended {
                return Ok(ended.clone());
            }
            if self.socket.is_none() && self.held_back.is_none() {
                // In a box of its own, which is gone while the stream is read: there may be thousands of subscribers.
                Box::pin(self.open()).await?;
                continue;
            }
            if let Some(received) = self.read().await? {
                self.ended = end_of(&received);
                return Ok(received);
            }
            self.socket = None;
            self.back_off("the socket was closed", None).await?;
        }
    }

    fn traffic(&self) -> Traffic {
        self.meter.traffic()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::SinkExt;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;
    use tokio_tungstenite::accept_async;

    use super::*;

    /// A line behind a frame that breaks the protocol may follow lines that never came.
    #[tokio::test]
    async fn no_line_is_taken_behind_a_frame_that_fails() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let target = Target { server, deployment: "01k3aaaa".parse().unwrap(), from: Position::Start };
        let mut client = Websocket::new(target, &Options::default(), Meter::new());
        let line = |seq: u64| {
            let line = format!(r#"{{"seq":{seq},"at_us":1,"text":"line"}}"#);
            let json = format!(r#"{{"type":"line","deployment":"01k3aaaa","line":{line}}}"#);
            [&[0x81, json.len() as u8], json.as_bytes()].concat()
        };
        let subscribed = r#"{"type":"subscribed","deployment":"01k3aaaa","cursor":"k3x9.0"}"#;
        let reserved_bit = vec![0xc1, 0];
        let sending = async {
            let mut socket = accept_async(listener.accept().await.unwrap().0).await.unwrap();
            socket.send(Message::text(subscribed)).await.unwrap();
            let bytes = [line(1), reserved_bit, line(3)].concat();
            socket.get_mut().write_all(&bytes).await.unwrap();
            socket
        };
        let (received, _socket) = tokio::join!(client.next_batch(), sending);
        let seqs: Vec<_> = received.unwrap().batch.lines.iter().map(|line| line.seq).collect();
        assert_eq!(seqs, [1]);
        let next = timeout(Duration::from_millis(300), client.next_batch()).await;
        assert!(next.is_err(), "{next:?}");
        assert!(client.socket.is_none(), "the client stays on the connection");
    }

    /// W13: the first reconnect comes after a random delay, as RFC 6455 §7.2.3 asks.
    #[test]
    fn the_first_reconnect_is_somewhere_in_five_seconds_and_later_ones_further_off() {
        let server = "http://127.0.0.1:1".parse().unwrap();
        let target = Target { server, deployment: "01k3aaaa".parse().unwrap(), from: Position::Start };
        let mut firsts = Vec::new();
        let mut thirds = Vec::new();
        for _ in 0..200 {
            let mut backoff = Websocket::new(target.clone(), &Options::default(), Meter::new()).backoff;
            let delays = [(); 3].map(|()| backoff.failed(None).unwrap());
            firsts.push(delays[0]);
            thirds.push(delays[2]);
        }
        firsts.sort();
        // Of 200 uniform delays, none below a half or none above four and a half: one in a thousand million.
        let (half, five) = (Duration::from_millis(500), Duration::from_secs(5));
        assert!(firsts[0] < half && firsts[199] > five - half && firsts[199] <= five, "{firsts:?}");
        assert!(
            thirds.iter().any(|delay| *delay > 2 * five) && thirds.iter().all(|delay| *delay <= 4 * five)
        );
    }
}
