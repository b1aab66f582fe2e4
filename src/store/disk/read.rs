//! Reads lines from segment files, for subscribers that are behind the tail in memory.
//!
//! A read starts at the index entry before the first wanted line and checks every record on the way. A line that has
//! decayed on disk is an error, never an answer. One file is open at a time and only while it is read. So a read costs
//! one descriptor, and there are at most as many reads as blocking threads (512 in tokio's default).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use wirelab_clients::wire::Seq;

use super::files::at;
use super::index::{INDEX_STRIDE_BYTES, Place};
use super::records::{self, Flaw, Record};

use crate::store::{EncodedLine, ReadLimit, StoreError};

/// Bytes per read call. Lines share the buffer of their read and keep it alive, so a read without a limit is done in
/// pieces.
const PIECE_BYTES_MAX: usize = 1 << 20;

/// A read of lines from disk.
pub(super) struct DiskRead {
    next: Seq,
    limit: ReadLimit,
    bytes: usize,
    full: bool,
    lines: Vec<Arc<EncodedLine>>,
}

impl DiskRead {
    pub(super) fn new(after: Seq, limit: ReadLimit) -> Self {
        Self { next: after + 1, limit, bytes: 0, full: false, lines: Vec::new() }
    }

    /// Reads until the limit or the last line. `place` returns where a line and about so many more are; `None` if there
    /// is no such line.
    pub(super) fn run(
        mut self,
        place: impl Fn(Seq, usize) -> Option<Place>,
    ) -> Result<Vec<Arc<EncodedLine>>, StoreError> {
        while !self.full
            && let Some(place) = place(self.next, self.limit.lines - self.lines.len())
        {
            let (due, path, end) = (self.next, place.path.clone(), place.end);
            self.read(place)?;
            if self.next == due && !self.full {
                let what = format!("no line with seq {due}, although it was acknowledged,");
                return Err(StoreError::Corrupt { path, offset: end, what });
            }
        }
        Ok(self.lines)
    }

    /// Reads one range in pieces until its end or the limit.
    fn read(&mut self, mut place: Place) -> Result<(), StoreError> {
        let file = File::open(&place.path).map_err(at(&place.path))?;
        let mut piece_bytes = 0;
        while !self.full && place.offset < place.end {
            let wanted = self.limit.bytes.saturating_sub(self.bytes).min(PIECE_BYTES_MAX);
            piece_bytes = piece_bytes.max(wanted + INDEX_STRIDE_BYTES as usize);
            let piece_end = place.end.min(place.offset + piece_bytes as u64);
            let piece = read_piece(&file, &place, piece_end)?;
            let used = self.take(piece, &mut place)?;
            // A piece without a whole record holds the start of a line that is larger than the piece.
            piece_bytes = if used == 0 { 2 * piece_bytes } else { 0 };
        }
        Ok(())
    }

    /// Takes the wanted lines from the piece that begins at `place`, and moves `place` behind them. Returns the number
    /// of bytes in whole records.
    fn take(&mut self, mut piece: Vec<u8>, place: &mut Place) -> Result<usize, StoreError> {
        let is_last = place.offset + piece.len() as u64 == place.end;
        let mut wanted = Vec::new();
        let mut used = 0;
        while used < piece.len() && !self.full {
            let corrupt = |what| {
                let offset = place.offset + used as u64;
                StoreError::Corrupt { path: place.path.clone(), offset, what }
            };
            let (record, end) = match records::record_at(&piece, used) {
                Ok(found) => found,
                Err(Flaw::Unended) if !is_last => break,
                Err(flaw) => return Err(corrupt(flaw.what().to_owned())),
            };
            if let Record::Line(seq) = record {
                if seq != place.seq {
                    return Err(corrupt(format!("seq {seq} where {} is due", place.seq)));
                }
                place.seq += 1;
                if seq == self.next {
                    let json = used..records::strip_checksum(&mut piece, end);
                    let count = self.lines.len() + wanted.len();
                    if count > 0 && self.bytes + json.len() > self.limit.bytes {
                        self.full = true;
                        break;
                    }
                    self.next += 1;
                    self.bytes += json.len();
                    self.full = count + 1 == self.limit.lines;
                    wanted.push((seq, json));
                }
            }
            used = end;
        }
        place.offset += used as u64;
        let piece = Bytes::from(piece);
        let lines = wanted.into_iter().map(|(seq, json)| EncodedLine { seq, json: piece.slice(json) });
        self.lines.extend(lines.map(Arc::new));
        Ok(used)
    }
}

fn read_piece(file: &File, place: &Place, end: u64) -> Result<Vec<u8>, StoreError> {
    let mut piece = vec![0; (end - place.offset) as usize];
    match file.read_exact_at(&mut piece, place.offset) {
        Ok(()) => Ok(piece),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(StoreError::Corrupt {
            path: place.path.clone(),
            offset: file.metadata().map_or(place.offset, |metadata| metadata.len()),
            what: "the end of the file, before acknowledged lines".to_owned(),
        }),
        Err(error) => Err(at(&place.path)(error)),
    }
}
