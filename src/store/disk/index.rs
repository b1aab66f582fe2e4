//! An index of a segment: about where in the file a line is. Scanning fills it, reading uses it.
//!
//! Values only: opens no file.

use std::path::PathBuf;

use wirelab_clients::wire::Seq;

/// Lines between two entries of the index: a read skips fewer than these before the wanted line.
const INDEX_STRIDE_LINES: Seq = 64;
/// Bytes after which there is an entry in any case, so that a read skips little.
pub(super) const INDEX_STRIDE_BYTES: u64 = 16 << 10;

/// Positions of some of a segment's lines: 16 bytes of memory per entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SparseIndex {
    marks: Vec<Mark>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    seq: Seq,
    offset: u64,
}

impl SparseIndex {
    /// Notes the offset of the next line, if an entry is due.
    pub(super) fn note(&mut self, seq: Seq, offset: u64) {
        let due = self.marks.last().is_none_or(|last| {
            seq - last.seq >= INDEX_STRIDE_LINES || offset - last.offset >= INDEX_STRIDE_BYTES
        });
        if due {
            self.marks.push(Mark { seq, offset });
        }
    }

    /// Returns where to begin reading for the line `seq`, as a line and its offset. Also returns an offset at or behind
    /// which the line `beyond` begins, if an entry gives one. The segment must hold `seq`.
    pub(super) fn around(&self, seq: Seq, beyond: Seq) -> ((Seq, u64), Option<u64>) {
        let from = self.marks[self.marks.partition_point(|mark| mark.seq <= seq) - 1];
        let end = self.marks.get(self.marks.partition_point(|mark| mark.seq < beyond));
        ((from.seq, from.offset), end.map(|mark| mark.offset))
    }

    /// Forgets the line `seq` and all later ones.
    pub(super) fn cut(&mut self, seq: Seq) {
        self.marks.retain(|mark| mark.seq < seq);
    }
}

/// A range of one file that holds wanted lines.
pub(super) struct Place {
    pub(super) path: PathBuf,
    /// Seq of the line at `offset`.
    pub(super) seq: Seq,
    pub(super) offset: u64,
    /// End of the range, between two records.
    pub(super) end: u64,
}
