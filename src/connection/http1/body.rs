//! The body of one request on its way from the connection to its handler.
//!
//! The loop of HTTP/1.1 feeds it, and the handler reads it as the payload of its request. A handler that does not read
//! stops the connection from reading. Nothing is parsed here.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use actix_http::error::PayloadError;
use bytes::Bytes;
use futures_util::stream::Stream;

/// Bytes of a body that wait for their handler before the connection stops reading. Half a socket buffer: a handler that
/// reads never waits for the next read.
const WAITING_BYTES_MAX: usize = 32 << 10;
/// Bytes that a piece takes beside its own: its place in the queue and its allocation.
const PIECE_BYTES: usize = 64;

/// Makes both ends of a body.
pub(super) fn body() -> (Feed, Body) {
    let shared = Rc::new(RefCell::new(Shared::default()));
    (Feed(Rc::downgrade(&shared)), Body(shared))
}

#[derive(Default)]
struct Shared {
    pieces: VecDeque<Bytes>,
    waiting_bytes: usize,
    end: Option<Result<(), PayloadError>>,
    reader: Option<Waker>,
    feeder: Option<Waker>,
}

impl Shared {
    fn end(&mut self, end: Result<(), PayloadError>) {
        self.end = Some(end);
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// Wakes the other end, unless it belongs to the same task: the connection polls its application after each read, and
/// reads after each poll.
fn wake(other: &mut Option<Waker>, task: &Context<'_>) {
    if let Some(other) = other.take_if(|other| !other.will_wake(task.waker())) {
        other.wake();
    }
}

/// The connection's end of a body. Dropping it before the body's end tells the handler that the body is incomplete.
pub(super) struct Feed(Weak<RefCell<Shared>>);

/// What the handler of a body wants of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// More bytes.
    More,
    /// Nothing until the handler has read what it has.
    Nothing,
    /// Nothing any more: the handler has dropped the body.
    Never,
}

impl Feed {
    /// Hands a piece over; a body that was dropped drops it.
    pub(super) fn push(&self, piece: Bytes, task: &Context<'_>) {
        let Some(shared) = self.0.upgrade() else { return };
        let mut shared = shared.borrow_mut();
        shared.waiting_bytes += piece.len() + PIECE_BYTES;
        shared.pieces.push_back(piece);
        wake(&mut shared.reader, task);
    }

    /// Ends the body, as a whole or with an error.
    pub(super) fn end(self, end: Result<(), PayloadError>) {
        let Some(shared) = self.0.upgrade() else { return };
        shared.borrow_mut().end(end);
    }

    /// Returns what the handler wants. The task is woken when it wants more.
    pub(super) fn wanted(&self, task: &Context<'_>) -> Wanted {
        let Some(shared) = self.0.upgrade() else { return Wanted::Never };
        let mut shared = shared.borrow_mut();
        if shared.waiting_bytes < WAITING_BYTES_MAX {
            return Wanted::More;
        }
        shared.feeder = Some(task.waker().clone());
        Wanted::Nothing
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let Some(shared) = self.0.upgrade() else { return };
        let mut shared = shared.borrow_mut();
        if shared.end.is_none() {
            shared.end(Err(PayloadError::Incomplete(None)));
        }
    }
}

/// The handler's end of a body. After an error or the end it has ended.
pub(super) struct Body(Rc<RefCell<Shared>>);

impl Stream for Body {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut shared = self.0.borrow_mut();
        if let Some(piece) = shared.pieces.pop_front() {
            shared.waiting_bytes -= piece.len() + PIECE_BYTES;
            wake(&mut shared.feeder, task);
            return Poll::Ready(Some(Ok(piece)));
        }
        match &mut shared.end {
            Some(end) => Poll::Ready(std::mem::replace(end, Ok(())).err().map(Err)),
            None => {
                if !shared.reader.as_ref().is_some_and(|reader| reader.will_wake(task.waker())) {
                    shared.reader = Some(task.waker().clone());
                }
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt};

    use super::*;

    const PIECE: Bytes = Bytes::from_static(&[b'x'; WAITING_BYTES_MAX]);

    fn wanted(feed: &Feed) -> Wanted {
        feed.wanted(&Context::from_waker(Waker::noop()))
    }

    fn push(feed: &Feed) {
        feed.push(PIECE, &Context::from_waker(Waker::noop()));
    }

    #[test]
    fn a_handler_that_does_not_read_stops_the_connection_and_one_that_is_gone_wants_nothing() {
        let (feed, mut body) = body();
        assert_eq!(wanted(&feed), Wanted::More);
        push(&feed);
        assert_eq!(wanted(&feed), Wanted::Nothing);
        assert_eq!(body.next().now_or_never().flatten().expect("a piece").expect("no error"), PIECE);
        assert_eq!(wanted(&feed), Wanted::More);
        drop(body);
        assert_eq!(wanted(&feed), Wanted::Never);
        push(&feed);
    }

    #[test]
    fn a_body_ends_as_a_whole_or_with_an_error_and_only_once() {
        let (feed, mut whole) = body();
        push(&feed);
        feed.end(Ok(()));
        assert!(whole.next().now_or_never().flatten().expect("a piece").is_ok());
        assert!(whole.next().now_or_never().expect("the end").is_none());

        let (feed, mut cut) = body();
        drop(feed);
        let error = cut.next().now_or_never().flatten().expect("an error");
        assert!(matches!(error, Err(PayloadError::Incomplete(None))));
        assert!(cut.next().now_or_never().expect("the end").is_none());
    }
}
