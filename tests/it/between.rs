//! A liar between a client and the real server: some requests get a canned answer, or lose the real one.
//!
//! One request per connection; all others pass. Unlike `proxy`, it knows which request it sees.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use crate::http::Api;

/// What happens to the requests that are lied to.
#[derive(Debug, Clone)]
pub(crate) enum Lie {
    /// The server never hears of them.
    Answer(String),
    /// The server answers, and its answer is lost.
    Swallow,
    /// The server answers, and its answer never comes, though the connection stays.
    Withhold,
}

/// A request, as it was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) head: String,
    pub(crate) at: Instant,
}

impl Asked {
    /// The value of a field, if it is there.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let field = |line: &'_ str| line.split_once(": ").is_some_and(|(n, _)| n.eq_ignore_ascii_case(name));
        self.head.lines().find(|line| field(line))?.split_once(": ").map(|(_, value)| value)
    }
}

/// Accepts until the process ends.
pub(crate) struct Between {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Between {
    /// Lies to the first `times` requests whose first line begins and ends like `line`, a method and the end of a path.
    pub(crate) fn start(upstream: &Api, line: (&'static str, &'static str), times: usize, lie: Lie) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port exists");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (upstream, shared) = (upstream.authority.clone(), asked.clone());
        thread::spawn(move || {
            let mut lies = 0;
            for client in listener.incoming().map_while(Result::ok) {
                let Some((head, body)) = request(&client) else { continue };
                shared
                    .lock()
                    .expect("no holder panics")
                    .push(Asked { head: head.clone(), at: Instant::now() });
                let first = head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1");
                let is_meant = first.starts_with(line.0) && first.ends_with(line.1) && lies < times;
                lies += usize::from(is_meant);
                let lie = is_meant.then(|| lie.clone());
                let upstream = upstream.clone();
                thread::spawn(move || answer(client, &upstream, &head, &body, lie));
            }
        });
        Self { url, asked }
    }

    /// The requests whose first line begins and ends so.
    pub(crate) fn asked(&self, begins: &str, ends: &str) -> Vec<Asked> {
        let asked = self.asked.lock().expect("no holder panics");
        let first = |asked: &Asked| asked.head.lines().next().unwrap_or_default().to_owned();
        let is_meant =
            |line: String| line.starts_with(begins) && line.trim_end_matches(" HTTP/1.1").ends_with(ends);
        asked.iter().filter(|asked| is_meant(first(asked))).cloned().collect()
    }
}

fn request(client: &TcpStream) -> Option<(String, Vec<u8>)> {
    let mut reader = BufReader::new(client);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}

fn answer(mut client: TcpStream, upstream: &str, head: &str, body: &[u8], lie: Option<Lie>) {
    if let Some(Lie::Answer(answer)) = &lie {
        let _ = client.write_all(answer.as_bytes());
        return;
    }
    let Ok(mut server) = TcpStream::connect(upstream) else { return };
    let head = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    let mut answer = Vec::new();
    let passed =
        server.write_all(&[head.as_bytes(), body].concat()).and_then(|()| server.read_to_end(&mut answer));
    match lie {
        None if passed.is_ok() => drop(client.write_all(&answer)),
        // Until the client has enough.
        Some(Lie::Withhold) => drop(client.read(&mut [0])),
        None | Some(Lie::Swallow | Lie::Answer(_)) => {}
    }
}
