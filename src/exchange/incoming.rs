//! The body of a request, guarded while it comes: bounded in bytes and time.
//!
//! The server wraps every body before any handler sees it. A handler reads it as the payload of its request, or drops it
//! unread. Then the connection reads and drops the rest.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use actix_http::Request;
use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::Method;
use actix_web::http::header::{CONTENT_LENGTH, UPGRADE};
use actix_web::web::Bytes;
use futures_util::stream::{Stream, StreamExt};
use wirelab_clients::wire::BODY_BYTES_MAX;

use super::arriving::{Arriving, Hindrance, Share};

/// The body of one request.
pub(crate) struct Incoming {
    payload: Payload,
    /// `None` when it has ended.
    arriving: Option<Arriving>,
    /// Whether the announced length is above the bound.
    is_too_long: bool,
}

impl Incoming {
    /// Puts itself before the body of a request, if it has one. The messages of a WebSocket are bounded one by one.
    pub(crate) fn guard(request: &mut Request, share: &Arc<Share>) {
        let headers = &request.head().headers;
        let is_upgrade = request.method() == Method::GET && headers.contains_key(UPGRADE);
        let announced =
            headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        let payload = request.payload();
        if is_upgrade || matches!(payload, Payload::None) {
            return;
        }
        let incoming = Self {
            payload: payload.take(),
            arriving: Some(Arriving::begin(share.clone())),
            is_too_long: announced.is_some_and(|length| length > BODY_BYTES_MAX as u64),
        };
        *request.payload() = Payload::Stream { payload: Box::pin(incoming) };
    }
}

impl Stream for Incoming {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let hindered = |hindrance: Hindrance| Some(Err(PayloadError::Io(io::Error::other(hindrance))));
        let Some(arriving) = &mut this.arriving else { return this.payload.poll_next_unpin(task) };
        if this.is_too_long {
            return Poll::Ready(hindered(Hindrance::TooLong));
        }
        match this.payload.poll_next_unpin(task) {
            Poll::Pending => Poll::Ready(hindered(ready!(arriving.poll_hindrance(task)))),
            Poll::Ready(Some(Ok(bytes))) => Poll::Ready(match arriving.more(bytes.len()) {
                Ok(()) => Some(Ok(bytes)),
                Err(hindrance) => hindered(hindrance),
            }),
            Poll::Ready(over) => {
                this.arriving = None;
                Poll::Ready(over)
            }
        }
    }
}
