//! A server with canned answers, for tests of what a client does with exactly these bytes.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use wirelab_clients::meter::Meter;
use wirelab_clients::wire::{Position, Transport};
use wirelab_clients::{Options, Subscriber, Target, connect};

/// A request that the server got.
pub(crate) struct Asked {
    pub(crate) head: String,
    pub(crate) at: Instant,
}

/// A subscriber of a server that gives the n-th connection the n-th answer and closes it; the requests it made.
pub(crate) fn answered(
    transport: Transport,
    options: &Options,
    answers: &[String],
) -> (Box<dyn Subscriber>, mpsc::Receiver<Asked>) {
    answered_after(Duration::ZERO, transport, options, answers)
}

/// The same by a server that is slow.
pub(crate) fn answered_after(
    delay: Duration,
    transport: Transport,
    options: &Options,
    answers: &[String],
) -> (Box<dyn Subscriber>, mpsc::Receiver<Asked>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let (requests, asked) = mpsc::channel();
    let answers = answers.to_vec();
    thread::spawn(move || {
        // Not every test looks at the requests.
        for answer in answers {
            let (socket, _) = listener.accept().unwrap();
            let _ = requests.send(request(&socket));
            thread::sleep(delay);
            let _ = (&socket).write_all(answer.as_bytes());
        }
        // A connection too many is accepted and told, not refused: the test must see it.
        while let Ok((socket, _)) = listener.accept() {
            let _ = requests.send(request(&socket));
        }
    });
    let target = Target { server, deployment: "01k3aaaa".parse().unwrap(), from: Position::Start };
    (connect(transport, target, options, Meter::new()), asked)
}

fn request(socket: &TcpStream) -> Asked {
    let mut head = String::new();
    let mut reader = BufReader::new(socket);
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
    Asked { head, at: Instant::now() }
}
