//! A connection of WebDriver BiDi, for what Firefox tells in no other way: its console, with errors, promises that
//! nobody caught and violations of the policy. Used by `browser`; it says nothing about what is a complaint.
//!
//! Nothing is read between commands: what the browser tells waits in the socket.

use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

pub(crate) struct Bidi {
    socket: WebSocketStream<TcpStream>,
    commands: u64,
    told: Vec<Entry>,
}

/// What the browser sends: an answer has the number of its command, an event has none.
#[derive(Deserialize)]
struct Frame {
    id: Option<u64>,
    #[serde(default)]
    params: Value,
    #[serde(default)]
    result: Value,
    /// What went wrong, and in words.
    error: Option<String>,
    message: Option<String>,
}

/// One entry of the console.
#[derive(Debug, Deserialize)]
pub(crate) struct Entry {
    pub(crate) level: String,
    #[serde(default)]
    pub(crate) text: String,
}

impl Bidi {
    /// Connects to the address that the session named and asks for the console.
    pub(crate) async fn connect(url: &str) -> Self {
        let authority = url.trim_start_matches("ws://").split('/').next().expect("a split has a first part");
        let socket = TcpStream::connect(authority).await.unwrap_or_else(|error| panic!("{url}: {error}"));
        let opened = tokio_tungstenite::client_async(url, socket).await;
        let (socket, _) = opened.unwrap_or_else(|error| panic!("{url}: {error}"));
        let mut bidi = Self { socket, commands: 0, told: Vec::new() };
        bidi.command("session.subscribe", json!({ "events": ["log.entryAdded"] })).await;
        bidi
    }

    /// What the browser answers.
    pub(crate) async fn command(&mut self, method: &str, parameters: Value) -> Value {
        self.commands += 1;
        let command = json!({ "id": self.commands, "method": method, "params": parameters });
        self.socket.send(Message::text(command.to_string())).await.expect("the browser lives");
        loop {
            let frame = self.read().await;
            if frame.id == Some(self.commands) {
                if let Some(error) = frame.error {
                    panic!("{method}: {error}: {}", frame.message.unwrap_or_default());
                }
                return frame.result;
            }
        }
    }

    /// Everything that was told since the last call, up to the entry that is `last`.
    pub(crate) async fn told_until(&mut self, last: &str) -> Vec<Entry> {
        loop {
            if let Some(at) = self.told.iter().position(|entry| entry.text == last) {
                let mut told: Vec<_> = self.told.drain(..=at).collect();
                told.pop();
                return told;
            }
            self.read().await;
        }
    }

    /// The next frame; an entry of the console is kept.
    async fn read(&mut self) -> Frame {
        loop {
            let message = self.socket.next().await.expect("the browser lives").expect("it can be read");
            let Message::Text(text) = message else { continue };
            let frame: Frame = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
            if frame.id.is_none() {
                // `log.entryAdded` is the only event that was asked for.
                self.told.push(
                    Entry::deserialize(&frame.params).unwrap_or_else(|error| panic!("{error}: {text}")),
                );
            }
            return frame;
        }
    }
}
