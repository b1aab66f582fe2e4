//! The upgrade from HTTP to a WebSocket: the handshake, then parsing of messages and commands (RFC 6455).
//!
//! The WebSocket transports and the ledgers of lanes use it. They decide what a message means and what is answered:
//! nothing is sent from here.

mod body;
mod command;
mod control;
mod deflate;
mod extension;
mod messages;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll, ready};

use actix_http::ws::{self, HandshakeError};
use actix_web::dev::{Payload, RequestHead};
use actix_web::http::header::{
    HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use actix_web::http::{StatusCode, Version};
use actix_web::{HttpResponse, HttpResponseBuilder};
use futures_util::stream::{Stream, StreamExt};

pub(crate) use self::body::{CLOSE_TIMEOUT, Driven, body};
pub(crate) use self::command::{REPEATED_CHARS_MAX, command};
pub(crate) use self::control::{Control, ControlFrame, Heard, Phase};
pub(crate) use self::deflate::{Deflater, shares, write_text_alone};
pub(crate) use self::extension::Deflate;
use self::messages::Messages;
pub(crate) use self::messages::{Inflating, Longest, Message, Violation};
use crate::exchange::arriving::{Arriving, Share};
use crate::exchange::problem::Refusal;
use crate::exchange::route::no_store;
use crate::exchange::turns::Turns;

/// Text of a message that counts as a turn. It takes about as long as a turn of short messages, and a compressed one
/// may be a thousandth of that on the wire.
const LONG_BYTES: usize = 64 << 10;

/// Checks the handshake and starts the 101 answer, or refuses it with plain HTTP.
pub(crate) fn accept(head: &RequestHead) -> Result<HttpResponseBuilder, Refusal> {
    check_handshake(head)?;
    let key = head.headers.get(SEC_WEBSOCKET_KEY).expect("checked with the handshake");
    let accept = HeaderValue::from_bytes(&ws::hash_key(key.as_bytes())).expect("base64 is a header value");
    let mut response = no_store(HttpResponse::SwitchingProtocols());
    response.upgrade("websocket").insert_header((SEC_WEBSOCKET_ACCEPT, accept));
    Ok(response)
}

/// Checks the handshake (RFC 6455 §4.2.1): HTTP/1.1, the upgrade headers, a key of 16 bytes, version 13.
fn check_handshake(head: &RequestHead) -> Result<(), Refusal> {
    if head.version != Version::HTTP_11 {
        return Err(Refusal::bad_request("a WebSocket needs a request in HTTP/1.1; send it in that version"));
    }
    // The library hands over what follows if one field offers a WebSocket alone; it checks the first. The connection has
    // reduced the list of its first request to that word. A list of a later one would be accepted and never answered.
    let websocket = |value: &HeaderValue| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"websocket");
    let mut offered = head.headers.get_all(UPGRADE).peekable();
    if offered.peek().is_some() && !offered.any(websocket) {
        return Err(Refusal::bad_request(
            "the Upgrade header does not offer websocket by itself; send `Upgrade: websocket`",
        ));
    }
    let mut checked = head.clone();
    if checked.headers().contains_key(UPGRADE) {
        checked.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
    ws::verify_handshake(&checked).map_err(|error| match error {
        HandshakeError::UnsupportedVersion | HandshakeError::NoVersionHeader => Refusal::new(
            StatusCode::UPGRADE_REQUIRED,
            "only Sec-WebSocket-Version 13 is supported; send that version",
        )
        .with_header(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))
        .with_header(UPGRADE, HeaderValue::from_static("websocket")),
        HandshakeError::NoWebsocketUpgrade => Refusal::bad_request(format!(
            "{} is a WebSocket; send `Upgrade: websocket`, as a browser's WebSocket does",
            head.uri.path()
        )),
        error => Refusal::bad_request(format!(
            "the WebSocket handshake is not valid: {error}; follow RFC 6455 §4.1"
        )),
    })
}

/// A stream of the client's messages. It ends when the connection has ended.
pub(crate) struct Inbox {
    payload: Payload,
    messages: Messages,
    /// What has come of the next message.
    arriving: Option<Arriving>,
    share: Arc<Share>,
    turns: Turns,
    /// Whether the protocol was violated. Bytes after a violation have no meaning but are still read. Closing TCP with
    /// unread bytes would reset it, and the client could lose our close frame.
    is_broken: bool,
}

impl Inbox {
    /// Reads messages from what follows an accepted handshake, on the connection of `share`. No message may be longer
    /// than `longest`, compressed ones included. After `turn_messages` in a row others get a turn.
    pub(crate) fn of(
        payload: Payload,
        share: Arc<Share>,
        longest: Longest,
        inflating: Inflating,
        turn_messages: usize,
    ) -> Self {
        Self {
            payload,
            messages: Messages::new(longest, inflating),
            arriving: None,
            share,
            turns: Turns::new(turn_messages),
            is_broken: false,
        }
    }

    /// Whether messages may be there although none is returned, because others have their turn.
    pub(crate) fn is_giving_way(&self) -> bool {
        self.turns.is_giving_way()
    }

    /// Returns the next message of what has come; `None` until more comes.
    fn next_message(&mut self) -> Result<Option<Message>, Violation> {
        let message = self.messages.next()?;
        match &message {
            // A control frame may stand inside a message, which goes on.
            Some(Message::Ping(_) | Message::Pong | Message::Close(_)) => {}
            Some(Message::Text(_) | Message::Binary) => self.arriving = None,
            None => match self.messages.unfinished_bytes() {
                0 => self.arriving = None,
                bytes => {
                    let arriving = self.arriving.get_or_insert_with(|| Arriving::begin(self.share.clone()));
                    arriving.hold(bytes).map_err(Violation::hindered)?;
                }
            },
        }
        Ok(message)
    }

    /// Ends what can be read because the client broke a rule.
    fn break_off(&mut self, violation: Violation) -> Violation {
        self.is_broken = true;
        self.arriving = None;
        self.messages.forget();
        violation
    }
}

impl Stream for Inbox {
    type Item = Result<Message, Violation>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            ready!(this.turns.poll_next(task));
            if !this.is_broken
                && let Some(message) = this.next_message().transpose()
            {
                match &message {
                    Ok(Message::Text(text)) if text.len() > LONG_BYTES => this.turns.handled_a_long_one(),
                    Ok(_) | Err(_) => this.turns.handled(),
                }
                return Poll::Ready(Some(message.map_err(|violation| this.break_off(violation))));
            }
            match this.payload.poll_next_unpin(task) {
                Poll::Ready(Some(Ok(_))) if this.is_broken => this.turns.handled(),
                Poll::Ready(Some(Ok(bytes))) => this.messages.push(&bytes),
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(None),
                Poll::Pending => {
                    this.turns.waited();
                    let Some(arriving) = &mut this.arriving else { return Poll::Pending };
                    let hindrance = ready!(arriving.poll_hindrance(task));
                    let violation = this.break_off(Violation::hindered(hindrance));
                    return Poll::Ready(Some(Err(violation)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_http::ws::{OpCode, Parser};
    use bytes::BytesMut;
    use futures_util::{poll, stream};

    use super::*;
    use crate::exchange::arriving::{ArrivingBounds, Pool};

    /// Polls an inbox for two messages of this length, which come compressed in one piece.
    async fn second_of_two(length: usize) -> Poll<Option<Result<Message, Violation>>> {
        let mut bytes = BytesMut::new();
        for _ in 0..2 {
            let mut frame = BytesMut::new();
            write_text_alone(&vec![b'x'; length], &mut frame);
            let at = bytes.len();
            let payload = &frame[if frame[1] < 126 { 2 } else { 4 }..];
            Parser::write_message(&mut bytes, payload, OpCode::Text, true, true);
            bytes[at] = frame[0];
        }
        let payload: actix_http::BoxedPayloadStream = Box::pin(stream::iter([Ok(bytes.freeze())]));
        let share = Arc::new(Pool::new(ArrivingBounds::default()).share());
        let mut inbox = Inbox::of(Payload::from(payload), share, Longest::BODY, Inflating::EachMessage, 64);
        let first = inbox.next().await.unwrap().unwrap();
        assert!(matches!(first, Message::Text(text) if text.len() == length));
        let second = poll!(inbox.next());
        assert_eq!(inbox.is_giving_way(), second.is_pending());
        second
    }

    #[actix_rt::test]
    async fn a_message_that_is_long_once_decompressed_gives_way_to_others() {
        assert!(second_of_two(LONG_BYTES).await.is_ready());
        assert!(second_of_two(LONG_BYTES + 1).await.is_pending());
    }
}
