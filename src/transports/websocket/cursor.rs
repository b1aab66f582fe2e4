//! The engine `cursor`: a WebSocket as a streaming body over cursors.
//!
//! It reads the logs when the socket can take more. So a client that reads slowly costs one batch of memory and delays
//! no other client. The frames of a batch are shared with the other sockets that follow the log.

use std::future::poll_fn;

use actix_web::{HttpResponse, HttpResponseBuilder, web};
use bytes::Bytes;

use super::socket::Socket;
use crate::context::Context;
use crate::exchange::stopping::Stopping;
use crate::exchange::upgrade::{self, Driven, Phase};
use crate::transports::silence::Silence;

/// Returns the answer whose body runs the socket.
pub(super) fn run(
    mut response: HttpResponseBuilder,
    socket: Socket,
    context: web::Data<Context>,
) -> HttpResponse {
    let connection = Connection {
        socket,
        silence: Silence::begin(context.options.heartbeat),
        stopping: Stopping::of(&context.shutdown),
        context,
    };
    response.streaming(upgrade::body(connection))
}

/// A socket as a streaming body: polled when TCP can take more.
struct Connection {
    socket: Socket,
    silence: Silence,
    stopping: Stopping,
    context: web::Data<Context>,
}

impl Driven for Connection {
    fn take_output(&mut self) -> Bytes {
        let out = self.socket.take_output();
        if !out.is_empty() {
            self.silence.broken();
        }
        out
    }

    fn phase(&self) -> Phase {
        self.socket.session.phase()
    }

    /// Waits for the next event, a heartbeat or the shutdown, and passes it to the session.
    async fn turn(&mut self) {
        let Self { socket, silence, stopping, context } = self;
        let event = tokio::select! {
            biased;
            () = stopping => return socket.session.shut_down(),
            event = poll_fn(|task| socket.poll_event(task)) => event,
            () = silence.lasts() => return socket.session.fall_silent(),
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
