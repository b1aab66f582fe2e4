//! One pipelined connection: requests go out on the caller's thread, answers come in on another.
//!
//! Used by the publisher only. Each answer must accept the oldest unanswered request. An answer of wirelab must have
//! the seqs that the publisher expected.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hyper::header::HeaderValue;

use super::answer::{self, ANSWER_BYTES_MAX, Answer};
use super::stream::Stream;
use super::{Append, PublisherTarget};
use crate::harness::process_sampler::ThreadCost;
use crate::latency::LatencyHistogram;
use crate::wire::{Appended, NewLine, Problem, Seq};

const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Longest time that a write makes no progress: after it, the server reads no more.
const WRITE_MAX: Duration = Duration::from_secs(30);
/// Time after which the reading thread looks whether the caller is done. An answer wakes it at once.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Most characters of a refusal that is not a problem document.
const REFUSAL_CHARS_MAX: usize = 200;

/// A request that was sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Post {
    pub(super) first: Seq,
    pub(super) last: Seq,
    /// Instant from which the append is timed: due time + the harness's own lateness.
    pub(super) asked: Instant,
    /// Whether the lines are in the cohort, so that the append is timed.
    pub(super) measured: bool,
}

/// Sum of the answers of one connection.
#[derive(Debug, Default)]
pub(super) struct Answers {
    pub(super) append: LatencyHistogram,
    pub(super) lines_acknowledged: u64,
    /// Cost of the reading thread.
    pub(super) cost: Option<ThreadCost>,
    pub(super) problem: Option<String>,
}

/// A connection that sends and counts.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    posts: mpsc::Sender<Post>,
    posts_sent: u64,
    shared: Arc<Shared>,
    reader: JoinHandle<Answers>,
}

#[derive(Debug, Default)]
struct Shared {
    answered: AtomicU64,
    failed: AtomicBool,
    /// Since when the server takes the next request, if it takes one at a time.
    free_since: Mutex<Option<Instant>>,
    /// Whether the server said that it closes, or has closed.
    closed: AtomicBool,
    /// Deadline for the last answers; set when the caller sends no more.
    give_up: OnceLock<Instant>,
}

impl Connection {
    pub(super) fn open(target: &PublisherTarget) -> io::Result<Self> {
        Self::open_after(target, None)
    }

    /// Opens a connection in place of one that was free since `before`. The new one counts as free later by the time to
    /// connect, whenever that began: the server makes a new connection necessary, but does not delay it.
    pub(super) fn open_after(target: &PublisherTarget, before: Option<Instant>) -> io::Result<Self> {
        let began = Instant::now();
        let socket = target.route.connect_blocking(target.addr, CONNECT_MAX)?;
        socket.set_nodelay(true)?;
        socket.set_write_timeout(Some(WRITE_MAX))?;
        socket.set_read_timeout(Some(CONNECT_MAX))?;
        let stream = Stream::open(socket, &target.server)?;
        let free_since = before.map(|before| before + began.elapsed());
        stream.socket().set_read_timeout(Some(LOOK_EVERY))?;
        let (posts, unanswered) = mpsc::channel();
        let shared = Arc::new(Shared { free_since: Mutex::new(free_since), ..Shared::default() });
        let reading = Reading {
            stream: stream.try_clone()?,
            append: target.append.clone(),
            posts: unanswered,
            unanswered: VecDeque::new(),
            shared: shared.clone(),
            answers: Answers::default(),
        };
        let reader =
            thread::Builder::new().name("publisher-answers".to_owned()).spawn(move || reading.run())?;
        Ok(Self { stream, posts, posts_sent: 0, shared, reader })
    }

    /// Writes one request. Does not wait for its answer.
    pub(super) fn send(&mut self, post: Post, request: &[u8]) -> Result<(), String> {
        // Announced first: the answer may be there before this thread runs again. If the reader is gone it has failed,
        // and the write tells.
        let _ = self.posts.send(post);
        self.posts_sent += 1;
        self.stream.write_all(request).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                format!("the server has not read for {} s", WRITE_MAX.as_secs())
            }
            _ => format!("cannot send line {}: {error}", post.first),
        })
    }

    /// Returns whether every request has its answer.
    pub(super) fn is_answered(&self) -> bool {
        self.shared.answered.load(Ordering::Acquire) == self.posts_sent
    }

    /// Returns whether anything was sent.
    pub(super) fn is_used(&self) -> bool {
        self.posts_sent > 0
    }

    /// Returns since when a server that takes one request at a time takes the next. That is when its last answer was
    /// read, or later by the time to connect if it closed after that. `None`: nothing was answered yet.
    pub(super) fn free_since(&self) -> Option<Instant> {
        *self.shared.free_since.lock().expect("no holder panics")
    }

    /// Returns whether an answer was wrong, or the connection is gone with requests unanswered.
    pub(super) fn has_failed(&self) -> bool {
        self.shared.failed.load(Ordering::Acquire)
    }

    /// Returns whether nothing can be sent any more, because the server closed or an answer was wrong.
    pub(super) fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::Acquire) || self.reader.is_finished()
    }

    /// Waits for the last answers, at most `patience`, and closes the connection.
    pub(super) fn finish(self, patience: Duration) -> Answers {
        let _ = self.shared.give_up.set(Instant::now() + patience);
        let mut answers = self.reader.join().expect("the reading thread has no panic");
        // An error means that the server has closed already.
        let _ = self.stream.shutdown();
        let unanswered = self.posts_sent - self.shared.answered.load(Ordering::Acquire);
        if unanswered > 0 {
            // A request was sent in the moment in which the server closed an idle connection.
            answers.problem.get_or_insert_with(|| closed_on(unanswered));
        }
        answers
    }
}

/// Encodes a request that appends `lines`.
pub(super) fn encode<'a>(target: &PublisherTarget, lines: impl Iterator<Item = &'a NewLine>) -> Vec<u8> {
    let (method, path, content_type, body) = match &target.append {
        Append::Contract { path } => {
            let mut body = Vec::new();
            for line in lines {
                serde_json::to_writer(&mut body, line).expect("a line has no key that JSON refuses");
                body.push(b'\n');
            }
            ("POST", path.clone(), "application/x-ndjson", body)
        }
        Append::Profile { publish, deployment } => {
            let text: String = lines.map(|line| line.text.as_str()).collect();
            let body = publish.body.fill(deployment, &text).into_bytes();
            let path = publish.path.fill(deployment, "");
            (publish.method.name(), path, publish.content_type.as_str(), body)
        }
    };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n",
        target.server.authority(),
        body.len()
    );
    let shown = target.server.authorization().map(HeaderValue::as_bytes);
    let token = shown
        .map(|token| [b"Authorization: ".as_slice(), token, b"\r\n".as_slice()].concat())
        .unwrap_or_default();
    [head.as_bytes(), &token, b"\r\n".as_slice(), &body].concat()
}

/// Work of the reading thread.
struct Reading {
    stream: Stream,
    append: Append,
    posts: mpsc::Receiver<Post>,
    unanswered: VecDeque<Post>,
    shared: Arc<Shared>,
    answers: Answers,
}

impl Reading {
    fn run(mut self) -> Answers {
        if let Err(problem) = self.read_answers() {
            self.answers.problem = Some(problem);
            self.shared.failed.store(true, Ordering::Release);
        }
        self.answers.cost = ThreadCost::of_this_thread();
        self.answers
    }

    /// Reads answers until the caller is done and everything is answered, or the server closes an idle connection.
    fn read_answers(&mut self) -> Result<(), String> {
        let mut received = Vec::new();
        let mut chunk = vec![0; 16 << 10];
        loop {
            // Looked at before the posts are taken, so that no post can come after them.
            let give_up = self.shared.give_up.get().copied();
            self.unanswered.extend(self.posts.try_iter());
            if let Some(give_up) = give_up {
                if self.unanswered.is_empty() {
                    return Ok(());
                }
                if Instant::now() > give_up {
                    return Err(format!("{} appends were not answered in time", self.unanswered.len()));
                }
            }
            let read = match self.stream.read(&mut chunk) {
                Ok(read) => read,
                Err(error) if is_look(&error) => continue,
                Err(_) => 0,
            };
            let at = Instant::now();
            received.extend_from_slice(&chunk[..read]);
            self.unanswered.extend(self.posts.try_iter());
            let connection = if read == 0 { answer::Connection::Closed } else { answer::Connection::Open };
            while let Some(answer) = answer::parse(&received, connection)? {
                received.drain(..answer.length);
                // After "100 Continue" and the like the answer is still to come.
                if answer.status < 200 {
                    continue;
                }
                // With 408 a server closes a connection on which no request came in time (RFC 9110 §15.5.9).
                if answer.status == 408 && self.unanswered.is_empty() {
                    return self.closed();
                }
                self.check(&answer, at)?;
                if answer.closes {
                    return self.closed();
                }
            }
            if read == 0 {
                return self.closed();
            }
            if received.len() > ANSWER_BYTES_MAX {
                return Err(format!("the server sent an answer of more than {ANSWER_BYTES_MAX} bytes"));
            }
        }
    }

    /// Notes that the server closed. It may do so while the connection is idle; otherwise requests are lost.
    fn closed(&mut self) -> Result<(), String> {
        self.unanswered.extend(self.posts.try_iter());
        match (self.unanswered.len() as u64, &self.append) {
            (0, _) => Ok(()),
            (unanswered, Append::Contract { .. }) => Err(closed_on(unanswered)),
            (unanswered, Append::Profile { .. }) => Err(format!(
                "{}; if it takes one request at a time, say publish.pipelining = false",
                closed_on(unanswered)
            )),
        }
    }

    fn check(&mut self, answer: &Answer, at: Instant) -> Result<(), String> {
        let Some(post) = self.unanswered.pop_front() else {
            return Err(format!("the server sent an answer without a request, status {}", answer.status));
        };
        let lines = format!("lines {} to {}", post.first, post.last);
        let accepted = match &self.append {
            Append::Contract { .. } => answer.status == 201,
            Append::Profile { .. } => (200..300).contains(&answer.status),
        };
        if !accepted {
            return Err(format!("{lines} were refused with {}{}", answer.status, refusal(&answer.body)));
        }
        match &self.append {
            Append::Contract { .. } => check_seqs(post, &answer.body)?,
            // A server that does not keep the contract gives no seqs.
            Append::Profile { .. } => {}
        }
        let lines_count = post.last - post.first + 1;
        self.answers.lines_acknowledged += lines_count;
        if post.measured {
            self.answers.append.record_n(at.saturating_duration_since(post.asked), lines_count);
        }
        *self.shared.free_since.lock().expect("no holder panics") = Some(at);
        if answer.closes {
            // Set before the request counts as answered: a caller that waits for the answer must not send on this
            // connection.
            self.shared.closed.store(true, Ordering::Release);
        }
        self.shared.answered.fetch_add(1, Ordering::Release);
        Ok(())
    }
}

fn closed_on(unanswered: u64) -> String {
    format!("the server closed the connection with {unanswered} appends unanswered")
}

fn check_seqs(post: Post, body: &[u8]) -> Result<(), String> {
    let lines = format!("lines {} to {}", post.first, post.last);
    let appended: Appended = serde_json::from_slice(body)
        .map_err(|error| format!("the server sent an invalid answer to {lines}: {error}"))?;
    if (appended.first, appended.last) == (post.first, post.last) {
        return Ok(());
    }
    Err(format!(
        "{lines} became lines {} to {}: another client writes to this deployment",
        appended.first, appended.last
    ))
}

fn refusal(body: &[u8]) -> String {
    let said = match serde_json::from_slice::<Problem>(body) {
        Ok(problem) => problem.detail,
        Err(_) => String::from_utf8_lossy(body).chars().take(REFUSAL_CHARS_MAX).collect(),
    };
    if said.trim().is_empty() { " and an empty body; check the path".to_owned() } else { format!(": {said}") }
}

/// Returns whether the read only timed out so that the thread can look around.
fn is_look(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}
