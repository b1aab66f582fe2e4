//! WebSocket: the server waits for ever, on a connection that both sides may write to.
//!
//! One HTTP request is upgraded (RFC 6455); from then on each line of the log is one JSON text frame. This engine
//! is a streaming body over a cursor: it asks the log when the socket can take more, so a client that reads
//! slowly costs one batch of memory and delays nobody.

use std::convert::Infallible;
use std::time::Duration;

use actix_http::ws::{
    self, CloseCode, CloseReason, Codec, Frame, HandshakeError, Item, Message, OpCode, Parser, ProtocolError,
};
use actix_web::http::header::{HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION};
use actix_web::http::{StatusCode, Version};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::codec::{Decoder, Encoder};
use wirelab_clients::wire::{BODY_BYTES_MAX, Outcome, ServerFrame, Transport};

use super::counted;
use crate::clock::now_us;
use crate::metrics::Waiting;
use crate::problem::Refusal;
use crate::reader::{BATCH_LIMIT, EncodedBatch, ReadError, Reader};
use crate::request;
use crate::server::{Context, no_store};

/// How long the client may take to answer our close frame before TCP is closed under it.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Heartbeats without any frame from the client before the socket is given up.
const UNANSWERED_PINGS_MAX: u32 = 2;

/// Opcode, length and mask of one frame (RFC 6455 §5.2).
const FRAME_HEAD_BYTES_MAX: usize = 14;

/// `GET …/websocket?from=` with an upgrade.
pub async fn answer(
    request: HttpRequest,
    payload: web::Payload,
    context: web::Data<Context>,
) -> Result<HttpResponse, Refusal> {
    let id = request::deployment_id(&request)?;
    let position = request::position(&request)?;
    check_handshake(&request)?;
    // Before the upgrade, so that a refusal is a plain HTTP answer.
    let reader = context.deployments.reader(&id, position).await?;
    let waiting = context.metrics.wait(Transport::Websocket, reader.cursor().after, reader.head());
    let socket = Socket {
        reader: Some(reader),
        waiting,
        payload,
        received: BytesMut::new(),
        fragments: None,
        codec: Codec::new().max_size(BODY_BYTES_MAX),
        silent_since: Instant::now(),
        unanswered_pings: 0,
        state: State::Greeting,
        context,
    };
    let body = stream::unfold(socket, |mut socket| async {
        let bytes = socket.next().await?;
        Some((Ok::<_, Infallible>(bytes), socket))
    });
    let key = request.headers().get(SEC_WEBSOCKET_KEY).expect("checked with the handshake");
    let accept = HeaderValue::from_bytes(&ws::hash_key(key.as_bytes())).expect("base64 is a header value");
    let mut response = no_store(HttpResponse::SwitchingProtocols());
    response.upgrade("websocket").insert_header((SEC_WEBSOCKET_ACCEPT, accept));
    Ok(counted(response.streaming(body), Outcome::Data))
}

/// RFC 6455 §4.2.1: HTTP/1.1, the upgrade headers, a key of 16 bytes, version 13.
fn check_handshake(request: &HttpRequest) -> Result<(), Refusal> {
    if request.version() != Version::HTTP_11 {
        return Err(Refusal::bad_request("a WebSocket starts from HTTP/1.1; send the request with it"));
    }
    ws::verify_handshake(request.head()).map_err(|error| match error {
        HandshakeError::UnsupportedVersion | HandshakeError::NoVersionHeader => {
            Refusal::new(StatusCode::UPGRADE_REQUIRED, "only Sec-WebSocket-Version 13 is spoken here")
                .with_header(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))
        }
        error => Refusal::bad_request(format!("this is no WebSocket handshake: {error}")),
    })
}

struct Socket {
    /// The room; `None` once it is over.
    reader: Option<Reader>,
    waiting: Waiting,
    payload: web::Payload,
    received: BytesMut,
    fragments: Option<Fragments>,
    codec: Codec,
    /// When something was last sent.
    silent_since: Instant,
    unanswered_pings: u32,
    state: State,
    context: web::Data<Context>,
}

/// A message that arrives in pieces.
struct Fragments {
    text: bool,
    bytes: BytesMut,
}

enum State {
    /// Nothing was sent yet.
    Greeting,
    /// Lines go out as they come.
    Open,
    /// Our close frame is out; the client's answer is awaited.
    Closing,
    /// Nothing more will be sent.
    Closed,
}

/// What a socket turns to next.
enum Event {
    Received(Option<Frame>),
    Broken(ProtocolError),
    Lines,
    Silence,
    Shutdown,
}

/// A command of a client.
#[derive(Deserialize)]
struct Command {
    #[serde(rename = "type")]
    kind: String,
    #[serde(rename = "ref", default)]
    reference: Option<Value>,
}

impl Socket {
    /// The next bytes to flush; `None` ends the connection.
    async fn next(&mut self) -> Option<Bytes> {
        let mut out = BytesMut::new();
        while out.is_empty() {
            match self.state {
                State::Greeting => self.greet(&mut out),
                State::Open => match self.event().await {
                    Event::Received(frame) => self.receive(frame, &mut out),
                    Event::Broken(error) => self.close(close_code(&error), &error.to_string(), &mut out),
                    Event::Lines => self.send_lines(&mut out).await,
                    Event::Silence if self.unanswered_pings == UNANSWERED_PINGS_MAX => {
                        self.close(CloseCode::Policy, "no pong within two heartbeats", &mut out);
                    }
                    Event::Silence => {
                        self.unanswered_pings += 1;
                        self.frame(Message::Ping(Bytes::new()), &mut out);
                    }
                    Event::Shutdown => self.close(CloseCode::Away, "the server is stopping", &mut out),
                },
                State::Closing => {
                    self.await_close().await;
                    self.state = State::Closed;
                }
                State::Closed => return None,
            }
        }
        self.silent_since = Instant::now();
        Some(out.freeze())
    }

    fn greet(&mut self, out: &mut BytesMut) {
        self.state = State::Open;
        let reader = self.reader.as_ref().expect("the room is over only after it was greeted");
        let subscribed = ServerFrame::Subscribed { deployment: reader.id().clone(), cursor: reader.cursor() };
        let heartbeat_s = self.context.options.heartbeat.as_secs();
        self.json(&ServerFrame::Hello { heartbeat_s }, out);
        self.json(&subscribed, out);
    }

    /// Waits for whichever comes first. Cancel-safe, as everything it awaits is.
    async fn event(&mut self) -> Event {
        let Self { reader, payload, received, codec, context, .. } = self;
        let heartbeat = self.silent_since + context.options.heartbeat;
        let lines = async {
            match reader {
                Some(reader) => reader.wait().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = context.shutdown.cancelled() => Event::Shutdown,
            frame = receive_frame(payload, received, codec) => match frame {
                Ok(frame) => Event::Received(frame),
                Err(error) => Event::Broken(error),
            },
            () = lines => Event::Lines,
            () = sleep_until(heartbeat) => Event::Silence,
        }
    }

    async fn send_lines(&mut self, out: &mut BytesMut) {
        let reader = self.reader.as_mut().expect("only a room wakes for lines");
        let id = reader.id().clone();
        let over = match reader.read(BATCH_LIMIT).await {
            Ok(batch) => {
                self.waiting.delivered(batch.next.after, batch.lines.len());
                self.line_frames(&batch, id.as_str(), out);
                match batch.finished {
                    None => return,
                    Some(status) => ServerFrame::Finished { deployment: id, cursor: batch.next, status },
                }
            }
            Err(ReadError::Gap(gap)) => {
                ServerFrame::Gap { deployment: id, earliest: gap.earliest, latest: gap.latest }
            }
            Err(ReadError::Deleted(deployment)) => ServerFrame::Deleted { deployment },
            Err(ReadError::Store(error)) => {
                eprintln!("a socket ended early: {error}");
                return self.close(CloseCode::Error, "the log cannot be read", out);
            }
        };
        self.json(&over, out);
        self.reader = None;
        // Commands that are here already are answered before the goodbye.
        while let Ok(Some(frame)) = self.codec.decode(&mut self.received) {
            self.receive(Some(frame), out);
        }
        if matches!(self.state, State::Open) {
            self.close(CloseCode::Normal, "", out);
        }
    }

    /// A line's JSON goes into its frame as it is: nothing is encoded twice.
    fn line_frames(&mut self, batch: &EncodedBatch, id: &str, out: &mut BytesMut) {
        let head = format!("{{\"type\":\"line\",\"deployment\":\"{id}\",\"line\":");
        // Two bytes of opcode and length, at most eight more of length.
        out.reserve(batch.lines.iter().map(|line| head.len() + line.json.len() + 11).sum());
        let mut json = BytesMut::new();
        for line in &batch.lines {
            json.clear();
            json.put_slice(head.as_bytes());
            json.put_slice(&line.json);
            json.put_u8(b'}');
            Parser::write_message(out, &json, OpCode::Text, true, false);
        }
    }

    fn receive(&mut self, frame: Option<Frame>, out: &mut BytesMut) {
        self.unanswered_pings = 0;
        match frame {
            // The client is gone without a close frame: nobody is left to answer.
            None => self.state = State::Closed,
            Some(Frame::Text(text)) => self.command(&text, out),
            Some(Frame::Binary(_)) => {
                self.close(CloseCode::Unsupported, "commands are text frames", out);
            }
            Some(Frame::Continuation(item)) => self.fragment(item, out),
            Some(Frame::Ping(payload)) => self.frame(Message::Pong(payload), out),
            Some(Frame::Pong(_)) => {}
            Some(Frame::Close(reason)) => {
                self.frame(Message::Close(reason.map(|reason| reason.code.into())), out);
                self.state = State::Closed;
            }
        }
    }

    fn fragment(&mut self, item: Item, out: &mut BytesMut) {
        let (bytes, last) = match item {
            Item::FirstText(bytes) | Item::FirstBinary(bytes) if self.fragments.is_some() => (bytes, false),
            Item::FirstText(bytes) => {
                self.fragments = Some(Fragments { text: true, bytes: BytesMut::new() });
                (bytes, false)
            }
            Item::FirstBinary(bytes) => {
                self.fragments = Some(Fragments { text: false, bytes: BytesMut::new() });
                (bytes, false)
            }
            Item::Continue(bytes) => (bytes, false),
            Item::Last(bytes) => (bytes, true),
        };
        let fragments = self.fragments.as_mut().expect("the codec refuses a continuation of nothing");
        if fragments.bytes.len() + bytes.len() > BODY_BYTES_MAX {
            return self.close(CloseCode::Size, "a message has at most 8 MiB", out);
        }
        fragments.bytes.extend_from_slice(&bytes);
        if last && let Some(whole) = self.fragments.take() {
            let bytes = whole.bytes.freeze();
            self.receive(Some(if whole.text { Frame::Text(bytes) } else { Frame::Binary(bytes) }), out);
        }
    }

    fn command(&mut self, text: &Bytes, out: &mut BytesMut) {
        if std::str::from_utf8(text).is_err() {
            return self.close(CloseCode::Invalid, "a text frame is UTF-8", out);
        }
        let answer = match request::json_object::<Command>(text) {
            Ok(Command { kind, reference }) if kind == "ping" => {
                ServerFrame::Pong { at_us: now_us(), reference }
            }
            Ok(Command { kind, reference }) => error_frame(
                format!("command {kind:?} is not known here; send {{\"type\":\"ping\"}}"),
                reference,
            ),
            Err(error) => error_frame(format!("a command is a JSON object with a type: {error}"), None),
        };
        self.json(&answer, out);
    }

    /// Sends a close frame; what the client still sends is read until it answers.
    fn close(&mut self, code: CloseCode, reason: &str, out: &mut BytesMut) {
        let description = (!reason.is_empty()).then(|| reason.to_owned());
        self.frame(Message::Close(Some(CloseReason { code, description })), out);
        self.state = State::Closing;
    }

    /// Closing TCP with bytes unread would reset it, and the client could lose the last lines.
    async fn await_close(&mut self) {
        let Self { payload, received, codec, .. } = self;
        let answered = async {
            while let Ok(Some(frame)) = receive_frame(payload, received, codec).await {
                if matches!(frame, Frame::Close(_)) {
                    break;
                }
            }
        };
        // Answered or not, the connection ends now.
        let _ = timeout(CLOSE_TIMEOUT, answered).await;
    }

    fn json(&mut self, frame: &ServerFrame, out: &mut BytesMut) {
        let json = serde_json::to_string(frame).expect("a frame has no key that JSON refuses");
        self.frame(Message::Text(json.into()), out);
    }

    fn frame(&mut self, message: Message, out: &mut BytesMut) {
        self.codec.encode(message, out).expect("whole messages are always encoded");
    }
}

/// The next frame; `None` when the client has gone.
async fn receive_frame(
    payload: &mut web::Payload,
    received: &mut BytesMut,
    codec: &mut Codec,
) -> Result<Option<Frame>, ProtocolError> {
    loop {
        if let Some(frame) = codec.decode(received)? {
            return Ok(Some(frame));
        }
        // The codec compares a frame's length with its bound only when the whole frame is there.
        if received.len() > BODY_BYTES_MAX + FRAME_HEAD_BYTES_MAX {
            return Err(ProtocolError::Overflow);
        }
        match payload.next().await {
            Some(Ok(bytes)) => received.extend_from_slice(&bytes),
            Some(Err(_)) | None => return Ok(None),
        }
    }
}

fn close_code(error: &ProtocolError) -> CloseCode {
    match error {
        ProtocolError::Overflow => CloseCode::Size,
        _ => CloseCode::Protocol,
    }
}

fn error_frame(detail: String, reference: Option<Value>) -> ServerFrame {
    ServerFrame::Error { problem: Refusal::bad_request(detail).problem().clone(), reference }
}
