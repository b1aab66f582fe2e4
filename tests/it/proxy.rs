//! A TCP proxy with one fault, between a client and the real server.
//!
//! One thread per direction. A connection ends with its two ends, and no state outlives it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use rand::RngExt;

use crate::http::Api;

/// What the proxy does to what passes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// Nothing: everything passes.
    None,
    /// Every byte of an answer leaves alone. No fault of a server: any network may do it.
    SplitsEveryByte,
    /// The server never learns that a client has gone.
    HidesDisconnects,
    /// Refusals become `200 OK`.
    AnswersOk,
    /// Every connection is cut after a random number of bytes of its answers, below this.
    Cuts(usize),
    /// The first connection is cut after this many bytes of its answers.
    CutsTheFirst(usize),
    /// Whatever the server sends is taken at once and kept until the client wants it.
    Queues,
    /// While one client does not read, nobody gets more than a little.
    WritesToOneAtATime,
    /// Answers have a header that the server did not send.
    AddsAHeader,
    /// The first connection is refused with 503, and the server never hears of it.
    RefusesTheFirst,
    /// As many connections are closed without a word.
    DropsTheFirst(usize),
    /// Event streams are kept until they end: a middlebox that looks at whole answers.
    HoldsStreamsBack,
    /// Event streams are called plain text.
    MislabelsStreams,
    /// The first event stream is cut after this many bytes, every later one at its head.
    CutsStreams(usize),
}

/// A proxy; it accepts until the process ends.
pub(crate) struct Proxy {
    api: Api,
    shared: Arc<Shared>,
}

/// What the connections of one proxy have in common.
#[derive(Default)]
struct Shared {
    cuts: AtomicUsize,
    streams: AtomicUsize,
    /// Nothing is cut meanwhile.
    is_sparing: AtomicBool,
    writing: Mutex<()>,
}

impl Proxy {
    pub(crate) fn start(upstream: &Api, fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port exists");
        Self::at(listener, upstream, fault)
    }

    /// A proxy that listens there, perhaps in another network than the server.
    pub(crate) fn at(listener: TcpListener, upstream: &Api, fault: Fault) -> Self {
        let authority = listener.local_addr().expect("it is bound").to_string();
        let upstream = upstream.authority.clone();
        let shared: Arc<Shared> = Arc::default();
        let counted = shared.clone();
        thread::spawn(move || {
            for (i, mut client) in listener.incoming().map_while(Result::ok).enumerate() {
                let fault = match fault {
                    Fault::CutsTheFirst(_) if i > 0 => Fault::None,
                    Fault::RefusesTheFirst if i > 0 => Fault::None,
                    Fault::DropsTheFirst(count) if i >= count => Fault::None,
                    Fault::DropsTheFirst(_) => continue,
                    Fault::RefusesTheFirst => {
                        // Read first: a socket that is closed with bytes unread is reset.
                        let _ = client.read(&mut [0; 65_536]);
                        let _ = client.write_all(REFUSAL);
                        continue;
                    }
                    fault => fault,
                };
                let Ok(server) = TcpStream::connect(&upstream) else { return };
                pass(client, server, fault, counted.clone());
            }
        });
        Self { api: Api::new(authority), shared }
    }

    /// Connections that were cut so far.
    pub(crate) fn cuts(&self) -> usize {
        self.shared.cuts.load(Ordering::Relaxed)
    }

    /// Cuts nothing while `action` runs, on no connection.
    #[allow(dead_code, reason = "only a browser has a page to load first")]
    pub(crate) fn spare<T>(&self, action: impl FnOnce() -> T) -> T {
        self.shared.is_sparing.store(true, Ordering::Relaxed);
        let done = action();
        self.shared.is_sparing.store(false, Ordering::Relaxed);
        done
    }

    /// The server, seen through the proxy.
    pub(crate) fn api(&self) -> Api {
        self.api.clone()
    }
}

/// What passes all the same: answers of the regular API, such as counters.
const A_LITTLE_BYTES: usize = 16 << 10;

/// Closed by whoever sends it, so that it needs no length; tungstenite wants one all the same.
const REFUSAL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 0\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

fn pass(client: TcpStream, server: TcpStream, fault: Fault, shared: Arc<Shared>) {
    client.set_nodelay(true).expect("an open socket can be set");
    server.set_nodelay(true).expect("an open socket can be set");
    let (up_from, up_to) = (
        client.try_clone().expect("descriptors are left"),
        server.try_clone().expect("descriptors are left"),
    );
    thread::spawn(move || pass_up(up_from, up_to, fault));
    thread::spawn(move || pass_down(server, client, fault, &shared));
}

fn pass_up(mut from: TcpStream, mut to: TcpStream, fault: Fault) {
    let mut buffer = [0; 65_536];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
    if !matches!(fault, Fault::HidesDisconnects) {
        let _ = to.shutdown(Shutdown::Both);
    }
}

fn pass_down(mut from: TcpStream, mut to: TcpStream, fault: Fault, shared: &Shared) {
    let mut left = match fault {
        Fault::Cuts(bytes_max) => rand::rng().random_range(0..bytes_max),
        Fault::CutsTheFirst(bytes) => bytes,
        _ => usize::MAX,
    };
    if matches!(fault, Fault::Queues) {
        let (queue, queued) = mpsc::channel::<Vec<u8>>();
        let mut queue_to = to.try_clone().expect("descriptors are left");
        thread::spawn(move || queued.into_iter().try_for_each(|bytes| queue_to.write_all(&bytes)));
        let mut buffer = [0; 65_536];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if queue.send(buffer[..count].to_vec()).is_err() {
                break;
            }
        }
        return;
    }
    let mut is_head = true;
    let mut is_stream = false;
    let mut held = Vec::new();
    let mut buffer = [0; 65_536];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let bytes = &buffer[..count];
        if is_head && bytes.windows(EVENT_STREAM.len()).any(|window| window == EVENT_STREAM) {
            is_stream = true;
            if let Fault::CutsStreams(first_bytes) = fault {
                let is_first = shared.streams.fetch_add(1, Ordering::Relaxed) == 0;
                left = if is_first { first_bytes } else { 0 };
            }
        }
        let written = match fault {
            Fault::HoldsStreamsBack if is_stream => {
                held.extend_from_slice(bytes);
                Ok(())
            }
            Fault::MislabelsStreams if is_stream && is_head => to.write_all(&mislabelled(bytes)),
            Fault::CutsStreams(_) if !is_stream => to.write_all(bytes),
            Fault::SplitsEveryByte => bytes.iter().try_for_each(|byte| to.write_all(&[*byte])),
            Fault::HidesDisconnects => {
                // A client that is gone is no reason to tell the server.
                let _ = to.write_all(bytes);
                Ok(())
            }
            Fault::AnswersOk => to.write_all(&answered_ok(bytes)),
            Fault::Cuts(_) if shared.is_sparing.load(Ordering::Relaxed) => to.write_all(bytes),
            Fault::Cuts(_) | Fault::CutsTheFirst(_) | Fault::CutsStreams(_) => {
                let passed = bytes.len().min(left);
                left -= passed;
                let written = to.write_all(&bytes[..passed]);
                if passed < bytes.len() {
                    shared.cuts.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                written
            }
            Fault::WritesToOneAtATime if count > A_LITTLE_BYTES => {
                let _writing = shared.writing.lock().expect("no holder panics");
                to.write_all(bytes)
            }
            Fault::AddsAHeader if is_head => to.write_all(&with_a_header(bytes)),
            Fault::None
            | Fault::AddsAHeader
            | Fault::Queues
            | Fault::RefusesTheFirst
            | Fault::DropsTheFirst(_)
            | Fault::HoldsStreamsBack
            | Fault::MislabelsStreams
            | Fault::WritesToOneAtATime => to.write_all(bytes),
        };
        is_head = false;
        if written.is_err() {
            break;
        }
    }
    let _ = to.write_all(&held);
    let _ = to.shutdown(Shutdown::Both);
    if !matches!(fault, Fault::HidesDisconnects) {
        let _ = from.shutdown(Shutdown::Both);
    }
}

const EVENT_STREAM: &[u8] = b"text/event-stream";

/// A head with another type, as long as the old one.
fn mislabelled(head: &[u8]) -> Vec<u8> {
    let at = head.windows(EVENT_STREAM.len()).position(|window| window == EVENT_STREAM).unwrap_or(head.len());
    [&head[..at], b"text/plain;q=0.50", head.get(at + EVENT_STREAM.len()..).unwrap_or_default()].concat()
}

/// A head with one more field, behind its status line.
fn with_a_header(bytes: &[u8]) -> Vec<u8> {
    let line_end = bytes.windows(2).position(|pair| pair == b"\r\n").map_or(bytes.len(), |at| at + 2);
    [&bytes[..line_end], b"x-passed: by\r\n", &bytes[line_end..]].concat()
}

/// A refusal's status line, if these bytes begin with one, replaced.
fn answered_ok(bytes: &[u8]) -> Vec<u8> {
    let line_end = bytes.iter().position(|byte| *byte == b'\r');
    match line_end {
        Some(end) if bytes.starts_with(b"HTTP/1.1 4") => [b"HTTP/1.1 200 OK", &bytes[end..]].concat(),
        _ => bytes.to_vec(),
    }
}
