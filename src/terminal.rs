//! What is said to people: the one way of complaining, and text that cannot command a terminal.
//!
//! A complaint never harms the code that makes it: stderr may be closed, full, or a pipe without a reader. Text from a
//! log, a name or another server is shown with its control characters made visible, since a terminal would obey them.
//! Everything in the crate says through here what it says on stderr; nothing here decides whether to say it.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Complaints that wait for stderr; more are dropped. A server that fails at each append must not fill its memory with
/// what it says of that.
const COMPLAINTS_MAX: usize = 256;
/// How long [`flush`] pauses while the queue is full.
const FULL_PAUSE: Duration = Duration::from_millis(5);
/// Complaints that wait for the thread that writes them. Empty before the first complaint.
static COMPLAINTS: OnceLock<Option<SyncSender<Waiting>>> = OnceLock::new();
/// Ends colours and weights (SGR 0, ECMA-48 §8.3.117).
const RESET: &str = "\x1b[0m";

/// What the writing thread takes out of its queue.
enum Waiting {
    Complaint(String),
    /// Says back that all before it is written.
    Marker(SyncSender<()>),
}

/// Says a line on stderr, and waits until it is written. An error is ignored: there is no other place to tell it.
///
/// For the thread of a command. A thread that serves others uses [`complain`].
pub fn remark(text: &str) {
    let mut stderr = io::stderr();
    let shown = if stderr.is_terminal() { visible(text) } else { text.into() };
    // eprintln! would panic when stderr is closed. One write, so that lines of two processes do not mix.
    let _ = stderr.write_all(format!("{shown}\n").as_bytes());
}

/// Says a line on stderr without ever waiting for it: a thread of its own writes. A complaint that finds
/// as many others waiting as may wait is dropped.
pub fn complain(text: impl Into<String>) {
    let complaints = COMPLAINTS.get_or_init(|| {
        let (complaints, waiting) = sync_channel(COMPLAINTS_MAX);
        let write = move || {
            for waiting in waiting {
                match waiting {
                    Waiting::Complaint(text) => remark(&text),
                    // Whoever asked may have stopped to wait.
                    Waiting::Marker(written) => drop(written.try_send(())),
                }
            }
        };
        // A system without a free thread has other troubles than a lost complaint.
        let writer = thread::Builder::new().name("complaints".to_owned());
        writer.spawn(write).ok().map(|_| complaints)
    });
    if let Some(complaints) = complaints {
        // A full queue means that stderr has no reader.
        let _ = complaints.try_send(Waiting::Complaint(text.into()));
    }
}

/// Waits until all complaints so far are written, at most for `limit`: a process that ends would lose them, and a line
/// that is said by other means would overtake them.
pub fn flush(limit: Duration) {
    let Some(Some(complaints)) = COMPLAINTS.get() else { return };
    let until = Instant::now() + limit;
    let (written, is_written) = sync_channel(1);
    let mut marker = Waiting::Marker(written);
    while let Err(TrySendError::Full(refused)) = complaints.try_send(marker) {
        if Instant::now() >= until {
            return;
        }
        marker = refused;
        thread::sleep(FULL_PAUSE);
    }
    // After the limit, stderr has no reader.
    let _ = is_written.recv_timeout(until.saturating_duration_since(Instant::now()));
}

/// Returns `text` as a terminal may be given it. Control characters (C0, DEL, C1) and those that change the direction of
/// text become visible, as `\u{1b}`. LF and TAB stay, and so do a CR before LF and colours (SGR), which are switched off
/// at the end of their line.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| is_command(c) && c != '\n' && c != '\t') {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len() + 16);
    let (mut rest, mut is_coloured) = (text, false);
    while let Some(c) = rest.chars().next() {
        if let Some(colour) = sgr(rest) {
            shown.push_str(colour);
            is_coloured = true;
            rest = &rest[colour.len()..];
            continue;
        }
        let after = &rest[c.len_utf8()..];
        let ends_line = c == '\n' || rest.starts_with("\r\n");
        if ends_line && std::mem::take(&mut is_coloured) {
            shown.push_str(RESET);
        }
        if ends_line || c == '\t' || !is_command(c) {
            shown.push(c);
        } else {
            // A String takes everything.
            let _ = write!(shown, "{}", c.escape_unicode());
        }
        rest = after;
    }
    if is_coloured {
        shown.push_str(RESET);
    }
    shown.into()
}

/// Whether a terminal does something else with `c` than to show it.
fn is_command(c: char) -> bool {
    // Embeddings, overrides and isolates (Unicode 16, §23.2): they show text in another order than it has.
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns the colour, weight or reset that `text` begins with: `ESC [`, digits and separators, `m`.
fn sgr(text: &str) -> Option<&str> {
    let parameters = text.strip_prefix("\x1b[")?;
    let length = parameters.find(|c: char| !c.is_ascii_digit() && c != ';' && c != ':')?;
    parameters[length..].starts_with('m').then(|| &text[..2 + length + 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_given_colours_and_no_other_command() {
        for (text, shown) in [
            ("plain é 🦀\tx\n", "plain é 🦀\tx\n"),
            ("a\r\nb", "a\r\nb"),
            ("50%\r100%", r"50%\u{d}100%"),
            ("\x1b]2;HACKED\x07\x1b[2J", r"\u{1b}]2;HACKED\u{7}\u{1b}[2J"),
            ("\u{9b}2J\x7f\0", r"\u{9b}2J\u{7f}\u{0}"),
            ("user\u{202e}gnp.exe", r"user\u{202e}gnp.exe"),
            ("\x1b[1;32mok\x1b[0m", "\x1b[1;32mok\x1b[0m\x1b[0m"),
            ("\x1b[38:5:1mred\nnext\r\n", "\x1b[38:5:1mred\x1b[0m\nnext\r\n"),
            ("\x1b[31mred\r\n", "\x1b[31mred\x1b[0m\r\n"),
            ("\x1b[31", r"\u{1b}[31"),
        ] {
            assert_eq!(visible(text), shown, "{text:?}");
        }
    }

    #[test]
    fn more_complaints_than_anybody_reads_are_dropped() {
        // With a stderr that is read, all that is seen is that none of these waits.
        (0..10 * COMPLAINTS_MAX).for_each(|_| complain(""));
        flush(Duration::from_secs(1));
    }
}
