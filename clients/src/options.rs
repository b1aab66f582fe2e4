//! Options: what a client decides by itself, each decision a type of its own.
//!
//! A transport says how lines can reach a subscriber; these say how this one asks for them. Every default is what a
//! careful client does; the others are here to be measured against it. Values only: nothing here waits, draws or asks.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::wire;

/// What a client decides by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// When a short poll asks.
    pub polling: Polling,
    /// How long a long poll asks to be held.
    pub hold: Duration,
    /// Long poll: the client's own time between an answer and its next question. Nobody waits for news during it.
    pub turn: Duration,
    /// The version of HTTP that polls and plain streams are asked over. A WebSocket is always upgraded from 1.1, so a
    /// plan refuses to ask for it over 2: two arms would be one.
    pub http: HttpVersion,
    /// What becomes of a connection after an answer of a poll.
    pub connections: Connections,
    /// How answers of polls and plain streams may be encoded. Frames of a WebSocket never are, and a plan refuses to ask
    /// for it.
    pub compression: Compression,
    /// Longest wait before a reconnect, whatever the server advises: a server that is back is found within it.
    pub reconnect_max: Duration,
    /// Where the wait after a first failure lies, at random, whatever the transport's own rule and the server's advice:
    /// for comparing what servers give to whoever was away equally long. `None`: as transport and server have it.
    pub first_wait: Option<RangeInclusive<Duration>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            polling: Polling::default(),
            hold: Duration::from_secs_f64(wire::WAIT_S_DEFAULT),
            turn: Duration::ZERO,
            http: HttpVersion::Http1,
            connections: Connections::KeepAlive,
            compression: Compression::Identity,
            reconnect_max: Duration::from_secs(30),
            first_wait: None,
        }
    }
}

/// When a short poll asks, and with which condition.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Polling {
    /// Time from one short poll to the next.
    pub interval: Duration,
    /// What the interval is counted from.
    pub schedule: PollSchedule,
    /// When the first poll leaves.
    pub phase: PollPhase,
    /// Each gap lies, uniformly at random, within the interval · (1 ± this). 0 to 1; 0: every gap is the interval.
    pub jitter_ratio: f64,
    /// What may change the interval.
    pub adaptation: Adaptation,
    /// Whether a question says what it has seen.
    pub condition: Condition,
}

impl Polling {
    /// A poll at this interval, all else as by default.
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

/// What the interval between two short polls is counted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PollSchedule {
    /// From the time the last poll was meant to leave: a slow answer does not shift the next question. JavaScript's
    /// `setInterval`.
    Fixed,
    /// From the last answer: a slow server is asked less often, and news waits longer. `setTimeout` after each answer.
    Pause,
}

/// When the first short poll leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PollPhase {
    /// After a uniform part of the interval: clients that start together do not ask together for ever.
    Random,
    /// At a multiple of the interval since an instant that all clients of the process share: all ask at once, as
    /// clients do that poll "every full minute".
    Aligned,
}

/// What may change the interval between two short polls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Adaptation {
    /// Nothing.
    None,
    /// It doubles with each answer that brings no line, and falls back as soon as one does.
    Idle {
        /// It never grows beyond this.
        interval_max: Duration,
    },
    /// The server: its `Retry-After` with a 200 or 304 is the time to the next poll (an extension: RFC 9110 §10.2.3
    /// has it for 503 and redirects).
    Server,
}

/// Whether a short poll's question says what it has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// The last entity tag, in `If-None-Match`: no news is a 304 without a body (RFC 9110 §13.1.2).
    IfNoneMatch,
    /// None: no news is a 200 with an empty batch.
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

/// What becomes of a poll's connection after its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Connections {
    /// It is kept for the next poll.
    KeepAlive,
    /// It is closed: every poll pays for a handshake.
    PerRequest,
}

/// How an answer's body may be encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// As it is.
    Identity,
    /// With gzip, if the server likes (RFC 9110 §12.5.3).
    Gzip,
}

impl PollSchedule {
    /// The name in plans and CSV files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Pause => "pause",
        }
    }
}

impl PollPhase {
    /// The name in plans and CSV files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Aligned => "aligned",
        }
    }
}

impl Adaptation {
    /// The name in plans and CSV files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Idle { interval_max: _ } => "idle",
            Self::Server => "server",
        }
    }
}

impl Condition {
    /// The name in plans and CSV files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::IfNoneMatch => "if-none-match",
            Self::Plain => "plain",
        }
    }
}

impl HttpVersion {
    /// The name in plans and CSV files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http1 => "1.1",
            Self::Http2 => "2",
        }
    }
}

impl Connections {
    /// The name in plans and CSV files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::KeepAlive => "keep-alive",
            Self::PerRequest => "per-request",
        }
    }
}

impl Compression {
    /// The name in plans and CSV files, which is the content coding's.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
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

shown_by_name!(PollSchedule, PollPhase, Adaptation, Condition, HttpVersion, Connections, Compression);

#[cfg(test)]
mod tests {
    use super::*;

    /// Without the data of a variant, which no name has.
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
        same!(Connections::KeepAlive, Connections::PerRequest, Compression::Identity, Compression::Gzip);
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
