//! Recordings: a deployment's output with its original timing, one JSON object per line.
//!
//! ```text
//! {"offset_us":0,"text":"Compiling wirelab","stream":"stderr"}
//! {"offset_us":812345,"text":"Finished","stream":"stderr"}
//! {"offset_us":812900,"status":"succeeded"}
//! ```
//!
//! `wirelab record` writes recordings; the server's replay source and the harness read them. The last record, and only
//! the last, has a `status`. Offsets count from the command's start and never decrease. A recording is read whole, so
//! that its format is checked before anything is replayed.

mod new;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::new::{Existing, KeptRecording, NewRecording};
use crate::data_files::{self, DataFile, Kind};
use crate::wire::{LINE_BYTES_MAX, NewLine, RecordingInfo, Status, Stream};

/// Most bytes of one file: it is held in memory while it is replayed.
pub const FILE_BYTES_MAX: u64 = 256 << 20;
/// Most lines of one recording: ten appends of the largest size.
pub const LINES_MAX: usize = 1_000_000;
/// Latest offset: a deployment that ran longer than this is better cut than replayed.
pub const OFFSET_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// Bytes of the longest last record: `{"offset_us":2592000000000,"status":"succeeded"}` has 50.
const END_BYTES_MAX: u64 = 64;
/// Most characters of a recording's name.
pub const NAME_CHARS_MAX: usize = 100;

/// A deployment's lines with their timing, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// Name of the recording in `source.recording` and in plans: the file's stem.
    pub name: String,
    /// Lines in order; offsets never decrease.
    pub lines: Vec<RecordedLine>,
    /// End of the deployment, not before the last line.
    pub ended: RecordedEnd,
}

/// A line, and when it appeared after the command's start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedLine {
    /// Time after the command's start; whole microseconds in the file.
    pub offset: Duration,
    /// Line that appeared.
    pub line: NewLine,
}

/// End of a recorded command: its status, and when it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordedEnd {
    /// Time after the command's start.
    pub offset: Duration,
    /// Status that follows from the exit code: 0 succeeded, anything else failed.
    pub status: Status,
}

/// Error of a recording that was refused, or could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// A record that breaks the format.
    #[error("recording {file}, line {line}: {what}")]
    Malformed {
        /// Name of the file, as given.
        file: String,
        /// Number of the line, counted from 1.
        line: usize,
        /// Description of the mistake, and the remedy.
        what: String,
    },
    /// There is no recording with that name.
    #[error("unknown recording {name:?}; one of {}; `wirelab record` makes more", .known.join(", "))]
    Unknown {
        /// Name that was asked for.
        name: String,
        /// Names of the recordings in the folder and in the binary.
        known: Vec<String>,
    },
    /// A name that could leave the folder or confuse a shell.
    #[error(
        "recording name {0:?} is not valid: 1 to {NAME_CHARS_MAX} characters of a-z, 0-9, dot, dash and \
         underscore, beginning with a letter or digit"
    )]
    InvalidName(String),
    /// The file could not be read or written.
    #[error("recording {file}: {error}")]
    Io {
        /// Name of the file, as given.
        file: String,
        /// Error of the operating system.
        #[source]
        error: io::Error,
    },
}

/// One line of the file. It has either `text` or `status`; unknown members are ignored, as on the wire.
#[derive(Serialize, Deserialize)]
struct Record {
    offset_us: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stream: Option<Stream>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    level: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
}

impl Recording {
    /// Reads the recording in `path`; its name is the file's stem.
    pub fn read(path: &Path) -> Result<Self, RecordingError> {
        let io = |error| RecordingError::Io { file: path.display().to_string(), error };
        let file_bytes = std::fs::metadata(path).map_err(io)?.len();
        if file_bytes > FILE_BYTES_MAX {
            let what = format!("{file_bytes} bytes, more than {FILE_BYTES_MAX}; split it");
            return Err(io(io::Error::other(what)));
        }
        let bytes = std::fs::read(path).map_err(io)?;
        let name = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        Self::parse_file(&path.display().to_string(), name, &bytes)
    }

    /// Finds the recording called `name` in `folder` or in the binary. The name comes from users: it cannot leave the
    /// folder.
    pub fn find(folder: &Path, name: &str) -> Result<Self, RecordingError> {
        check_name(name)?;
        match data_files::find(Kind::Recording, folder, name) {
            Some(file) => Self::of_file(name, &file),
            None => {
                let known = files_in(folder)?.into_keys().collect();
                Err(RecordingError::Unknown { name: name.to_owned(), known })
            }
        }
    }

    fn of_file(name: &str, file: &DataFile) -> Result<Self, RecordingError> {
        match file {
            DataFile::OnDisk(path) => Self::read(path),
            DataFile::Carried(text) => Self::parse(name, text.as_bytes()),
        }
    }

    /// Parses a recording's bytes.
    ///
    /// ```
    /// use wirelab_clients::recording::Recording;
    /// let text = "{\"offset_us\":5,\"text\":\"hi\"}\n{\"offset_us\":9,\"status\":\"succeeded\"}\n";
    /// let recording = Recording::parse("greeting", text.as_bytes()).unwrap();
    /// assert_eq!(recording.lines[0].line.text, "hi");
    /// assert_eq!(recording.ended.offset.as_micros(), 9);
    /// ```
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, RecordingError> {
        Self::parse_file(name, name.to_owned(), bytes)
    }

    /// Returns the length at speed 1: from the command's start to its end.
    pub fn duration(&self) -> Duration {
        self.ended.offset
    }

    /// Returns the row that `GET /api/recordings` shows.
    pub fn info(&self) -> RecordingInfo {
        RecordingInfo {
            name: self.name.clone(),
            lines: self.lines.len() as u64,
            duration_ms: self.duration().as_millis() as u64,
        }
    }

    fn parse_file(file: &str, name: String, bytes: &[u8]) -> Result<Self, RecordingError> {
        let mut lines: Vec<RecordedLine> = Vec::new();
        let mut ended: Option<RecordedEnd> = None;
        let mut order = Order::default();
        let records = bytes.strip_suffix(b"\n").unwrap_or(bytes).split(|&byte| byte == b'\n');
        let mut last_line = 0;
        for (index, json) in records.enumerate() {
            last_line = index + 1;
            let malformed = |what: String| malformed(file, index + 1, what);
            if ended.is_some() {
                return Err(malformed("a record after the one with the status; remove it".into()));
            }
            let record: Record = serde_json::from_slice(json).map_err(|error| malformed(why(&error)))?;
            let offset = Duration::from_micros(record.offset_us);
            order.check(offset).map_err(malformed)?;
            match (record.text, record.status) {
                (Some(text), None) => {
                    let line = NewLine { text, stream: record.stream, level: record.level };
                    check_line(lines.len(), &line).map_err(malformed)?;
                    lines.push(RecordedLine { offset, line });
                }
                (None, Some(status)) => ended = Some(RecordedEnd { offset, status }),
                (None, None) | (Some(_), Some(_)) => {
                    return Err(malformed("a record has either a text or a status; give it one".into()));
                }
            }
        }
        let ended = ended.ok_or_else(|| {
            let what = "the end is missing, the recording was cut short; record it again, or add a last record \
                        such as {\"offset_us\":…,\"status\":\"cancelled\"}";
            malformed(file, last_line + 1, what.into())
        })?;
        Ok(Self { name, lines, ended })
    }
}

/// Writes a recording line by line, so that a long one never waits in memory.
///
/// Each record is one `write_all`: with an unbuffered file, the records survive if the recorder dies.
#[derive(Debug)]
pub struct RecordingWriter<W: Write> {
    file: String,
    out: W,
    order: Order,
    lines_count: usize,
    written_bytes: u64,
}

impl<W: Write> RecordingWriter<W> {
    /// Starts a recording; `file` is its name in errors.
    pub fn new(file: impl Into<String>, out: W) -> Self {
        Self { file: file.into(), out, order: Order::default(), lines_count: 0, written_bytes: 0 }
    }

    /// Adds a line that appeared `offset` after the start. Offsets never decrease.
    pub fn line(&mut self, offset: Duration, line: &NewLine) -> Result<(), RecordingError> {
        check_line(self.lines_count, line)
            .map_err(|what| malformed(&self.file, self.lines_count + 1, what))?;
        let NewLine { text, stream, level } = line.clone();
        let record = Record { offset_us: micros(offset), text: Some(text), stream, level, status: None };
        self.write(offset, &json(&record), END_BYTES_MAX)
    }

    /// Adds the end and flushes. Nothing may be added behind it.
    pub fn end(&mut self, ended: RecordedEnd) -> Result<(), RecordingError> {
        let record = self.end_record(ended);
        self.write(ended.offset, &record, 0)?;
        self.flush()
    }

    /// Flushes the output.
    pub fn flush(&mut self) -> Result<(), RecordingError> {
        self.out.flush().map_err(|error| self.io(error))
    }

    /// Returns the bytes of all records so far.
    fn written_bytes(&self) -> u64 {
        self.written_bytes
    }

    /// Returns the record of the end.
    fn end_record(&self, ended: RecordedEnd) -> Vec<u8> {
        let status = Some(ended.status);
        json(&Record { offset_us: micros(ended.offset), text: None, stream: None, level: None, status })
    }

    fn write(&mut self, offset: Duration, record: &[u8], reserved_bytes: u64) -> Result<(), RecordingError> {
        self.order.check(offset).map_err(|what| malformed(&self.file, self.lines_count + 1, what))?;
        let bytes = self.written_bytes + record.len() as u64;
        if bytes + reserved_bytes > FILE_BYTES_MAX {
            let what = format!("more than {FILE_BYTES_MAX} bytes; cut the recording here");
            return Err(malformed(&self.file, self.lines_count + 1, what));
        }
        self.out.write_all(record).map_err(|error| self.io(error))?;
        self.lines_count += 1;
        self.written_bytes = bytes;
        Ok(())
    }

    fn io(&self, error: io::Error) -> RecordingError {
        RecordingError::Io { file: self.file.clone(), error }
    }
}

impl RecordingWriter<io::BufWriter<std::fs::File>> {
    /// Drops what is buffered and could not be written.
    fn forget_buffered(&mut self) -> io::Result<()> {
        let file = self.out.get_ref().try_clone()?;
        // Dropping a buffer would try to write it once more.
        let _ = std::mem::replace(&mut self.out, io::BufWriter::new(file)).into_parts();
        Ok(())
    }
}

fn micros(offset: Duration) -> u64 {
    u64::try_from(offset.as_micros()).unwrap_or(u64::MAX)
}

fn json(record: &Record) -> Vec<u8> {
    let mut json = serde_json::to_vec(record).expect("a record has no key that JSON refuses");
    json.push(b'\n');
    json
}

/// Recordings of a folder and of the binary.
#[derive(Debug, Default)]
pub struct Listing {
    /// Recordings that can be replayed, by name.
    pub recordings: Vec<RecordingInfo>,
    /// Errors of the files that look like recordings and are not: for the operator.
    pub refused: Vec<RecordingError>,
}

/// Lists every recording in `folder` and in the binary, by name. A folder that does not exist counts as empty.
pub fn list(folder: &Path) -> Result<Listing, RecordingError> {
    let mut listing = Listing::default();
    for (name, file) in files_in(folder)? {
        match check_name(&name).and_then(|()| Recording::of_file(&name, &file)) {
            Ok(recording) => listing.recordings.push(recording.info()),
            Err(error) => listing.refused.push(error),
        }
    }
    Ok(listing)
}

/// Returns the path of the recording called `name`, whether it exists or not. Refuses names that leave the folder.
pub fn path_in(folder: &Path, name: &str) -> Result<PathBuf, RecordingError> {
    check_name(name)?;
    Ok(folder.join(format!("{name}.{}", Kind::Recording.extension())))
}

fn check_name(name: &str) -> Result<(), RecordingError> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
    let begins_well = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if begins_well && name.len() <= NAME_CHARS_MAX && name.bytes().all(plain) {
        Ok(())
    } else {
        Err(RecordingError::InvalidName(name.chars().take(NAME_CHARS_MAX).collect()))
    }
}

fn files_in(folder: &Path) -> Result<BTreeMap<String, DataFile>, RecordingError> {
    data_files::all(Kind::Recording, folder)
        .map_err(|error| RecordingError::Io { file: folder.display().to_string(), error })
}

fn malformed(file: &str, line: usize, what: String) -> RecordingError {
    RecordingError::Malformed { file: file.to_owned(), line, what }
}

/// Says why a record is not the expected JSON. serde_json counts lines within the record, so only its column helps.
fn why(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or(&text);
    format!("{what} (column {}); one JSON object per line, see data/README.md", error.column())
}

fn check_line(lines_before: usize, line: &NewLine) -> Result<(), String> {
    if line.text.len() > LINE_BYTES_MAX {
        return Err(format!("a line of {} bytes, more than {LINE_BYTES_MAX}; shorten it", line.text.len()));
    }
    if lines_before >= LINES_MAX {
        return Err(format!("more than {LINES_MAX} lines; cut the recording here"));
    }
    Ok(())
}

/// Checks that offsets never decrease.
#[derive(Debug, Default)]
struct Order {
    last: Duration,
}

impl Order {
    fn check(&mut self, offset: Duration) -> Result<(), String> {
        if offset < self.last {
            return Err(format!(
                "offset_us {} is before the previous record's {}; sort the records by time",
                offset.as_micros(),
                self.last.as_micros()
            ));
        }
        if offset > OFFSET_MAX {
            return Err(format!(
                "offset_us {} is beyond {} (30 days); cut the recording",
                offset.as_micros(),
                OFFSET_MAX.as_micros()
            ));
        }
        self.last = offset;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const END: &str = r#"{"offset_us":9,"status":"failed"}"#;

    fn refusal(text: &str) -> String {
        Recording::parse("x", text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn what_breaks_the_format_is_refused_with_its_line_and_a_remedy() {
        let line = |offset_us: u64| format!("{{\"offset_us\":{offset_us},\"text\":\"a\"}}\n");
        let long = "a".repeat(LINE_BYTES_MAX + 1);
        for (text, begins, contains) in [
            (String::new(), "recording x, line 1: ", "column"),
            (line(1), "recording x, line 2: the end is missing", "add a last record"),
            (format!("{}{}{END}", line(5), line(4)), "recording x, line 2: offset_us 4", "sort"),
            (format!("{END}\n{}", line(9)), "recording x, line 2: a record after", "remove it"),
            (format!("{END}\n\n"), "recording x, line 2: a record after", "remove it"),
            (format!("{}\n{END}", line(1)), "recording x, line 2: ", "one JSON object per line"),
            (format!("{{\"offset_us\":1}}\n{END}"), "recording x, line 1: ", "either a text or a status"),
            (
                "{\"offset_us\":1,\"text\":\"\",\"status\":\"failed\"}".into(),
                "recording x, line 1: ",
                "either a text or a status",
            ),
            (format!("{{\"text\":\"a\"}}\n{END}"), "recording x, line 1: missing field `offset_us`", ""),
            ("{\"offset_us\":-1,\"text\":\"a\"}".into(), "recording x, line 1: invalid value", "u64"),
            (
                "{\"offset_us\":1,\"status\":\"lost\"}".into(),
                "recording x, line 1: unknown variant",
                "succeeded",
            ),
            (line(OFFSET_MAX.as_micros() as u64 + 1), "recording x, line 1: offset_us", "30 days"),
            (
                format!("{{\"offset_us\":1,\"text\":\"{long}\"}}\n{END}"),
                "recording x, line 1: a line of 1048577 bytes",
                "shorten it",
            ),
            ("{\"offset_us\":1,\"text\":\"\u{1}\"}".into(), "recording x, line 1: control", ""),
        ] {
            let said = refusal(&text);
            assert!(said.starts_with(begins) && said.contains(contains), "{text:.60}: {said}");
        }
        assert!(refusal_of_bytes(b"{\"offset_us\":1,\"text\":\"\xff\"}").contains("line 1"));
    }

    fn refusal_of_bytes(bytes: &[u8]) -> String {
        Recording::parse("x", bytes).unwrap_err().to_string()
    }

    #[test]
    fn unknown_members_are_ignored_and_a_recording_may_be_silent() {
        let text = "{\"offset_us\":9,\"status\":\"succeeded\",\"host\":1}";
        let recording = Recording::parse("x", text.as_bytes()).unwrap();
        assert_eq!(recording.lines, []);
        assert_eq!(recording.ended.status, Status::Succeeded);
    }

    #[test]
    fn a_recording_is_found_by_name_and_never_outside_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("build.ndjson"), format!("{END}\n")).unwrap();
        std::fs::write(folder.path().join("broken.ndjson"), "nonsense").unwrap();
        std::fs::write(folder.path().join("notes.txt"), "not a recording").unwrap();
        assert_eq!(Recording::find(folder.path(), "build").unwrap().name, "build");
        let said = Recording::find(folder.path(), "web").unwrap_err().to_string();
        assert!(said.starts_with("unknown recording \"web\"; one of broken, build, cargo-build, "), "{said}");
        assert_eq!(Recording::find(folder.path(), "cargo-build").unwrap().name, "cargo-build");
        for name in ["", ".", "..", "../build", "a/b", "Build", ".hidden", "-x", "a b", "\u{e9}"] {
            let refused = Recording::find(folder.path(), name).unwrap_err();
            assert!(matches!(refused, RecordingError::InvalidName(_)), "{name:?}: {refused}");
        }
        let listing = list(folder.path()).unwrap();
        assert_eq!(listing.recordings[0], RecordingInfo { name: "build".into(), lines: 0, duration_ms: 0 });
        assert_eq!(listing.refused.len(), 1);
        assert!(listing.refused[0].to_string().contains("broken.ndjson, line 1"));
        let carried = list(&folder.path().join("absent")).unwrap().recordings;
        assert_eq!(carried, listing.recordings[1..], "of the binary");
    }

    #[test]
    fn a_writer_refuses_to_go_back_in_time() {
        let mut writer = RecordingWriter::new("x", Vec::new());
        writer.line(Duration::from_micros(5), &NewLine::plain("a")).unwrap();
        let refused = writer.line(Duration::from_micros(4), &NewLine::plain("b")).unwrap_err();
        assert!(refused.to_string().starts_with("recording x, line 2: offset_us 4 is before"), "{refused}");
        let ended = RecordedEnd { offset: Duration::from_micros(5), status: Status::Cancelled };
        writer.end(ended).unwrap();
        assert_eq!(Recording::parse("x", &writer.out).unwrap().lines.len(), 1);
    }

    fn recordings() -> impl Strategy<Value = Recording> {
        let stream = prop_oneof![Just(None), Just(Some(Stream::Stdout)), Just(Some(Stream::Stderr))];
        let line = (0..1_000_000u64, any::<String>(), stream, proptest::option::of("[a-z]{1,9}"));
        (proptest::collection::vec(line, 0..20), 0..1_000_000u64).prop_map(|(lines, tail)| {
            let mut offset = Duration::ZERO;
            let mut recorded = Vec::new();
            for (gap_us, text, stream, level) in lines {
                offset += Duration::from_micros(gap_us);
                recorded.push(RecordedLine { offset, line: NewLine { text, stream, level } });
            }
            let ended = RecordedEnd { offset: offset + Duration::from_micros(tail), status: Status::Failed };
            Recording { name: "any".into(), lines: recorded, ended }
        })
    }

    proptest! {
        #[test]
        fn what_a_writer_wrote_is_what_a_reader_reads(recording in recordings()) {
            let mut writer = RecordingWriter::new("any", Vec::new());
            for line in &recording.lines {
                writer.line(line.offset, &line.line).unwrap();
            }
            writer.end(recording.ended).unwrap();
            prop_assert_eq!(Recording::parse("any", &writer.out).unwrap(), recording);
        }
    }
}
