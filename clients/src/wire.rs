//! The wire: everything that crosses the network, and nothing else.
//!
//! Server and clients both import these types, so the contract exists once; docs/protocol.md says what they mean.
//! JSON is UTF-8, names are kebab-case, unknown members are ignored on both sides. Nothing here reads a clock, a file
//! or a socket.

mod lanes;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use arrayvec::ArrayString;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub use self::lanes::{LaneLedger, LedgerCommand, LedgerFrame, NetworkState};

/// Position of a line in its log. Starts at 1, no gaps. 0 stands for "before the first line".
pub type Seq = u64;

/// The largest seq: what a JSON number keeps exactly in every language (2^53 − 1, RFC 8259 §6).
pub const SEQ_MAX: Seq = (1 << 53) - 1;
/// Most bytes of one line's decoded text. A larger text is a dump, not a log line.
pub const LINE_BYTES_MAX: usize = 1 << 20;
/// Most bytes of a request body, of a WebSocket message, and of one answer that a client reads. A line of 1 MiB may
/// grow sixfold when JSON escapes every byte.
pub const BODY_BYTES_MAX: usize = 8 << 20;
/// Most lines in one append: a bound on the work that one request can ask for.
pub const APPEND_LINES_MAX: usize = 100_000;
/// Most lines in one batch. 512 lines of 120 bytes stay below one 64 KiB socket buffer.
pub const BATCH_LINES_MAX: usize = 512;
/// Most JSON bytes in one batch: with the socket buffer, all the memory that a stalled reader can hold.
pub const BATCH_BYTES_MAX: usize = 256 << 10;
/// Most characters in a deployment's name.
pub const NAME_CHARS_MAX: usize = 200;
/// Most bytes in a line's level: the longest in use is `emergency`.
pub const LEVEL_BYTES_MAX: usize = 32;
/// Most visible ASCII characters in an `Idempotency-Key`.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 64;
/// Most deployments in one listing.
pub const LIST_MAX: usize = 1_000;
/// Default seconds a long poll is held: below the 60 s after which common proxies give up.
pub const WAIT_S_DEFAULT: f64 = 25.0;

/// Error of a token that was refused. Says what the token must look like.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {given:?} is not valid: {must}")]
pub struct InvalidToken {
    what: &'static str,
    given: String,
    must: &'static str,
}

impl InvalidToken {
    /// Most characters of a refused token that an error repeats.
    const GIVEN_CHARS_MAX: usize = 60;

    fn new(what: &'static str, given: &str, must: &'static str) -> Self {
        Self { what, given: given.chars().take(Self::GIVEN_CHARS_MAX).collect(), must }
    }
}

/// Returns whether the text has only lower-case letters and digits: safe in a path, a query, an ETag and
/// `Last-Event-ID`.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// Implements serialization through `Display` and deserialization through `FromStr`.
macro_rules! string_on_the_wire {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    };
}

/// A deployment's id, made by the server: `[a-z0-9]{8,26}`. Kept in place, so that a copy allocates nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeploymentId(ArrayString<26>);

impl DeploymentId {
    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DeploymentId {
    type Err = InvalidToken;
    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        match ArrayString::from(text) {
            Ok(id) if id.len() >= 8 && is_plain(&id) => Ok(Self(id)),
            Ok(_) | Err(_) => {
                Err(InvalidToken::new("deployment id", text, "8 to 26 characters of a-z and 0-9"))
            }
        }
    }
}

impl fmt::Display for DeploymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

string_on_the_wire!(DeploymentId);

/// One life of a log, named at random: `[a-z0-9]{1,16}`. Another epoch means that seqs restarted. Kept in place, so that
/// a copy allocates nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Epoch(ArrayString<16>);

impl FromStr for Epoch {
    type Err = InvalidToken;
    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        match ArrayString::from(text) {
            Ok(epoch) if !epoch.is_empty() && is_plain(&epoch) => Ok(Self(epoch)),
            Ok(_) | Err(_) => Err(InvalidToken::new("epoch", text, "1 to 16 characters of a-z and 0-9")),
        }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

string_on_the_wire!(Epoch);

/// A place in a log: epoch + last seq seen, `k3x9.42` on the wire. At most 33 bytes.
///
/// ```
/// use wirelab_clients::wire::Cursor;
/// let cursor: Cursor = "k3x9.42".parse().unwrap();
/// assert_eq!(cursor.after, 42);
/// assert_eq!(cursor.to_string(), "k3x9.42");
/// assert!("k3x9.042".parse::<Cursor>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// Epoch of the log that `after` counts in.
    pub epoch: Epoch,
    /// Last seq seen; lines after it are still to come.
    pub after: Seq,
}

impl FromStr for Cursor {
    type Err = InvalidToken;
    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let refused = || {
            InvalidToken::new(
                "cursor",
                text,
                "an epoch, a dot and a seq without sign or leading zero, such as k3x9.42",
            )
        };
        let (epoch, after) = text.split_once('.').ok_or_else(refused)?;
        let digits = after.bytes().all(|b| b.is_ascii_digit()) && !after.is_empty();
        if !digits || (after.len() > 1 && after.starts_with('0')) {
            return Err(refused());
        }
        let after: Seq = after.parse().map_err(|_| refused())?;
        if after > SEQ_MAX {
            return Err(refused());
        }
        Ok(Self { epoch: epoch.parse().map_err(|_| refused())?, after })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Written part by part, without the machinery of formats: every answer to a poll says a cursor.
        f.write_str(&self.epoch.0)?;
        f.write_str(".")?;
        f.write_str(itoa::Buffer::new().format(self.after))
    }
}

string_on_the_wire!(Cursor);

/// Position where a reader wants to start: the `from` parameter. Exclusive: lines with a larger seq follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    /// The first kept line: the parameter is absent.
    Start,
    /// `now`: only lines that are appended after the request.
    Now,
    /// The lines after this cursor.
    After(Cursor),
}

impl FromStr for Position {
    type Err = InvalidToken;
    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        match text {
            "now" => Ok(Self::Now),
            _ => text.parse().map(Self::After),
        }
    }
}

/// Returns the entity tag of a poll's answer: `"k3x9.42"`, or `"k3x9.42.end"` when the log is finished there.
pub fn entity_tag(next: &Cursor, finished: bool) -> String {
    let end = if finished { ".end\"" } else { "\"" };
    ["\"", &next.epoch.0, ".", itoa::Buffer::new().format(next.after), end].concat()
}

/// Returns the cursor inside an entity tag: without `W/`, quotes and `.end`.
pub fn cursor_of_entity_tag(tag: &str) -> Option<Cursor> {
    let tag = tag.trim().trim_start_matches("W/").trim_matches('"');
    tag.strip_suffix(".end").unwrap_or(tag).parse().ok()
}

/// Which side waits for the next line: the question that tells transports apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Waits {
    /// The client sleeps between requests; each is answered at once.
    Client,
    /// The server holds each request until there is a line or the hold expires.
    ServerOnce,
    /// The server keeps one answer open and sends each line on it.
    ServerForever,
}

impl Waits {
    /// The words in `/api/transports`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client, between requests",
            Self::ServerOnce => "server, once per request",
            Self::ServerForever => "server, for ever",
        }
    }

    /// Whether the client asks again after each answer.
    pub const fn is_poll(self) -> bool {
        match self {
            Self::Client | Self::ServerOnce => true,
            Self::ServerForever => false,
        }
    }
}

impl fmt::Display for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The format of what crosses the network: what a client must be able to read. Several transports may share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wire {
    /// A [`Batch`] per answer, or 304.
    ShortPoll,
    /// A [`Batch`] per answer, or 204.
    LongPoll,
    /// `text/event-stream`: an event per line.
    Sse,
    /// `application/x-ndjson`: an [`NdjsonRecord`] per line.
    Ndjson,
    /// After an upgrade, a text frame with a [`ServerFrame`] per line.
    Websocket,
}

impl Wire {
    /// The name in `/api/transports`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ShortPoll => "short-poll",
            Self::LongPoll => "long-poll",
            Self::Sse => "sse",
            Self::Ndjson => "ndjson",
            Self::Websocket => "websocket",
        }
    }

    /// Whether the connection leaves HTTP.
    pub const fn is_upgraded(self) -> bool {
        match self {
            Self::Websocket => true,
            Self::ShortPoll | Self::LongPoll | Self::Sse | Self::Ndjson => false,
        }
    }
}

impl fmt::Display for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A transport: the way in which lines reach a subscriber. A closed set: the compiler lists what a new transport still
/// lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// The client asks again and again; no request waits on the server.
    ShortPoll,
    /// The server waits once.
    LongPoll,
    /// Server-sent events: the server waits for ever.
    Sse,
    /// One JSON object per line of an endless body.
    Ndjson,
    /// Frames both ways over one upgraded connection.
    Websocket,
}

impl Transport {
    /// Every transport, in the order of tables and pictures.
    pub const ALL: [Self; 5] = [Self::ShortPoll, Self::LongPoll, Self::Sse, Self::Ndjson, Self::Websocket];

    /// Returns the name in paths, plans and CSV files: kebab-case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ShortPoll => "short-poll",
            Self::LongPoll => "long-poll",
            Self::Sse => "sse",
            Self::Ndjson => "ndjson",
            Self::Websocket => "websocket",
        }
    }

    /// The format of what crosses the network.
    pub const fn wire(self) -> Wire {
        match self {
            Self::ShortPoll => Wire::ShortPoll,
            Self::LongPoll => Wire::LongPoll,
            Self::Sse => Wire::Sse,
            Self::Ndjson => Wire::Ndjson,
            Self::Websocket => Wire::Websocket,
        }
    }

    /// Which side waits for the next line, and for how long.
    pub const fn waits(self) -> Waits {
        match self {
            Self::ShortPoll => Waits::Client,
            Self::LongPoll => Waits::ServerOnce,
            Self::Sse | Self::Ndjson | Self::Websocket => Waits::ServerForever,
        }
    }

    /// Whether its connections leave HTTP: then neither HTTP/2 nor a content coding applies to its lines.
    pub const fn is_upgraded(self) -> bool {
        self.wire().is_upgraded()
    }

    /// Describes the transport in one sentence.
    pub const fn summary(self) -> &'static str {
        match self {
            Self::ShortPoll => "Ask at an interval; the answer comes at once, often empty.",
            Self::LongPoll => "Ask and be held until there is a line or the hold expires.",
            Self::Sse => "One endless response of text events; browsers reconnect by themselves.",
            Self::Ndjson => "One endless response, one JSON object per line.",
            Self::Websocket => "One upgraded connection, one JSON text frame per line, both directions.",
        }
    }

    /// Returns the path template under which a server offers the transport.
    pub fn path(self) -> String {
        format!("/api/deployments/{{id}}/{}", self.name())
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Outcome of one request; server and clients count with the same words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// A 200 with at least one line, or a stream that opened.
    Data,
    /// A 200 without lines, a 304, or a 204 on `/sse`.
    Empty,
    /// A 204 on `/long-poll`: the hold expired.
    Timeout,
    /// A 4xx, a 503, or an overload answer on `/sse`.
    Refused,
    /// Another 5xx, or a cut before the answer was whole.
    Error,
}

impl Outcome {
    /// Every outcome, in the order of tables.
    pub const ALL: [Self; 5] = [Self::Data, Self::Empty, Self::Timeout, Self::Refused, Self::Error];

    /// Returns the word in `/metrics` and in column names.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Empty => "empty",
            Self::Timeout => "timeout",
            Self::Refused => "refused",
            Self::Error => "error",
        }
    }

    /// Returns the outcome of an answer whose status alone decides it: errors and refusals.
    pub const fn of_refusal(status: u16) -> Self {
        if status == 503 || status < 500 { Self::Refused } else { Self::Error }
    }
}

/// Error of a name that is not a transport.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown transport {given:?}; one of {}", Transport::ALL.map(Transport::name).join(", "))]
pub struct UnknownTransport {
    given: String,
}

impl FromStr for Transport {
    type Err = UnknownTransport;
    fn from_str(text: &str) -> Result<Self, UnknownTransport> {
        Self::ALL
            .into_iter()
            .find(|transport| transport.name() == text)
            .ok_or_else(|| UnknownTransport { given: text.to_owned() })
    }
}

string_on_the_wire!(Transport);

/// Status of a deployment that has ended. A running deployment has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Status {
    /// The deployment's command exited with 0.
    Succeeded,
    /// The deployment's command failed.
    Failed,
    /// The deployment will get no more lines, and its result is not known.
    Cancelled,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        })
    }
}

/// Writes `"running"` for a deployment without a status, else the status.
mod running_or_ended {
    use super::{Deserialize, Deserializer, Serialize, Serializer, Status};

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Running {
        Running,
    }

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum OnTheWire {
        Running(Running),
        Ended(Status),
    }

    pub(super) fn serialize<S: Serializer>(ended: &Option<Status>, s: S) -> Result<S::Ok, S::Error> {
        match ended {
            None => OnTheWire::Running(Running::Running),
            Some(status) => OnTheWire::Ended(*status),
        }
        .serialize(s)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Status>, D::Error> {
        Ok(match OnTheWire::deserialize(d)? {
            OnTheWire::Running(Running::Running) => None,
            OnTheWire::Ended(status) => Some(status),
        })
    }
}

/// One deployment as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Deployment {
    /// Id of the deployment, made by the server.
    pub id: DeploymentId,
    /// Name of the deployment, for people; not unique.
    pub name: String,
    /// Status of the deployment; `None` while it runs (`"running"` on the wire).
    #[cfg_attr(feature = "openapi", schema(value_type = crate::wire_schemas::DeploymentStatus))]
    #[serde(rename = "status", with = "running_or_ended")]
    pub ended: Option<Status>,
    /// Wall clock at creation, µs since 1970.
    pub created_us: u64,
    /// Wall clock at the end, µs since 1970.
    pub finished_us: Option<u64>,
    /// Lines that were ever appended.
    pub lines: u64,
    /// Cursor just before the first kept line.
    pub first: Cursor,
    /// Cursor after the last line: where a stream starts after a snapshot.
    pub next: Cursor,
    /// Source that feeds the deployment; absent: publishers append its lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
}

/// Output of a command that a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A line before the log gave it a seq.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewLine {
    /// Text of the line, without its line end. Any Unicode, NUL, CR and BOM included.
    pub text: String,
    /// Output that the line came from, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<Stream>,
    /// Severity, in the words of the program that wrote the line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
}

impl NewLine {
    /// Makes a line that has nothing but text.
    pub fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), stream: None, level: None }
    }
}

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Line {
    /// Position of the line in its log.
    pub seq: Seq,
    /// Wall clock at append, µs since 1970: for people. Nothing orders or resumes by it.
    pub at_us: u64,
    /// Text of the line, and what is known of its origin.
    #[serde(flatten)]
    pub line: NewLine,
}

/// Lines in order and the cursor after them: the answer to a poll, and what every subscriber returns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Batch {
    /// Lines after the cursor that was asked for, in order, at most [`BATCH_LINES_MAX`].
    pub lines: Vec<Line>,
    /// Cursor to ask with next.
    pub next: Cursor,
    /// Whether the batch was cut at its bound: ask again at once.
    pub more: bool,
    /// Whether the log has ended and `next` is its last cursor.
    pub finished: bool,
}

/// Body of `POST /api/deployments`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewDeployment {
    /// Name of the deployment, 1 to [`NAME_CHARS_MAX`] characters.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 200))]
    pub name: String,
    /// Source that feeds the deployment; absent: clients append its lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
}

/// Source from which the server itself feeds a deployment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Source {
    /// A recording with its own timing.
    Replay {
        /// Name of a recording that `/api/recordings` lists.
        #[cfg_attr(feature = "openapi", schema(pattern = "^[a-z0-9][a-z0-9._-]{0,99}$"))]
        recording: String,
        /// Speed, 0.01 to 1000; 2 is twice as fast.
        #[cfg_attr(feature = "openapi", schema(minimum = 0.01, maximum = 1000))]
        #[serde(default = "one")]
        speed: f64,
    },
    /// Numbered lines at a fixed rate for some time; then the deployment has succeeded.
    Generate {
        /// Lines per second, 0.01 to 10 000.
        #[cfg_attr(feature = "openapi", schema(minimum = 0.01, maximum = 10_000))]
        rate_hz: f64,
        /// Seconds until the source ends, 0.1 to 604 800 (a week); an hour if absent.
        #[cfg_attr(feature = "openapi", schema(minimum = 0.1, maximum = 604_800))]
        #[serde(default = "an_hour")]
        for_s: f64,
    },
}

fn one() -> f64 {
    1.0
}

fn an_hour() -> f64 {
    3_600.0
}

/// Answer to an append.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Appended {
    /// Seq of the first appended line.
    pub first: Seq,
    /// Seq of the last appended line.
    pub last: Seq,
    /// Cursor after the last appended line.
    pub cursor: Cursor,
}

/// Body of `POST …/finish`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Finish {
    /// Status that the deployment ends with.
    pub status: Status,
}

/// One row of `GET /api/transports`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TransportInfo {
    /// Name of the transport.
    pub name: String,
    /// Path template of the transport, with `{id}` for the deployment.
    pub path: String,
    /// Wire format that the transport speaks.
    pub wire: String,
    /// Side that waits for the next line, and for how long.
    pub waits: String,
    /// Description of the transport in one sentence.
    pub summary: String,
}

/// One row of `GET /api/recordings`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RecordingInfo {
    /// Name of the recording in `source.recording`.
    pub name: String,
    /// Lines of the recording.
    pub lines: u64,
    /// Length of the recording at speed 1, ms.
    pub duration_ms: u64,
}

/// RFC 9457 problem document: the body of every error that the server answers with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// Type of the problem, always `about:blank`: the status says the kind.
    #[serde(rename = "type", default = "about_blank")]
    pub kind: String,
    /// HTTP status in words.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// Explanation of what is wrong, and the remedy.
    pub detail: String,
    /// With 410: the cursor before the first kept line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earliest: Option<Cursor>,
    /// With 410: the cursor after the last line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest: Option<Cursor>,
}

fn about_blank() -> String {
    "about:blank".to_owned()
}

/// First message of a stream: the position where it starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Hello {
    /// Cursor of the start: lines after it follow.
    pub cursor: Cursor,
}

/// Last message of a stream whose log has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Finished {
    /// Last cursor of the log.
    pub cursor: Cursor,
    /// Status of the deployment.
    pub status: Status,
}

/// Message that lines which a reader asked for are no longer kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Gap {
    /// Cursor before the first kept line.
    pub earliest: Cursor,
    /// Cursor after the last line.
    pub latest: Cursor,
}

/// One record of an NDJSON stream. A line is a bare line object; other records are wrapped in their name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum NdjsonRecord {
    /// A line of the log.
    Line(Line),
    /// A record that is not a line.
    Control(NdjsonControl),
}

/// The records of an NDJSON stream that are not lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum NdjsonControl {
    /// First record: where the stream starts.
    Hello(Hello),
    /// Last record when the log has ended.
    Finished(Finished),
    /// Last record when the next lines are no longer kept.
    Gap(Gap),
    /// Last record when the deployment was deleted.
    Deleted {},
}

/// Mark that a WebSocket client may put into a command to recognise the answer: any JSON but `null`.
pub type Reference = Option<serde_json::Value>;

/// Frames that a WebSocket server sends, one JSON text frame each. Answers echo their command's `ref`.
///
/// A *room* is one deployment that the socket follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum ServerFrame {
    /// First frame of the socket.
    Hello {
        /// Seconds between Ping frames on a silent socket.
        heartbeat_s: u64,
    },
    /// Answer to `subscribe`: the room was entered and its lines follow.
    Subscribed {
        /// Deployment of the room.
        deployment: DeploymentId,
        /// Cursor where the room starts.
        cursor: Cursor,
        /// The command's `ref`; absent for the room that the path names.
        #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
        reference: Reference,
    },
    /// One line of a log.
    Line {
        /// Deployment of the room.
        deployment: DeploymentId,
        /// Line of the deployment's log.
        line: Line,
    },
    /// The room's log has ended and all of it was sent. The room is closed.
    Finished {
        /// Deployment of the room.
        deployment: DeploymentId,
        /// Last cursor of the log.
        cursor: Cursor,
        /// Status of the deployment.
        status: Status,
    },
    /// The next lines of the room are no longer kept. The room is closed.
    Gap {
        /// Deployment of the room.
        deployment: DeploymentId,
        /// Cursor before the first kept line.
        earliest: Cursor,
        /// Cursor after the last line.
        latest: Cursor,
    },
    /// The deployment was deleted. The room is closed.
    Deleted {
        /// Deployment of the room.
        deployment: DeploymentId,
    },
    /// Answer to `unsubscribe`: the room was left and none of its lines follow.
    Unsubscribed {
        /// Deployment of the room.
        deployment: DeploymentId,
        /// Cursor after the last line that was sent.
        cursor: Cursor,
        /// The command's `ref`.
        #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
        reference: Reference,
    },
    /// Answer to `publish`: lines were appended. A durable store answers once they would survive power loss.
    Published {
        /// Deployment that got the lines.
        deployment: DeploymentId,
        /// Seq of the first appended line.
        first: Seq,
        /// Seq of the last appended line.
        last: Seq,
        /// The command's `ref`.
        #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
        reference: Reference,
    },
    /// Answer to `ping`.
    Pong {
        /// Wall clock of the server, µs since 1970.
        at_us: u64,
        /// The command's `ref`.
        #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
        reference: Reference,
    },
    /// Answer to a command that was refused; the socket stays open.
    Error {
        /// Problem document that says why.
        problem: Problem,
        /// The command's `ref`.
        #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
        reference: Reference,
    },
}

/// Commands that a WebSocket client sends, one JSON text frame each, handled in order. A command may carry a `ref`.
///
/// Deployments and positions are text here: the server checks them and says what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum ClientFrame {
    /// Enters a room: follows a deployment on this socket.
    Subscribe {
        /// Id of the deployment.
        deployment: String,
        /// Position to start from, written as the parameter `from`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
    },
    /// Leaves a room: stops following a deployment.
    Unsubscribe {
        /// Id of the deployment.
        deployment: String,
    },
    /// Stops the lines of all rooms until `resume`.
    Pause {},
    /// Goes on where `pause` stopped.
    Resume {},
    /// Appends to a deployment, whether it is followed here or not.
    Publish {
        /// Id of the deployment.
        deployment: String,
        /// One or more lines, split at LF as a `text/plain` body is.
        text: String,
    },
    /// Asks for a `pong`.
    Ping {},
}

/// Returns the most bytes that `text` takes in JSON, without its quotes: a control character becomes `\u0000`, a quote or
/// backslash two bytes (RFC 8259 §7).
pub fn json_bytes_max(text: &[u8]) -> usize {
    text.iter()
        .map(|byte| match byte {
            0..=0x1f => 6,
            b'"' | b'\\' => 2,
            _ => 1,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_cursor_is_refused_unless_it_is_canonical() {
        for text in [
            "",
            ".",
            "k3.",
            ".1",
            "k3.-1",
            "k3.+1",
            "k3.01",
            "k3.00",
            "K3.1",
            "k3.1 ",
            "k3.1.2",
            "k3.9007199254740992",
            "k3.99999999999999999999",
            "abcdefghijklmnopq.1",
            "k\u{e9}.1",
            "now",
        ] {
            assert!(text.parse::<Cursor>().is_err(), "{text:?} was accepted");
        }
        for text in ["k.0", "k3x9.42", "abcdefghijklmnop.9007199254740991"] {
            assert_eq!(text.parse::<Cursor>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn an_entity_tag_gives_its_cursor_back() {
        let cursor: Cursor = "k3x9.42".parse().unwrap();
        assert_eq!(entity_tag(&cursor, false), "\"k3x9.42\"");
        assert_eq!(entity_tag(&cursor, true), "\"k3x9.42.end\"");
        for tag in ["\"k3x9.42\"", "\"k3x9.42.end\"", "W/\"k3x9.42.end\""] {
            assert_eq!(cursor_of_entity_tag(tag), Some(cursor.clone()));
        }
    }

    #[test]
    fn running_is_the_status_of_a_deployment_without_end() {
        let json = r#"{"id":"01k3aaaa","name":"web","status":"running","created_us":1,"finished_us":null,
            "lines":0,"first":"k.0","next":"k.0","unknown":true}"#;
        let deployment: Deployment = serde_json::from_str(json).unwrap();
        assert_eq!(deployment.ended, None);
        assert!(serde_json::to_string(&deployment).unwrap().contains(r#""status":"running""#));
        let ended = Deployment { ended: Some(Status::Failed), ..deployment };
        let json = serde_json::to_string(&ended).unwrap();
        assert!(json.contains(r#""status":"failed""#));
        assert_eq!(serde_json::from_str::<Deployment>(&json).unwrap(), ended);
    }

    proptest! {
        #[test]
        fn any_text_survives_the_json_of_a_line(text in any::<String>(), seq in 1..=SEQ_MAX) {
            let line = Line { seq, at_us: 7, line: NewLine::plain(text) };
            let json = serde_json::to_string(&line).unwrap();
            prop_assert!(!json.contains(['\n', '\r']));
            prop_assert_eq!(serde_json::from_str::<Line>(&json).unwrap(), line);
        }
    }
}
