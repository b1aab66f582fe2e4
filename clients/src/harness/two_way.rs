//! Both ways: whether a server answers commands that a client sends on the connection on which it receives lines.
//!
//! For `wirelab claims`, which calls server-sent events *one-way* and WebSocket *bidirectional*. A WebSocket client
//! sends `publish` and waits for `published`. Over an event stream, the append can only be another request on that
//! connection. HTTP/1.1 answers in order (RFC 9112 §9.3.2), and the answer before it, the stream, does not end. So a
//! line is appended elsewhere after the commands. When it has come through the stream, the answers to the commands are
//! counted.

use std::path::PathBuf;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::cell::{StoreKind, Tls};
use super::server_process::{ServerCommand, ServerProcess, ServerProcessError};
use crate::ServerUrl;
use crate::api::{Api, ApiError};
use crate::meter::Meter;
use crate::upgrade::upgrade;
use crate::wire::{ClientFrame, DeploymentId, NewLine, ServerFrame, Transport};

/// Commands on each connection: more than one, so that a chance answer would show.
const COMMANDS: u32 = 5;
/// Longest wait for anything here: all of it takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most bytes of the stream, which holds a hello and a line.
const STREAM_BYTES_MAX: usize = 64 << 10;
/// Text of the line that shows that the stream is alive after the commands were sent.
const WITNESS: &str = "said elsewhere";

/// Counts of commands on one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TwoWay {
    /// Transport of the lines on that connection.
    pub transport: Transport,
    /// Commands that the client sent on the connection.
    pub sent_count: u32,
    /// Commands that the server answered on the connection while lines went on coming.
    pub answered_count: u32,
}

/// Error of an attempt that gave no counts.
#[derive(Debug, thiserror::Error)]
pub enum TwoWayError {
    /// The server could not be started.
    #[error(transparent)]
    Server(#[from] ServerProcessError),
    /// A call to the server failed.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The connection brought something else than the contract says.
    #[error("{transport}: {what}; run it again; if that fails too, `wirelab serve` breaks its contract")]
    Connection {
        /// Transport of the connection.
        transport: Transport,
        /// Description of what was wrong.
        what: String,
    },
}

/// Starts a server of `program`, which has the command `serve`, and tries commands over SSE and over WebSocket.
pub async fn find_out(program: PathBuf) -> Result<Vec<TwoWay>, TwoWayError> {
    let command =
        ServerCommand::Wirelab { program, store: StoreKind::Memory, tls: Tls::None, arguments: Vec::new() };
    let server = ServerProcess::spawn(&command).await?;
    let url = server.url().clone();
    let mut api = Api::new(url.clone());
    let mut found = Vec::new();
    for transport in [Transport::Sse, Transport::Websocket] {
        let deployment = api.create("two-way", None).await?.id;
        let answered = async {
            match transport {
                Transport::Websocket => over_websocket(&url, &deployment).await,
                _ => over_sse(url.authority(), &deployment, &mut api).await,
            }
        };
        let wrong = |what: String| TwoWayError::Connection { transport, what };
        let answered =
            timeout(PATIENCE, answered).await.map_err(|_| wrong("no answer in time".to_owned()))?;
        let answered_count = answered.map_err(wrong)?;
        found.push(TwoWay { transport, sent_count: COMMANDS, answered_count });
    }
    // A bad end says nothing about the answers; dropping the server ends it too.
    let _ = server.stop().await;
    Ok(found)
}

/// Sends the commands over a WebSocket and counts the `published` that come back.
async fn over_websocket(server: &ServerUrl, deployment: &DeploymentId) -> Result<u32, String> {
    let path = Transport::Websocket.path().replace("{id}", deployment.as_str());
    let mut socket =
        upgrade(server, &path, Vec::new(), Meter::new()).await.map_err(|error| error.to_string())?;
    for n in 1..=COMMANDS {
        let publish =
            ClientFrame::Publish { deployment: deployment.to_string(), text: format!("said here {n}") };
        let frame = serde_json::to_string(&publish).expect("a frame is JSON");
        socket.send(Message::text(frame)).await.map_err(|error| error.to_string())?;
    }
    let (mut answered_count, mut lines) = (0, 0);
    // The lines come back as well: this client also follows the deployment.
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

/// Sends the commands after the request of a stream and counts the answers besides the stream itself.
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
                "{wanted:?} did not come; the stream ends with {:?}",
                String::from_utf8_lossy(&stream[end..])
            ));
        }
    }
    Ok(())
}
