//! One subscriber: a stream that is only read, or long polls one after another. The run drives it. It keeps no line: it
//! counts them.

use std::io::{ErrorKind, Read, Write};

use mio::net::TcpStream;

use crate::answers::{answer, head};
use crate::lines::Seen;

/// How lines reach a subscriber.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Wire {
    /// An answer that does not end: server-sent events or NDJSON.
    Stream,
    Websocket,
    LongPoll,
}

/// What a poll gives back of the answer before it.
#[derive(Clone, Debug)]
pub(crate) struct Resume {
    /// The field of an answer.
    pub(crate) take: String,
    pub(crate) send: Send,
}

#[derive(Clone, Debug)]
pub(crate) enum Send {
    Header(String),
    Query(String),
}

/// What all subscribers of a run ask for.
pub(crate) struct Asking {
    pub(crate) wire: Wire,
    pub(crate) authority: String,
    pub(crate) path: String,
    pub(crate) fields: String,
    pub(crate) resumes: Vec<Resume>,
}

impl Asking {
    /// The request, with `positions` of the answer before it.
    fn request(&self, positions: &[String]) -> String {
        let mut path = self.path.clone();
        let mut fields = String::new();
        for (resume, position) in self.resumes.iter().zip(positions) {
            match &resume.send {
                Send::Header(name) => fields += &format!("{name}: {position}\r\n"),
                Send::Query(name) => {
                    let sign = if path.contains('?') { '&' } else { '?' };
                    path += &format!("{sign}{name}={}", position.trim_matches('"'));
                }
            }
        }
        let upgrade = match self.wire {
            Wire::Websocket => {
                "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                 sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            }
            Wire::Stream | Wire::LongPoll => "",
        };
        format!("GET {path} HTTP/1.1\r\nhost: {}\r\n{upgrade}{}{fields}\r\n", self.authority, self.fields)
    }
}

pub(crate) struct Subscriber {
    pub(crate) socket: TcpStream,
    pub(crate) seen: Seen,
    /// Answers that were read, of polls.
    pub(crate) answers: u64,
    /// Of a stream: whether its head has come.
    pub(crate) is_open: bool,
    /// An answer whose rest is still to come.
    input: Vec<u8>,
    /// Of the last answer that had some, one for each of the asking's resumes.
    positions: Vec<String>,
}

impl Subscriber {
    pub(crate) fn new(socket: TcpStream) -> Self {
        Self {
            socket,
            seen: Seen::default(),
            answers: 0,
            is_open: false,
            input: Vec::new(),
            positions: Vec::new(),
        }
    }

    pub(crate) fn ask(&mut self, asking: &Asking) -> Result<(), String> {
        let request = asking.request(&self.positions);
        match self.socket.write(request.as_bytes()) {
            Ok(written) if written == request.len() => Ok(()),
            Ok(_) => Err("a socket took a part of a request only".into()),
            Err(error) => Err(format!("a subscriber cannot ask: {error}")),
        }
    }

    /// Reads all that there is; gives the numbers of new lines to `heard` after each read.
    pub(crate) fn read(
        &mut self,
        asking: &Asking,
        buffer: &mut [u8],
        mut heard: impl FnMut(std::ops::Range<u64>),
    ) -> Result<(), String> {
        loop {
            let read = match self.socket.read(buffer) {
                Ok(0) => return Err("the server closed a subscriber's connection".into()),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(format!("a subscriber cannot read: {error}")),
            };
            match asking.wire {
                Wire::Stream | Wire::Websocket if self.is_open => heard(self.seen.scan(&buffer[..read])),
                Wire::Stream | Wire::Websocket => self.open(asking.wire, &buffer[..read], &mut heard)?,
                Wire::LongPoll => self.poll(asking, &buffer[..read], &mut heard)?,
            }
            // A short read has emptied the socket: the selector reports what comes next.
            if read < buffer.len() {
                return Ok(());
            }
        }
    }

    fn open(
        &mut self,
        wire: Wire,
        new: &[u8],
        heard: &mut impl FnMut(std::ops::Range<u64>),
    ) -> Result<(), String> {
        self.input.extend_from_slice(new);
        let input = std::mem::take(&mut self.input);
        let Some((status, _, head)) = head(&input)? else {
            self.input = input;
            return Ok(());
        };
        let wanted = if wire == Wire::Websocket { 101 } else { 200 };
        if status != wanted {
            return Err(format!("the server answered a subscriber with {status}, not {wanted}"));
        }
        self.is_open = true;
        heard(self.seen.scan(&input[head..]));
        Ok(())
    }

    fn poll(
        &mut self,
        asking: &Asking,
        new: &[u8],
        heard: &mut impl FnMut(std::ops::Range<u64>),
    ) -> Result<(), String> {
        let mut kept = std::mem::take(&mut self.input);
        let input = if kept.is_empty() {
            new
        } else {
            kept.extend_from_slice(new);
            kept.as_slice()
        };
        let Some(answer) = answer(input)? else {
            self.input = if kept.is_empty() { new.to_vec() } else { kept };
            return Ok(());
        };
        if answer.bytes < input.len() {
            return Err("the server sent more than one answer to a poll".into());
        }
        if !matches!(answer.status, 200 | 204 | 304 | 408) {
            return Err(format!("the server answered a poll with {}", answer.status));
        }
        self.answers += 1;
        heard(self.seen.scan(answer.body));
        let positions: Vec<_> = asking
            .resumes
            .iter()
            .filter_map(|resume| {
                let found = answer.fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(&resume.take))?;
                Some(String::from_utf8_lossy(found.1).into_owned())
            })
            .collect();
        if answer.status == 200 && positions.len() < asking.resumes.len() {
            return Err("an answer to a poll does not say where the next one begins".into());
        }
        if positions.len() == asking.resumes.len() {
            self.positions = positions;
        }
        self.ask(asking)
    }
}
