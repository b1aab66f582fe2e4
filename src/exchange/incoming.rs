//! The body of a request, guarded while it comes: bounded in bytes and time, and kept beside its answer.
//!
//! The server wraps every body before any handler sees it. A handler reads it as the payload of its request, or does not
//! read it. An answer that does not wait for the body carries the rest of it along: the rest is read and dropped while
//! the answer goes out. Closing TCP with unread bytes would reset it, and the client could lose the answer
//! (RFC 9112 §9.6).

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use actix_http::Request;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::Method;
use actix_web::http::header::{CONTENT_LENGTH, UPGRADE};
use actix_web::web::Bytes;
use futures_util::stream::{Stream, StreamExt};
use wirelab_clients::wire::BODY_BYTES_MAX;

use super::arriving::{Arriving, Hindrance, Share};

/// The body of one request, shared by its handler and its answer.
#[derive(Clone)]
pub(crate) struct Incoming(Rc<RefCell<Guarded>>);

struct Guarded {
    payload: Payload,
    /// `None` for the messages of a WebSocket, which are bounded one by one.
    arriving: Option<Arriving>,
    /// Whether the announced length is above the bound.
    is_too_long: bool,
    has_ended: bool,
}

impl Incoming {
    /// Puts itself before the body of a request; `None` if it has no body.
    pub(crate) fn guard(request: &mut Request, share: Arc<Share>) -> Option<Self> {
        let payload = std::mem::replace(request.payload(), Payload::None);
        if matches!(payload, Payload::None) {
            return None;
        }
        let headers = &request.head().headers;
        let announced =
            headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        let is_upgrade = request.method() == Method::GET && headers.contains_key(UPGRADE);
        let guarded = Guarded {
            payload,
            arriving: (!is_upgrade).then(|| Arriving::begin(share)),
            is_too_long: announced.is_some_and(|length| length > BODY_BYTES_MAX as u64),
            has_ended: false,
        };
        let incoming = Self(Rc::new(RefCell::new(guarded)));
        *request.payload() = Payload::Stream { payload: Box::pin(incoming.clone()) };
        Some(incoming)
    }

    /// Whether some of the body has not come, or was not read.
    pub(crate) fn is_unfinished(&self) -> bool {
        !self.0.borrow().has_ended
    }

    /// Returns the body of an answer that does not wait for this one. `unfinished` is called when the answer is over and
    /// this body is not.
    pub(crate) fn beside(self, answer: BoxBody, unfinished: impl FnOnce() + 'static) -> BoxBody {
        // What was read of it is with the handler no more.
        self.0.borrow_mut().arriving = None;
        let has_no_body = matches!(answer.size(), BodySize::None | BodySize::Sized(0));
        let mut beside = Beside { answer, incoming: self, unfinished: Some(Box::new(unfinished)) };
        if has_no_body {
            // Such an answer is not polled. A body that has come as a whole is no rest.
            beside.drop_what_has_come(&mut Context::from_waker(Waker::noop()));
            beside.end();
        }
        BoxBody::new(beside)
    }
}

impl Stream for Incoming {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.borrow_mut().poll_next(task)
    }
}

impl Guarded {
    fn poll_next(&mut self, task: &mut Context<'_>) -> Poll<Option<Result<Bytes, PayloadError>>> {
        let hindered = |hindrance: Hindrance| Some(Err(PayloadError::Io(io::Error::other(hindrance))));
        if self.is_too_long && self.arriving.is_some() {
            return Poll::Ready(hindered(Hindrance::TooLong));
        }
        let Poll::Ready(piece) = self.payload.poll_next_unpin(task) else {
            let Some(arriving) = &mut self.arriving else { return Poll::Pending };
            return Poll::Ready(hindered(ready!(arriving.poll_hindrance(task))));
        };
        let piece = match (piece, &mut self.arriving) {
            (Some(Ok(bytes)), Some(arriving)) => match arriving.more(bytes.len()) {
                Ok(()) => return Poll::Ready(Some(Ok(bytes))),
                Err(hindrance) => return Poll::Ready(hindered(hindrance)),
            },
            (Some(Ok(bytes)), None) => return Poll::Ready(Some(Ok(bytes))),
            (over, _) => over,
        };
        self.has_ended = true;
        self.arriving = None;
        Poll::Ready(piece)
    }
}

/// An answer, and the rest of the request's body, which is dropped as it comes. The payload lives until the answer is
/// over: actix would read the rest of a chunked one without any bound if nothing held it.
struct Beside {
    answer: BoxBody,
    incoming: Incoming,
    unfinished: Option<Box<dyn FnOnce()>>,
}

impl Beside {
    fn drop_what_has_come(&mut self, task: &mut Context<'_>) {
        let mut incoming = self.incoming.0.borrow_mut();
        while !incoming.has_ended && incoming.poll_next(task).is_ready() {}
    }

    fn end(&mut self) {
        if self.incoming.is_unfinished()
            && let Some(unfinished) = self.unfinished.take()
        {
            unfinished();
        }
    }
}

impl MessageBody for Beside {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.answer.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let this = &mut *self;
        this.drop_what_has_come(task);
        let piece = ready!(Pin::new(&mut this.answer).poll_next(task));
        if piece.is_none() {
            this.end();
        }
        Poll::Ready(piece)
    }
}
