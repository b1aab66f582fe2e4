//! WebSocket: the server waits for ever, on a connection that both sides may write to.
//!
//! One HTTP request is upgraded (RFC 6455); from then on each line of the log is one JSON text frame, and the
//! client may send commands: enter and leave rooms, pause, publish. This engine is a streaming body over
//! cursors: it asks the logs when the socket can take more, so a client that reads slowly costs one batch of
//! memory and delays nobody. What the frames mean is in `session`, shared with the engine that runs on actors.

mod rooms;
pub(super) mod session;
pub(super) mod socket;

use std::future::poll_fn;

use actix_http::ws::{OpCode, Parser};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use bytes::{BufMut, BytesMut};
use tokio::time::{Instant, sleep_until};
use wirelab_clients::wire::{DeploymentId, Outcome, Transport};

use self::session::Outgoing;
use self::socket::Socket;
use super::counted;
use crate::context::Context;
use crate::exchange::problem::Refusal;
use crate::exchange::request;
use crate::exchange::upgrade::{self, Driven, Phase};
use crate::reader::EncodedBatch;

/// `GET …/websocket?from=` with an upgrade.
pub async fn answer(
    request: HttpRequest,
    payload: web::Payload,
    context: web::Data<Context>,
) -> Result<HttpResponse, Refusal> {
    let (mut response, socket) = enter(&request, payload, Transport::Websocket, &context).await?;
    let connection = Connection { socket, silent_since: Instant::now(), context };
    Ok(counted(response.streaming(upgrade::body(connection)), Outcome::Data))
}

/// The start of a 101 answer and the socket behind it. Everything that can be refused is refused before, as plain
/// HTTP.
pub(super) async fn enter(
    request: &HttpRequest,
    payload: web::Payload,
    transport: Transport,
    context: &Context,
) -> Result<(HttpResponseBuilder, Socket), Refusal> {
    let id = request::deployment_id(request)?;
    let position = request::position(request)?;
    let response = upgrade::accept(request)?;
    let reader = context.deployments.reader(&id, position).await?;
    Ok((response, Socket::new(reader, payload, transport, context)))
}

/// A socket as a body: polled when TCP can take more.
struct Connection {
    socket: Socket,
    /// When something was last sent.
    silent_since: Instant,
    context: web::Data<Context>,
}

impl Driven for Connection {
    fn take_output(&mut self) -> BytesMut {
        let mut out = BytesMut::new();
        for outgoing in self.socket.session.take_output() {
            self.silent_since = Instant::now();
            encode(outgoing, &mut out);
        }
        out
    }

    fn phase(&self) -> Phase {
        self.socket.session.phase()
    }

    async fn turn(&mut self) {
        let Self { socket, silent_since, context } = self;
        let heartbeat = *silent_since + context.options.heartbeat;
        let event = tokio::select! {
            biased;
            () = context.shutdown.cancelled() => return socket.session.shut_down(),
            event = poll_fn(|task| socket.poll_event(task)) => event,
            () = sleep_until(heartbeat) => return socket.session.fall_silent(),
        };
        if let Some(ask) = socket.handle(event) {
            socket.answered(ask.carry_out(context).await);
        }
    }

    async fn await_close(&mut self) {
        let Self { socket, .. } = self;
        socket.leave_rooms();
        while socket.session.phase() != Phase::Closed {
            let event = poll_fn(|task| socket.poll_event(task)).await;
            socket.handle(event);
        }
    }
}

/// Appends a frame's bytes.
fn encode(outgoing: Outgoing, out: &mut BytesMut) {
    match outgoing {
        Outgoing::Frame(json) => {
            let json = serde_json::to_vec(&json).expect("a frame has no key that JSON refuses");
            Parser::write_message(out, json, OpCode::Text, true, false);
        }
        Outgoing::Lines(deployment, batch) => line_frames(&deployment, &batch, out),
        Outgoing::Control(frame) => frame.write(out),
    }
}

/// A line's JSON goes into its frame as it is: nothing is encoded twice.
fn line_frames(deployment: &DeploymentId, batch: &EncodedBatch, out: &mut BytesMut) {
    let head = line_head(deployment);
    // Two bytes of opcode and length, at most eight more of length, a brace.
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

/// What stands before a line's own JSON in its frame; a `}` stands behind it.
pub(super) fn line_head(deployment: &DeploymentId) -> String {
    format!("{{\"type\":\"line\",\"deployment\":\"{deployment}\",\"line\":")
}
