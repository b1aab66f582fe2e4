//! The ledgers of a page's lanes: the server's counts for each lane, as they are streamed back to the page.
//!
//! A *lane* is one subscriber on wirelab's page. A browser sees neither its bytes nor its connections. So a page tags
//! its requests with `lane=<page>.<n>` and reads the counts from one WebSocket.

use serde::{Deserialize, Serialize};

use super::{Problem, Reference};

/// Requests, connections and bytes of one lane so far. Outcomes as in [`Outcome`](super::Outcome).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneLedger {
    /// Number of the lane on the page, from 1.
    pub lane: u16,
    /// Requests that arrived, answered or not.
    pub requests: u64,
    /// Requests answered with lines, and streams opened.
    pub data: u64,
    /// Requests answered with nothing new.
    pub empty: u64,
    /// Requests whose hold expired.
    pub timeout: u64,
    /// Requests that were refused, also because of one connection too many.
    pub refused: u64,
    /// Requests that failed or were cut before the answer.
    pub error: u64,
    /// TCP connections that ever carried a request of the lane, each once.
    pub connections: u64,
    /// TCP connections that are open and whose last request belonged to the lane.
    pub connections_open: u64,
    /// Bytes that the server read from the lane's sockets.
    pub bytes_up: u64,
    /// Bytes that the server wrote to the lane's sockets.
    pub bytes_down: u64,
}

impl LaneLedger {
    /// Makes the ledger of a lane that has not sent a request yet.
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

/// Link between a server and all of its clients, as the lab of the server has set it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NetworkState {
    /// Time from one end to the other, each way, ms.
    pub delay_ms: f64,
    /// Largest difference from that time, ms; each difference is equally likely.
    pub jitter_ms: f64,
    /// Rate of the link in each direction and for each connection, kbit/s; null: as fast as the machine.
    pub link_kbit_s: Option<u64>,
    /// Time for which nothing arrives any more, s; 0: everything arrives.
    pub silence_s: f64,
}

/// Frames that the server sends on the ledgers' socket, one JSON text frame each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum LedgerFrame {
    /// First frame of the socket.
    Hello {
        /// Random id of these ledgers. Another id means that they began at zero, because the server was restarted or had
        /// forgotten the page.
        ledgers: String,
        /// Seconds between Ping frames while the page says nothing.
        heartbeat_s: u64,
    },
    /// The server's counts: every lane at first, then the lanes that changed.
    Ledgers {
        /// Ledgers in the order of their lanes' numbers.
        lanes: Vec<LaneLedger>,
    },
    /// The link between the server and all clients: when the socket opens, if there is one, and at each change.
    Network(NetworkState),
    /// Answer to `clock`.
    Clock {
        /// The command's `ref`.
        #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
        reference: Reference,
        /// Wall clock of the server, µs since 1970.
        at_us: u64,
    },
    /// Answer to a message that is not a command; the socket stays open.
    Error {
        /// Problem document that says why.
        problem: Problem,
        /// The command's `ref`.
        #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
        reference: Reference,
    },
}

/// Commands that a page may send, one JSON text frame each. A command may carry a `ref`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum LedgerCommand {
    /// Asks for the server's time, to compare clocks.
    Clock {},
}
