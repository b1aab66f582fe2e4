//! What was shown and is not yet published or recorded: the bound between a command and a server or a disk.
//!
//! The relay puts in what it has shown; the publisher or the recorder takes it out. A full backlog holds the relay up,
//! and with it the command, but never longer than the written time. Then the backlog gives up: it drops what it holds
//! and takes nothing more, so that what is published or recorded has no gap but at its end.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Notify;
use wirelab_clients::wire::Stream;

/// Bytes that may wait: two million short lines. A command that prints less than this is never held up.
const BYTES_MAX: usize = 16 << 20;
/// Pieces that may wait. A piece costs about 100 bytes beside its text: 13 MB.
const PIECES_MAX: usize = 1 << 17;

/// Some bytes of output, as one read brought them.
#[derive(Debug)]
pub(crate) struct Piece {
    /// When they were read.
    pub(crate) at: Instant,
    /// The output that they came from; `None` for our own stdin.
    pub(crate) stream: Option<Stream>,
    pub(crate) bytes: Bytes,
}

/// What comes next out of a backlog.
#[derive(Debug)]
pub(crate) enum Next {
    Piece(Piece),
    /// Nothing is waiting now.
    Nothing,
    /// All was taken, and nothing more will come.
    Ended,
    /// Nothing more will come, and what did come is no longer whole.
    GivenUp,
}

/// When a backlog that holds its command up gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HoldUp {
    /// After so long in total.
    InTotal(Duration),
    /// After so long since anything was published.
    WithoutProgress(Duration),
}

/// Pieces between the relay and its publisher or recorder.
#[derive(Debug)]
pub(crate) struct Backlog {
    hold_up: HoldUp,
    state: Mutex<State>,
    room: Condvar,
    news: Condvar,
    /// The same news, for a task.
    news_async: Notify,
}

#[derive(Debug, Default)]
struct State {
    pieces: VecDeque<Piece>,
    bytes: usize,
    held_up: Duration,
    is_closed: bool,
    has_given_up: bool,
}

impl State {
    fn is_full(&self) -> bool {
        self.bytes >= BYTES_MAX || self.pieces.len() >= PIECES_MAX
    }

    fn next(&mut self) -> Next {
        if self.has_given_up {
            return Next::GivenUp;
        }
        match self.pieces.pop_front() {
            Some(piece) => {
                self.bytes -= piece.bytes.len();
                Next::Piece(piece)
            }
            None if self.is_closed => Next::Ended,
            None => Next::Nothing,
        }
    }

    fn give_up(&mut self) {
        self.has_given_up = true;
        self.pieces = VecDeque::new();
        self.bytes = 0;
    }
}

impl Backlog {
    pub(crate) fn new(hold_up: HoldUp) -> Self {
        let (state, room, news, news_async) = Default::default();
        Self { hold_up, state, room, news, news_async }
    }

    pub(crate) fn hold_up(&self) -> HoldUp {
        self.hold_up
    }

    /// Adds a piece that was shown. Waits while the backlog is full, at most for the rest of its time.
    pub(crate) fn push(&self, piece: Piece) {
        let (HoldUp::InTotal(held_up_max) | HoldUp::WithoutProgress(held_up_max)) = self.hold_up;
        let mut state = self.lock();
        while state.is_full() && !state.has_given_up {
            let left = held_up_max.saturating_sub(state.held_up);
            if left.is_zero() {
                state.give_up();
                break;
            }
            let waits = Instant::now();
            state = self.room.wait_timeout(state, left).expect("no holder panics").0;
            state.held_up += waits.elapsed();
        }
        if !state.has_given_up {
            state.bytes += piece.bytes.len();
            state.pieces.push_back(piece);
        }
        drop(state);
        self.tell_news();
    }

    /// Says that nothing more will come.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.tell_news();
    }

    /// Drops what waits, and whatever will come.
    pub(crate) fn give_up(&self) {
        self.lock().give_up();
        self.room.notify_all();
        self.tell_news();
    }

    /// Notes that something was published.
    pub(crate) fn progressed(&self) {
        match self.hold_up {
            HoldUp::InTotal(_) => {}
            HoldUp::WithoutProgress(_) => self.lock().held_up = Duration::ZERO,
        }
    }

    /// Returns what comes next, without waiting for it.
    pub(crate) fn take(&self) -> Next {
        let next = self.lock().next();
        self.room.notify_all();
        next
    }

    /// Waits until there is something to take, and takes it; never returns [`Next::Nothing`]. Cancel-safe.
    pub(crate) async fn next(&self) -> Next {
        loop {
            let news = self.news_async.notified();
            match self.take() {
                Next::Nothing => news.await,
                next => return next,
            }
        }
    }

    /// Waits like [`Self::next`], in a thread.
    pub(crate) fn next_blocking(&self) -> Next {
        let mut state = self.lock();
        loop {
            match state.next() {
                Next::Nothing => state = self.news.wait(state).expect("no holder panics"),
                next => {
                    self.room.notify_all();
                    return next;
                }
            }
        }
    }

    /// Waits until the backlog has given up. Takes nothing.
    pub(crate) async fn given_up(&self) {
        loop {
            let news = self.news_async.notified();
            if self.lock().has_given_up {
                return;
            }
            news.await;
        }
    }

    fn tell_news(&self) {
        self.news.notify_all();
        self.news_async.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// Half of it is longer than a busy machine keeps a thread from its core.
    const HELD_UP_MAX: Duration = Duration::from_millis(600);

    fn piece(length: usize) -> Piece {
        Piece { at: Instant::now(), stream: None, bytes: vec![b'x'; length].into() }
    }

    #[test]
    fn a_full_backlog_holds_up_for_its_time_in_total_and_then_takes_nothing_more() {
        let backlog = Backlog::new(HoldUp::InTotal(HELD_UP_MAX));
        let begun = Instant::now();
        backlog.push(piece(BYTES_MAX));
        assert!(begun.elapsed() < HELD_UP_MAX, "held up with room left");
        // Made before: filling it takes time, too.
        let large = piece(BYTES_MAX);
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(HELD_UP_MAX / 2);
                assert!(matches!(backlog.take(), Next::Piece(_)));
            });
            backlog.push(large);
        });
        backlog.progressed();
        // Half of the time is used up, and progress gives none back.
        let begun = Instant::now();
        backlog.push(piece(1));
        assert!(begun.elapsed() < HELD_UP_MAX * 3 / 4, "{:?}", begun.elapsed());
        assert!(matches!(backlog.take(), Next::GivenUp));
        let late: Vec<_> = (0..9).map(|_| piece(BYTES_MAX)).collect();
        let begun = Instant::now();
        late.into_iter().for_each(|piece| backlog.push(piece));
        assert!(begun.elapsed() < HELD_UP_MAX, "held up after it had given up");
        assert_eq!(backlog.lock().bytes, 0);
    }

    #[test]
    fn without_a_command_progress_gives_the_time_back() {
        let backlog = Backlog::new(HoldUp::WithoutProgress(HELD_UP_MAX));
        backlog.push(piece(BYTES_MAX));
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..4 {
                    thread::sleep(HELD_UP_MAX / 2);
                    backlog.progressed();
                    assert!(matches!(backlog.take(), Next::Piece(_)));
                }
            });
            (0..4).for_each(|_| backlog.push(piece(BYTES_MAX)));
        });
        assert!(matches!(backlog.take(), Next::Piece(_)), "it has given up");
    }

    #[test]
    fn small_pieces_are_bounded_too() {
        let backlog = Backlog::new(HoldUp::InTotal(Duration::ZERO));
        (0..PIECES_MAX).for_each(|_| backlog.push(piece(1)));
        assert!(!backlog.lock().has_given_up);
        backlog.push(piece(1));
        assert!(backlog.lock().has_given_up);
    }

    #[tokio::test]
    async fn what_is_put_in_comes_out_in_order_and_then_the_end() {
        let backlog = Backlog::new(HoldUp::InTotal(Duration::ZERO));
        thread::scope(|scope| {
            scope.spawn(|| {
                (1..4).for_each(|length| backlog.push(piece(length)));
                backlog.close();
            });
            for length in 1..4 {
                assert!(matches!(backlog.next_blocking(), Next::Piece(piece) if piece.bytes.len() == length));
            }
        });
        assert!(matches!(backlog.next().await, Next::Ended));
    }
}
