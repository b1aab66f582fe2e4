//! The engine `cursor`: a WebSocket as a streaming body over cursors.
//!
//! It asks the logs when the socket can take more, so a client that reads slowly costs one batch of memory and delays
//! nobody. Frames are written by `actix_http::ws`; a line's JSON goes into its frame as it was stored.

use std::convert::Infallible;
use std::future::poll_fn;

use actix_http::ws::{OpCode, Parser};
use actix_web::{HttpResponse, HttpResponseBuilder, web};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream;
use tokio::time::{Instant, sleep_until, timeout};
use wirelab_clients::wire::DeploymentId;

use super::line_head;
use super::session::{Outgoing, Phase};
use super::socket::Socket;
use crate::context::Context;
use crate::exchange::upgrade::CLOSE_TIMEOUT;
use crate::reader::EncodedBatch;

/// The answer whose body runs the socket.
pub(super) fn run(
    mut response: HttpResponseBuilder,
    socket: Socket,
    context: web::Data<Context>,
) -> HttpResponse {
    let connection = Connection { socket, silent_since: Instant::now(), context };
    let body = stream::unfold(connection, |mut connection| async {
        let bytes = connection.next().await?;
        Some((Ok::<_, Infallible>(bytes), connection))
    });
    response.streaming(body)
}

/// A socket as a body: polled when TCP can take more.
struct Connection {
    socket: Socket,
    /// When something was last sent.
    silent_since: Instant,
    context: web::Data<Context>,
}

impl Connection {
    /// The next bytes to flush; `None` ends the connection, the server's side first.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let mut out = BytesMut::new();
            for outgoing in self.socket.session.take_output() {
                encode(outgoing, &mut out);
            }
            if !out.is_empty() {
                self.silent_since = Instant::now();
                return Some(out.freeze());
            }
            match self.socket.session.phase() {
                Phase::Open => self.turn().await,
                Phase::Closing => {
                    // Answered or not, the connection ends now.
                    let _ = timeout(CLOSE_TIMEOUT, self.await_close()).await;
                    return None;
                }
                Phase::Closed => return None,
            }
        }
    }

    /// Waits for whichever comes first, and has the session take it.
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
    let mut frame = |payload: &[u8], opcode| Parser::write_message(out, payload, opcode, true, false);
    match outgoing {
        Outgoing::Frame(json) => {
            let json = serde_json::to_vec(&json).expect("a frame has no key that JSON refuses");
            frame(&json, OpCode::Text);
        }
        Outgoing::Lines(deployment, batch) => line_frames(&deployment, &batch, out),
        Outgoing::Ping => frame(b"", OpCode::Ping),
        Outgoing::Pong(payload) => frame(&payload, OpCode::Pong),
        Outgoing::Close(reason) => Parser::write_close(out, reason, false),
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
