//! WebSocket: the server waits for ever, on a connection that both sides may write to.
//!
//! One HTTP request is upgraded (RFC 6455). From then on each line of the log is one JSON text frame, and the client
//! may send commands: enter and leave rooms (other deployments), pause, publish. The meaning of frames is in `session`.
//! The code that drives a connection is the server's choice: the engine `cursor` or `actor`, with equal frames.

mod actor;
pub(super) mod bench;
mod cursor;
mod frames;
mod rooms;
mod session;
mod socket;

use actix_web::http::header::SEC_WEBSOCKET_EXTENSIONS;
use actix_web::web;
use wirelab_clients::wire::{DeploymentId, Outcome};

pub(super) use self::frames::{DeflatedLineFrames, LineFrames};
use self::socket::Socket;
use crate::context::{Context, WebsocketEngine};
use crate::exchange::asked::{Answer, Asked};
use crate::exchange::problem::Refusal;
use crate::exchange::request;
use crate::exchange::upgrade::{self, Deflate};

/// Answers `GET …/websocket?from=` with an upgrade. Every refusal happens before it, as plain HTTP.
pub(super) async fn answer(
    asked: Asked,
    id: DeploymentId,
    context: web::Data<Context>,
) -> Result<Answer, Refusal> {
    let position = request::position(asked.head())?;
    let mut response = upgrade::accept(asked.head())?;
    let agreed = Deflate::agreed(asked.head().headers(), context.options.websocket_compression);
    if let Some(agreed) = agreed {
        response.insert_header((SEC_WEBSOCKET_EXTENSIONS, agreed.answer()));
    }
    let reader = context.deployments.reader(&id, position).await?;
    let socket = Socket::new(asked, reader, agreed, &context);
    let run = match context.options.websocket_engine {
        WebsocketEngine::Cursor => cursor::run,
        WebsocketEngine::Actor => actor::run,
    };
    Ok(Answer { response: run(response, socket, context), outcome: Outcome::Data })
}
