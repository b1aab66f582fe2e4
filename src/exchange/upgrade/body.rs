//! A WebSocket as a streaming body: it is asked for bytes when TCP can take more, so a client that reads slowly costs
//! no memory.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use tokio::time::timeout;

use super::control::Phase;

/// How long the client may take to answer our close frame before TCP is closed under it.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// A socket that [`body`] drives.
pub(crate) trait Driven {
    /// Returns the frames that go out now.
    fn take_output(&mut self) -> Bytes;

    /// Returns the phase of the socket.
    fn phase(&self) -> Phase;

    /// Waits for the first event and handles it.
    async fn turn(&mut self);

    /// Reads until the client has answered our close frame, or is gone.
    async fn await_close(&mut self);
}

/// Drives `socket` until it is closed, the server's side first.
pub(crate) fn body(socket: impl Driven) -> impl Stream<Item = Result<Bytes, Infallible>> {
    // In a box: the stream moves its state in and out for each piece.
    stream::unfold(Box::new(socket), |mut socket| async { Some((Ok(next(&mut *socket).await?), socket)) })
}

/// Returns the next bytes to flush; `None` ends the connection.
async fn next(socket: &mut impl Driven) -> Option<Bytes> {
    loop {
        let out = socket.take_output();
        if !out.is_empty() {
            return Some(out);
        }
        match socket.phase() {
            Phase::Open => socket.turn().await,
            Phase::Closing => {
                // Answered or not, the connection ends now.
                let _ = timeout(CLOSE_TIMEOUT, socket.await_close()).await;
                return None;
            }
            Phase::Closed => return None,
        }
    }
}
