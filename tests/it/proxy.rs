//! A TCP proxy that does one thing wrong, between a client and the real server.
//!
//! One thread per direction. Connections end with the two ends; nothing is kept for later.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use rand::RngExt;

use crate::http::Api;

/// What the proxy does to what passes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// Every byte of an answer leaves alone. No fault of a server: any network may do it.
    SplitsEveryByte,
    /// The server never learns that a client has gone.
    HidesDisconnects,
    /// Refusals become `200 OK`.
    AnswersOk,
    /// Every connection is cut after a random number of bytes of its answers, below this.
    Cuts(usize),
}

/// A proxy; it accepts until the process ends.
pub(crate) struct Proxy {
    api: Api,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    cuts: AtomicUsize,
    /// Nothing is cut meanwhile.
    is_sparing: AtomicBool,
}

impl Proxy {
    pub(crate) fn start(upstream: &Api, fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port exists");
        let authority = listener.local_addr().expect("it is bound").to_string();
        let upstream = upstream.authority.clone();
        let state: Arc<State> = Arc::default();
        let shared = state.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(&upstream) else { return };
                pass(client, server, fault, shared.clone());
            }
        });
        Self { api: Api::new(authority), state }
    }

    /// Connections that were cut so far.
    pub(crate) fn cuts(&self) -> usize {
        self.state.cuts.load(Ordering::Relaxed)
    }

    /// Cuts nothing while `action` runs, on no connection.
    #[allow(dead_code, reason = "only a browser has a page to load first")]
    pub(crate) fn spare<T>(&self, action: impl FnOnce() -> T) -> T {
        self.state.is_sparing.store(true, Ordering::Relaxed);
        let done = action();
        self.state.is_sparing.store(false, Ordering::Relaxed);
        done
    }

    /// The server, seen through the proxy.
    pub(crate) fn api(&self) -> Api {
        self.api.clone()
    }
}

fn pass(client: TcpStream, server: TcpStream, fault: Fault, state: Arc<State>) {
    client.set_nodelay(true).expect("an open socket can be set");
    server.set_nodelay(true).expect("an open socket can be set");
    let (mut up_from, mut up_to) = (
        client.try_clone().expect("descriptors are left"),
        server.try_clone().expect("descriptors are left"),
    );
    thread::spawn(move || {
        let mut buffer = [0; 65_536];
        while let Ok(count @ 1..) = up_from.read(&mut buffer) {
            if up_to.write_all(&buffer[..count]).is_err() {
                return;
            }
        }
        match fault {
            Fault::HidesDisconnects => {}
            Fault::SplitsEveryByte | Fault::AnswersOk | Fault::Cuts(_) => {
                let _ = up_to.shutdown(Shutdown::Both);
            }
        }
    });
    let (mut down_from, mut down_to) = (server, client);
    let mut left = match fault {
        Fault::Cuts(bytes_max) => rand::rng().random_range(0..bytes_max),
        Fault::SplitsEveryByte | Fault::HidesDisconnects | Fault::AnswersOk => usize::MAX,
    };
    thread::spawn(move || {
        let mut buffer = [0; 65_536];
        while let Ok(count @ 1..) = down_from.read(&mut buffer) {
            let bytes = &buffer[..count];
            let written = match fault {
                Fault::SplitsEveryByte => bytes.iter().try_for_each(|byte| down_to.write_all(&[*byte])),
                Fault::HidesDisconnects => {
                    // A client that is gone is no reason to tell the server.
                    let _ = down_to.write_all(bytes);
                    Ok(())
                }
                Fault::AnswersOk => down_to.write_all(&answered_ok(bytes)),
                Fault::Cuts(_) if state.is_sparing.load(Ordering::Relaxed) => down_to.write_all(bytes),
                Fault::Cuts(_) => {
                    let passed = bytes.len().min(left);
                    left -= passed;
                    let written = down_to.write_all(&bytes[..passed]);
                    if passed < bytes.len() {
                        state.cuts.fetch_add(1, Ordering::Relaxed);
                        break;
                    }
                    written
                }
            };
            if written.is_err() {
                break;
            }
        }
        let _ = down_to.shutdown(Shutdown::Both);
        match fault {
            Fault::HidesDisconnects => {}
            Fault::SplitsEveryByte | Fault::AnswersOk | Fault::Cuts(_) => {
                let _ = down_from.shutdown(Shutdown::Both);
            }
        }
    });
}

/// A refusal's status line, if these bytes begin with one, replaced.
fn answered_ok(bytes: &[u8]) -> Vec<u8> {
    let line_end = bytes.iter().position(|byte| *byte == b'\r');
    match line_end {
        Some(end) if bytes.starts_with(b"HTTP/1.1 4") => [b"HTTP/1.1 200 OK", &bytes[end..]].concat(),
        _ => bytes.to_vec(),
    }
}
