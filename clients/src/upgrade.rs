//! The WebSocket handshake, on a metered socket.
//!
//! Used by every client that speaks WebSocket: one GET is upgraded (RFC 6455 §4), then there are frames.

use std::sync::Arc;

use hyper::header::{HeaderName, HeaderValue};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::meter::{Meter, MeteredSocket};
use crate::wire::BODY_BYTES_MAX;

/// 9 KiB a connection with a write buffer of zero, where the defaults take 135.
const READ_BUFFER_BYTES: usize = 4096;

/// GET with `Upgrade: websocket` and a random key; 101 with the key's hash; then frames. An answer other than 101 is
/// [`Error::Http`].
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
