//! X9: a subscriber that stops reading delays nobody, costs little, and loses nothing when it goes on.
//!
//! The stalled ones are raw sockets with a small receive buffer, on a log that is larger than all buffers between
//! them and the store. A poll stalls on the answers to questions that it asked ahead (pipelining): one answer
//! alone would fit into the kernel's buffers.

use std::fmt::Write;
use std::io;
use std::time::Duration;

use tokio::net::TcpSocket;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use wirelab_clients::harness::process_sampler::ProcessSample;
use wirelab_clients::wire::{Batch, DeploymentId, Line, Position, ServerFrame, Transport, Wire};

use super::{Kept, subscriber};
use crate::http::{Api, Connection, SOON, Socket, path, upgrade};
use crate::server::{Binary, holds_within};

/// 32 MiB of text: eight times what Linux gives a sending socket.
pub(super) const LOG_LINES: u64 = 512;
const LINE_BYTES: usize = 64 << 10;
/// Lines per append: 4 MiB, half of what a body may have.
const APPEND_LINES: u64 = 64;
/// Lines per pipelined poll: what fits into a batch of 256 KiB.
const POLL_LINES: u64 = 3;
/// What a stalled socket takes into its own buffer; the kernel doubles it.
const RECEIVE_BYTES: u32 = 4 << 10;
/// Stalled subscribers of one log.
const READERS: usize = 4;
/// What one of them may cost the server: 16 batches of 256 KiB. A stream holds one batch, twice while it is framed; a
/// connection that asks ahead holds one answer and a bounded number of bytes of requests.
pub(super) const STALLED_BYTES_MAX: u64 = 4 << 20;
/// Without a line for so long, another subscriber is delayed.
const PROGRESS_MAX: Duration = SOON;
/// The write timeout of the server that must keep it.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(1);
/// What a busy machine may need beyond it.
const CLOSED_MAX: Duration = Duration::from_secs(10);

/// One long log at a time, or these tests would slow all the others down.
pub(super) static LONG_LOGS: Mutex<()> = Mutex::const_new(());

pub(crate) async fn x9_a_stalled_subscriber_delays_nobody_and_loses_nothing(
    transport: Transport,
    api: &Api,
) -> Kept {
    x9_delays_nobody_for(PROGRESS_MAX, transport, api).await
}

/// The same with another patience: a server that stands still is told from a slow machine by time alone.
pub(crate) async fn x9_delays_nobody_for(progress_max: Duration, transport: Transport, api: &Api) -> Kept {
    let _alone = LONG_LOGS.lock().await;
    let id = long_log(api, LOG_LINES / 2).await;
    let mut stalled = stalled(transport, api, &id).await?;
    let (writer, to) = (api.clone(), id.clone());
    let appended = spawn_blocking(move || append_up_to(&writer, &to, LOG_LINES / 2, LOG_LINES));
    another_gets_every_line(progress_max, transport, api, &id).await?;
    appended.await.map_err(|error| error.to_string())?;

    let resumed = stalled.pop().expect("there are several");
    spawn_blocking(move || resumed.read_on()).await.map_err(|error| error.to_string())?
}

/// On the real binary, or what stands for it: its memory is read from outside.
pub(crate) async fn x9_stalled_subscribers_cost_bounded_memory(
    transport: Transport,
    server: &Binary,
) -> Kept {
    let _alone = LONG_LOGS.lock().await;
    let id = long_log(server, LOG_LINES).await;
    let before = settled(server.pid()).await?;
    let stalled = stalled(transport, server, &id).await?;
    another_gets_every_line(PROGRESS_MAX, transport, server, &id).await?;
    let cost = settled(server.pid()).await?.saturating_sub(before) / READERS as u64;
    drop(stalled);
    if cost > STALLED_BYTES_MAX {
        return Err(format!("a stalled subscriber costs {cost} bytes, more than {STALLED_BYTES_MAX}"));
    }
    Ok(())
}

/// On a server whose write timeout is [`WRITE_TIMEOUT`].
pub(crate) async fn x9_a_write_without_progress_is_given_up(transport: Transport, api: &Api) -> Kept {
    let id = long_log(api, LOG_LINES / 2).await;
    let stalled = stalled(transport, api, &id).await?;
    let (server, held) = (api.clone(), connections(transport));
    let freed = move || holds_within(WRITE_TIMEOUT + CLOSED_MAX, || server.metric(&held) == 0);
    let freed = spawn_blocking(freed).await.map_err(|error| error.to_string())?;
    drop(stalled);
    if freed { Ok(()) } else { Err(format!("stalled connections are open after {CLOSED_MAX:?}")) }
}

fn connections(transport: Transport) -> String {
    format!("wirelab_connections{{transport=\"{transport}\"}}")
}

pub(super) async fn long_log(api: &Api, lines: u64) -> DeploymentId {
    let api = api.clone();
    let made = spawn_blocking(move || {
        let id = api.create().id;
        append_up_to(&api, &id, 0, lines);
        id
    });
    made.await.expect("appending does not panic")
}

/// Appends the lines `after + 1 ..= last`.
fn append_up_to(api: &Api, id: &DeploymentId, after: u64, last: u64) {
    for first in (after + 1..=last).step_by(APPEND_LINES as usize) {
        let mut body = String::new();
        for seq in first..(first + APPEND_LINES).min(last + 1) {
            writeln!(body, "{}", text(seq)).expect("writing to a String does not fail");
        }
        let appended = api.post(&format!("/api/deployments/{id}/lines"), "text/plain", body);
        assert_eq!(appended.status, 201, "{}", appended.text());
    }
}

fn text(seq: u64) -> String {
    let seq = seq.to_string();
    "x".repeat(LINE_BYTES - seq.len()) + seq.as_str()
}

/// A subscriber like any other, which must not wait long for its next line.
async fn another_gets_every_line(
    progress_max: Duration,
    transport: Transport,
    api: &Api,
    id: &DeploymentId,
) -> Kept {
    let mut subscriber = subscriber(transport, api, id, Position::Start);
    let mut last = 0;
    while last < LOG_LINES {
        let next = timeout(progress_max, subscriber.next_batch()).await;
        let next = next.map_err(|_| format!("another subscriber is delayed after {last} lines"))?;
        for line in next.map_err(|error| error.to_string())?.batch.lines {
            is_due(&line, last)?;
            last = line.seq;
        }
    }
    Ok(())
}

fn is_due(line: &Line, after: u64) -> Kept {
    if line.seq != after + 1 {
        return Err(format!("seq {} came where {} was due", line.seq, after + 1));
    }
    if line.line.text != text(line.seq) {
        return Err(format!("seq {} is {:.80?}", line.seq, line.line.text));
    }
    Ok(())
}

/// A client that has asked for the log and does not read.
struct Stalled {
    wire: Wire,
    connection: Connection,
}

/// Several of them, each served as far as its socket takes it.
async fn stalled(transport: Transport, api: &Api, id: &DeploymentId) -> Result<Vec<Stalled>, String> {
    let mut stalled = Vec::new();
    for _ in 0..READERS {
        stalled.push(Stalled::ask(transport, api, id).await.map_err(|error| error.to_string())?);
    }
    let server = api.clone();
    let served = format!("wirelab_bytes_total{{transport=\"{transport}\",direction=\"down\"}}");
    let stand_still = move || {
        let mut before = 0;
        // The server has written what it can: between two looks nothing more went out.
        holds_within(SOON, || {
            std::thread::sleep(Duration::from_millis(100));
            let now = server.metric(&served);
            now == std::mem::replace(&mut before, now) && now > 0
        })
    };
    match spawn_blocking(stand_still).await {
        Ok(true) => Ok(stalled),
        Ok(false) => Err("the server goes on writing to clients that do not read".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

impl Stalled {
    async fn ask(transport: Transport, api: &Api, id: &DeploymentId) -> io::Result<Self> {
        let address = api.authority.parse().map_err(io::Error::other)?;
        let socket = TcpSocket::new_v4()?;
        // Before it connects: the window that TCP offers is decided then.
        socket.set_recv_buffer_size(RECEIVE_BYTES)?;
        let socket = socket.connect(address).await?.into_std()?;
        socket.set_nonblocking(false)?;
        socket.set_read_timeout(Some(SOON))?;
        let mut connection = Connection::over(socket, &api.authority, SOON)?;
        let wire = transport.wire();
        match wire {
            Wire::ShortPoll | Wire::LongPoll => {
                let epoch = api.show(id).next.epoch;
                for after in (0..LOG_LINES).step_by(POLL_LINES as usize) {
                    let query = format!("?from={epoch}.{after}&limit={POLL_LINES}");
                    connection.send("GET", &path(transport, id, &query), &[], b"")?;
                }
            }
            Wire::Sse | Wire::Ndjson | Wire::Websocket => {
                connection.send("GET", &path(transport, id, ""), upgrade(transport), b"")?;
            }
        }
        Ok(Self { wire, connection })
    }

    /// Reads at last; every line must be there once.
    fn read_on(self) -> Kept {
        let Self { wire, mut connection } = self;
        let text = |error: io::Error| error.to_string();
        match wire {
            Wire::ShortPoll | Wire::LongPoll => every_line(|| {
                let answer = connection.answer("GET").map_err(text)?;
                let batch: Batch = serde_json::from_slice(&answer.body)
                    .map_err(|error| format!("{} without a batch: {error}", answer.status))?;
                Ok(batch.lines)
            }),
            Wire::Sse | Wire::Ndjson => {
                connection.head().map_err(text)?;
                every_line(|| {
                    // A batch is one chunk, so chunks end where records do. What is no line is passed over.
                    let piece = connection.piece().map_err(text)?.ok_or("the stream ended")?;
                    let piece = String::from_utf8(piece).map_err(|error| error.to_string())?;
                    let records = piece.lines().map(|line| line.strip_prefix("data: ").unwrap_or(line));
                    Ok(records.filter_map(|record| serde_json::from_str(record).ok()).collect())
                })
            }
            Wire::Websocket => {
                let head = connection.head().map_err(text)?;
                let mut socket = Socket { head, connection };
                every_line(|| match socket.told()? {
                    ServerFrame::Line { line, .. } => Ok(vec![line]),
                    _ => Ok(Vec::new()),
                })
            }
        }
    }
}

/// Takes lines until all of the log has come, whole and in order.
fn every_line(mut some_lines: impl FnMut() -> Result<Vec<Line>, String>) -> Kept {
    let mut last = 0;
    while last < LOG_LINES {
        for line in some_lines().map_err(|why| format!("after seq {last}: {why}"))? {
            is_due(&line, last)?;
            last = line.seq;
        }
    }
    Ok(())
}

/// Anonymous memory of a process, once it no longer changes.
pub(super) async fn settled(pid: u32) -> Result<u64, String> {
    /// What an idle server's memory may move by.
    const STILL_BYTES: u64 = 256 << 10;
    let mut before = 0;
    let mut memory = None;
    let settled = move || {
        holds_within(SOON, || {
            std::thread::sleep(Duration::from_millis(100));
            memory = ProcessSample::take(pid).pss_anon_bytes;
            let now = memory.unwrap_or_default();
            now.abs_diff(std::mem::replace(&mut before, now)) < STILL_BYTES
        })
        .then_some(memory)
        .flatten()
    };
    let settled = spawn_blocking(settled).await.map_err(|error| error.to_string())?;
    settled.ok_or_else(|| format!("the memory of process {pid} cannot be read, or never settles"))
}
