//! Shows a command's output as it comes: one thread that reads both pipes and writes to our own outputs.
//!
//! Bytes are shown at once and untouched, whatever they are: prompts, progress bars, half lines. What was shown goes into
//! the [`Backlog`]; lines are made of it elsewhere. One loop reads both pipes, so that the order between them is kept as
//! far as two pipes allow: what is in both pipes at the same moment has lost its order. The thread waits as long as our
//! own stdout does, like the command without it.

use std::io::{self, Stderr, Stdout};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use bytes::Bytes;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::fstat;
use nix::unistd::{read, write};
use wirelab_clients::wire::Stream;

use super::backlog::{Backlog, Piece};

/// Bytes per read: what a pipe holds.
const READ_BYTES_MAX: usize = 64 << 10;
/// Bytes that are still shown after the last moment, if they are there: the most that an unprivileged process can make a
/// pipe hold on Linux. So nothing is lost that was printed before.
const PIPE_BYTES_MAX: usize = 1 << 20;
/// How long after a half line its end is awaited before the other output is shown in the same place. The kernel hands over
/// a long write in parts; the rest follows within microseconds, on a busy machine within some turns of other processes. A
/// half line that is older is a prompt.
const HALF_LINE_WAIT: Duration = Duration::from_millis(100);

/// An output of the command, and where it is shown.
pub(super) struct Source {
    pub(super) from: OwnedFd,
    pub(super) stream: Option<Stream>,
    pub(super) shown_on: ShownOn,
}

/// One of our own outputs.
pub(super) enum ShownOn {
    Stdout(Stdout),
    Stderr(Stderr),
}

impl ShownOn {
    const fn name(&self) -> &'static str {
        match self {
            Self::Stdout(_) => "stdout",
            Self::Stderr(_) => "stderr",
        }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Stdout(stdout) => stdout.as_fd(),
            Self::Stderr(stderr) => stderr.as_fd(),
        }
    }
}

/// What became of the output.
#[derive(Debug, Default)]
pub(crate) struct Relayed {
    /// Lines that were read; one without LF at the end counts.
    pub(crate) lines: u64,
    /// Why reading ended early.
    pub(crate) read_error: Option<io::Error>,
    /// What could not be shown.
    pub(crate) unshown: Vec<Unshown>,
}

/// Bytes that could not be written to one of our outputs.
#[derive(Debug)]
pub(crate) struct Unshown {
    pub(crate) output: &'static str,
    pub(crate) bytes: u64,
    pub(crate) error: io::Error,
}

/// Shows what `sources` give until all have ended. After `stop` is closed at its other end, that is waited for no longer
/// than `grace`: a process that the command has left behind may keep a pipe open for ever.
pub(super) fn relay(sources: Vec<Source>, stop: &UnixStream, grace: Duration, backlog: &Backlog) -> Relayed {
    let share_a_place = share_a_place(&sources);
    let mut outputs: Vec<_> = sources.into_iter().map(Output::new).collect();
    let mut buffer = vec![0; READ_BYTES_MAX];
    let mut last_moment: Option<Instant> = None;
    let mut late_bytes = 0;
    while outputs.iter().any(|output| output.is_open) {
        let left = last_moment.map(|moment| moment.saturating_duration_since(Instant::now()));
        let (ready, is_stopped) = wait(&outputs, stop, left);
        if is_stopped && last_moment.is_none() {
            last_moment = Some(Instant::now() + grace);
        }
        let is_late = last_moment.is_some_and(|moment| moment <= Instant::now());
        if is_late && (ready.is_empty() || late_bytes >= PIPE_BYTES_MAX * outputs.len()) {
            break;
        }
        // One at a time, the one that waits for longest: another may have been read empty meanwhile.
        if let Some(index) = ready.into_iter().min_by_key(|index| outputs[*index].read_at) {
            if share_a_place {
                end_half_lines(&mut outputs, index, &mut buffer, backlog);
            }
            let count = outputs[index].pass(&mut buffer, backlog);
            late_bytes += if is_late { count } else { 0 };
        }
    }
    let mut relayed = Relayed::default();
    for output in outputs {
        relayed.lines += output.lines + u64::from(output.is_mid_line);
        relayed.read_error = relayed.read_error.or(output.read_error);
        relayed.unshown.extend(output.unshown);
    }
    relayed
}

/// Whether two outputs are shown on the same terminal or in the same file.
fn share_a_place(sources: &[Source]) -> bool {
    let place =
        |source: &Source| fstat(source.shown_on.fd()).map(|stat| (stat.st_dev, stat.st_ino, stat.st_rdev));
    match sources {
        [one, other] => matches!((place(one), place(other)), (Ok(one), Ok(other)) if one == other),
        _ => false,
    }
}

/// Waits until something can be read. Returns the outputs that can, and whether `stop` is closed.
fn wait(outputs: &[Output], stop: &UnixStream, limit: Option<Duration>) -> (Vec<usize>, bool) {
    let open: Vec<_> = (0..outputs.len()).filter(|index| outputs[*index].is_open).collect();
    let of_output = |index: &usize| PollFd::new(outputs[*index].source.from.as_fd(), PollFlags::POLLIN);
    let mut asked: Vec<_> = open.iter().map(of_output).collect();
    // Once it is known to be closed, it would be ready again and again.
    if limit.is_none() {
        asked.push(PollFd::new(stop.as_fd(), PollFlags::POLLIN));
    }
    let limit = limit.map_or(PollTimeout::NONE, |limit| {
        // Rounded up: a wait of 0 ms until a time that is not yet there would be a busy loop.
        PollTimeout::try_from(limit + Duration::from_micros(999)).unwrap_or(PollTimeout::MAX)
    });
    // An error is a signal, or a shortage of memory that may pass; the loop asks again.
    let _ = poll(&mut asked, limit);
    let is_ready = |at: usize| asked.get(at).and_then(PollFd::any).unwrap_or(false);
    let ready = open.iter().enumerate().filter(|(at, _)| is_ready(*at)).map(|(_, index)| *index).collect();
    (ready, is_ready(open.len()))
}

/// Lets the other output end the line that it is in, if that comes at once: else what is shown in the same place would be
/// glued into it.
fn end_half_lines(outputs: &mut [Output], but: usize, buffer: &mut [u8], backlog: &Backlog) {
    for (index, output) in outputs.iter_mut().enumerate() {
        let mut passed = 0;
        // A progress bar never ends its line, so it is given its turn and no more.
        while index != but && output.is_open && output.is_mid_line && passed < PIPE_BYTES_MAX {
            let left = HALF_LINE_WAIT.saturating_sub(output.read_at.elapsed());
            let mut asked = [PollFd::new(output.source.from.as_fd(), PollFlags::POLLIN)];
            match poll(&mut asked, PollTimeout::try_from(left).expect("it is short")) {
                Ok(1..) => passed += output.pass(buffer, backlog).max(1),
                Ok(_) | Err(_) => break,
            }
        }
    }
}

struct Output {
    source: Source,
    is_open: bool,
    lines: u64,
    /// Whether the last byte was no LF.
    is_mid_line: bool,
    read_at: Instant,
    read_error: Option<io::Error>,
    unshown: Option<Unshown>,
}

impl Output {
    fn new(source: Source) -> Self {
        let read_at = Instant::now();
        Self { source, is_open: true, lines: 0, is_mid_line: false, read_at, read_error: None, unshown: None }
    }

    /// Reads once, shows it, and puts it into the backlog. Returns how many bytes those were.
    fn pass(&mut self, buffer: &mut [u8], backlog: &Backlog) -> usize {
        let count = match read(&self.source.from, buffer) {
            Ok(count) => count,
            // A stdin that does not block may be empty after all.
            Err(Errno::EINTR | Errno::EAGAIN) => return 0,
            Err(error) => {
                self.is_open = false;
                self.read_error = Some(error.into());
                return 0;
            }
        };
        let Some(last) = buffer[..count].last() else {
            self.is_open = false;
            return 0;
        };
        let at = Instant::now();
        self.read_at = at;
        let bytes = &buffer[..count];
        self.lines += memchr::memchr_iter(b'\n', bytes).count() as u64;
        self.is_mid_line = *last != b'\n';
        self.show(bytes);
        backlog.push(Piece { at, stream: self.source.stream, bytes: Bytes::copy_from_slice(bytes) });
        count
    }

    /// Writes all bytes, with one call if the system takes them at once. An error must not stop publishing: the rest is
    /// counted.
    fn show(&mut self, mut bytes: &[u8]) {
        let fd = self.source.shown_on.fd();
        while !bytes.is_empty() {
            match write(fd, bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(Errno::EINTR) => {}
                // Another process has made our output non-blocking.
                Err(Errno::EAGAIN) => {
                    let _ = poll(&mut [PollFd::new(fd, PollFlags::POLLOUT)], PollTimeout::NONE);
                }
                Err(error) => {
                    let output = self.source.shown_on.name();
                    let first = Unshown { output, bytes: 0, error: error.into() };
                    self.unshown.get_or_insert(first).bytes += bytes.len() as u64;
                    return;
                }
            }
        }
    }
}
