//! The WebSocket handshake, on a metered socket.
//!
//! Used by every client that speaks WebSocket: one GET is upgraded (RFC 6455 §4), then there are frames.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::SubscribeError;
use crate::http::ANSWER_TIMEOUT;
use crate::http::{Answer, CONNECT_TIMEOUT, NoLines, content_type, refused};
use crate::meter::{Meter, MeteredSocket};
use crate::wire::{BODY_BYTES_MAX, Outcome};

/// Size of the read buffer. It holds fifty lines, among which the cost of a read is small. With the defaults
/// of the library a connection takes 135 KiB.
const READ_BUFFER_BYTES: usize = 8192;

/// Upgrades a new connection: GET with `Upgrade: websocket` and a random key; 101 with the key's hash; then frames. An
/// answer other than 101 is [`Error::Http`].
pub(crate) async fn upgrade(
    authority: &str,
    path: &str,
    headers: Vec<(HeaderName, HeaderValue)>,
    meter: Arc<Meter>,
) -> Result<WebSocketStream<MeteredSocket>, Error> {
    let socket = MeteredSocket::connect(authority, meter).await?;
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_message_size(Some(BODY_BYTES_MAX))
        .max_frame_size(Some(BODY_BYTES_MAX));
    let mut request = format!("ws://{authority}{path}").into_client_request()?;
    request.headers_mut().extend(headers);
    let (socket, _) = tokio_tungstenite::client_async_with_config(request, socket, Some(config)).await?;
    Ok(socket)
}

/// Returns the socket that `handshake` opens, or the meaning of its failure. Counts the request.
pub(crate) async fn opened(
    handshake: impl Future<Output = Result<WebSocketStream<MeteredSocket>, Error>>,
    meter: &Meter,
) -> Result<WebSocketStream<MeteredSocket>, NoLines> {
    let opened_before = meter.traffic().connections_opened;
    let later = |why| Err(NoLines::Later { why, advised: None });
    let failure = match timeout(CONNECT_TIMEOUT + ANSWER_TIMEOUT, handshake).await {
        Ok(Ok(socket)) => {
            meter.count(Outcome::Data);
            meter.opened();
            return Ok(socket);
        }
        Ok(Err(Error::Http(response))) => {
            let (head, body) = response.into_parts();
            if head.status.is_success() {
                meter.count(Outcome::Error);
                let found = format!("{} and {}", head.status, content_type(&head.headers));
                let expected = "the upgrade to a WebSocket".to_owned();
                return Err(NoLines::Final(SubscribeError::OtherAnswer { expected, found }));
            }
            let status = StatusCode::from_u16(head.status.as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
            let (body, at) = (body.unwrap_or_default().into(), meter.last_read());
            return Err(refused(&Answer { status, headers: head.headers, body, at }, meter));
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no handshake in time".to_owned(),
    };
    if meter.traffic().connections_opened > opened_before {
        // The connection was open, so a request had been sent.
        meter.count(Outcome::Error);
        return later(failure);
    }
    later(format!("cannot connect: {failure}"))
}
