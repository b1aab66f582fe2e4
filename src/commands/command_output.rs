//! The output of a command, line by line, while it is still shown.
//!
//! `record` and `publish` both watch a command: they read its two outputs through pipes and note when each line was
//! complete. A full queue makes the command wait, as a slow terminal would.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use wirelab_clients::wire::{LINE_BYTES_MAX, NewLine, Stream};

use crate::commands::{Interrupt, remark};

/// Lines that are read but not yet taken: enough for a burst, and a bound on memory.
const QUEUE_LINES_MAX: usize = 1_024;

/// One line of output.
#[derive(Debug)]
pub struct OutputLine {
    /// When the line end was read.
    pub at: Instant,
    /// The line. Invalid bytes are already replaced by U+FFFD.
    pub line: NewLine,
    /// Whether bytes were replaced.
    pub replaced: bool,
    /// Whether this is a piece of a line above the bound, which goes on in the next piece.
    pub cut: bool,
}

/// Counts of repaired lines, to be reported at the end.
#[derive(Debug, Default)]
pub struct Repairs {
    replaced: usize,
    cut: usize,
}

impl Repairs {
    /// Counts the repairs of one line.
    pub fn note(&mut self, line: &OutputLine) {
        self.replaced += usize::from(line.replaced);
        self.cut += usize::from(line.cut);
    }

    /// Reports the repairs on stderr, if there were any.
    pub fn tell(&self) {
        let Self { replaced, cut } = self;
        if *replaced > 0 {
            remark(&format!("{replaced} lines held bytes that are not UTF-8; those became U+FFFD"));
        }
        if *cut > 0 {
            remark(&format!("{cut} pieces of lines above {LINE_BYTES_MAX} bytes became lines of their own"));
        }
    }
}

/// A running command, or stdin.
pub struct CommandOutput {
    lines: mpsc::Receiver<io::Result<OutputLine>>,
    child: Option<Child>,
}

impl CommandOutput {
    /// Starts a command. Its outputs are shown on ours; its stdin is ours.
    pub fn spawn(command: &[String]) -> io::Result<Self> {
        let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (sender, lines) = mpsc::channel(QUEUE_LINES_MAX);
        let stdout = child.stdout.take().expect("asked for a pipe");
        let stderr = child.stderr.take().expect("asked for a pipe");
        tokio::spawn(follow(stdout, tokio::io::stdout(), Some(Stream::Stdout), sender.clone()));
        tokio::spawn(follow(stderr, tokio::io::stderr(), Some(Stream::Stderr), sender));
        Ok(Self { lines, child: Some(child) })
    }

    /// Reads our own stdin, showing it on stdout.
    pub fn stdin() -> Self {
        let (sender, lines) = mpsc::channel(QUEUE_LINES_MAX);
        tokio::spawn(follow(tokio::io::stdin(), tokio::io::stdout(), None, sender));
        Self { lines, child: None }
    }

    /// Returns the next line; `None` when all outputs are closed. Cancel-safe.
    pub async fn next(&mut self) -> Option<io::Result<OutputLine>> {
        self.lines.recv().await
    }

    /// Returns a line that has already arrived.
    pub fn try_next(&mut self) -> Option<io::Result<OutputLine>> {
        self.lines.try_recv().ok()
    }

    /// Passes a signal on to the command. Returns false for stdin, which has no command.
    pub(crate) fn pass_on(&self, interrupt: Interrupt) -> bool {
        let Some(child) = &self.child else { return false };
        match (interrupt, child.id().and_then(|pid| i32::try_from(pid).ok())) {
            // The terminal has told the command already, and some programs end early after a second Ctrl-C.
            (Interrupt::CtrlC, _) => {}
            (Interrupt::Terminate, Some(pid)) => {
                // An error means that the command has ended already.
                let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            }
            (Interrupt::Terminate, None) => {}
        }
        true
    }

    /// Kills the command and returns how it ended; `None` for stdin.
    pub async fn end(mut self) -> io::Result<Option<ExitStatus>> {
        if let Some(child) = &mut self.child {
            child.start_kill()?;
        }
        self.wait().await
    }

    /// Waits for the end of the command and returns how it ended; `None` for stdin.
    pub async fn wait(self) -> io::Result<Option<ExitStatus>> {
        match self.child {
            Some(mut child) => child.wait().await.map(Some),
            None => Ok(None),
        }
    }
}

async fn follow(
    output: impl AsyncRead + Unpin,
    mut shown: impl AsyncWrite + Unpin,
    stream: Option<Stream>,
    lines: mpsc::Sender<io::Result<OutputLine>>,
) {
    let mut output = BufReader::new(output);
    let mut piece;
    let mut carried = Vec::new();
    let mut goes_on = false;
    loop {
        // A character that the bound would have cut in two begins the next piece.
        piece = std::mem::take(&mut carried);
        let end = match read_piece(&mut output, &mut piece).await {
            Ok(end) => end,
            Err(error) => {
                // The receiver is gone, so the error needs no report.
                let _ = lines.send(Err(error)).await;
                return;
            }
        };
        let at = Instant::now();
        if end == PieceEnd::Bound {
            carried = piece.split_off(piece.len() - unfinished_bytes(&piece));
        }
        // A closed terminal must not stop publishing.
        let _ = shown.write_all(&piece).await;
        if end == PieceEnd::LineFeed {
            let _ = shown.write_all(b"\n").await;
        }
        let _ = shown.flush().await;
        // An empty piece is dropped if it only ends a line whose last piece had exactly the length of the bound.
        let nothing_new = piece.is_empty() && (goes_on || end == PieceEnd::Output);
        if !nothing_new {
            let text = String::from_utf8_lossy(&piece);
            let replaced = matches!(text, std::borrow::Cow::Owned(_));
            for (text, last) in within_bound(&text) {
                let line = NewLine { text: text.to_owned(), stream, level: None };
                let cut = !last || end == PieceEnd::Bound;
                if lines.send(Ok(OutputLine { at, line, replaced, cut })).await.is_err() {
                    return;
                }
            }
        }
        goes_on = end == PieceEnd::Bound;
        if end == PieceEnd::Output {
            return;
        }
    }
}

/// The end of a piece of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PieceEnd {
    LineFeed,
    /// The line is longer than the bound and goes on in the next piece.
    Bound,
    /// The output has ended.
    Output,
}

/// Reads to the next LF, or until `piece` has [`LINE_BYTES_MAX`] bytes.
async fn read_piece(
    output: &mut (impl AsyncBufReadExt + Unpin),
    piece: &mut Vec<u8>,
) -> io::Result<PieceEnd> {
    loop {
        let available = output.fill_buf().await?;
        let room = LINE_BYTES_MAX - piece.len();
        // The search covers one byte more than there is room for: a line of exactly the bound ends with its LF.
        match memchr::memchr(b'\n', &available[..available.len().min(room + 1)]) {
            Some(end) => {
                piece.extend_from_slice(&available[..end]);
                output.consume(end + 1);
                return Ok(PieceEnd::LineFeed);
            }
            None if available.is_empty() => return Ok(PieceEnd::Output),
            None if room == 0 => return Ok(PieceEnd::Bound),
            None => {
                let taken = available.len().min(room);
                piece.extend_from_slice(&available[..taken]);
                output.consume(taken);
            }
        }
    }
}

/// Returns the number of bytes at the end that begin a UTF-8 character without finishing it.
fn unfinished_bytes(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => bytes.len() - error.valid_up_to(),
        // The text is whole, or broken elsewhere, so any end is good.
        Ok(_) | Err(_) => 0,
    }
}

/// Splits text into pieces within the bound on a line, each with whether it is the last. U+FFFD takes three bytes in
/// place of one invalid byte, so the text may have grown beyond the bound.
fn within_bound(text: &str) -> impl Iterator<Item = (&str, bool)> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = (0..=LINE_BYTES_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end))?;
        let (piece, after) = text.split_at(end);
        rest = (!after.is_empty()).then_some(after);
        Some((piece, after.is_empty()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn pieces(output: &[u8]) -> Vec<(String, bool, bool)> {
        let (sender, mut lines) = mpsc::channel(QUEUE_LINES_MAX);
        let mut shown = Vec::new();
        follow(output, &mut shown, None, sender).await;
        assert_eq!(shown, output, "what is shown is not what was printed");
        let mut pieces = Vec::new();
        while let Some(line) = lines.recv().await {
            let OutputLine { line, replaced, cut, .. } = line.unwrap();
            pieces.push((line.text, replaced, cut));
        }
        pieces
    }

    fn line(text: &str) -> (String, bool, bool) {
        (text.to_owned(), false, false)
    }

    #[tokio::test]
    async fn lines_end_at_line_feeds_and_nowhere_else() {
        assert_eq!(pieces(b"").await, []);
        assert_eq!(pieces(b"a\n\nb\r\nc").await, [line("a"), line(""), line("b\r"), line("c")]);
        assert_eq!(pieces(b"\n").await, [line("")]);
        assert_eq!(pieces(b"a\xffb\n").await, [("a\u{fffd}b".to_owned(), true, false)]);
    }

    #[tokio::test]
    async fn a_line_above_the_bound_is_cut_between_characters_and_nothing_is_lost() {
        for filler in ["x", "é", "€", "🦀"] {
            for shift in 0..4 {
                let long = "y".repeat(shift) + &filler.repeat((LINE_BYTES_MAX + 9) / filler.len());
                let given = format!("{long}\nnext\n");
                let got = pieces(given.as_bytes()).await;
                assert!(got.iter().all(|(text, replaced, _)| text.len() <= LINE_BYTES_MAX && !replaced));
                let (last, of_long) = got.split_last().unwrap();
                assert_eq!(*last, line("next"));
                let joined: String = of_long.iter().map(|(text, ..)| text.as_str()).collect();
                assert!(joined == long, "{filler} × {shift}");
                let cuts: Vec<_> = of_long.iter().map(|(.., cut)| *cut).collect();
                assert_eq!(cuts.last(), Some(&false));
                assert!(cuts[..cuts.len() - 1].iter().all(|cut| *cut));
            }
        }
    }

    #[tokio::test]
    async fn a_line_as_long_as_the_bound_is_one_line() {
        let long = "x".repeat(LINE_BYTES_MAX);
        assert_eq!(pieces(format!("{long}\nb\n").as_bytes()).await, [line(&long), line("b")]);
    }

    #[tokio::test]
    async fn invalid_bytes_that_grow_beyond_the_bound_become_several_lines() {
        let got = pieces(&[0xff; LINE_BYTES_MAX]).await;
        let characters: usize = got.iter().map(|(text, ..)| text.chars().count()).sum();
        assert_eq!(characters, LINE_BYTES_MAX);
        assert!(got.iter().all(|(text, replaced, _)| text.len() <= LINE_BYTES_MAX && *replaced));
    }
}
