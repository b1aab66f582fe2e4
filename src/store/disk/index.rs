//! Where in a segment a line stands, about: what scanning notes and reading goes by.
//!
//! Values only: opens no file.

use std::path::PathBuf;

use wirelab_clients::wire::Seq;

/// Lines between two entries of the index: at most so many are skipped before the wanted one.
const INDEX_STRIDE_LINES: Seq = 64;
/// Bytes after which there is an entry all the same, so that little is read in vain.
pub(super) const INDEX_STRIDE_BYTES: u64 = 16 << 10;

/// Where some of a segment's lines stand: 16 bytes of memory per 64 lines.
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
    /// Learns where the next line stands.
    pub(super) fn note(&mut self, seq: Seq, offset: u64) {
        let due = self.marks.last().is_none_or(|last| {
            seq - last.seq >= INDEX_STRIDE_LINES || offset - last.offset >= INDEX_STRIDE_BYTES
        });
        if due {
            self.marks.push(Mark { seq, offset });
        }
    }

    /// Returns where to begin reading for the line `seq`, as a line and its offset, and where at the latest the line
    /// `beyond` begins, if a mark says so. The segment must hold `seq`.
    pub(super) fn around(&self, seq: Seq, beyond: Seq) -> ((Seq, u64), Option<u64>) {
        let from = self.marks[self.marks.partition_point(|mark| mark.seq <= seq) - 1];
        let end = self.marks.get(self.marks.partition_point(|mark| mark.seq < beyond));
        ((from.seq, from.offset), end.map(|mark| mark.offset))
    }

    /// Forgets `seq` and what follows.
    pub(super) fn cut(&mut self, seq: Seq) {
        self.marks.retain(|mark| mark.seq < seq);
    }
}

/// A stretch of one file that holds wanted lines.
pub(super) struct Place {
    pub(super) path: PathBuf,
    /// The line at `offset`.
    pub(super) seq: Seq,
    pub(super) offset: u64,
    /// Where the stretch ends, between two records.
    pub(super) end: u64,
}
