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
    let answers = answers.to_vec();
    let (authority, asked) = answering(move |n, _| {
        let answer = answers.get(n)?.clone();
        thread::sleep(delay);
        Some(answer)
    });
    (follower(&authority, transport, options), asked)
}

/// A server that gives the n-th connection, which asked with this head, what `answer` says, and closes it; the requests
/// that it got. With `None` the connection is told and closed without an answer: the test must see it.
pub(crate) fn answering(
    answer: impl Fn(usize, &str) -> Option<String> + Send + 'static,
) -> (String, mpsc::Receiver<Asked>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let (requests, asked) = mpsc::channel();
    thread::spawn(move || {
        for n in 0.. {
            let Ok((socket, _)) = listener.accept() else { return };
            let request = request(&socket);
            let answer = answer(n, &request.head);
            // Not every test looks at the requests.
            let _ = requests.send(request);
            if let Some(answer) = answer {
                let _ = (&socket).write_all(answer.as_bytes());
            }
        }
    });
    (authority, asked)
}

/// A subscriber of a deployment there.
pub(crate) fn follower(authority: &str, transport: Transport, options: &Options) -> Box<dyn Subscriber> {
    let server = format!("http://{authority}").parse().unwrap();
    let target = Target { server, deployment: "01k3aaaa".parse().unwrap(), from: Position::Start };
    connect(transport, target, options, Meter::new())
}

fn request(socket: &TcpStream) -> Asked {
    let mut head = String::new();
    let mut reader = BufReader::new(socket);
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
    Asked { head, at: Instant::now() }
}
