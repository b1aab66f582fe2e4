//! X11: goodbye, with two thousand open connections.

use std::process::ExitStatus;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use wirelab::context::WebsocketEngine;
use wirelab_clients::os;
use wirelab_clients::wire::{DeploymentId, Transport, Wire};

use super::{Kept, in_memory};
use crate::http::{Answer, Api, CLOSE, Connection, PING, SOON, Socket, path, upgrade};
use crate::server::holds_within;

/// From the signal to the end of the process.
const GONE_MAX: Duration = Duration::from_secs(2);
/// When a server that is not gone is killed.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(4);
/// Descriptors that are no connections of this promise: what other tests have open at the same time.
const OTHER_DESCRIPTORS: u64 = 1_000;

/// One crowd at a time: a machine that serves six would be measured, not a server.
static CROWDS: Mutex<()> = Mutex::const_new(());

/// Who is there when the server goes, and how it is made to go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Goodbye {
    pub(crate) connections: usize,
    pub(crate) engine: WebsocketEngine,
    pub(crate) signals: &'static [Signal],
}

/// What operators do.
pub(crate) const SIGTERM_WITH_2000: Goodbye =
    Goodbye { connections: 2_000, engine: WebsocketEngine::Cursor, signals: &[Signal::SIGTERM] };

pub(crate) async fn x11_goodbye_reaches_everybody_in_under_two_seconds(
    transport: Transport,
    goodbye: &Goodbye,
) -> Kept {
    let _alone = CROWDS.lock().await;
    let goodbye = *goodbye;
    spawn_blocking(move || said(transport, goodbye)).await.map_err(|error| error.to_string())?
}

fn said(transport: Transport, goodbye: Goodbye) -> Kept {
    let descriptors = os::raise_open_files().unwrap_or(0);
    if descriptors < goodbye.connections as u64 + OTHER_DESCRIPTORS {
        return Err(format!(
            "this process may open {descriptors} files, {} are needed: raise it with `ulimit -n`",
            goodbye.connections as u64 + OTHER_DESCRIPTORS
        ));
    }
    let mut server = in_memory(goodbye.engine);
    let id = server.create().id;
    let crowd = crowd(transport, &server, &id, goodbye.connections)?;
    let cursor = server.show(&id).next.to_string();

    let asked = Instant::now();
    goodbye.signals.iter().for_each(|signal| server.signal(*signal));
    let listening = thread::spawn(move || {
        let heard = crowd.into_iter().map(|client| client.hear_goodbye(&cursor));
        heard.filter_map(Result::err).collect::<Vec<_>>()
    });
    let ended = server.ended_within(GIVEN_UP_AFTER);
    let took = asked.elapsed();
    // What is still there must not keep its clients.
    drop(server);
    let unheard = listening.join().map_err(|_| "a client panicked".to_owned())?;
    let mut complaints = Vec::new();
    match ended.as_ref().map(ExitStatus::success) {
        None => complaints.push(format!("the server is not gone after {GIVEN_UP_AFTER:?}")),
        Some(false) => complaints.push(format!("the server ended with {ended:?}")),
        Some(true) if took > GONE_MAX => complaints.push(format!("the server was gone after {took:?}")),
        Some(true) => {}
    }
    if let Some(first) = unheard.first() {
        complaints.push(format!("{} heard no goodbye, the first one {first}", unheard.len()));
    }
    if complaints.is_empty() { Ok(()) } else { Err(complaints.join("; ")) }
}

/// Clients that all wait, without a thread each.
fn crowd(transport: Transport, api: &Api, id: &DeploymentId, count: usize) -> Result<Vec<Client>, String> {
    let mut crowd = Vec::with_capacity(count);
    for _ in 0..count {
        let mut connection = api.connection();
        let query = if transport.wire() == Wire::LongPoll { "?wait=55" } else { "" };
        let path = path(transport, id, query);
        connection.send("GET", &path, upgrade(transport), b"").map_err(|error| error.to_string())?;
        crowd.push(Client { transport, connection, head: None });
    }
    for client in &mut crowd {
        client.read_hello()?;
    }
    let gauge = match transport.wire() {
        Wire::ShortPoll => "connections",
        Wire::LongPoll | Wire::Sse | Wire::Ndjson | Wire::Websocket => "waiters",
    };
    let gauge = format!("wirelab_{gauge}{{transport=\"{transport}\"}}");
    if holds_within(SOON, || api.metric(&gauge) == count as i64) {
        Ok(crowd)
    } else {
        Err(format!("of {count} connections the server has {}", api.metric(&gauge)))
    }
}

struct Client {
    transport: Transport,
    connection: Connection,
    /// Of a stream.
    head: Option<Answer>,
}

impl Client {
    /// All that comes before the goodbye.
    fn read_hello(&mut self) -> Kept {
        let text = |error: std::io::Error| error.to_string();
        match self.transport.wire() {
            // Idle between two questions.
            Wire::ShortPoll => match self.connection.answer("GET").map_err(text)?.status {
                200 => Ok(()),
                status => Err(format!("a short poll gave {status}")),
            },
            // Held: nothing comes yet.
            Wire::LongPoll => Ok(()),
            Wire::Sse | Wire::Ndjson => {
                self.head = Some(self.connection.head().map_err(text)?);
                let hello = self.connection.piece().map_err(text)?.unwrap_or_default();
                let hello = String::from_utf8_lossy(&hello);
                if hello.contains("hello") { Ok(()) } else { Err(format!("a stream begins with {hello:?}")) }
            }
            Wire::Websocket => {
                self.head = Some(self.connection.head().map_err(text)?);
                Ok(())
            }
        }
    }

    fn hear_goodbye(self, cursor: &str) -> Kept {
        let Self { transport, mut connection, head } = self;
        let text = |error: std::io::Error| error.to_string();
        match transport.wire() {
            Wire::ShortPoll => {}
            Wire::LongPoll => {
                let answer = connection.answer("GET").map_err(text)?;
                let told = (answer.status, answer.header("etag"), answer.header("connection"));
                if told != (204, Some(format!("\"{cursor}\"").as_str()), Some("close")) {
                    return Err(format!("was told {told:?}"));
                }
            }
            Wire::Sse => {
                let goodbye = connection.piece().map_err(text)?.unwrap_or_default();
                let goodbye = String::from_utf8_lossy(&goodbye).into_owned();
                let retry = goodbye.strip_prefix("retry: ").and_then(|rest| rest.strip_suffix('\n'));
                retry.and_then(|ms| ms.parse::<u32>().ok()).ok_or(format!("was told {goodbye:?}"))?;
                ends_properly(&mut connection)?;
            }
            Wire::Ndjson => ends_properly(&mut connection)?,
            Wire::Websocket => {
                let mut socket = Socket { head: head.ok_or("was never upgraded")?, connection };
                let code = loop {
                    match socket.frame().map_err(text)? {
                        (CLOSE, payload) => {
                            break payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                        }
                        (PING | crate::http::TEXT, _) => {}
                        (opcode, _) => return Err(format!("got a frame of opcode {opcode}")),
                    }
                };
                if code != Some(1001) {
                    return Err(format!("was closed with {code:?}"));
                }
                // Late ones find nobody who reads it.
                let _ = socket.send(CLOSE, &1001_u16.to_be_bytes());
                return socket.connection.is_left_by_server();
            }
        }
        if connection.is_closed_by_server() { Ok(()) } else { Err("is still connected".to_owned()) }
    }
}

/// The chunk of length 0: an end, not a cut.
fn ends_properly(connection: &mut Connection) -> Kept {
    match connection.piece() {
        Ok(None) => Ok(()),
        Ok(Some(piece)) => Err(format!("got {:?} at the end", String::from_utf8_lossy(&piece))),
        Err(error) => Err(format!("was cut: {error}")),
    }
}
