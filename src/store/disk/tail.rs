//! The newest lines of one log in memory: readers that have caught up get them without a disk read.

use std::collections::VecDeque;
use std::sync::Arc;

use wirelab_clients::wire::Seq;

use crate::store::{EncodedLine, ReadLimit};

/// Bound on the tail of one log; the oldest lines leave first.
#[derive(Debug, Clone, Copy)]
pub(super) struct TailBound {
    lines: usize,
    /// Bytes of memory, not of JSON: short lines cost more than their text.
    bytes: usize,
}

/// Bound while the log runs: eight batches, so that a subscriber some batches behind still reads from memory.
pub(super) const TAIL_RUNNING: TailBound = TailBound { lines: 4_096, bytes: 4 << 20 };
/// Bound after the end of the log: one batch, which its last followers have yet to read.
pub(super) const TAIL_ENDED: TailBound = TailBound { lines: 512, bytes: 256 << 10 };

/// Bytes of memory that a line takes besides its JSON: the shared line with its counts (64), the shared JSON's counts
/// once a reader has it (32), the allocator's own bytes and the place in the queue (24). Lines of one append share those
/// of their JSON. What they save pays for the buffer that the oldest line may keep alive beyond itself.
const LINE_OVERHEAD_BYTES: usize = 120;

/// The last lines of a log without a gap; empty after a restart and when the log is cold.
#[derive(Debug, Default)]
pub(super) struct Tail {
    lines: VecDeque<Arc<EncodedLine>>,
    bytes: usize,
}

fn bytes_of(line: &EncodedLine) -> usize {
    line.json.len() + LINE_OVERHEAD_BYTES
}

impl Tail {
    /// Adds the next line of the log.
    pub(super) fn push(&mut self, line: Arc<EncodedLine>) {
        self.bytes += bytes_of(&line);
        self.lines.push_back(line);
        self.shrink(TAIL_RUNNING);
    }

    /// Returns the bytes of memory that the lines take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives up all lines.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn shrink(&mut self, bound: TailBound) {
        while self.lines.len() > bound.lines || self.bytes > bound.bytes {
            let oldest = self.lines.pop_front().expect("over the bound, so not empty");
            self.bytes -= bytes_of(&oldest);
        }
        if self.lines.capacity() > 2 * bound.lines {
            self.lines.shrink_to_fit();
        }
    }

    /// Returns the lines after `after`, which is below the log's last seq; `None` if the first of them is no longer
    /// here.
    pub(super) fn read_after(&self, after: Seq, limit: ReadLimit) -> Option<Vec<Arc<EncodedLine>>> {
        let first = self.lines.front()?.seq;
        let skip = (after + 1).checked_sub(first)? as usize;
        let mut bytes = 0;
        let lines = self.lines.range(skip.min(self.lines.len())..).take(limit.lines).enumerate();
        Some(
            lines
                .take_while(|(i, line)| {
                    bytes += line.json.len();
                    *i == 0 || bytes <= limit.bytes
                })
                .map(|(_, line)| line.clone())
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wirelab_clients::wire::NewLine;

    fn filled(count: Seq, text_bytes: usize) -> Tail {
        let mut tail = Tail::default();
        let line = NewLine::plain("x".repeat(text_bytes));
        for seq in 1..=count {
            tail.push(Arc::new(EncodedLine::new(seq, 7, &line)));
        }
        tail
    }

    #[test]
    fn a_tail_is_bounded_in_lines_and_in_bytes() {
        let many = filled(10_000, 1);
        assert_eq!((many.lines.len(), many.lines.back().unwrap().seq), (4_096, 10_000));
        let large = filled(100, 100_000);
        assert!(large.bytes <= 4 << 20 && large.bytes > 3 << 20, "{}", large.bytes);
        assert_eq!(large.bytes, large.lines.iter().map(|line| line.json.len() + 120).sum::<usize>());
        assert!(filled(3, 5 << 20).lines.is_empty(), "a line above the bound must not stay");
    }

    #[test]
    fn an_ended_log_keeps_one_batch() {
        let mut tail = filled(10_000, 1);
        tail.shrink(TAIL_ENDED);
        assert_eq!(tail.lines.len(), 512);
        assert!(tail.lines.capacity() < 4_096);
    }

    #[test]
    fn a_tail_knows_what_it_no_longer_has() {
        let tail = filled(10_000, 1);
        let all = ReadLimit { lines: usize::MAX, bytes: usize::MAX };
        assert!(tail.read_after(10_000 - 4_097, all).is_none());
        assert_eq!(tail.read_after(10_000 - 4_096, all).unwrap().len(), 4_096);
        assert!(Tail::default().read_after(0, all).is_none());
    }
}
