//! Target profiles: TOML files that say how to start, publish to and follow a server that does not keep wirelab's
//! contract.
//!
//! They are `data/targets/*.toml`, which the binary carries; `docs/targets.md` explains every key. A wrong profile is
//! refused with the file, the key and the remedy. Parsing opens no file; [`Profile::find`] does.

mod file;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use file::ProfileErrors;
use serde::Deserialize;

use super::line::LineAt;
use super::template::Template;
use crate::ServerUrl;
use crate::data_files::{self, Kind};
use crate::wire::Transport;

/// Names that a profile must not have, because they mean something else where targets are named.
const RESERVED: [&str; 2] = ["wirelab", "all"];
const NAME_CHARS_MAX: usize = 40;

/// Profile of a server that does not keep the contract; checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Name of the profile: the stem of its file.
    pub name: String,
    /// Description of the server, in one sentence.
    pub about: String,
    /// Origin of the server.
    pub server: ServerOf,
    /// How a line is published.
    pub publish: PublishRequest,
    /// How the log is followed.
    pub subscribe: Subscribe,
}

/// Origin of a profile's server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerOf {
    /// The script that starts a fresh server for each run.
    Start(PathBuf),
    /// The URL of a server that is already running.
    Running(ServerUrl),
}

/// How a line is published, one request each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishRequest {
    /// HTTP method: `POST` or `PUT`.
    pub method: PublishMethod,
    /// Path of the request; may contain the deployment.
    pub path: Template,
    /// Value of the request's `Content-Type`.
    pub content_type: String,
    /// Body of the request; contains the line.
    pub body: Template,
    /// Whether a request may be sent before the previous one is answered.
    pub pipelining: Pipelining,
}

/// HTTP method that changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum PublishMethod {
    /// `POST`.
    Post,
    /// `PUT`.
    Put,
}

impl PublishMethod {
    /// Returns the method as it is sent.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Put => "PUT",
        }
    }
}

/// Pipelining: whether a request may be sent before the previous one is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pipelining {
    /// A request is sent when it is due, even if earlier ones are unanswered.
    Pipelined,
    /// A request waits for the answer to the previous one, in order. The wait counts as the server's time.
    OneAtATime,
}

/// How the log is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribe {
    /// Protocol that is spoken with subscribers.
    pub wire: SubscribeWire,
    /// Path of the request; may contain the deployment.
    pub path: Template,
    /// Headers of each request, with names in lower case; values may contain the deployment.
    pub headers: Vec<(String, Template)>,
    /// Place of a line in what the server sends.
    pub line: LineAt,
    /// Values that are sent back after a cut. Without any, the server is not asked for missed lines.
    pub resume: Vec<Resume>,
}

/// Protocol that is spoken with subscribers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubscribeWire {
    /// Server-sent events.
    Sse {
        /// Type of the events that carry lines.
        event: String,
    },
    /// Long polling: the body of each answer is one text.
    LongPoll,
    /// WebSocket text frames.
    Websocket(Speech),
}

impl SubscribeWire {
    /// Returns the transport of wirelab that uses this protocol.
    pub const fn transport(&self) -> Transport {
        match self {
            Self::Sse { .. } => Transport::Sse,
            Self::LongPoll => Transport::LongPoll,
            Self::Websocket(_) => Transport::Websocket,
        }
    }
}

/// What a subscriber says on a WebSocket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Speech {
    /// Value of `Sec-WebSocket-Protocol`.
    pub protocol: Option<String>,
    /// Frames that are sent as soon as the socket is open; may contain the deployment.
    pub send: Vec<Template>,
    /// Answers to frames of the server; the first that fits is sent.
    pub answers: Vec<Answer>,
}

/// Frame that is sent in answer to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Beginning of the server's frame.
    pub begins: String,
    /// Frame that is answered; may contain the deployment.
    pub send: Template,
}

/// Value of the last line that is sent back on a reconnect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    /// Place of the value in a line.
    pub take: Take,
    /// Place of the value in the request.
    pub send: SendBack,
}

/// Place of a value in what the server sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Take {
    /// Id of a server-sent event.
    EventId,
    /// Header of the answer to a poll, in lower case.
    Header(String),
    /// JSON pointer into the JSON of the line.
    Pointer(String),
}

/// Place of a value in the request that resumes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendBack {
    /// Request header, in lower case.
    Header(String),
    /// Query parameter.
    Query(String),
}

/// Error of a profile. Every text names the file and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// There is no profile of this name.
    #[error("unknown target {given:?}; one of wirelab, http://host:port{}", .known.iter().map(|name| format!(", {name}")).collect::<String>())]
    Unknown {
        /// Name that was given.
        given: String,
        /// Names of the existing profiles.
        known: Vec<String>,
    },
    /// The file cannot be read.
    #[error("{path}: {error}; profiles are .toml files in the folder targets/ of the data folder")]
    Unreadable {
        /// Path of the file or folder.
        path: String,
        /// Reason.
        #[source]
        error: io::Error,
    },
    /// The file is not TOML, or a key is unknown, missing or of a wrong type.
    #[error("profile {profile:?}, line {line}{}: {what}", key.as_ref().map_or(String::new(), |key| format!(", {key}")))]
    Malformed {
        /// Name of the profile.
        profile: String,
        /// Line of the file, from 1.
        line: usize,
        /// Key on that line, if there is one.
        key: Option<String>,
        /// What is wrong, with the allowed keys or types.
        what: String,
    },
    /// A value is not allowed.
    #[error("profile {profile:?}: {key} is {given:?}; {must}")]
    Refused {
        /// Name of the profile.
        profile: String,
        /// Key of the value.
        key: String,
        /// Value that was given.
        given: String,
        /// Remedy.
        must: String,
    },
}

impl Profile {
    /// Parses the TOML `text` of the profile `name`. The path of the start script is not resolved.
    pub fn parse(name: &str, text: &str) -> Result<Self, ProfileError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let transports = Transport::ALL.map(Transport::name);
        let taken = RESERVED.contains(&name) || transports.contains(&name) || name.starts_with("url-");
        let of = ProfileErrors { profile: name };
        if taken || name.is_empty() || name.len() > NAME_CHARS_MAX || !name.bytes().all(plain) {
            let must = format!(
                "rename the file: 1 to {NAME_CHARS_MAX} characters of a-z, 0-9 and dash, not wirelab, all, a transport \
                 or url-…"
            );
            return Err(of.refused("its name", name, must));
        }
        file::parse(of, text)
    }

    /// Finds the profile `name` in the folder `targets` or in the binary. The path of the start script is not resolved.
    pub fn find(targets: &Path, name: &str) -> Result<Self, ProfileError> {
        let unreadable = |error| ProfileError::Unreadable { path: targets.display().to_string(), error };
        // A name with such characters cannot be a file's name, so it is not tried as a path.
        let is_name = !name.contains(['/', '\\', '.']);
        let Some(file) = data_files::find(Kind::Target, targets, name).filter(|_| is_name) else {
            let known = Self::names(targets).map_err(unreadable)?;
            return Err(ProfileError::Unknown { given: name.to_owned(), known });
        };
        Self::parse(name, &file.text().map_err(unreadable)?)
    }

    /// Resolves the path of the start script, which counts from `root`; the script must be there.
    pub fn startable(mut self, root: &Path) -> Result<Self, ProfileError> {
        if let ServerOf::Start(script) = &mut self.server {
            let found = fs::canonicalize(root.join(&script)).map_err(|error| {
                let must = format!(
                    "{error}; the path counts from the folder that holds the data folder, and the scripts of the \
                     profiles that wirelab brings are in its repository only"
                );
                ProfileErrors { profile: &self.name }.refused("start", &script.display().to_string(), must)
            })?;
            *script = found;
        }
        Ok(self)
    }

    /// Returns the names of all profiles in the folder `targets` and in the binary, sorted.
    pub fn names(targets: &Path) -> io::Result<Vec<String>> {
        Ok(data_files::all(Kind::Target, targets)?.into_keys().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SSE: &str = r#"
about = "An example."
start = "scripts/peers/example/start"

[publish]
path = "/{deployment}/lines"
body = '{"text":{json}}'

[subscribe]
wire = "sse"
path = "/{deployment}/stream"
headers = { Accept = "text/event-stream" }
event = "log"
resume = [{ take = "event-id", send = "header Last-Event-ID" }]
"#;

    const WEBSOCKET: &str = r#"
about = "An example."
url = "http://127.0.0.1:8080"
[publish]
method = "PUT"
path = "/lines"
content_type = "text/plain"
body = "{text}"
pipelining = false
[subscribe]
wire = "websocket"
path = "/socket?room={deployment}"
protocol = "x"
send = ["hello {deployment}"]
answers = [{ begins = "2", send = "3" }]
resume = [{ take = "/1/id", send = "query after" }]
[subscribe.line]
prefix = "42"
only = { "/0" = "log" }
text = "/1/text"
"#;

    #[test]
    fn a_good_profile_says_everything() {
        let sse = Profile::parse("example", SSE).unwrap();
        assert_eq!(sse.server, ServerOf::Start("scripts/peers/example/start".into()));
        assert_eq!(
            (sse.publish.method, sse.publish.pipelining),
            (PublishMethod::Post, Pipelining::Pipelined)
        );
        assert_eq!(sse.publish.content_type, "application/json");
        assert_eq!(sse.publish.body.fill("web", "1 \"a\""), r#"{"text":"1 \"a\""}"#);
        assert_eq!(sse.subscribe.wire, SubscribeWire::Sse { event: "log".to_owned() });
        assert_eq!(sse.subscribe.headers[0].0, "accept");
        let send = SendBack::Header("last-event-id".to_owned());
        assert_eq!(sse.subscribe.resume, [Resume { take: Take::EventId, send }]);

        let websocket = Profile::parse("example", WEBSOCKET).unwrap();
        assert_eq!(websocket.publish.pipelining, Pipelining::OneAtATime);
        let SubscribeWire::Websocket(speech) = &websocket.subscribe.wire else { panic!("it says websocket") };
        assert_eq!(speech.send[0].fill("web", ""), "hello web");
        assert_eq!((speech.answers[0].begins.as_str(), speech.protocol.as_deref()), ("2", Some("x")));
        assert_eq!(websocket.subscribe.line.only, [("/0".to_owned(), "log".to_owned())]);
        assert_eq!(websocket.subscribe.resume[0].send, SendBack::Query("after".to_owned()));
    }

    #[test]
    fn what_a_profile_says_wrongly_is_refused_with_file_key_and_remedy() {
        let with = |text: &str, from: &str, to: &str| {
            assert!(text.contains(from), "{from}");
            text.replace(from, to)
        };
        for (text, said) in [
            (with(SSE, "about", "abut"), "line 2, abut: unknown field `abut`, expected one of `about`"),
            (with(SSE, "event = ", "events = "), "events: unknown field `events`"),
            (
                with(SSE, "\"sse\"", "\"sock\""),
                "wire: unknown variant `sock`, expected one of `sse`, `long-poll`, `websocket`",
            ),
            (with(SSE, "start = ", "# "), "start is \"\"; give the path of a script"),
            (with(SSE, "[publish]", "url = \"http://x\"\n[publish]"), "there is a url too"),
            (with(WEBSOCKET, "http://", "wss://"), "url is \"wss://127.0.0.1:8080\";"),
            (
                with(SSE, "{json}", "{jsn}"),
                "publish.body is \"{\\\"text\\\":{jsn}}\"; {jsn} is not a placeholder here",
            ),
            (with(SSE, "{json}", "1"), "it must hold the line"),
            (
                with(SSE, "\"/{deployment}/lines", "\"lines"),
                "publish.path is \"lines\"; write a path from the server's root",
            ),
            (with(SSE, "/stream", "/a b"), "subscribe.path is \"/{deployment}/a b\""),
            (with(SSE, "/stream", "/{text}"), "{text} is not a placeholder here; use {deployment}"),
            (with(SSE, "Accept", "\"a b\""), "subscribe.headers.a b is \"a b\"; that is not a header name"),
            (with(SSE, "\"text/event-stream\"", "\"\\u0007\""), "a header may hold visible ASCII only"),
            (
                with(SSE, "event-id\"", "id\""),
                "subscribe.resume.take is \"id\"; write event-id (with sse), \"header NAME\"",
            ),
            (with(SSE, "event-id\"", "/id\""), "a pointer needs lines in JSON; set subscribe.line.text"),
            (with(SSE, "header Last", "Last"), "write \"header NAME\" or \"query NAME\""),
            (
                with(SSE, "event = \"log\"", "send = []"),
                "subscribe.send is \"given\"; it belongs to wire = \"websocket\"",
            ),
            (with(WEBSOCKET, "protocol = \"x\"", "event = \"x\""), "it belongs to wire = \"sse\""),
            (
                with(WEBSOCKET, "\"/1/id\"", "\"event-id\""),
                "subscribe.resume.take is \"event-id\"; write event-id (with sse)",
            ),
            (with(SSE, "event-id\"", "header etag\""), "\"header NAME\" (with long-poll)"),
            (
                with(WEBSOCKET, "\"/1/text\"", "\"1/text\""),
                "subscribe.line.text is \"1/text\"; write a JSON pointer",
            ),
            (with(WEBSOCKET, "\"/0\"", "\"/~2\""), "subscribe.line.only is \"/~2\"; write a JSON pointer"),
            (with(WEBSOCKET, "\"PUT\"", "\"GET\""), "unknown variant `GET`, expected `POST` or `PUT`"),
            (with(WEBSOCKET, "false", "\"no\""), "pipelining: invalid type: string"),
        ] {
            let refused = Profile::parse("x", &text).unwrap_err().to_string();
            assert!(
                refused.starts_with("profile \"x\"") && refused.contains(said),
                "{refused}\ninstead of {said}"
            );
            assert!(!refused.contains('\n'), "{refused}");
        }
    }

    #[test]
    fn a_name_that_means_something_else_is_refused() {
        for name in ["wirelab", "all", "sse", "url-1", "", "A", "a/b"] {
            let refused = Profile::parse(name, SSE).unwrap_err().to_string();
            assert!(refused.contains("rename the file"), "{refused}");
        }
    }

    #[test]
    fn a_profile_is_found_by_name_and_its_script_must_be_there() {
        let folder = tempfile::tempdir().unwrap();
        let (root, targets) = (folder.path(), folder.path().join("targets"));
        let carried = Profile::names(&targets).unwrap();
        assert!(carried.iter().any(|name| name == "socketio"), "{carried:?}");
        fs::create_dir(&targets).unwrap();
        fs::write(targets.join("example.toml"), SSE).unwrap();
        let find = |name| Profile::find(&targets, name)?.startable(root);
        let said = find("example").unwrap_err().to_string();
        assert!(said.contains("start is \"scripts/peers/example/start\"; No such file"), "{said}");
        fs::create_dir_all(root.join("scripts/peers/example")).unwrap();
        fs::write(root.join("scripts/peers/example/start"), "").unwrap();
        assert!(matches!(find("example").unwrap().server, ServerOf::Start(script) if script.is_absolute()));
        for unknown in ["exmple", "../targets/example"] {
            let said = find(unknown).unwrap_err().to_string();
            assert!(
                said.contains("one of wirelab, http://host:port, axum-long-poll, ")
                    && said.contains(" example, "),
                "{said}"
            );
        }
        let said = find("socketio").unwrap_err().to_string();
        assert!(said.contains("are in its repository only"), "{said}");
    }
}
