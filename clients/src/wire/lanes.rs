//! The ledgers of a page's lanes: what the server counted for each, as it is streamed back to the page.
//!
//! A browser sees neither its bytes nor its connections. So a page tags what it asks with `lane=<page>.<n>`, and reads
//! the counts from one WebSocket.

use serde::{Deserialize, Serialize};

use super::{Problem, Reference};

/// What one lane has cost so far. Outcomes as in [`Outcome`](super::Outcome).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneLedger {
    /// Its number on the page, from 1.
    pub lane: u16,
    /// Requests that arrived, answered or not.
    pub requests: u64,
    /// Of those answered: with lines, or a stream opened.
    pub data: u64,
    /// Nothing new.
    pub empty: u64,
    /// An expired hold.
    pub timeout: u64,
    /// Refused, or one connection too many.
    pub refused: u64,
    /// Failed, or cut before the answer.
    pub error: u64,
    /// TCP connections that ever carried a request of the lane, each once.
    pub connections: u64,
    /// TCP connections that are open and whose last request was the lane's.
    pub connections_open: u64,
    /// Bytes that the server read from those sockets.
    pub bytes_up: u64,
    /// Bytes that the server wrote to those sockets.
    pub bytes_down: u64,
}

impl LaneLedger {
    /// The ledger of a lane that has not asked yet.
    pub const fn new(lane: u16) -> Self {
        Self {
            lane,
            requests: 0,
            data: 0,
            empty: 0,
            timeout: 0,
            refused: 0,
            error: 0,
            connections: 0,
            connections_open: 0,
            bytes_up: 0,
            bytes_down: 0,
        }
    }
}

/// What the server says, one JSON text frame each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum LedgerFrame {
    /// First.
    Hello {
        /// Random: with another one these ledgers began at nothing, since the server was restarted or had forgotten the page.
        ledgers: String,
        /// Seconds between Ping frames while the page says nothing.
        heartbeat_s: u64,
    },
    /// What the server counts: every lane there is at first, then those that changed.
    Ledgers {
        /// In the order of their numbers.
        lanes: Vec<LaneLedger>,
    },
    /// Answer to `clock`.
    Clock {
        /// Echo.
        #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
        reference: Reference,
        /// Wall clock of the server, µs since 1970.
        at_us: u64,
    },
    /// This was no command; the socket lives.
    Error {
        /// Why.
        problem: Problem,
        /// Echo.
        #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
        reference: Reference,
    },
}

/// What a page may say, one JSON text frame each; it may carry a `ref` beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum LedgerCommand {
    /// Ask what time it is, to compare clocks.
    Clock {},
}
