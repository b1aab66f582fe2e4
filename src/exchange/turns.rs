//! Turns between connections of one thread: one that always has more to answer gives way to the others.
//!
//! A connection of HTTP/1.1 asks for each request, and the inbox of a WebSocket for each message. Nothing is read or
//! answered here.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_rt::task::JoinHandle;
use tokio::task::yield_now;

/// Turns of one connection or inbox.
#[derive(Debug)]
pub(crate) struct Turns {
    most: usize,
    in_a_row: usize,
    /// A task of its own, which yields. A connection wakes itself while it has unread bytes, so a yield of its own would
    /// be over before any other socket was looked at.
    others: Option<JoinHandle<()>>,
}

impl Turns {
    /// Gives way after `most` in a row.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, in_a_row: 0, others: None }
    }

    /// Notes that nothing was there, so that others had a turn.
    pub(crate) fn waited(&mut self) {
        self.in_a_row = 0;
    }

    /// Waits until one more may be handled; others go first when there were too many in a row.
    pub(crate) fn poll_next(&mut self, task: &mut Context<'_>) -> Poll<()> {
        if self.in_a_row >= self.most {
            let others = self.others.get_or_insert_with(|| actix_rt::spawn(yield_now()));
            // An error means that the thread stops.
            let _ = ready!(Pin::new(others).poll(task));
            self.others = None;
            self.in_a_row = 0;
        }
        Poll::Ready(())
    }

    /// Whether others have their turn now, so that nothing can be told about what has arrived.
    pub(crate) fn is_giving_way(&self) -> bool {
        self.others.is_some()
    }

    /// Counts one that was handled.
    pub(crate) fn handled(&mut self) {
        self.in_a_row += 1;
    }

    /// Counts one that took as long as many: others go first before the next.
    pub(crate) fn handled_a_long_one(&mut self) {
        self.in_a_row = self.most;
    }
}
