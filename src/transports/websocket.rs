//! WebSocket: the server waits for ever, on a connection that both sides may write to.
//!
//! One HTTP request is upgraded (RFC 6455). From then on each line of the log is one JSON text frame, and the client
//! may send commands: enter and leave rooms (other deployments), pause, publish. The meaning of frames is in `session`.
//! The code that drives a connection is the server's choice: the engine `cursor` or `actor`, with equal frames.

mod actor;
#[doc(hidden)]
pub mod bench;
mod cursor;
mod rooms;
mod session;
mod socket;

use actix_web::web;
use wirelab_clients::wire::{DeploymentId, Outcome};

use self::socket::Socket;
use crate::context::{Context, WebsocketEngine};
use crate::exchange::asked::{Answer, Asked};
use crate::exchange::problem::Refusal;
use crate::exchange::request;
use crate::exchange::upgrade;

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

/// Returns what precedes a line's own JSON in its frame; a `}` follows it.
fn line_head(deployment: &DeploymentId) -> String {
    format!("{{\"type\":\"line\",\"deployment\":\"{deployment}\",\"line\":")
}
