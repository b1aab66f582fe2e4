//! The engine `cursor`: a WebSocket as a streaming body over cursors.
//!
//! It reads the logs when the socket can take more. So a client that reads slowly costs one batch of memory and delays
//! no other client. Frames are written by `actix_http::ws`; a line's JSON goes into its frame as it was stored.

use std::future::poll_fn;

use actix_http::ws::{OpCode, Parser};
use actix_web::{HttpResponse, HttpResponseBuilder, web};
use bytes::{BufMut, BytesMut};
use tokio::time::{Instant, sleep_until};
use wirelab_clients::wire::DeploymentId;

use super::line_head;
use super::session::Outgoing;
use super::socket::Socket;
use crate::context::Context;
use crate::exchange::upgrade::{self, Driven, Phase};
use crate::reader::EncodedBatch;

/// Returns the answer whose body runs the socket.
pub(super) fn run(
    mut response: HttpResponseBuilder,
    socket: Socket,
    context: web::Data<Context>,
) -> HttpResponse {
    let connection = Connection { socket, silent_since: Instant::now(), context };
    response.streaming(upgrade::body(connection))
}

/// A socket as a streaming body: polled when TCP can take more.
struct Connection {
    socket: Socket,
    /// When the last bytes were sent.
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

    /// Waits for the next event, a heartbeat or the shutdown, and passes it to the session.
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

/// Appends the bytes of a frame to `out`.
pub(super) fn encode(outgoing: Outgoing, out: &mut BytesMut) {
    match outgoing {
        Outgoing::Frame(json) => {
            let json = serde_json::to_vec(&json).expect("a frame has no key that JSON refuses");
            Parser::write_message(out, json, OpCode::Text, true, false);
        }
        Outgoing::Lines(deployment, batch) => line_frames(&deployment, &batch, out),
        Outgoing::Control(frame) => frame.write(out),
    }
}

/// Appends one frame per line. The JSON of a line goes into its frame as it is: nothing is encoded twice.
fn line_frames(deployment: &DeploymentId, batch: &EncodedBatch, out: &mut BytesMut) {
    let head = line_head(deployment);
    // Each frame adds two bytes of opcode and length, at most eight more of length, and a brace.
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
