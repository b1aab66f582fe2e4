//! Two libraries in one crate: wirelab's clients, one per transport, and the harness that measures with them.
//!
//! - [`wire`]: the types of everything that crosses the network
//! - [`transports`]: the client halves; each file can be read alone
//! - [`Options`]: what a client decides by itself
//! - [`Ladder`]: a client that steps down to another transport when one does not get through
//! - [`api`]: the regular API, for what is not measured; [`backoff`]: how long to stay away from a server in trouble
//! - [`event_stream`]: the parser of server-sent events
//! - [`meter`]: counts every request and byte at the socket; [`traffic`]: the counts; [`timing`]: how long requests
//!   took
//! - [`data_files`]: plans, recordings and profiles, in a folder and in the binary
//! - [`recording`]: logs of real deployments with their timing
//! - [`spare`]: gives the memory of lines back, for readers of very many
//! - [`targets`]: servers other than wirelab's, described by profiles
//! - [`harness`]: plans, schedules, the open-loop publisher, subscribers, recorders, results
//! - [`os`]: what only the operating system knows
//!
//! A *deployment* is one run of a build or a release; its *log* is the list of lines that it prints. A *subscriber*
//! follows one log. The crate knows nothing of the server but the contract in [`wire`].

mod advice;
pub mod api;
pub mod backoff;
pub mod data_files;
#[doc(hidden)]
pub mod decode;
mod deflate;
pub mod delay_line;
mod deployment_url;
pub mod event_stream;
mod frame_socket;
mod gzip;
pub mod harness;
mod http;
mod http2;
pub mod inflate;
mod ladder;
pub mod latency;
pub mod link;
pub mod meter;
pub mod options;
pub mod os;
mod poll_schedule;
pub mod recording;
pub mod route;
mod silence;
pub mod spare;
mod stream;
pub mod targets;
pub mod timing;
pub mod tls;
mod token;
mod toml_place;
pub mod traffic;
pub mod transports;
mod upgrade;
pub mod wire;
#[cfg(feature = "openapi")]
mod wire_schemas;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use hyper::header::HeaderValue;

pub use crate::deployment_url::{DeploymentUrl, InvalidDeploymentUrl};
pub use crate::ladder::{Ladder, connect_ladder};
use crate::meter::Meter;
pub use crate::options::{
    Adaptation, Compression, Condition, HttpVersion, Options, PollConnections, PollPhase, PollSchedule,
    Polling,
};
use crate::tls::ClientTls;
pub use crate::token::{InvalidToken, Token};
use crate::traffic::Traffic;
use crate::transports::{LongPoll, Ndjson, ShortPoll, Sse, Websocket};
use crate::wire::{Batch, DeploymentId, Gap, Position, Transport};

/// A client that follows one deployment's log, whatever the transport. Reconnects and resumes by itself.
#[async_trait]
pub trait Subscriber: Send {
    /// Waits for at least one line or the end.
    ///
    /// Cancel-safe: the cursor moves only when a batch is returned. After the end it returns the finished batch,
    /// without lines, again and at once.
    async fn next_batch(&mut self) -> Result<Received, SubscribeError>;

    /// Returns the requests of this subscriber and the bytes through its socket so far.
    fn traffic(&self) -> Traffic;
}

/// A batch and the moment it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Lines that arrived, and the cursor after them.
    pub batch: Batch,
    /// Time at which the read returned that completed the batch, before parsing. Some lines may have come in earlier reads
    /// of the same answer; they were of no use before it was whole.
    pub at: Instant,
}

/// Deployment to follow, the server it is on, and the position to start from.
#[derive(Debug, Clone)]
pub struct Target {
    /// Server to connect to.
    pub server: ServerUrl,
    /// Deployment to follow.
    pub deployment: DeploymentId,
    /// Position to start from.
    pub from: Position,
}

impl Target {
    /// Parses a program's arguments, `PROGRAM URL [CURSOR]`. The URL is a deployment's, such as
    /// `http://127.0.0.1:8080/api/deployments/01k3…`, or another form of [`DeploymentUrl`]. Without a cursor the position
    /// in the URL counts, `?from=`.
    ///
    /// ```
    /// use wirelab_clients::Target;
    /// let told = |arguments: &[&str]| Target::from_arguments(arguments.iter().map(ToString::to_string));
    /// let target = told(&["sse", "http://localhost:8080/api/deployments/01k3aaaa/sse", "k3x9.42"]).unwrap();
    /// assert_eq!(target.deployment.as_str(), "01k3aaaa");
    /// assert!(told(&["sse"]).unwrap_err().to_string().starts_with("usage: sse URL [CURSOR]"));
    /// ```
    pub fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Result<Self, InvalidTarget> {
        let program = arguments.next().unwrap_or_default();
        let given = [arguments.next(), arguments.next(), arguments.next()];
        match given {
            [Some(url), from, None] => {
                let from = from.map(|from| from.parse()).transpose()?;
                let DeploymentUrl { server, id: deployment, transport: _, from: in_url } = url.parse()?;
                Ok(Self { server, deployment, from: from.or(in_url).unwrap_or(Position::Start) })
            }
            _ => Err(InvalidTarget::Usage(program.rsplit('/').next().unwrap_or_default().to_owned())),
        }
    }
}

/// Error in arguments that should name a deployment to follow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    /// There are no arguments, or too many.
    #[error("usage: {0} URL [CURSOR]; URL is a deployment's, as `wirelab publish` prints it")]
    Usage(String),
    /// The first argument is not the URL of a deployment.
    #[error(transparent)]
    Url(#[from] InvalidDeploymentUrl),
    /// The second argument is not a position.
    #[error(transparent)]
    Cursor(#[from] wire::InvalidToken),
}

/// Returns a subscriber that uses the given transport. It connects when it is first asked for a batch.
pub fn connect(
    transport: Transport,
    target: Target,
    options: &Options,
    meter: Arc<Meter>,
) -> Box<dyn Subscriber> {
    match transport {
        Transport::ShortPoll => Box::new(ShortPoll::new(target, options, meter)),
        Transport::LongPoll => Box::new(LongPoll::new(target, options, meter)),
        Transport::Sse => Box::new(Sse::new(target, options, meter)),
        Transport::Ndjson => Box::new(Ndjson::new(target, options, meter)),
        Transport::Websocket => Box::new(Websocket::new(target, options, meter)),
    }
}

/// Reason why a subscriber gave up.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SubscribeError {
    /// The server cannot be trusted, or does not speak TLS where it should.
    #[error("{server} is not spoken to: {why}")]
    Mistrusted {
        /// Server.
        server: String,
        /// Reason, with the remedy.
        why: String,
    },
    /// The server refused, and would refuse again.
    #[error("the server refused with {status}: {detail}")]
    Refused {
        /// HTTP status of the refusal.
        status: u16,
        /// Detail of the server's problem document.
        detail: String,
    },
    /// The server no longer keeps lines after the cursor, or the log began a new epoch.
    #[error("lines are missing after the cursor: the server keeps what follows {}, up to {}", .0.earliest, .0.latest)]
    Gap(Gap),
    /// The deployment was deleted.
    #[error("the deployment was deleted")]
    Deleted,
    /// The server could not be reached, again and again.
    #[error("{server} failed {failures} times in a row, the last time with: {last}")]
    Unreachable {
        /// Server that failed.
        server: String,
        /// Failures in a row.
        failures: u32,
        /// Reason of the last failure.
        last: String,
    },
    /// The answer is of another kind than the transport's: a page for people, say, where a stream was expected. The same
    /// question would get the same answer.
    #[error("the server answered with {found} where {expected} was expected; check the address and the path")]
    OtherAnswer {
        /// What was expected.
        expected: String,
        /// What came.
        found: String,
    },
    /// The server broke the contract; the text says how.
    #[error("{0}; check that the server speaks wirelab's protocol, or that its profile fits")]
    Contract(String),
}

/// Address of a server, `http://host:port` or `https://host:port`, with what a client needs beside it: whom it trusts, and
/// the token that it shows. The latter two are not part of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl {
    authority: String,
    tls: Option<ClientTls>,
    token: Option<Token>,
}

impl ServerUrl {
    /// Returns `host:port`.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Returns `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Returns how TLS is spoken; `None`: it is not.
    pub fn tls(&self) -> Option<&ClientTls> {
        self.tls.as_ref()
    }

    /// Speaks TLS in this way, if the URL says that TLS is spoken.
    pub fn secured_by(self, tls: ClientTls) -> Self {
        Self { tls: self.tls.map(|_| tls), ..self }
    }

    /// Shows this token with each request.
    pub fn with_token(self, token: Token) -> Self {
        Self { token: Some(token), ..self }
    }

    /// Returns the value of `Authorization`, if a token is shown.
    pub(crate) fn authorization(&self) -> Option<&HeaderValue> {
        self.token.as_ref().map(Token::header)
    }
}

/// Error of a server URL that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not a server URL; write http://host:port or https://host:port, without a path")]
pub struct InvalidServerUrl {
    given: String,
}

impl FromStr for ServerUrl {
    type Err = InvalidServerUrl;
    fn from_str(text: &str) -> Result<Self, InvalidServerUrl> {
        let invalid = || InvalidServerUrl { given: text.to_owned() };
        // What follows `#` is the page's and never sent to a server (RFC 3986 §3.5).
        let url = text.split_once('#').map_or(text, |(url, _)| url);
        let (authority, default_port, tls) = match url.split_once("://") {
            Some((scheme, authority)) if scheme.eq_ignore_ascii_case("http") => (authority, Some(80), None),
            Some((scheme, authority)) if scheme.eq_ignore_ascii_case("https") => {
                (authority, Some(443), Some(ClientTls::machine()))
            }
            Some(_) => return Err(invalid()),
            None => (url, None, None),
        };
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let parsed: hyper::http::uri::Authority = authority.parse().map_err(|_| invalid())?;
        if parsed.host().is_empty() || authority.contains('@') {
            return Err(invalid());
        }
        // An invalid port is refused, not replaced by a default. Without a scheme nothing but the port tells an address
        // from a name.
        let has_port = !authority.ends_with(parsed.host());
        let port = if has_port { parsed.port_u16() } else { default_port }.ok_or_else(invalid)?;
        Ok(Self { authority: format!("{}:{port}", parsed.host()), tls, token: None })
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme(), self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_deployments_url_and_perhaps_a_cursor() {
        let told = |arguments: &str| {
            Target::from_arguments(
                ["target/sse"].into_iter().chain(arguments.split_whitespace()).map(str::to_owned),
            )
        };
        for (url, from) in [
            ("", Position::Start),
            ("/", Position::Start),
            ("/sse", Position::Start),
            ("/sse?from=now", Position::Now),
        ] {
            let target = told(&format!("http://h:1/api/deployments/01k3aaaa{url}")).unwrap();
            assert_eq!((target.server.authority(), target.deployment.as_str()), ("h:1", "01k3aaaa"));
            assert_eq!(target.from, from);
        }
        let from = |from: &str| told(&format!("http://h:1/api/deployments/01k3aaaa {from}"));
        assert_eq!(from("now").unwrap().from, Position::Now);
        assert_eq!(from("k.7").unwrap().from, Position::After("k.7".parse().unwrap()));
        assert!(matches!(from("7"), Err(InvalidTarget::Cursor(_))));
        for usage in ["", "a b c"] {
            assert_eq!(told(usage).unwrap_err(), InvalidTarget::Usage("sse".to_owned()));
        }
        for url in ["http://h:1", "ftp://h:1/api/deployments/01k3aaaa", "01k3aaaa"] {
            assert!(matches!(told(url), Err(InvalidTarget::Url(_))), "{url}");
        }
        let both = told("http://h:1/api/deployments/01k3aaaa?from=now k.7").unwrap();
        assert_eq!(both.from, Position::After("k.7".parse().unwrap()));
    }

    #[test]
    fn a_server_url_is_host_and_port_and_nothing_is_guessed() {
        let authority = |text: &str| text.parse::<ServerUrl>().map(|url| url.authority);
        for (text, there) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("http://localhost:8080/", "localhost:8080"),
            ("HTTP://localhost:8080", "localhost:8080"),
            ("http://[::1]:8080", "[::1]:8080"),
            ("http://example.org", "example.org:80"),
            ("https://example.org", "example.org:443"),
            ("HTTPS://x:1", "x:1"),
            ("http://localhost:8080/#/lessons", "localhost:8080"),
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("localhost:8080/", "localhost:8080"),
            ("[::1]:8080", "[::1]:8080"),
        ] {
            assert_eq!(authority(text).unwrap(), there, "{text}");
        }
        for wrong in [
            "",
            "localhost",
            "[::1]",
            "::1:8080",
            ":8080",
            "localhost:",
            "localhost:1/path",
            "http://x:1//",
            "http://x:1?from=now",
            "https://",
            "https://x:1/path",
            "wss://x:1",
            "http://",
            "http://x:99999",
            "http://x:",
            "http://x:y",
            "http://a@b",
            "http://x:1/path",
            "ftp://x",
        ] {
            assert!(authority(wrong).is_err(), "{wrong}");
        }
    }
}
