//! Sets of seqs: what one subscriber received, and what any of them did.
//!
//! There may be thousands of subscribers, and most miss nothing: their set is one range. A set with many holes becomes
//! one bit per seq, which is also the form of the union of all. Used by the recorder. Pure.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::wire::Seq;

/// Most ranges of a set: 1 KiB. A set with more of them is kept as bits.
const RANGES_MAX: usize = 64;

/// Set of the seqs that one subscriber received, all between 1 and the number of lines.
#[derive(Debug, Clone)]
pub(super) struct Received {
    lines_count: u64,
    form: Form,
}

#[derive(Debug, Clone)]
enum Form {
    /// Ranges in order, with at least one missing seq between two of them.
    Ranges(Vec<Range<Seq>>),
    Bits(Bitmap),
}

impl Received {
    /// Makes an empty set for a log of `lines_count` lines.
    pub(super) fn new(lines_count: u64) -> Self {
        Self { lines_count, form: Form::Ranges(Vec::new()) }
    }

    /// Adds a seq. Returns whether it is new.
    pub(super) fn insert(&mut self, seq: Seq) -> bool {
        let ranges = match &mut self.form {
            Form::Ranges(ranges) => ranges,
            Form::Bits(bits) => return bits.insert(seq),
        };
        // The next line in order, as nearly always.
        if let Some(last) = ranges.last_mut()
            && last.end == seq
        {
            last.end += 1;
            return true;
        }
        let is_new = insert(ranges, seq);
        if ranges.len() > RANGES_MAX {
            let mut bits = Bitmap::new(self.lines_count);
            ranges.iter().for_each(|range| bits.insert_range(range));
            self.form = Form::Bits(bits);
        }
        is_new
    }

    /// Counts the seqs of the set within `seqs`.
    pub(super) fn count_within(&self, seqs: &Range<Seq>) -> u64 {
        match &self.form {
            Form::Ranges(ranges) => ranges.iter().map(|range| length(&intersection(range, seqs))).sum(),
            Form::Bits(bits) => bits.count_within(seqs),
        }
    }
}

/// Adds a seq to ranges in order. Returns whether it is new.
fn insert(ranges: &mut Vec<Range<Seq>>, seq: Seq) -> bool {
    // The first range that ends at the seq or after it.
    let at = ranges.partition_point(|range| range.end < seq);
    match ranges.get_mut(at) {
        Some(range) if range.contains(&seq) => return false,
        Some(range) if range.end == seq => {
            range.end += 1;
            let end = range.end;
            // The seq may have been all that was missing between two ranges.
            if let Some(next) = ranges.get(at + 1)
                && next.start == end
            {
                ranges[at].end = next.end;
                ranges.remove(at + 1);
            }
        }
        Some(range) if range.start == seq + 1 => range.start = seq,
        Some(_) | None => ranges.insert(at, seq..seq + 1),
    }
    true
}

pub(super) fn intersection(left: &Range<Seq>, right: &Range<Seq>) -> Range<Seq> {
    left.start.max(right.start)..left.end.min(right.end)
}

pub(super) fn length(range: &Range<Seq>) -> u64 {
    range.end.saturating_sub(range.start)
}

/// Set of seqs: one bit per seq, from 1.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Bitmap {
    words: Vec<u64>,
}

impl Bitmap {
    pub(super) fn new(seqs: u64) -> Self {
        Self { words: vec![0; (seqs as usize).div_ceil(64)] }
    }

    fn place(seq: Seq) -> (usize, u64) {
        let index = seq - 1;
        ((index / 64) as usize, 1 << (index % 64))
    }

    fn has(&self, seq: Seq) -> bool {
        let (word, bit) = Self::place(seq);
        self.words[word] & bit != 0
    }

    fn insert(&mut self, seq: Seq) -> bool {
        let (word, bit) = Self::place(seq);
        let new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        new
    }

    fn insert_range(&mut self, range: &Range<Seq>) {
        let mut seq = range.start;
        while seq < range.end {
            // One word at a time: there are as many ranges as subscribers.
            let (word, bit) = Self::place(seq);
            let left = u64::from(bit.leading_zeros()) + 1;
            let taken = left.min(range.end - seq);
            let ones = if taken == 64 { u64::MAX } else { (1 << taken) - 1 };
            self.words[word] |= ones << bit.trailing_zeros();
            seq += taken;
        }
    }

    pub(super) fn count_within(&self, seqs: &Range<Seq>) -> u64 {
        seqs.clone().filter(|&seq| self.has(seq)).count() as u64
    }

    /// Adds the seqs of a subscriber.
    pub(super) fn unite(&mut self, received: &Received) {
        match &received.form {
            Form::Ranges(ranges) => ranges.iter().for_each(|range| self.insert_range(range)),
            Form::Bits(bits) => {
                for (word, other) in self.words.iter_mut().zip(&bits.words) {
                    *word |= other;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const LINES: u64 = 400;

    proptest! {
        #[test]
        fn a_set_holds_what_was_added_whatever_its_form(
            runs in proptest::collection::vec((1..LINES, 1..30u64), 0..300), within in (0..LINES, 0..LINES),
        ) {
            let (mut received, mut expected) = (Received::new(LINES), BTreeSet::new());
            for (from, length) in runs {
                for seq in (from..from + length).take_while(|seq| *seq <= LINES) {
                    prop_assert_eq!(received.insert(seq), expected.insert(seq));
                }
            }
            if let Form::Ranges(ranges) = &received.form {
                prop_assert!(ranges.len() <= RANGES_MAX && ranges.windows(2).all(|two| two[0].end < two[1].start));
            }
            let within = within.0 + 1..within.1 + 1;
            let count = expected.iter().filter(|seq| within.contains(seq)).count() as u64;
            prop_assert_eq!(received.count_within(&within), count);
            let mut any = Bitmap::new(LINES);
            any.unite(&received);
            prop_assert_eq!(any.count_within(&within), count);
        }
    }

    #[test]
    fn a_set_with_many_holes_is_kept_as_bits() {
        let mut received = Received::new(LINES);
        (1..=LINES).step_by(2).for_each(|seq| assert!(received.insert(seq)));
        assert!(matches!(received.form, Form::Bits(_)));
        assert_eq!(received.count_within(&(1..LINES + 1)), LINES / 2);
    }
}
