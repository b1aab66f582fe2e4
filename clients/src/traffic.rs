//! Traffic: the requests of a subscriber, and the bytes and packets through its socket.
//!
//! Every client half counts into these types; the harness adds and subtracts them. Outcomes mean the same as on the
//! server (`/metrics`), so that both counts can be compared. Nothing here touches a socket.

use derive_more::{Add, AddAssign, Sub, Sum};
use serde::{Deserialize, Serialize};

/// Requests by outcome. One request has exactly one outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Add, AddAssign, Sub, Sum, Serialize, Deserialize)]
pub struct Requests {
    /// Requests answered with data: a 200 with at least one line, or a stream that opened.
    pub data: u64,
    /// Requests answered without a line: a 200 without lines, a 304, or a 204 on `sse`.
    pub empty: u64,
    /// Long polls whose hold expired: a 204.
    pub timeout: u64,
    /// Requests that were refused: a 4xx, a 503, or an SSE answer that only says "come back later".
    pub refused: u64,
    /// Requests that failed: another 5xx, or an answer that was cut.
    pub error: u64,
}

impl Requests {
    /// Returns the requests of all outcomes together.
    pub fn total(&self) -> u64 {
        self.data + self.empty + self.timeout + self.refused + self.error
    }
}

/// Traffic of one subscriber, or of many together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Add, AddAssign, Sub, Sum, Serialize, Deserialize)]
pub struct Traffic {
    /// Requests by outcome.
    pub requests: Requests,
    /// TCP connections that were established.
    pub connections_opened: u64,
    /// Connections opened because an earlier one ended before the log did.
    pub reconnects: u64,
    /// Bytes of HTTP written: requests and client frames.
    pub up_bytes: u64,
    /// Bytes of HTTP read.
    pub down_bytes: u64,
    /// Bytes of TLS written to the socket, which carry those of HTTP; 0 without TLS.
    #[serde(default)]
    pub tls_up_bytes: u64,
    /// Bytes of TLS read from the socket; 0 without TLS.
    #[serde(default)]
    pub tls_down_bytes: u64,
}

/// Packets of one subscriber, or of many together, as the kernel counted them (`TCP_INFO`).
///
/// Connections are read when they end and before that on request. What follows a last reading is not in it: the FIN of
/// this side, the other side's, and their acknowledgements, at most four segments without payload a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Add, Serialize, Deserialize)]
pub struct Packets {
    /// Connections that the counts cover.
    pub connections: u64,
    /// Segments sent: SYNs, pure acknowledgements and repeated segments included.
    pub segments_up: u64,
    /// Segments received: SYNs, pure acknowledgements and repeated segments included.
    pub segments_down: u64,
    /// Segments that this side sent again. What the other side sent again is not known here.
    pub retransmits: u64,
    /// Payload written to the sockets: equals [`Traffic::socket_up_bytes`].
    pub bytes_up: u64,
    /// Payload read from the sockets: equals [`Traffic::socket_down_bytes`].
    pub bytes_down: u64,
    /// Payload that was sent again, in addition to `bytes_up`.
    pub retransmitted_bytes: u64,
    /// Payload of `bytes_up` that never left, because the connection ended first.
    pub unsent_bytes: u64,
    /// Payload that had arrived when the connection ended and was never read, in addition to `bytes_down`.
    pub unread_bytes: u64,
}

impl Packets {
    /// Header bytes of a segment: IPv4 20, TCP 20, timestamps 12.
    pub const HEADER_BYTES: u64 = 52;
    /// Header bytes that a SYN has beyond those of other segments: its options take 20 bytes instead of 12 (MSS,
    /// SACK-permitted, timestamps, window scale). Each connection has one SYN in each direction.
    pub const SYN_BYTES: u64 = 8;

    /// Returns the bytes of these packets with their IP and TCP headers.
    pub fn ip(&self) -> IpTraffic {
        let sent = (self.bytes_up + self.retransmitted_bytes).saturating_sub(self.unsent_bytes);
        let headers = |segments: u64| segments * Self::HEADER_BYTES + self.connections * Self::SYN_BYTES;
        IpTraffic {
            up_bytes: sent + headers(self.segments_up),
            down_bytes: self.bytes_down + self.unread_bytes + headers(self.segments_down),
            segments_up: self.segments_up,
            segments_down: self.segments_down,
            retransmits: self.retransmits,
        }
    }
}

/// IP packets of one subscriber, or of many together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpTraffic {
    /// Bytes of the IP packets sent: payload, repeated payload and headers.
    pub up_bytes: u64,
    /// Bytes of the IP packets received. Payload that the other side sent twice counts once.
    pub down_bytes: u64,
    /// Segments sent.
    pub segments_up: u64,
    /// Segments received.
    pub segments_down: u64,
    /// Segments that this side sent again.
    pub retransmits: u64,
}

impl IpTraffic {
    /// Bytes of the Ethernet header.
    pub const FRAME_BYTES: u64 = 14;

    /// Returns the bytes of the Ethernet frames sent.
    pub fn wire_up_bytes(&self) -> u64 {
        self.up_bytes + self.segments_up * Self::FRAME_BYTES
    }

    /// Returns the bytes of the Ethernet frames received.
    pub fn wire_down_bytes(&self) -> u64 {
        self.down_bytes + self.segments_down * Self::FRAME_BYTES
    }

    /// Returns the packets since an earlier reading. The kernel counts the end of a connection as a byte for a moment,
    /// so a count may go back by one: that is 0.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            up_bytes: self.up_bytes.saturating_sub(earlier.up_bytes),
            down_bytes: self.down_bytes.saturating_sub(earlier.down_bytes),
            segments_up: self.segments_up.saturating_sub(earlier.segments_up),
            segments_down: self.segments_down.saturating_sub(earlier.segments_down),
            retransmits: self.retransmits.saturating_sub(earlier.retransmits),
        }
    }
}

impl Traffic {
    /// Returns the bytes written to the socket: those of TLS, or of HTTP where there is no TLS.
    pub fn socket_up_bytes(&self) -> u64 {
        if self.has_tls() { self.tls_up_bytes } else { self.up_bytes }
    }

    /// Returns the bytes read from the socket.
    pub fn socket_down_bytes(&self) -> u64 {
        if self.has_tls() { self.tls_down_bytes } else { self.down_bytes }
    }

    /// Tells whether anything was sent inside of TLS. A subscriber speaks TLS always or never.
    pub fn has_tls(&self) -> bool {
        self.tls_up_bytes + self.tls_down_bytes > 0
    }

    /// Returns the traffic since an earlier reading of the same counters. `None` where a counter went back, because its
    /// process was started anew.
    pub fn since(self, earlier: Self) -> Option<Self> {
        let fields = |traffic: &Self| {
            let Requests { data, empty, timeout, refused, error } = traffic.requests;
            let Self { connections_opened, reconnects, up_bytes, down_bytes, .. } = *traffic;
            let Self { tls_up_bytes, tls_down_bytes, .. } = *traffic;
            let bytes = [up_bytes, down_bytes, tls_up_bytes, tls_down_bytes];
            let counts = [data, empty, timeout, refused, error, connections_opened, reconnects];
            counts.into_iter().chain(bytes)
        };
        let grown = fields(&self).zip(fields(&earlier)).all(|(now, then)| now >= then);
        grown.then(|| self - earlier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives every field another number, so that a field mixed up with another shows.
    fn numbered(n: u64) -> Traffic {
        Traffic {
            requests: Requests { data: n, empty: 2 * n, timeout: 3 * n, refused: 4 * n, error: 5 * n },
            connections_opened: 6 * n,
            reconnects: 7 * n,
            up_bytes: 8 * n,
            down_bytes: 9 * n,
            tls_up_bytes: 10 * n,
            tls_down_bytes: 11 * n,
        }
    }

    #[test]
    fn adding_and_subtracting_keep_every_field_apart() {
        assert_eq!(numbered(1) + numbered(10), numbered(11));
        assert_eq!(numbered(11) - numbered(10), numbered(1));
        assert_eq!([numbered(1), numbered(2), numbered(3)].into_iter().sum::<Traffic>(), numbered(6));
    }

    #[test]
    fn a_segment_costs_its_headers_and_what_was_sent_twice_counts_twice() {
        let packets = Packets {
            connections: 1,
            segments_up: 3,
            segments_down: 2,
            retransmits: 1,
            bytes_up: 1_000,
            bytes_down: 500,
            retransmitted_bytes: 400,
            unsent_bytes: 100,
            unread_bytes: 7,
        };
        let ip = packets.ip();
        // A SYN has 60 bytes of headers, 8 more than other segments.
        assert_eq!((ip.up_bytes, ip.down_bytes), (1_300 + 60 + 2 * 52, 507 + 60 + 52));
        assert_eq!((ip.wire_up_bytes(), ip.wire_down_bytes()), (1_308 + 3 * 66, 515 + 2 * 66));
        let twice = (packets + packets).ip();
        assert_eq!(twice.wire_up_bytes() + twice.wire_down_bytes(), 2 * (1_823 + 5 * 66));
        assert_eq!(twice.since(&ip), ip);
        assert_eq!(ip.since(&twice), IpTraffic::default());
    }

    #[test]
    fn counters_that_went_back_tell_nothing() {
        assert_eq!(numbered(11).since(numbered(1)), Some(numbered(10)));
        assert_eq!(numbered(1).since(numbered(11)), None);
        assert_eq!(Traffic { down_bytes: 0, ..numbered(11) }.since(numbered(1)), None);
        assert_eq!(Traffic { tls_down_bytes: 0, ..numbered(11) }.since(numbered(1)), None);
    }

    #[test]
    fn the_total_counts_every_outcome_once() {
        assert_eq!(numbered(1).requests.total(), 1 + 2 + 3 + 4 + 5);
    }
}
