//! The one publisher of a run: open loop, a line per POST, up to 64 of them unanswered on one connection. The run drives
//! it. A line that waits for its turn keeps its intended time.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use mio::net::TcpStream;

use crate::answers::answer;
use crate::lines::text;

/// Requests on their way: what keeps a pipeline full on one machine, and a bound.
const PIPELINED_MAX: u64 = 64;

/// How lines are put into requests.
pub(crate) struct Form {
    pub(crate) head: String,
    /// With `{text}` where the line goes.
    pub(crate) body: String,
    pub(crate) text_bytes: usize,
}

pub(crate) struct Publisher {
    pub(crate) socket: TcpStream,
    form: Form,
    start: Instant,
    interval: Duration,
    /// Lines to publish.
    total: u64,
    sent: u64,
    answered: u64,
    output: VecDeque<u8>,
    input: Vec<u8>,
}

impl Publisher {
    pub(crate) fn new(socket: TcpStream, form: Form, start: Instant, interval: Duration, total: u64) -> Self {
        Self {
            socket,
            form,
            start,
            interval,
            total,
            sent: 0,
            answered: 0,
            output: VecDeque::new(),
            input: Vec::new(),
        }
    }

    /// When line `number` is due; the first one is 1.
    pub(crate) fn due(start: Instant, interval: Duration, number: u64) -> Instant {
        start + interval.mul_f64((number - 1) as f64)
    }

    /// When the next line is due, or nothing when all are sent or too many wait for their answer.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let may = self.sent < self.total && self.sent - self.answered < PIPELINED_MAX;
        may.then(|| Self::due(self.start, self.interval, self.sent + 1))
    }

    pub(crate) fn answered(&self) -> u64 {
        self.answered
    }

    /// Sends what is due by `now`.
    pub(crate) fn send(&mut self, now: Instant) -> Result<(), String> {
        while self.next_due().is_some_and(|due| due <= now) {
            self.sent += 1;
            let body = self.form.body.replace("{text}", &text(self.sent, self.form.text_bytes));
            let head = &self.form.head;
            self.output.extend(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).as_bytes());
        }
        while !self.output.is_empty() {
            match self.socket.write(self.output.make_contiguous()) {
                Ok(written) => drop(self.output.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(format!("the publisher cannot send: {error}")),
            }
        }
        Ok(())
    }

    /// Reads answers.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<(), String> {
        loop {
            match self.socket.read(buffer) {
                Ok(0) => return Err("the server closed the publisher's connection".into()),
                Ok(read) => self.input.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(format!("the publisher cannot read: {error}")),
            }
        }
        let mut used = 0;
        while let Some(answer) = answer(&self.input[used..])? {
            if !(200..300).contains(&answer.status) {
                let said = String::from_utf8_lossy(answer.body);
                return Err(format!("the server refused a line with {}: {said}", answer.status));
            }
            used += answer.bytes;
            self.answered += 1;
        }
        self.input.drain(..used);
        Ok(())
    }
}
