//! The segment files of one log: finding and checking them, and where in them a line is.
//!
//! A segment is named after its first seq. This module writes only to cut a torn end and to remove files that retention
//! has given up: `log` appends, `read` reads lines.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use wirelab_clients::wire::{Seq, Status};

use super::carried_keys;
use super::files::{self, at, sync_folder, unusable};
use super::index::{Place, SparseIndex};
use super::mark::Mark;
use super::readers::Readers;
use super::records::{self, Scan};
use crate::store::{IdempotencyKeys, StoreError};
use crate::terminal::complain;

/// One segment file.
#[derive(Debug)]
struct Segment {
    first: Seq,
    /// Length of the durable part, in bytes.
    bytes: u64,
    index: SparseIndex,
}

/// The segments of one log, oldest first; at least one.
#[derive(Debug)]
pub(super) struct Segments {
    folder: PathBuf,
    list: VecDeque<Segment>,
    /// Seq after the last durable line.
    next: Seq,
}

/// What was read from a log's segments.
pub(super) struct Loaded {
    pub(super) segments: Segments,
    pub(super) keys: IdempotencyKeys,
    pub(super) finished: Option<(Status, u64)>,
    /// Whether the newest file still holds a torn end, because it could not be cut. The next write must cut it first.
    pub(super) torn: bool,
}

impl Segments {
    /// Makes the segments of a new log, whose first, empty file exists.
    pub(super) fn new(folder: PathBuf) -> Self {
        let first = Segment { first: 1, bytes: 0, index: SparseIndex::default() };
        Self { folder, list: VecDeque::from([first]), next: 1 }
    }

    /// Reads and checks all segments in `folder`, some of them side by side if there are `readers` for it. A torn end is
    /// cut off. Any other damage is refused, and nothing is changed.
    pub(super) fn load(folder: PathBuf, readers: &Readers) -> Result<Loaded, StoreError> {
        let firsts = segment_firsts(&folder)?;
        let mark = Mark::read(&folder)?;
        let (&oldest, &newest) = firsts.first().zip(firsts.last()).ok_or_else(|| {
            unusable(&segment_path(&folder, mark.map_or(1, |mark| mark.segment)), "is missing")
        })?;
        if let Some(mark) = mark.filter(|mark| mark.segment > newest) {
            return Err(unusable(&segment_path(&folder, mark.segment), "is missing"));
        }
        let mut keys = IdempotencyKeys::default();
        carried_keys::read(&folder, &mut keys)?;
        let segments = Self { folder, list: VecDeque::new(), next: oldest };
        let mut loaded = Loaded { segments, keys, finished: None, torn: false };
        // What a scan found, its keys above all, takes memory until it is taken: so not all at once.
        for firsts in firsts.chunks(readers.at_once()) {
            let folder = &loaded.segments.folder;
            let scanned = readers.each(firsts, |&first| Scanned::read(&segment_path(folder, first), first));
            for (&first, scanned) in firsts.iter().zip(scanned) {
                let acknowledged = mark.filter(|mark| mark.segment == first).map_or(0, |mark| mark.bytes);
                loaded.take(first, first == newest, acknowledged, scanned)?;
            }
        }
        Ok(loaded)
    }

    pub(super) fn first(&self) -> Seq {
        self.oldest().first
    }

    pub(super) fn last(&self) -> Seq {
        self.next - 1
    }

    fn oldest(&self) -> &Segment {
        self.list.front().expect("there is always a segment")
    }

    fn newest(&self) -> &Segment {
        self.list.back().expect("there is always a segment")
    }

    /// Returns the file that takes the next append, and its durable length.
    pub(super) fn end(&self) -> (PathBuf, u64) {
        let newest = self.newest();
        (segment_path(&self.folder, newest.first), newest.bytes)
    }

    /// Returns the end as a start will look for it.
    pub(super) fn mark(&self) -> Mark {
        let newest = self.newest();
        Mark { segment: newest.first, bytes: newest.bytes }
    }

    /// Returns the path of the file that a rotation makes.
    pub(super) fn next_path(&self) -> PathBuf {
        segment_path(&self.folder, self.next)
    }

    /// Adds the segment at [`Self::next_path`], which takes the appends from now on.
    pub(super) fn rotate(&mut self) {
        self.list.push_back(Segment { first: self.next, bytes: 0, index: SparseIndex::default() });
    }

    /// Notes `bytes` that became durable; `offsets` holds the offset of each new line in them.
    pub(super) fn extend(&mut self, bytes: u64, offsets: impl Iterator<Item = u64>) {
        let newest = self.list.back_mut().expect("there is always a segment");
        for offset in offsets {
            newest.index.note(self.next, newest.bytes + offset);
            self.next += 1;
        }
        newest.bytes += bytes;
    }

    /// Returns the oldest file and its seqs, if they are all up to `seq`. The newest file always stays.
    pub(super) fn oldest_up_to(&self, seq: Seq) -> Option<(PathBuf, RangeInclusive<Seq>)> {
        let (first, second) = (self.oldest().first, self.list.get(1)?.first);
        (second - 1 <= seq).then(|| (segment_path(&self.folder, first), first..=second - 1))
    }

    pub(super) fn forget_oldest(&mut self) {
        self.list.pop_front();
    }

    /// Returns where to read the line `seq` and, as far as they are in the same file, about `lines` lines from it on;
    /// `None` if there is no such line yet. `seq` must not be before the first segment.
    pub(super) fn place(&self, seq: Seq, lines: usize) -> Option<Place> {
        if seq >= self.next {
            return None;
        }
        let segment = &self.list[self.list.partition_point(|segment| segment.first <= seq) - 1];
        let ((line, offset), end) = segment.index.around(seq, seq.saturating_add(lines as u64));
        Some(Place {
            path: segment_path(&self.folder, segment.first),
            seq: line,
            offset,
            end: end.unwrap_or(segment.bytes),
        })
    }
}

/// A segment file that was read and scanned, and is not yet taken for a part of its log.
struct Scanned {
    file_bytes: u64,
    scan: Scan,
}

impl Scanned {
    fn read(path: &Path, first: Seq) -> Result<Self, StoreError> {
        let bytes = files::read(path)?;
        Ok(Self { file_bytes: bytes.len() as u64, scan: records::scan(&bytes, first) })
    }
}

impl Loaded {
    /// Takes the segment that begins with `first`, of which so many bytes are known to be acknowledged.
    fn take(
        &mut self,
        first: Seq,
        is_newest: bool,
        acknowledged: u64,
        scanned: Result<Scanned, StoreError>,
    ) -> Result<(), StoreError> {
        let segments = &mut self.segments;
        let path = segment_path(&segments.folder, first);
        let corrupt = |path, offset, what| Err(StoreError::Corrupt { path, offset, what });
        if first > segments.next {
            let lacking =
                format!("is missing or was cut: there is no line {} to {}", segments.next, first - 1);
            return Err(unusable(&segments.next_path(), lacking));
        }
        if first < segments.next {
            return corrupt(path, 0, format!("a segment where seq {} is due", segments.next));
        }
        if self.finished.is_some() {
            return corrupt(path, 0, "a segment after the end of the log".to_owned());
        }
        let Scanned { file_bytes, scan } = scanned?;
        if let Some(damage) = scan.damage {
            if damage.followed || !is_newest || scan.whole_bytes < acknowledged {
                return corrupt(path, damage.offset, damage.what);
            }
            let cut = cut(&path, scan.whole_bytes);
            self.torn = cut.is_err();
            complain(format!(
                "{}: {} {} bytes of an append that was never acknowledged, from byte {} on ({})",
                path.display(),
                cut.map_or_else(|error| format!("cannot cut yet ({error})"), |()| "cut".to_owned()),
                file_bytes - scan.whole_bytes,
                scan.whole_bytes,
                damage.what,
            ));
        } else if scan.whole_bytes < acknowledged {
            let what = "the end of the file, before lines that were acknowledged,".to_owned();
            return corrupt(path, scan.whole_bytes, what);
        }
        segments.list.push_back(Segment { first, bytes: scan.whole_bytes, index: scan.index });
        segments.next = scan.next;
        for (key, first, last) in scan.keys {
            self.keys.insert(key, first, last);
        }
        self.finished = scan.finished;
        Ok(())
    }
}

/// Shortens a file for good. Without it, the torn bytes would be between whole records after the next append, which is
/// what real damage looks like.
fn cut(path: &Path, bytes: u64) -> io::Result<()> {
    let file = files::open_to_write(path)?;
    file.set_len(bytes).and_then(|()| file.sync_all())
}

/// Removes a segment durably before the next one is removed, so that a crash never leaves a hole between two segments.
pub(super) fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(path)(error)),
        Ok(()) | Err(_) => sync_folder(path.parent().expect("a segment is in a folder")),
    }
}

pub(super) fn segment_path(folder: &Path, first: Seq) -> PathBuf {
    folder.join(format!("{first:020}.ndjson"))
}

/// Returns the first seqs of the segments in `folder`, ascending. Other files are ignored.
fn segment_firsts(folder: &Path) -> Result<Vec<Seq>, StoreError> {
    let mut firsts = Vec::new();
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let name = entry.map_err(at(folder))?.file_name();
        let stem = name.to_str().and_then(|name| name.strip_suffix(".ndjson"));
        let digits = stem.filter(|stem| stem.len() == 20 && stem.bytes().all(|byte| byte.is_ascii_digit()));
        let first = digits.and_then(|digits| digits.parse::<Seq>().ok()).filter(|first| *first > 0);
        firsts.extend(first);
    }
    firsts.sort_unstable();
    Ok(firsts)
}
