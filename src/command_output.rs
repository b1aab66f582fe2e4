//! What a command prints, line by line, while it is still shown.
//!
//! `record` and `publish` both watch a command: its two outputs through pipes, each line with the moment it was
//! complete. A full queue makes the command wait, as a slow terminal would.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Instant;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use wirelab_clients::wire::{LINE_BYTES_MAX, NewLine, Stream};

/// Lines read but not yet taken: enough for a burst, and a bound on memory.
const QUEUE_LINES_MAX: usize = 1_024;

/// One line of output.
#[derive(Debug)]
pub struct OutputLine {
    /// When its line end was read.
    pub at: Instant,
    /// The line. Invalid bytes are U+FFFD by now.
    pub line: NewLine,
    /// Whether bytes had to be replaced.
    pub replaced: bool,
}

/// A command that runs, or stdin that is read.
pub struct CommandOutput {
    lines: mpsc::Receiver<io::Result<OutputLine>>,
    child: Option<Child>,
}

impl CommandOutput {
    /// Starts a command. Its outputs are shown on ours; it keeps our stdin.
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

    /// The next line; `None` when all outputs are closed. Cancel-safe.
    pub async fn next(&mut self) -> Option<io::Result<OutputLine>> {
        self.lines.recv().await
    }

    /// A line that has arrived already.
    pub fn try_next(&mut self) -> Option<io::Result<OutputLine>> {
        self.lines.try_recv().ok()
    }

    /// How the command ended; `None` for stdin.
    pub async fn wait(self) -> io::Result<Option<ExitStatus>> {
        match self.child {
            Some(mut child) => child.wait().await.map(Some),
            None => Ok(None),
        }
    }
}

/// The exit code a shell would give: 128 + signal when it was killed.
pub fn exit_code(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    u8::try_from(code).unwrap_or(u8::MAX)
}

async fn follow(
    output: impl AsyncRead + Unpin,
    mut shown: impl AsyncWrite + Unpin,
    stream: Option<Stream>,
    lines: mpsc::Sender<io::Result<OutputLine>>,
) {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    loop {
        match read_line(&mut output, &mut line).await {
            Ok(LineEnd::Nothing) => return,
            Ok(end) => {
                let at = Instant::now();
                // A closed terminal must not stop what is being published.
                let _ = shown.write_all(&line).await;
                if matches!(end, LineEnd::LineFeed) {
                    let _ = shown.write_all(b"\n").await;
                }
                let _ = shown.flush().await;
                let text = String::from_utf8_lossy(&line);
                let replaced = matches!(text, std::borrow::Cow::Owned(_));
                let line = NewLine { text: text.into_owned(), stream, level: None };
                if lines.send(Ok(OutputLine { at, line, replaced })).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                // Nobody listening is no reason to complain about a pipe.
                let _ = lines.send(Err(error)).await;
                return;
            }
        }
    }
}

/// What ended a piece of output.
enum LineEnd {
    LineFeed,
    /// The end of the output, or a line so long that it goes on in the next piece.
    Cut,
    /// There was nothing more.
    Nothing,
}

/// Longest piece of text taken as one line. U+FFFD takes three bytes where one was invalid, so that a third of the
/// contract's bound holds whatever was printed.
const PIECE_BYTES_MAX: usize = LINE_BYTES_MAX / 3;

async fn read_line(output: &mut (impl AsyncBufReadExt + Unpin), line: &mut Vec<u8>) -> io::Result<LineEnd> {
    line.clear();
    loop {
        let available = output.fill_buf().await?;
        if available.is_empty() {
            return Ok(if line.is_empty() { LineEnd::Nothing } else { LineEnd::Cut });
        }
        let room = PIECE_BYTES_MAX - line.len();
        let found = available.iter().take(room).position(|byte| *byte == b'\n');
        let taken = found.unwrap_or(available.len().min(room));
        line.extend_from_slice(&available[..taken]);
        if found.is_some() {
            output.consume(taken + 1);
            return Ok(LineEnd::LineFeed);
        }
        output.consume(taken);
        if line.len() == PIECE_BYTES_MAX {
            return Ok(LineEnd::Cut);
        }
    }
}
