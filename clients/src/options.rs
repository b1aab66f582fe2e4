//! Options: what a client decides by itself, each decision a type of its own.
//!
//! A transport says how lines can reach a subscriber; options say how this subscriber asks for them. Every default is
//! what a careful client does; the other values are here to be measured against it. Values only: nothing here waits,
//! draws or asks.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::wire;

/// Longest advice of a server that is taken at its word; a longer one counts as this. A client that comes back tomorrow
/// does not follow a log, and a misspelt number must not stop it for ever.
pub(crate) const ADVICE_MAX: Duration = Duration::from_secs(3_600);

/// Everything that a client decides by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// Schedule and condition of a short poll.
    pub polling: Polling,
    /// Hold that a long poll asks for.
    pub hold: Duration,
    /// Long poll: the client's own time between an answer and its next request. The server holds no request meanwhile.
    pub turn: Duration,
    /// Version of HTTP that polls and plain streams are asked over. A WebSocket is always upgraded from 1.1, so a plan
    /// refuses HTTP/2 for it: the two settings would measure the same.
    pub http: HttpVersion,
    /// Whether a poll's connection is kept or closed after its answer.
    pub connections: PollConnections,
    /// How answers may be compressed: gzip is for polls and plain streams, deflate for the messages of a WebSocket. So a
    /// plan refuses each for the other.
    pub compression: Compression,
    /// Longest wait before a reconnect that the client adds of its own: a server that is back and advised nothing is
    /// found within this time. An advice comes on top, however long it is: it is a lower bound.
    pub reconnect_max: Duration,
    /// Longest advice that is taken at its word; a longer one counts as this.
    pub advice_max: Duration,
    /// Range of the random wait after a first failure, in place of the transport's rule and the server's advice. So
    /// servers can be compared by what they give to clients that were away equally long. `None`: the transport's rule
    /// and the server's advice hold.
    pub first_wait: Option<RangeInclusive<Duration>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            polling: Polling::default(),
            hold: Duration::from_secs_f64(wire::WAIT_S_DEFAULT),
            turn: Duration::ZERO,
            http: HttpVersion::Http1,
            connections: PollConnections::KeepAlive,
            compression: Compression::Identity,
            reconnect_max: Duration::from_secs(30),
            advice_max: ADVICE_MAX,
            first_wait: None,
        }
    }
}

/// Times at which a short poll asks, and its condition.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Polling {
    /// Time from one short poll to the next.
    pub interval: Duration,
    /// Start of each interval.
    pub schedule: PollSchedule,
    /// Phase: when the first poll is sent.
    pub phase: PollPhase,
    /// Jitter: each gap is uniform within interval · (1 ± this ratio). 0 to 1; 0: every gap is the interval.
    pub jitter_ratio: f64,
    /// Adaptation of the interval while the client polls.
    pub adaptation: Adaptation,
    /// Whether a request says what the client has seen.
    pub condition: Condition,
}

impl Polling {
    /// Returns the defaults with this interval.
    pub fn every(interval: Duration) -> Self {
        Self { interval, ..Self::default() }
    }
}

impl Default for Polling {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(1),
            schedule: PollSchedule::Fixed,
            phase: PollPhase::Random,
            jitter_ratio: 0.0,
            adaptation: Adaptation::None,
            condition: Condition::IfNoneMatch,
        }
    }
}

/// Start of the interval between two short polls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PollSchedule {
    /// The interval counts from the time the last poll was due: a slow answer does not shift the next request. As
    /// JavaScript's `setInterval`.
    Fixed,
    /// The interval counts from the last answer: a slow server is asked less often, and news waits longer. As
    /// `setTimeout` after each answer.
    Pause,
}

/// Phase of a client: when its first short poll is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PollPhase {
    /// After a random part of the interval (uniform): clients that start together do not ask together for ever.
    Random,
    /// At a multiple of the interval since an instant that all clients of the process share. All ask at once, as
    /// clients that poll "every full minute".
    Aligned,
}

/// Adaptation of the interval between two short polls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Adaptation {
    /// Nothing changes the interval.
    None,
    /// The interval doubles with each answer that brings no line, and falls back as soon as one does.
    Idle {
        /// Longest interval.
        interval_max: Duration,
    },
    /// The server decides: its `Retry-After` with a 200 or 304 is the time to the next poll, if it is longer than the
    /// interval. This is an extension: RFC 9110 §10.2.3 has the field for 503 and redirects.
    Server,
}

/// Whether a short poll's request says what the client has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// The request carries the last entity tag in `If-None-Match`: no news is a 304 without a body (RFC 9110 §13.1.2).
    IfNoneMatch,
    /// The request carries no condition: no news is a 200 with an empty batch.
    Plain,
}

/// A version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HttpVersion {
    /// HTTP/1.1: text, one exchange at a time.
    #[serde(rename = "1.1")]
    Http1,
    /// HTTP/2 without TLS, by prior knowledge (RFC 9113 §3.3): frames, and headers that are sent once.
    #[serde(rename = "2")]
    Http2,
}

/// Use of a poll's connection after its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PollConnections {
    /// The connection is kept for the next poll.
    KeepAlive,
    /// The connection is closed: every poll pays for a handshake.
    PerRequest,
}

/// Encoding of answers that the client accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// The body is sent as it is.
    Identity,
    /// The body is encoded with gzip, if the server offers it (RFC 9110 §12.5.3).
    Gzip,
    /// Messages of a WebSocket are deflated, if the server takes the offer (RFC 7692). One may refer to earlier ones.
    Deflate,
    /// Messages of a WebSocket are deflated, each by itself.
    DeflateNoContextTakeover,
}

impl PollSchedule {
    /// Returns the name in plans and CSV files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Pause => "pause",
        }
    }
}

impl PollPhase {
    /// Returns the name in plans and CSV files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Aligned => "aligned",
        }
    }
}

impl Adaptation {
    /// Returns the name in plans and CSV files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Idle { interval_max: _ } => "idle",
            Self::Server => "server",
        }
    }
}

impl Condition {
    /// Returns the name in plans and CSV files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::IfNoneMatch => "if-none-match",
            Self::Plain => "plain",
        }
    }
}

impl HttpVersion {
    /// Returns the name in plans and CSV files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http1 => "1.1",
            Self::Http2 => "2",
        }
    }
}

impl PollConnections {
    /// Returns the name in plans and CSV files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::KeepAlive => "keep-alive",
            Self::PerRequest => "per-request",
        }
    }
}

impl Compression {
    /// Every value.
    pub const ALL: [Self; 4] = [Self::Identity, Self::Gzip, Self::Deflate, Self::DeflateNoContextTakeover];

    /// Returns the name in plans and CSV files. For HTTP it is that of the content coding.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::DeflateNoContextTakeover => "deflate-no-context-takeover",
        }
    }
}

macro_rules! shown_by_name {
    ($($type:ty),*) => {
        $(impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        })*
    };
}

shown_by_name!(PollSchedule, PollPhase, Adaptation, Condition, HttpVersion, PollConnections, Compression);

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns how a value is written, without the data of a variant, which no name has.
    fn written(value: impl Serialize) -> String {
        match serde_json::to_value(value).unwrap() {
            serde_json::Value::String(name) => name,
            serde_json::Value::Object(members) => members.into_iter().next().unwrap().0,
            other => panic!("{other} is no name"),
        }
    }

    #[test]
    fn a_decision_is_written_by_the_name_it_is_shown_by() {
        macro_rules! same {
            ($($value:expr),* $(,)?) => { $(assert_eq!(written($value), $value.to_string());)* };
        }
        same!(PollSchedule::Fixed, PollSchedule::Pause, PollPhase::Random, PollPhase::Aligned);
        same!(Condition::IfNoneMatch, Condition::Plain, HttpVersion::Http1, HttpVersion::Http2);
        same!(
            PollConnections::KeepAlive,
            PollConnections::PerRequest,
            Compression::Identity,
            Compression::Gzip,
            Compression::Deflate,
            Compression::DeflateNoContextTakeover
        );
        let interval_max = Duration::from_secs(60);
        same!(Adaptation::None, Adaptation::Idle { interval_max }, Adaptation::Server);
    }

    #[test]
    fn options_survive_being_written() {
        let adaptation = Adaptation::Idle { interval_max: Duration::from_millis(1_500) };
        let options = Options {
            polling: Polling { adaptation, jitter_ratio: 0.25, ..Polling::default() },
            first_wait: Some(Duration::ZERO..=Duration::from_secs(1)),
            ..Options::default()
        };
        let text = serde_json::to_string(&options).unwrap();
        assert_eq!(serde_json::from_str::<Options>(&text).unwrap(), options);
    }
}
