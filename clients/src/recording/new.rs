//! A recording that is being written: under a name of its own until it is complete.
//!
//! `wirelab record` makes one. Two recorders of one name never write to one file, and none replaces the recording of the
//! other. A recording that cannot go on, for want of room, is cut behind its last whole line and kept.

use std::collections::VecDeque;
use std::fs::{File, Permissions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::{Builder, NamedTempFile};

use super::{RecordedEnd, RecordingError, RecordingWriter, path_in};
use crate::wire::{NewLine, Status};

/// Ends of records that are remembered, to cut behind one of them: more than the 8 KiB of a buffer can hold.
const ENDS_MAX: usize = 1_024;
/// Names that are tried if the one that was asked for was taken meanwhile: `web-2`, `web-3`, …
const NAMES_MAX: u32 = 99;

/// Whether a recording of the same name is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It is kept, and the new one gets another name.
    Kept,
    /// It is replaced.
    Replaced,
}

/// A recording that is being written.
#[derive(Debug)]
pub struct NewRecording {
    folder: PathBuf,
    name: String,
    existing: Existing,
    unfinished: NamedTempFile,
    writer: RecordingWriter<BufWriter<File>>,
    /// Where the last records end in the file.
    ends: VecDeque<u64>,
    lines_count: u64,
}

/// A recording that was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptRecording {
    /// Its file.
    pub path: PathBuf,
    /// Lines in it.
    pub lines_count: u64,
}

impl NewRecording {
    /// Begins a recording. Its file is called `NAME.unfinished`, or `NAME.RANDOM.unfinished` if that one is taken.
    pub fn create(folder: &Path, name: &str, existing: Existing) -> Result<Self, RecordingError> {
        let path = path_in(folder, name)?;
        let io = |error| RecordingError::Io { file: path.display().to_string(), error };
        let unfinished = unfinished(folder, name).map_err(io)?;
        let file = unfinished.as_file().try_clone().map_err(io)?;
        let writer = RecordingWriter::new(path.display().to_string(), BufWriter::new(file));
        let (folder, name) = (folder.to_owned(), name.to_owned());
        Ok(Self { folder, name, existing, unfinished, writer, ends: VecDeque::new(), lines_count: 0 })
    }

    /// Adds a line that appeared `offset` after the start. Offsets never decrease.
    pub fn line(&mut self, offset: Duration, line: &NewLine) -> Result<(), RecordingError> {
        self.writer.line(offset, line)?;
        if self.ends.len() == ENDS_MAX {
            self.ends.pop_front();
        }
        self.ends.push_back(self.writer.written_bytes());
        self.lines_count += 1;
        Ok(())
    }

    /// Hands over to the system what was added so far, so that it survives this process.
    pub fn flush(&mut self) -> Result<(), RecordingError> {
        self.writer.flush()
    }

    /// Ends the recording and gives it its name. If there is no room for the end, the recording is cut like by
    /// [`Self::cut`], and the error is returned beside it.
    pub fn end(
        mut self,
        ended: RecordedEnd,
    ) -> (Result<KeptRecording, RecordingError>, Option<RecordingError>) {
        let written = self.writer.end(ended).and_then(|()| self.sync());
        match written {
            Ok(()) => (self.keep(), None),
            Err(error) => (self.cut(ended.offset), Some(error)),
        }
    }

    /// Ends a recording that cannot go on, after `offset`, as cancelled. Lines at its end make room for the end where the
    /// disk is full.
    pub fn cut(mut self, offset: Duration) -> Result<KeptRecording, RecordingError> {
        let ended = RecordedEnd { offset, status: Status::Cancelled };
        let cut = self.overwrite_end(ended).map_err(|error| self.io(error));
        cut.and_then(|()| self.keep())
    }

    fn sync(&self) -> Result<(), RecordingError> {
        self.unfinished.as_file().sync_all().map_err(|error| self.io(error))
    }

    /// Writes the end over records that are in the file already: that takes no more room.
    fn overwrite_end(&mut self, ended: RecordedEnd) -> io::Result<()> {
        // What does not fit stays in the buffer, and is dropped with it.
        let _ = self.writer.flush();
        self.writer.forget_buffered()?;
        let end = self.writer.end_record(ended);
        let file = self.unfinished.as_file_mut();
        let room = file.metadata()?.len().checked_sub(end.len() as u64);
        let cut_at = loop {
            match (self.ends.back(), room) {
                (Some(at), Some(room)) if *at <= room => break *at,
                (Some(_), _) => {
                    self.ends.pop_back();
                    self.lines_count -= 1;
                }
                (None, _) => {
                    self.lines_count = 0;
                    break 0;
                }
            }
        };
        file.seek(SeekFrom::Start(cut_at))?;
        file.write_all(&end)?;
        file.set_len(cut_at + end.len() as u64)?;
        file.sync_all()
    }

    /// Gives the file its name.
    fn keep(self) -> Result<KeptRecording, RecordingError> {
        let Self { folder, name, existing, mut unfinished, lines_count, .. } = self;
        let mut path = path_in(&folder, &name)?;
        let mut number = 1;
        loop {
            let persisted = match existing {
                Existing::Kept => unfinished.persist_noclobber(&path),
                Existing::Replaced => unfinished.persist(&path),
            };
            let refused = match persisted {
                Ok(_) => return Ok(KeptRecording { path, lines_count }),
                Err(refused) => refused,
            };
            number += 1;
            let another = path_in(&folder, &format!("{name}-{number}")).ok();
            unfinished = refused.file;
            path = match another {
                Some(another)
                    if refused.error.kind() == io::ErrorKind::AlreadyExists && number <= NAMES_MAX =>
                {
                    another
                }
                // The lines stay where they are.
                _ => {
                    let kept = unfinished.keep().map_or_else(|_| path.clone(), |(_, path)| path);
                    let file = format!("{} (its lines are in {})", path.display(), kept.display());
                    return Err(RecordingError::Io { file, error: refused.error });
                }
            };
        }
    }

    fn io(&self, error: io::Error) -> RecordingError {
        RecordingError::Io { file: self.unfinished.path().display().to_string(), error }
    }
}

/// Creates the file, exclusively. Removed when it is dropped before it has its name.
fn unfinished(folder: &Path, name: &str) -> io::Result<NamedTempFile> {
    let create = |infix: &str, random_bytes| {
        Builder::new()
            .prefix(&format!("{name}{infix}"))
            .suffix(".unfinished")
            .rand_bytes(random_bytes)
            // Less what the process masks: recordings are no secrets.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)
    };
    match create("", 0) {
        // Another recorder is at work, or one was killed and left it.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => create(".", 6),
        created => created,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Recording;
    use super::*;

    fn offset(us: u64) -> Duration {
        Duration::from_micros(us)
    }

    fn end(us: u64) -> RecordedEnd {
        RecordedEnd { offset: offset(us), status: Status::Succeeded }
    }

    fn texts(kept: &KeptRecording) -> Vec<String> {
        let recording = Recording::read(&kept.path).unwrap();
        assert_eq!(recording.lines.len() as u64, kept.lines_count);
        recording.lines.into_iter().map(|line| line.line.text).collect()
    }

    fn files(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn two_recordings_of_one_name_are_both_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut begun: Vec<_> =
            (0..3).map(|_| NewRecording::create(folder.path(), "web", Existing::Kept).unwrap()).collect();
        for (index, recording) in begun.iter_mut().enumerate() {
            recording.line(offset(1), &NewLine::plain(format!("of {index}"))).unwrap();
        }
        let kept: Vec<_> = begun.into_iter().map(|recording| recording.end(end(2)).0.unwrap()).collect();
        assert_eq!(files(folder.path()), ["web-2.ndjson", "web-3.ndjson", "web.ndjson"]);
        for (index, kept) in kept.iter().enumerate() {
            assert_eq!(texts(kept), [format!("of {index}")]);
        }
        let mut forced = NewRecording::create(folder.path(), "web", Existing::Replaced).unwrap();
        forced.line(offset(1), &NewLine::plain("newer")).unwrap();
        let kept = forced.end(end(1)).0.unwrap();
        assert_eq!((kept.path, files(folder.path()).len()), (folder.path().join("web.ndjson"), 3));
    }

    #[test]
    fn a_recording_that_was_given_up_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        drop(NewRecording::create(folder.path(), "web", Existing::Kept).unwrap());
        assert_eq!(files(folder.path()), [""; 0]);
    }

    #[test]
    fn a_recording_that_is_cut_has_whole_lines_and_an_end_and_is_no_longer_than_before() {
        for (lines, flushed) in [(0, 0), (1, 1), (5, 3), (2_000, 1_999)] {
            let folder = tempfile::tempdir().unwrap();
            let mut recording = NewRecording::create(folder.path(), "web", Existing::Kept).unwrap();
            for index in 0..lines {
                recording.line(offset(index), &NewLine::plain(index.to_string())).unwrap();
                if index + 1 == flushed {
                    recording.flush().unwrap();
                }
            }
            let written = recording.writer.written_bytes();
            let kept = recording.cut(offset(lines)).unwrap();
            let read = texts(&kept);
            let expected: Vec<_> = (0..kept.lines_count).map(|index| index.to_string()).collect();
            assert_eq!(read, expected);
            assert!(kept.lines_count + 3 >= lines, "{} of {lines}", kept.lines_count);
            let length = std::fs::metadata(&kept.path).unwrap().len();
            assert!(lines < 3 || length <= written, "{length} > {written}");
            assert_eq!(Recording::read(&kept.path).unwrap().ended.status, Status::Cancelled);
        }
    }
}
