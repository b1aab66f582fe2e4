//! The publisher: open loop, on its own thread.
//!
//! It appends each line at its due time whatever the server does: requests are pipelined on one raw connection,
//! and no answer is ever waited for before the next is sent. A client library that waits, retries or opens a second
//! connection would close the loop, or reorder. Being the log's only writer, it knows each line's seq beforehand;
//! the answers are read by a second thread and checked against it.
//!
//! A server that refuses or goes away is a result, not a panic.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

mod answer;
mod connection;

use connection::{Answers, Connection, Post, encode};

use super::latency::LatencyHistogram;
use super::process_sampler::ThreadCost;
use crate::os;
use crate::targets::profile::{Pipelining, Publish};
use crate::wire::{NewLine, Seq};

/// Lines in one POST: lines of one instant, such as a replayed burst. As many as the server's batch.
const POST_LINES_MAX: usize = 512;
/// Bytes of one POST's body, unless its only line is larger: well below what the server takes.
const POST_BYTES_MAX: usize = 1 << 20;
/// A silence after which the connection is replaced: servers close idle ones after 5 s and more, and a request
/// sent into that close is lost.
const IDLE_MAX: Duration = Duration::from_secs(2);
/// How long before the line after a silence the new connection is opened.
const REOPEN_LEAD: Duration = Duration::from_millis(200);
/// How long to wait for the last answers after the last request.
const ANSWERS_MAX: Duration = Duration::from_secs(10);
/// How often a request that waits for its turn looks whether it is.
const TURN_NAP: Duration = Duration::from_micros(100);
/// How often a server that takes one request at a time is looked at, before the next is due: whether it has answered
/// and closed, so that the next connection is there in time.
const ANSWER_NAP: Duration = Duration::from_millis(1);
/// Longest sleep before looking whether the connection has failed.
const NAP_MAX: Duration = Duration::from_millis(100);

/// Where lines are appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublisherTarget {
    /// The server.
    pub addr: SocketAddr,
    /// The `Host` header.
    pub host: String,
    /// What an append is there.
    pub append: Append,
}

/// What an append is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Append {
    /// `POST …/lines`: lines of one instant together, answered with their seqs.
    Contract {
        /// The path of the deployment's `lines`.
        path: String,
    },
    /// What a profile says: a request per line, answered with any 2xx.
    Profile {
        /// The request.
        publish: Publish,
        /// What `{deployment}` stands for.
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

/// What to append, and when.
#[derive(Debug, Clone, PartialEq)]
pub struct Publication {
    /// Lines with their due times, counted from `start`; never decreasing. The first gets seq 1.
    pub lines: Arc<[(Duration, NewLine)]>,
    /// The instant that due times count from.
    pub start: Instant,
    /// Lines due earlier are sent, but are in no histogram.
    pub warm_up: Duration,
}

/// What became of a publication.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Published {
    /// Actual send − due time, per measured line: the harness's own fault.
    pub send_lateness: LatencyHistogram,
    /// Send → 201, per measured line: the store's share. Where a request has to wait for the answer before, that
    /// wait is in it, and so is connecting again after it if the line is due by then.
    pub append: LatencyHistogram,
    /// Lines that the server said it has, with the seqs that were expected.
    pub lines_acknowledged: u64,
    /// Connections used: more than one after long silences.
    pub connections_opened: u64,
    /// What its threads cost, which have ended. `None` where the system does not tell.
    pub cost: Option<ThreadCost>,
    /// The first thing that went wrong; nothing was sent after it.
    pub problem: Option<String>,
}

/// Lines being published. Dropping it lets the thread go on to its end.
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

    /// Whether [`Self::join`] would return at once.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits until everything is sent and answered; blocks.
    pub fn join(self) -> Published {
        self.thread.join().expect("the publisher's thread has no panic")
    }
}

/// The publisher's thread.
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
            // With requests unanswered the server is slow, not idle, and keeps the connection.
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

    /// Waits until everything is answered, on a connection that takes one more request. Since when the server let it;
    /// `None`: nothing was in the way.
    fn wait_for_turn(
        &self,
        connection: &mut Connection,
        published: &mut Published,
    ) -> Result<Option<Instant>, String> {
        let began = Instant::now();
        while !connection.is_answered() {
            if connection.has_failed() || connection.is_closed() && !connection.is_answered() {
                return Err("a request has no answer".to_owned());
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

    /// Sleeps to an absolute deadline, so that lateness does not add up. Meanwhile a connection that the server has
    /// closed after its answer is replaced, if it closes after each. False: nothing more can be sent.
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
            // One that was never used is left alone: a server that closes such ones would be connected to without end.
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

/// How late the harness itself sent a line. A server that takes one request at a time makes others wait: that is its
/// time, up to the moment from which it would have taken this one, and not a moment longer.
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

/// Groups lines into requests: lines due at the same instant share one, within bounds.
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
