//! The ceiling: a server that does nothing but what the wire asks for, in one thread, with answers made beforehand.
//! scripts/bench measures it beside wirelab, as the most that one core can reach. It keeps no promise of wirelab's: no
//! store, no bound of a request's time, no heartbeat, no resumption after its window.
//!
//! `ceiling [--writes one-write] [--envelope wirelab]` listens on a free port of 127.0.0.1, prints it, and ends with its
//! stdin.

mod connection;
mod feed;
mod log;
mod request;

use std::error::Error;
use std::io::ErrorKind;
use std::{io, process, thread};

use clap::Parser;
use connection::{Connection, Fate, Writes};
use feed::Envelope;
use log::Log;
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};

const LISTENER: Token = Token(usize::MAX);
/// Events of one turn of the loop.
const EVENTS: usize = 1024;
/// What is read at once.
const READ_BYTES: usize = 64 << 10;
/// More connections than descriptors that a process is given here.
const CONNECTIONS_MAX: usize = 60_000;

#[derive(Parser)]
#[command(about = "Serves one log over raw sockets: the ceiling that scripts/bench compares servers with")]
struct Options {
    /// How pending lines are written to a stream
    #[arg(long, value_enum, default_value = "coalesced")]
    writes: Writes,
    /// What is around each line of a stream
    #[arg(long, value_enum, default_value = "bare")]
    envelope: Envelope,
}

fn main() -> Result<(), Box<dyn Error>> {
    let Options { writes, envelope } = Options::parse();
    let mut listener = TcpListener::bind("127.0.0.1:0".parse()?)?;
    println!("listening on http://{}", listener.local_addr()?);
    thread::spawn(|| {
        // Whoever started this server ends it by closing its stdin, also when that program was killed.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        process::exit(0);
    });
    let poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    Server { listener, poll, writes, connections: Vec::new(), free: Vec::new(), log: Log::new(envelope) }
        .run()
}

struct Server {
    listener: TcpListener,
    poll: Poll,
    writes: Writes,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    log: Log,
}

impl Server {
    fn run(mut self) -> Result<(), Box<dyn Error>> {
        let mut events = Events::with_capacity(EVENTS);
        let mut buffer = vec![0; READ_BYTES];
        loop {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                done => done?,
            }
            let lines = self.log.lines();
            for event in &events {
                match event.token() {
                    LISTENER => self.accept()?,
                    Token(index) => {
                        if event.is_readable() {
                            self.with(index, |connection, log, _| connection.read(&mut buffer, log));
                        }
                        if event.is_writable() {
                            self.with(index, Connection::deliver);
                        }
                    }
                }
            }
            if self.log.lines() > lines {
                for index in 0..self.connections.len() {
                    self.with(index, Connection::deliver);
                }
            }
        }
    }

    fn with(&mut self, index: usize, act: impl FnOnce(&mut Connection, &mut Log, Writes) -> Fate) {
        let Some(connection) = &mut self.connections[index] else { return };
        if act(connection, &mut self.log, self.writes) == Fate::Closed {
            self.connections[index] = None;
            self.free.push(index);
        }
    }

    fn accept(&mut self) -> Result<(), Box<dyn Error>> {
        loop {
            let mut socket = match self.listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                // The client is gone again.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(format!("accept: {error}; raise the limit with ulimit -n").into()),
            };
            if self.connections.len() - self.free.len() >= CONNECTIONS_MAX {
                continue;
            }
            socket.set_nodelay(true)?;
            let index = self.free.pop().unwrap_or(self.connections.len());
            self.poll.registry().register(
                &mut socket,
                Token(index),
                Interest::READABLE | Interest::WRITABLE,
            )?;
            let connection = Some(Connection::new(socket));
            match self.connections.get_mut(index) {
                Some(place) => *place = connection,
                None => self.connections.push(connection),
            }
        }
    }
}
