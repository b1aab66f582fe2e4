//! Both ways: what becomes of commands that a client sends on the connection on which it receives lines.
//!
//! For `wirelab claims`, which says *one-way* of server-sent events and *bidirectional* of WebSocket. A WebSocket client
//! sends `publish` and waits for `published`. Over an event stream the same append can only be another request on that
//! connection; HTTP/1.1 answers in order (RFC 9112 §9.3.2), and the answer before it does not end. When a line that was
//! appended elsewhere later came through the stream, it is looked whether any of them was answered.

use std::path::PathBuf;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::cell::StoreKind;
use super::server_process::{ServerCommand, ServerProcess, ServerProcessError};
use crate::ServerUrl;
use crate::api::{Api, ApiError};
use crate::meter::Meter;
use crate::upgrade::upgrade;
use crate::wire::{ClientFrame, DeploymentId, NewLine, ServerFrame, Transport};

/// Commands on each connection: more than one, so that a chance answer would show.
const COMMANDS: u32 = 5;
/// For whatever is waited for here: all of it takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);
/// Of the stream at most: a hello and a line.
const STREAM_BYTES_MAX: usize = 64 << 10;
/// The line that shows that the stream lives after the commands were sent.
const WITNESS: &str = "said elsewhere";

/// What became of commands on one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TwoWay {
    /// How lines come on that connection.
    pub transport: Transport,
    /// Commands that the client sent on it.
    pub sent_count: u32,
    /// Those that the server answered on it while lines went on coming.
    pub answered_count: u32,
}

/// Why it could not be found out.
#[derive(Debug, thiserror::Error)]
pub enum TwoWayError {
    /// No server.
    #[error(transparent)]
    Server(#[from] ServerProcessError),
    /// The server did not do what is needed.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The connection was not what it should be.
    #[error("{transport}: {what}; run it again, and if it stays, `wirelab serve` does not keep its contract")]
    Connection {
        /// Which.
        transport: Transport,
        /// What was wrong.
        what: String,
    },
}

/// Asks a fresh server of `program`, which has the command `serve`, over SSE and over WebSocket.
pub async fn find_out(program: PathBuf) -> Result<Vec<TwoWay>, TwoWayError> {
    let command = ServerCommand::Wirelab { program, store: StoreKind::Memory, arguments: Vec::new() };
    let server = ServerProcess::spawn(&command).await?;
    let url: ServerUrl =
        format!("http://{}", server.addr()).parse().expect("an address and a port are a server's URL");
    let mut api = Api::new(url.clone());
    let mut found = Vec::new();
    for transport in [Transport::Sse, Transport::Websocket] {
        let deployment = api.create("two-way", None).await?.id;
        let answered = async {
            match transport {
                Transport::Websocket => over_websocket(url.authority(), &deployment).await,
                _ => over_sse(url.authority(), &deployment, &mut api).await,
            }
        };
        let wrong = |what: String| TwoWayError::Connection { transport, what };
        let answered =
            timeout(PATIENCE, answered).await.map_err(|_| wrong("no answer in time".to_owned()))?;
        let answered_count = answered.map_err(wrong)?;
        found.push(TwoWay { transport, sent_count: COMMANDS, answered_count });
    }
    // That it ended badly says nothing about its answers; dropping it ends it too.
    let _ = server.stop().await;
    Ok(found)
}

/// How many `published` came back.
async fn over_websocket(authority: &str, deployment: &DeploymentId) -> Result<u32, String> {
    let path = Transport::Websocket.path().replace("{id}", deployment.as_str());
    let mut socket =
        upgrade(authority, &path, Vec::new(), Meter::new()).await.map_err(|error| error.to_string())?;
    for n in 1..=COMMANDS {
        let publish =
            ClientFrame::Publish { deployment: deployment.to_string(), text: format!("said here {n}") };
        let frame = serde_json::to_string(&publish).expect("a frame is JSON");
        socket.send(Message::text(frame)).await.map_err(|error| error.to_string())?;
    }
    let (mut answered_count, mut lines) = (0, 0);
    // The lines come back as well: who publishes here also follows.
    while answered_count < COMMANDS || lines < COMMANDS {
        let message =
            socket.next().await.ok_or("the socket was closed")?.map_err(|error| error.to_string())?;
        let Message::Text(text) = message else { continue };
        match serde_json::from_str(&text).map_err(|error| error.to_string())? {
            ServerFrame::Published { .. } => answered_count += 1,
            ServerFrame::Line { .. } => lines += 1,
            _ => {}
        }
    }
    Ok(answered_count)
}

/// How many answers stand in the stream, besides the one that is the stream.
async fn over_sse(authority: &str, deployment: &DeploymentId, api: &mut Api) -> Result<u32, String> {
    let mut socket = TcpStream::connect(authority).await.map_err(|error| error.to_string())?;
    let path = Transport::Sse.path().replace("{id}", deployment.as_str());
    let get = format!("GET {path} HTTP/1.1\r\nhost: {authority}\r\naccept: text/event-stream\r\n\r\n");
    socket.write_all(get.as_bytes()).await.map_err(|error| error.to_string())?;
    let mut stream = Vec::new();
    read_until(&mut socket, &mut stream, "event: hello").await?;
    for n in 1..=COMMANDS {
        let body = format!("said here {n}");
        let post = format!(
            "POST /api/deployments/{deployment}/lines HTTP/1.1\r\nhost: {authority}\r\ncontent-type: text/plain\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        socket.write_all(post.as_bytes()).await.map_err(|error| error.to_string())?;
    }
    api.append(deployment, &[NewLine::plain(WITNESS)], "witness").await.map_err(|error| error.to_string())?;
    read_until(&mut socket, &mut stream, WITNESS).await?;
    let answers = String::from_utf8_lossy(&stream).matches("HTTP/1.1 ").count();
    Ok(answers.saturating_sub(1) as u32)
}

async fn read_until(socket: &mut TcpStream, stream: &mut Vec<u8>, wanted: &str) -> Result<(), String> {
    while !String::from_utf8_lossy(stream).contains(wanted) {
        let count = socket.read_buf(stream).await.map_err(|error| error.to_string())?;
        if count == 0 || stream.len() > STREAM_BYTES_MAX {
            let end = stream.len().saturating_sub(200);
            return Err(format!(
                "{wanted:?} never came, after {:?}",
                String::from_utf8_lossy(&stream[end..])
            ));
        }
    }
    Ok(())
}
