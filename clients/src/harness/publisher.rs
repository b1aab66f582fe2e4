//! The publisher: open loop, on its own thread.
//!
//! The publisher appends each line at its due time, whatever the server does: the loop is *open*. Requests are
//! pipelined on one raw connection, and the next is sent without waiting for an answer. A client library that waits,
//! retries or opens a second connection would close the loop, or reorder lines. The publisher is the log's only writer,
//! so it knows each line's seq beforehand. A second thread reads the answers and checks them against it.
//!
//! A server that refuses or goes away is a result, not a panic.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

mod answer;
mod connection;
mod stream;

use connection::{Answers, Connection, Post, encode};

use super::process_sampler::ThreadCost;
use crate::ServerUrl;
use crate::latency::LatencyHistogram;
use crate::os;
use crate::route::Route;
use crate::targets::profile::{Pipelining, PublishRequest};
use crate::wire::{NewLine, Seq};

/// Most lines in one POST: lines of one instant, such as a replayed burst. As many as the server's batch.
const POST_LINES_MAX: usize = 512;
/// Most bytes of texts in one POST, unless its only line is larger: well below what the server takes.
const POST_BYTES_MAX: usize = 1 << 20;
/// Silence after which the connection is replaced: servers close idle connections after 5 s and more, and a request
/// sent into that close is lost.
const IDLE_MAX: Duration = Duration::from_secs(2);
/// Time before the line after a silence at which the new connection is opened.
const REOPEN_LEAD: Duration = Duration::from_millis(200);
/// Longest wait for the last answers after the last request.
const ANSWERS_MAX: Duration = Duration::from_secs(10);
/// Sleep of a request that waits for its turn, before it looks again.
const TURN_NAP: Duration = Duration::from_micros(100);
/// Sleep between looks at a server that takes one request at a time. Once it has answered and closed, the next
/// connection is opened, before the next line is due.
const ANSWER_NAP: Duration = Duration::from_millis(1);
/// Longest sleep before the publisher looks whether to stop.
const NAP_MAX: Duration = Duration::from_millis(100);

/// Server and log to which lines are appended.
#[derive(Debug, Clone)]
pub struct PublisherTarget {
    /// Address of the server.
    pub addr: SocketAddr,
    /// Way to the server. A delay line adds nothing to it.
    pub route: Route,
    /// The server: its name, its TLS, and the token that it asks for.
    pub server: ServerUrl,
    /// Form of an append on that server.
    pub append: Append,
}

/// Form of an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Append {
    /// `POST …/lines`: lines of one instant together, answered with their seqs.
    Contract {
        /// Path of the deployment's `lines`.
        path: String,
    },
    /// The request that a profile describes: one per line, answered with any 2xx.
    Profile {
        /// Description of the request.
        publish: PublishRequest,
        /// Name that replaces `{deployment}` in the request.
        deployment: String,
    },
}

impl Append {
    fn lines_max(&self) -> usize {
        match self {
            Self::Contract { .. } => POST_LINES_MAX,
            Self::Profile { .. } => 1,
        }
    }

    fn pipelining(&self) -> Pipelining {
        match self {
            Self::Contract { .. } => Pipelining::Pipelined,
            Self::Profile { publish, .. } => publish.pipelining,
        }
    }
}

/// Lines to append, with their due times.
#[derive(Debug, Clone, PartialEq)]
pub struct Publication {
    /// Lines with their due times, counted from `start`; never decreasing. The first gets seq 1.
    pub lines: Arc<[(Duration, NewLine)]>,
    /// Instant that due times count from.
    pub start: Instant,
    /// Warm-up: lines due earlier are sent, but not measured.
    pub warm_up: Duration,
}

/// Outcome of a publication.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Published {
    /// Lateness, actual send − due time, per measured line: the harness's own timing error.
    pub send_lateness: LatencyHistogram,
    /// Time to append, send → 201, per measured line: the store's share. Where a request has to wait for the previous
    /// answer, that wait is included. So is the time to connect again, if the line is due by then.
    pub append: LatencyHistogram,
    /// Lines that the server acknowledged, with the seqs that were expected.
    pub lines_acknowledged: u64,
    /// Connections used: more than one after long silences, or if the server closes after each answer.
    pub connections_opened: u64,
    /// Cost of the publisher's threads, which have ended. `None` where the system does not tell.
    pub cost: Option<ThreadCost>,
    /// Problem that ended the publication; nothing was sent after it.
    pub problem: Option<String>,
}

/// A publication under way. Dropping it lets the thread go on to its end.
#[derive(Debug)]
pub struct Publisher {
    thread: JoinHandle<Published>,
}

impl Publisher {
    /// Connects, then publishes on a thread of its own. Fails if the server cannot be reached.
    pub fn start(target: PublisherTarget, publication: Publication) -> io::Result<Self> {
        let connection = Connection::open(&target)?;
        let thread = thread::Builder::new()
            .name("publisher".to_owned())
            .spawn(move || Task { target }.publish(&publication, connection))?;
        Ok(Self { thread })
    }

    /// Returns whether [`Self::join`] would return at once.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits until everything is sent and answered, and returns the outcome; blocks.
    pub fn join(self) -> Published {
        self.thread.join().expect("the publisher's thread has no panic")
    }
}

/// Work of the publisher's thread.
struct Task {
    target: PublisherTarget,
}

impl Task {
    fn publish(&self, publication: &Publication, mut connection: Connection) -> Published {
        os::fine_timers();
        let cost = Some(ThreadCost::default());
        let mut published = Published { connections_opened: 1, cost, ..Published::default() };
        if let Err(problem) = self.send_all(publication, &mut connection, &mut published) {
            published.fails_with(problem);
        }
        published.add(connection.finish(ANSWERS_MAX));
        published.cost = published.cost.zip(ThreadCost::of_this_thread()).map(|(readers, own)| readers + own);
        published
    }

    /// Sends every line when it is due. Ends early if nothing more can be sent.
    fn send_all(
        &self,
        publication: &Publication,
        connection: &mut Connection,
        published: &mut Published,
    ) -> Result<(), String> {
        let mut last_use = Instant::now();
        let mut first: Seq = 1;
        let posts = Posts { lines: &publication.lines, lines_max: self.target.append.lines_max() };
        for lines in posts {
            let (due_offset, _) = lines[0];
            let due = publication.start + due_offset;
            if !self.sleep_until(due - REOPEN_LEAD, connection, published)? {
                break;
            }
            // While requests are unanswered the server is slow, not idle, and keeps the connection.
            let idle = due.saturating_duration_since(last_use) > IDLE_MAX || connection.is_closed();
            if idle && connection.is_answered() {
                self.reopen(connection, published)?;
            }
            // Encoded before the sleep: at the due time there is nothing left to do but write.
            let request = encode(&self.target, lines.iter().map(|(_, line)| line));
            if !self.sleep_until(due, connection, published)? {
                break;
            }
            let lines_count = lines.len() as u64;
            let measured = due_offset >= publication.warm_up;
            let free_since = match self.target.append.pipelining() {
                Pipelining::Pipelined => None,
                Pipelining::OneAtATime => self.wait_for_turn(connection, published)?,
            };
            let sent = Instant::now();
            let lateness = lateness(due, free_since, sent);
            let asked = due + lateness;
            let post = Post { first, last: first + lines_count - 1, asked, measured };
            connection.send(post, &request)?;
            if measured {
                published.send_lateness.record_n(lateness, lines_count);
            }
            first += lines_count;
            last_use = sent;
        }
        Ok(())
    }

    /// Waits until everything is answered and the connection takes one more request. Returns since when the server took
    /// it; `None`: nothing was in the way.
    fn wait_for_turn(
        &self,
        connection: &mut Connection,
        published: &mut Published,
    ) -> Result<Option<Instant>, String> {
        let began = Instant::now();
        while !connection.is_answered() {
            if connection.has_failed() || connection.is_closed() && !connection.is_answered() {
                return Err("a request got no answer".to_owned());
            }
            if began.elapsed() > ANSWERS_MAX {
                return Err(format!("a request was not answered within {} s", ANSWERS_MAX.as_secs()));
            }
            thread::sleep(TURN_NAP);
        }
        if connection.is_closed() {
            self.reopen(connection, published)?;
        }
        Ok(connection.free_since())
    }

    /// Replaces a connection on which everything is answered.
    fn reopen(&self, connection: &mut Connection, published: &mut Published) -> Result<(), String> {
        let fresh = Connection::open_after(&self.target, connection.free_since())
            .map_err(|error| format!("cannot connect again: {error}"))?;
        let old = std::mem::replace(connection, fresh);
        published.add(old.finish(ANSWERS_MAX));
        published.connections_opened += 1;
        Ok(())
    }

    /// Sleeps to an absolute deadline, so that lateness does not add up. Meanwhile replaces a connection that the
    /// server closed after an answer, if it closes after each. Returns false if the publisher must stop, or nothing
    /// more can be sent.
    fn sleep_until(
        &self,
        deadline: Instant,
        connection: &mut Connection,
        published: &mut Published,
    ) -> Result<bool, String> {
        loop {
            if connection.has_failed() {
                return Ok(false);
            }
            // A connection that was never used is left alone: a server that closes those would be connected to without
            // end.
            let may_close = match self.target.append.pipelining() {
                Pipelining::Pipelined => false,
                Pipelining::OneAtATime => connection.is_used(),
            };
            if may_close && connection.is_answered() && connection.is_closed() {
                self.reopen(connection, published)?;
                continue;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(true);
            }
            thread::sleep(left.min(if may_close { ANSWER_NAP } else { NAP_MAX }));
        }
    }
}

/// Returns how late the harness itself sent a line. A server that takes one request at a time makes others wait. That
/// wait is the server's time, up to the moment from which it would have taken this request.
fn lateness(due: Instant, free_since: Option<Instant>, sent: Instant) -> Duration {
    sent.saturating_duration_since(free_since.map_or(due, |free_since| free_since.max(due)))
}

impl Published {
    fn add(&mut self, answers: Answers) {
        self.append.merge(&answers.append);
        self.lines_acknowledged += answers.lines_acknowledged;
        self.cost = self.cost.zip(answers.cost).map(|(all, more)| all + more);
        if let Some(problem) = answers.problem {
            // What the server said explains a failed write, not the other way round.
            self.problem = Some(problem);
        }
    }

    fn fails_with(&mut self, problem: String) {
        self.problem.get_or_insert(problem);
    }
}

/// Iterator that groups lines into requests: lines due at the same instant share one, within bounds.
struct Posts<'a> {
    lines: &'a [(Duration, NewLine)],
    lines_max: usize,
}

impl<'a> Iterator for Posts<'a> {
    type Item = &'a [(Duration, NewLine)];

    fn next(&mut self) -> Option<Self::Item> {
        let (due, _) = self.lines.first()?;
        let lines_max = self.lines_max;
        let mut bytes = 0;
        let fits = |(index, (line_due, line)): &(usize, &(Duration, NewLine))| {
            bytes += line.text.len();
            *index == 0 || (line_due == due && *index < lines_max && bytes <= POST_BYTES_MAX)
        };
        let count = self.lines.iter().enumerate().take_while(fits).count();
        let (post, rest) = self.lines.split_at(count);
        self.lines = rest;
        Some(post)
    }
}

#[cfg(test)]
mod tests;
