//! The WebSocket handshake, on a metered socket.
//!
//! Used by every client that speaks WebSocket: one GET is upgraded (RFC 6455 §4), then there are frames.

use std::io;
use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_EXTENSIONS};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::deflate::{Offer, Takeover};
use crate::frame_socket::FrameSocket;
use crate::http::ANSWER_TIMEOUT;
use crate::http::{Answer, CONNECT_TIMEOUT, NoLines, content_type, refused};
use crate::meter::Meter;
use crate::stream::Stream;
use crate::tls::NotConnected;
use crate::wire::{BODY_BYTES_MAX, Outcome};
use crate::{HttpVersion, ServerUrl, SubscribeError};

/// Size of the library's read buffer where it reads from the socket. It holds fifty lines, among which the cost of a
/// read is small. With the defaults of the library a connection takes 135 KiB.
const READ_BUFFER_BYTES: usize = 8192;
/// Size of the library's read buffer behind a [`FrameSocket`], which reads the socket itself: what it leaves to the
/// library is short or rare.
const PASSED_BUFFER_BYTES: usize = 512;

/// Reason why there is no WebSocket.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotUpgraded {
    /// The server cannot be trusted, or speaks no TLS.
    #[error("{server} is not spoken to: {why}")]
    Mistrusted {
        /// Server.
        server: String,
        /// Reason, with the remedy.
        why: String,
    },
    /// The connection or the handshake failed.
    #[error(transparent)]
    Failed(#[from] Error),
}

/// Upgrades a new connection: GET with `Upgrade: websocket` and a random key; 101 with the key's hash; then frames. An
/// answer other than 101 is [`Error::Http`].
pub(crate) async fn upgrade(
    server: &ServerUrl,
    path: &str,
    headers: Vec<(HeaderName, HeaderValue)>,
    meter: Arc<Meter>,
) -> Result<WebSocketStream<Stream>, NotUpgraded> {
    let socket = connected(server, &meter).await?;
    let (socket, answer) = upgrade_over(socket, READ_BUFFER_BYTES, server, path, headers).await?;
    accepted(Offer::Nothing, &answer)?;
    Ok(socket)
}

/// Like [`upgrade`], for an owner that takes frames itself, and with an offer to compress the server's messages.
pub(crate) async fn upgrade_for_frames(
    server: &ServerUrl,
    path: &str,
    offer: Offer,
    meter: Arc<Meter>,
) -> Result<WebSocketStream<FrameSocket<Stream>>, NotUpgraded> {
    let socket = FrameSocket::new(connected(server, &meter).await?);
    let offered = offer.header().map(|value| (SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(value)));
    let headers = offered.into_iter().collect();
    let (mut socket, answer) = upgrade_over(socket, PASSED_BUFFER_BYTES, server, path, headers).await?;
    if let Some(takeover) = accepted(offer, &answer)? {
        socket.get_mut().inflate_messages(takeover);
    }
    Ok(socket)
}

async fn connected(server: &ServerUrl, meter: &Arc<Meter>) -> Result<Stream, NotUpgraded> {
    // A browser's WebSocket offers HTTP/1.1 alone, too.
    Stream::connect(server, HttpVersion::Http1, meter).await.map_err(|error| match error {
        NotConnected::Passing(error) => Error::from(error).into(),
        NotConnected::Mistrusted(why) => NotUpgraded::Mistrusted { server: server.to_string(), why },
    })
}

/// Returns what the answer says of compression. A client fails the connection where the answer does not fit its offer
/// (RFC 6455 §4.1, RFC 7692 §7.1); the library does not look.
fn accepted(offer: Offer, answer: &HeaderMap) -> Result<Option<Takeover>, Error> {
    let invalid = |error: String| Error::Io(io::Error::new(io::ErrorKind::InvalidData, error));
    let fields: Result<Vec<_>, _> =
        answer.get_all(SEC_WEBSOCKET_EXTENSIONS).iter().map(HeaderValue::to_str).collect();
    let fields = fields.map_err(|error| invalid(format!("Sec-WebSocket-Extensions: {error}")))?;
    offer.accepted(fields.into_iter()).map_err(invalid)
}

/// Upgrades the connection of `socket`, with a read buffer of the library of this size. Returns the answer's headers too.
async fn upgrade_over<S: AsyncRead + AsyncWrite + Unpin>(
    socket: S,
    buffer_bytes: usize,
    server: &ServerUrl,
    path: &str,
    headers: Vec<(HeaderName, HeaderValue)>,
) -> Result<(WebSocketStream<S>, HeaderMap), NotUpgraded> {
    let config = WebSocketConfig::default()
        .read_buffer_size(buffer_bytes)
        .write_buffer_size(0)
        .max_message_size(Some(BODY_BYTES_MAX))
        .max_frame_size(Some(BODY_BYTES_MAX));
    // The scheme is only for the library, which sends `Host` and the path: the socket is connected already.
    let mut request = format!("ws://{}{path}", server.authority()).into_client_request()?;
    request.headers_mut().extend(headers);
    if let Some(authorization) = server.authorization() {
        request.headers_mut().insert(AUTHORIZATION, authorization.clone());
    }
    let (socket, answer) = tokio_tungstenite::client_async_with_config(request, socket, Some(config)).await?;
    Ok((socket, answer.into_parts().0.headers))
}

/// Returns the socket that `handshake` opens, or the meaning of its failure. Counts the request.
pub(crate) async fn opened<S>(
    handshake: impl Future<Output = Result<WebSocketStream<S>, NotUpgraded>>,
    meter: &Meter,
) -> Result<WebSocketStream<S>, NoLines> {
    let opened_before = meter.traffic().connections_opened;
    let later = |why| Err(NoLines::Later { why, advised: None });
    let failure = match timeout(CONNECT_TIMEOUT + ANSWER_TIMEOUT, handshake).await {
        Ok(Ok(socket)) => {
            meter.count(Outcome::Data);
            meter.opened();
            return Ok(socket);
        }
        Ok(Err(NotUpgraded::Mistrusted { server, why })) => {
            return Err(NoLines::Final(SubscribeError::Mistrusted { server, why }));
        }
        Ok(Err(NotUpgraded::Failed(Error::Http(response)))) => {
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
        Ok(Err(NotUpgraded::Failed(error))) => error.to_string(),
        Err(_) => "no handshake in time".to_owned(),
    };
    if meter.traffic().connections_opened > opened_before {
        // The connection was open, so a request had been sent.
        meter.count(Outcome::Error);
        return later(failure);
    }
    later(format!("cannot connect: {failure}"))
}
