//! WebSocket: the server waits for ever, on a connection that both sides may write to.
//!
//! One HTTP request is upgraded (RFC 6455). From then on each line of the log is one JSON text frame, and the client
//! may send commands: enter and leave rooms (other deployments), pause, publish. The meaning of frames is in `session`.
//! The code that drives a connection is the server's choice: the engine `cursor` or `actor`, with equal frames.

mod actor;
pub(super) mod bench;
mod cursor;
mod rooms;
mod session;
mod socket;

use actix_http::ws::{OpCode, Parser};
use actix_web::web;
use bytes::{BufMut, Bytes, BytesMut};
use wirelab_clients::wire::{DeploymentId, Outcome};

use self::session::Outgoing;
use self::socket::Socket;
use crate::context::{Context, WebsocketEngine};
use crate::exchange::asked::{Answer, Asked};
use crate::exchange::problem::Refusal;
use crate::exchange::request;
use crate::exchange::upgrade;
use crate::reader::{EncodedBatch, FramingName, LineFraming};

/// Answers `GET …/websocket?from=` with an upgrade. Every refusal happens before it, as plain HTTP.
pub(super) async fn answer(
    asked: Asked,
    id: DeploymentId,
    context: web::Data<Context>,
) -> Result<Answer, Refusal> {
    let position = request::position(asked.head())?;
    let response = upgrade::accept(asked.head())?;
    let reader = context.deployments.reader(&id, position).await?;
    let socket = Socket::new(asked, reader, &context);
    let run = match context.options.websocket_engine {
        WebsocketEngine::Cursor => cursor::run,
        WebsocketEngine::Actor => actor::run,
    };
    Ok(Answer { response: run(response, socket, context), outcome: Outcome::Data })
}

/// One text frame per line. All that follow a log get the same frames: each says the id of the deployment.
pub(super) enum LineFrames {}

impl LineFraming for LineFrames {
    const NAME: FramingName = FramingName::Websocket;

    /// The JSON of a line goes into its frame as it is: nothing is encoded twice.
    fn frame(deployment: &DeploymentId, batch: &EncodedBatch) -> Bytes {
        let head = format!("{{\"type\":\"line\",\"deployment\":\"{deployment}\",\"line\":");
        // Each frame adds two bytes of opcode and length, at most eight more of length, and a brace.
        let bytes = batch.lines.iter().map(|line| head.len() + line.json.len() + 11).sum();
        let (mut frames, mut json) = (BytesMut::with_capacity(bytes), BytesMut::new());
        for line in &batch.lines {
            json.clear();
            json.put_slice(head.as_bytes());
            json.put_slice(&line.json);
            json.put_u8(b'}');
            Parser::write_message(&mut frames, &json, OpCode::Text, true, false);
        }
        frames.freeze()
    }
}

/// Encodes what a session sends, in order. Lines alone, which is what is sent most, are not copied.
fn encoded(outgoing: impl IntoIterator<Item = Outgoing>) -> Bytes {
    let mut outgoing = outgoing.into_iter().peekable();
    let mut out = BytesMut::new();
    while let Some(next) = outgoing.next() {
        match next {
            Outgoing::Lines(batch) if out.is_empty() && outgoing.peek().is_none() => return batch.bytes,
            Outgoing::Lines(batch) => out.put_slice(&batch.bytes),
            Outgoing::Frame(json) => {
                let json = serde_json::to_vec(&json).expect("a frame has no key that JSON refuses");
                Parser::write_message(&mut out, json, OpCode::Text, true, false);
            }
            Outgoing::Control(frame) => frame.write(&mut out),
        }
    }
    out.freeze()
}
