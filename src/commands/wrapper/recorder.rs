//! Records what waits in a [`Backlog`], in a thread of its own: a slow or full disk must not hold up the command.
//!
//! When the recording cannot go on, that is said at once, and the recording is cut and kept. The command is not told.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout;
use wirelab_clients::recording::{KeptRecording, NewRecording, RecordedEnd, RecordingError};
use wirelab_clients::wire::Status;

use super::backlog::{Backlog, Next};
use super::lines::{Lines, OutputLine, Repairs};
use super::signals::Signals;
use super::{HOLD_UP_MAX, Kept, unless_twice_interrupted};
use crate::terminal::complain;

/// How long the disk may take after the end of the command.
const AFTER_COMMAND_MAX: Duration = Duration::from_secs(30);

/// Texts to replace in every line, in order.
pub(crate) type Replacements = Vec<(String, String)>;

/// What became of the recording.
#[derive(Debug)]
pub(crate) struct Recorded {
    /// Its file.
    pub(crate) path: PathBuf,
    /// When and as what it ended.
    pub(crate) end: RecordedEnd,
    /// Lines in it.
    pub(crate) lines: u64,
    /// Whether all lines are in it.
    pub(crate) kept: Kept,
    /// Repairs of the lines.
    pub(crate) repairs: Repairs,
}

/// A thread that records.
pub(crate) struct Recorder {
    command_end: mpsc::Sender<(Instant, Status)>,
    recorded: oneshot::Receiver<Option<Recorded>>,
}

impl Recorder {
    /// Starts to record what comes into `backlog`. Offsets count from `start`.
    pub(crate) fn start(
        recording: NewRecording,
        start: Instant,
        replace: Replacements,
        backlog: Arc<Backlog>,
    ) -> std::io::Result<Self> {
        let (command_end, ended) = mpsc::channel();
        let (tell, recorded) = oneshot::channel();
        let recording = Recording { recording, start, replace, latest: Duration::ZERO, lines: Lines::new() };
        thread::Builder::new().name("recorder".to_owned()).spawn(move || {
            // After a second signal, or when the disk took too long, the other end is gone.
            let _ = tell.send(recording.run(&backlog, &ended));
        })?;
        Ok(Self { command_end, recorded })
    }

    /// Removes the recording of a command that could not be started.
    pub(crate) async fn abandon(self, backlog: &Backlog) {
        drop(self.command_end);
        backlog.close();
        // The file is removed by then.
        let _ = timeout(AFTER_COMMAND_MAX, self.recorded).await;
    }

    /// Says how the command ended, and waits for the recording. `None`: there is none, and that was said.
    pub(crate) async fn end(self, at: Instant, status: Status, signals: &mut Signals) -> Option<Recorded> {
        // The thread may have ended early; then it has told why.
        let _ = self.command_end.send((at, status));
        let recorded = timeout(AFTER_COMMAND_MAX, self.recorded);
        match unless_twice_interrupted(recorded, signals, || {}).await {
            Some(Ok(recorded)) => recorded.ok().flatten(),
            Some(Err(_)) => {
                let limit = AFTER_COMMAND_MAX.as_secs();
                complain(format!(
                    "wirelab: the disk took longer than {limit} s; the recording is not complete"
                ));
                None
            }
            None => {
                complain("wirelab: interrupted; the recording is not complete");
                None
            }
        }
    }
}

/// The thread.
struct Recording {
    recording: NewRecording,
    start: Instant,
    replace: Replacements,
    /// Offset of the last line.
    latest: Duration,
    lines: Lines,
}

impl Recording {
    fn run(mut self, backlog: &Backlog, ended: &mpsc::Receiver<(Instant, Status)>) -> Option<Recorded> {
        if let Err(why) = self.write_all(backlog) {
            complain(format!("wirelab: {why}; from here on nothing is recorded"));
            backlog.give_up();
            return self.cut();
        }
        // A recorder that was dropped wants nothing to be kept.
        let (at, status) = ended.recv().ok()?;
        let offset = at.saturating_duration_since(self.start).max(self.latest);
        let end = RecordedEnd { offset, status };
        let repairs = self.lines.into_repairs();
        let (kept, trouble) = self.recording.end(end);
        match trouble {
            None => told(kept, end, Kept::Whole, repairs),
            Some(why) => {
                complain(format!("wirelab: {why}"));
                let end = RecordedEnd { status: Status::Cancelled, ..end };
                told(kept, end, Kept::InPart, repairs)
            }
        }
    }

    fn write_all(&mut self, backlog: &Backlog) -> Result<(), String> {
        let why = |error: RecordingError| error.to_string();
        loop {
            let next = match backlog.take() {
                Next::Nothing => {
                    self.recording.flush().map_err(why)?;
                    backlog.next_blocking()
                }
                next @ (Next::Piece(_) | Next::Ended | Next::GivenUp) => next,
            };
            match next {
                Next::Piece(piece) => self.lines.feed(piece),
                Next::Nothing => {}
                Next::Ended => break,
                Next::GivenUp => {
                    return Err(format!(
                        "the disk is too slow: it has held up the output for {HOLD_UP_MAX:?}"
                    ));
                }
            }
            while let Some(read) = self.lines.next() {
                self.write(read).map_err(why)?;
            }
        }
        while let Some(read) = self.lines.last() {
            self.write(read).map_err(why)?;
        }
        Ok(())
    }

    fn write(&mut self, read: OutputLine) -> Result<(), RecordingError> {
        let OutputLine { at, mut line, .. } = read;
        for (from, to) in &self.replace {
            line.text = line.text.replace(from, to);
        }
        let offset = at.saturating_duration_since(self.start);
        self.recording.line(offset, &line)?;
        self.latest = offset;
        Ok(())
    }

    fn cut(self) -> Option<Recorded> {
        let end = RecordedEnd { offset: self.start.elapsed(), status: Status::Cancelled };
        told(self.recording.cut(end.offset), end, Kept::InPart, self.lines.into_repairs())
    }
}

fn told(
    kept: Result<KeptRecording, RecordingError>,
    end: RecordedEnd,
    whole: Kept,
    repairs: Repairs,
) -> Option<Recorded> {
    match kept {
        Ok(KeptRecording { path, lines_count }) => {
            Some(Recorded { path, end, lines: lines_count, kept: whole, repairs })
        }
        Err(error) => {
            complain(format!("wirelab: {error}; there is no recording"));
            None
        }
    }
}
