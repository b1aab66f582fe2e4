//! Sequences: whether every line came once and in order, without knowing what was published.
//!
//! Each subscriber of a crowd has one. A seq that is passed over counts as lost until it comes after all. So gaps are
//! remembered, a bounded number of them. Pure.

use std::collections::VecDeque;
use std::ops::Range;

use crate::wire::Seq;

/// Most gaps that are remembered, the newest ones. A line of an older gap that still comes counts as a duplicate; a
/// subscriber with so many gaps has lost lines in any case.
const GAPS_MAX: usize = 64;

/// Counts of one or more lines that came. Lost lines may become fewer, when a line that was passed over comes after
/// all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Lines that came for the first time.
    pub lines: u64,
    /// Change of the number of lines that were passed over.
    pub lost_change: i64,
    /// Lines that had come before.
    pub duplicated: u64,
    /// Lines that came after a later one, for the first time.
    pub out_of_order: u64,
}

/// Record of the seqs that one subscriber has seen.
#[derive(Debug)]
pub struct Sequence {
    /// Largest seq so far.
    newest: Seq,
    /// Ranges of seqs that were passed over, oldest first.
    gaps: VecDeque<Range<Seq>>,
}

impl Sequence {
    /// Creates a sequence in which everything after the seq `newest` is still to come.
    pub fn after(newest: Seq) -> Self {
        Self { newest, gaps: VecDeque::new() }
    }

    /// Notes the next line that came, and says what it was.
    pub fn see(&mut self, seq: Seq) -> Seen {
        let first = Seen { lines: 1, ..Seen::default() };
        if seq > self.newest {
            let missing = self.newest + 1..seq;
            self.newest = seq;
            return Seen { lost_change: self.miss(missing), ..first };
        }
        match self.gaps.iter().position(|gap| gap.contains(&seq)) {
            None => Seen { duplicated: 1, ..Seen::default() },
            Some(place) => {
                let gap = self.gaps[place].clone();
                self.gaps[place] = gap.start..seq;
                self.gaps.insert(place + 1, seq + 1..gap.end);
                self.gaps.retain(|gap| !gap.is_empty());
                self.forget();
                Seen { lost_change: -1, out_of_order: 1, ..first }
            }
        }
    }

    /// Notes that the log ended after the seq `last`, or that the cursor moved there. Lines up to it that did not come
    /// are lost.
    pub fn end_at(&mut self, last: Seq) -> Seen {
        if last <= self.newest {
            return Seen::default();
        }
        let missing = self.newest + 1..last + 1;
        self.newest = last;
        Seen { lost_change: self.miss(missing), ..Seen::default() }
    }

    fn miss(&mut self, missing: Range<Seq>) -> i64 {
        let count = missing.end - missing.start;
        if count > 0 {
            self.gaps.push_back(missing);
            self.forget();
        }
        // A seq is at most 2^53.
        count.cast_signed()
    }

    fn forget(&mut self) {
        while self.gaps.len() > GAPS_MAX {
            self.gaps.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn totals(sequence: &mut Sequence, seqs: &[Seq]) -> (u64, i64, u64, u64) {
        seqs.iter().map(|&seq| sequence.see(seq)).fold((0, 0, 0, 0), |sum, seen| {
            (sum.0 + seen.lines, sum.1 + seen.lost_change, sum.2 + seen.duplicated, sum.3 + seen.out_of_order)
        })
    }

    #[test]
    fn a_line_that_is_passed_over_is_lost_until_it_comes() {
        let mut sequence = Sequence::after(4);
        assert_eq!(totals(&mut sequence, &[5, 8]), (2, 2, 0, 0));
        assert_eq!(totals(&mut sequence, &[6]), (1, -1, 0, 1));
        assert_eq!(
            totals(&mut sequence, &[6, 5, 4]),
            (0, 0, 3, 0),
            "what came, or was there before, is no gap"
        );
    }

    #[test]
    fn lines_missing_at_the_end_are_lost() {
        let mut sequence = Sequence::after(0);
        sequence.see(1);
        assert_eq!(sequence.end_at(4).lost_change, 3);
        assert_eq!(sequence.end_at(4).lost_change, 0);
    }

    #[test]
    fn no_server_makes_a_subscriber_remember_without_bound() {
        let mut sequence = Sequence::after(0);
        let holes: Vec<Seq> = (1..10_000).map(|i| 2 * i).collect();
        assert_eq!(totals(&mut sequence, &holes), (9_999, 9_999, 0, 0));
        assert_eq!(sequence.gaps.len(), GAPS_MAX);
    }

    proptest! {
        /// The counts agree with a set, whatever comes in whatever order.
        #[test]
        fn every_seq_is_seen_once_or_lost(receipts in proptest::collection::vec(1..100u64, 0..200)) {
            let mut sequence = Sequence::after(0);
            let (lines, lost, duplicated, _) = totals(&mut sequence, &receipts);
            let distinct: BTreeSet<Seq> = receipts.iter().copied().collect();
            let newest = distinct.last().copied().unwrap_or(0);
            prop_assert_eq!(lines, distinct.len() as u64);
            prop_assert_eq!(duplicated, (receipts.len() - distinct.len()) as u64);
            prop_assert_eq!(lost, (newest - distinct.len() as u64).cast_signed());
        }
    }
}
