//! Child processes of the server: `wirelab` itself with another command.
//!
//! Crowds and runs measure from a process of their own. The child's stdin is a pipe into which the server never writes.
//! When the server closes it, or is gone for whatever reason, the child stops. The child's stdout is handed on line by
//! line; its stderr is the server's.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::web;
use futures_util::StreamExt;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep_until};
use tokio_util::codec::{FramedRead, LinesCodec, LinesCodecError};
use tokio_util::sync::CancellationToken;

use crate::access::{ACCESS_VARIABLE, TOKEN_VARIABLE, Token};
use crate::exchange::problem::Refusal;
use wirelab_clients::os::exit_code;

/// Longest line of a child, in bytes. Its JSON objects have a few hundred; longer lines are skipped.
const LINE_BYTES_MAX: usize = 64 << 10;
/// Delay of a timer that must not fire.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3_600);

/// Starts `program` with `arguments`, and with the token by which it calls this server, if it does. Must be called inside a
/// tokio runtime.
///
/// A token goes into the environment of the child, since everybody on the machine can read its arguments. The server's own
/// variables are not for children.
pub(super) fn start(program: &Path, arguments: &[OsString], token: Option<&Token>) -> Result<Child, Refusal> {
    let mut command = Command::new(program);
    // The path may be that of this program in /proc; lists of processes show this name instead.
    command.arg0("wirelab").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    command.env_remove(ACCESS_VARIABLE).env_remove(TOKEN_VARIABLE);
    command.envs(token.map(|token| (TOKEN_VARIABLE, token.secret())));
    command.spawn().map_err(|error| {
        let detail =
            format!("cannot start {}: {error}; check that the file is still there", program.display());
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    })
}

/// Hands every line of the child to `heard` until the child has ended, and returns its exit code.
///
/// Tells the child to stop when `stop` is cancelled, and kills it if it then takes longer than `stop_max`.
pub(super) async fn watch(
    mut child: Child,
    stop: CancellationToken,
    stop_max: Duration,
    mut heard: impl FnMut(&str),
) -> u8 {
    let mut stdin = child.stdin.take();
    let stdout = child.stdout.take().expect("it was piped");
    let mut lines = FramedRead::new(stdout, LinesCodec::new_with_max_length(LINE_BYTES_MAX));
    let (mut has_said_all, mut left_out) = (false, false);
    let mut killed_at = Instant::now() + NEVER;
    loop {
        tokio::select! {
            // All output of the child is handed on before its end.
            biased;
            line = lines.next(), if !has_said_all => match line {
                Some(Ok(line)) => heard(&line),
                Some(Err(LinesCodecError::MaxLineLengthExceeded)) => left_out = true,
                // The line is not UTF-8.
                Some(Err(LinesCodecError::Io(error))) if error.kind() == ErrorKind::InvalidData => {
                    left_out = true;
                }
                // The codec returns `None` once after a skipped line and goes on behind it.
                None if left_out => left_out = false,
                Some(Err(LinesCodecError::Io(_))) | None => has_said_all = true,
            },
            () = stop.cancelled(), if stdin.is_some() => {
                stdin = None;
                killed_at = Instant::now() + stop_max;
            }
            () = sleep_until(killed_at) => {
                // An error means that the child is already gone.
                let _ = child.start_kill();
                killed_at = Instant::now() + NEVER;
            }
            ended = child.wait(), if has_said_all => {
                return ended.map_or(u8::MAX, exit_code);
            }
        }
    }
}

/// Runs `read`, which reads files, on a thread of its own, so that streams go on.
pub(super) async fn off_the_worker<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let stopping = |_| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping");
    web::block(read).await.map_err(stopping)?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what a shell script prints, and its exit code.
    async fn watched(script: &str, stop: CancellationToken) -> (Vec<String>, u8) {
        let arguments = ["-c", script].map(OsString::from);
        let child = start(Path::new("sh"), &arguments, None).unwrap();
        let mut heard = Vec::new();
        let exit = watch(child, stop, NEVER, |line| heard.push(line.to_owned())).await;
        (heard, exit)
    }

    #[tokio::test]
    async fn a_line_beyond_the_bound_is_left_out_and_the_others_are_heard() {
        let script =
            format!("echo a; head -c {} /dev/zero | tr '\\0' x; echo; echo b; exit 3", 3 * LINE_BYTES_MAX);
        let (heard, exit) = watched(&script, CancellationToken::new()).await;
        assert_eq!((heard, exit), (vec!["a".to_owned(), "b".to_owned()], 3));
    }

    #[tokio::test]
    async fn a_line_that_is_no_text_is_left_out_and_the_others_are_heard() {
        let script = r"echo a; printf '\377\n'; echo b; printf 'c\377'; exit 3";
        let (heard, exit) = watched(script, CancellationToken::new()).await;
        assert_eq!((heard, exit), (vec!["a".to_owned(), "b".to_owned()], 3));
    }

    #[tokio::test]
    async fn a_child_that_is_told_to_stop_says_its_last_words() {
        let stop = CancellationToken::new();
        stop.cancel();
        let (heard, exit) = watched("cat; echo last", stop).await;
        assert_eq!((heard, exit), (vec!["last".to_owned()], 0));
    }

    #[tokio::test]
    async fn a_child_that_is_told_to_stop_and_does_not_is_killed() {
        let stop = CancellationToken::new();
        let child =
            start(Path::new("sh"), &["-c", "echo ready; exec sleep 60"].map(OsString::from), None).unwrap();
        let said = |line: &str| {
            assert_eq!(line, "ready");
            stop.cancel();
        };
        // 128 + SIGKILL, as a shell reports it.
        assert_eq!(watch(child, stop.clone(), Duration::from_millis(50), said).await, 137);
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let refusal = start(Path::new("/nowhere/wirelab"), &[], None).unwrap_err();
        assert!(refusal.problem().detail.starts_with("cannot start /nowhere/wirelab: "), "{refusal}");
    }
}
