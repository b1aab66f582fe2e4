//! Profile files: the TOML form of a profile.
//!
//! Texts are parsed into templates, pointers and header names here; a text that is not valid is refused.

use std::collections::BTreeMap;

use hyper::header::{HeaderName, HeaderValue};
use hyper::http::uri::PathAndQuery;
use serde::Deserialize;

use super::{
    Answer, Pipelining, Profile, ProfileError, PublishMethod, PublishRequest, Resume, SendBack, ServerOf,
    Speech, Subscribe, SubscribeWire, Take,
};
use crate::targets::line::LineAt;
use crate::targets::template::{Placeholder, Template};
use crate::toml_place::Place;

/// Parses the TOML `text`.
pub(super) fn parse(of: ProfileErrors<'_>, text: &str) -> Result<Profile, ProfileError> {
    let file: FileProfile = toml::from_str(text).map_err(|error| {
        let Place { line, key, what } = Place::of(text, &error);
        ProfileError::Malformed { profile: of.profile.to_owned(), line, key, what }
    })?;
    file.resolve(of)
}

/// Profile before its texts are parsed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileProfile {
    about: String,
    start: Option<String>,
    url: Option<String>,
    publish: FilePublish,
    subscribe: FileSubscribe,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FilePublish {
    #[serde(default = "FilePublish::method_default")]
    method: PublishMethod,
    path: String,
    #[serde(default = "FilePublish::content_type_default")]
    content_type: String,
    body: String,
    #[serde(default = "FilePublish::pipelining_default")]
    pipelining: bool,
}

impl FilePublish {
    fn method_default() -> PublishMethod {
        PublishMethod::Post
    }

    fn content_type_default() -> String {
        "application/json".to_owned()
    }

    fn pipelining_default() -> bool {
        true
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileSubscribe {
    wire: FileWire,
    path: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    line: FileLine,
    #[serde(default)]
    resume: Vec<FileResume>,
    // Key of `sse`.
    event: Option<String>,
    // Keys of `websocket`.
    protocol: Option<String>,
    send: Option<Vec<String>>,
    answers: Option<Vec<FileAnswer>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum FileWire {
    Sse,
    LongPoll,
    Websocket,
}

impl FileWire {
    const fn name(self) -> &'static str {
        match self {
            Self::Sse => "sse",
            Self::LongPoll => "long-poll",
            Self::Websocket => "websocket",
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileLine {
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    only: BTreeMap<String, String>,
    text: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileResume {
    take: String,
    send: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileAnswer {
    begins: String,
    send: String,
}

const IN_PATHS: &[Placeholder] = &[Placeholder::Deployment];
const IN_BODIES: &[Placeholder] = &[Placeholder::Deployment, Placeholder::Text, Placeholder::Json];

impl FileProfile {
    fn resolve(self, of: ProfileErrors<'_>) -> Result<Profile, ProfileError> {
        let server = match (self.start, self.url) {
            (Some(script), None) => ServerOf::Start(script.into()),
            (None, Some(url)) => {
                ServerOf::Running(url.parse().map_err(|error| of.refused("url", &url, format!("{error}")))?)
            }
            (Some(start), Some(_)) => {
                let must = "but there is a url too; give one of them".to_owned();
                return Err(of.refused("start", &start, must));
            }
            (None, None) => {
                let must = "give the path of a script that starts the server, or the url of a running one"
                    .to_owned();
                return Err(of.refused("start", "", must));
            }
        };
        let publish = self.publish.resolve(of)?;
        let subscribe = self.subscribe.resolve(of)?;
        Ok(Profile { name: of.profile.to_owned(), about: self.about, server, publish, subscribe })
    }
}

impl FilePublish {
    fn resolve(self, of: ProfileErrors<'_>) -> Result<PublishRequest, ProfileError> {
        let body = of.template("publish.body", &self.body, IN_BODIES)?;
        if !body.has_line() {
            let must = "it must hold the line: as {text}, or as a JSON string with {json}".to_owned();
            return Err(of.refused("publish.body", &self.body, must));
        }
        of.header_value("publish.content_type", &self.content_type)?;
        let pipelining = if self.pipelining { Pipelining::Pipelined } else { Pipelining::OneAtATime };
        let path = of.path("publish.path", &self.path)?;
        Ok(PublishRequest { method: self.method, path, content_type: self.content_type, body, pipelining })
    }
}

impl FileSubscribe {
    fn resolve(self, of: ProfileErrors<'_>) -> Result<Subscribe, ProfileError> {
        let path = of.path("subscribe.path", &self.path)?;
        let mut headers = Vec::new();
        for (name, value) in &self.headers {
            let key = format!("subscribe.headers.{name}");
            let name = of.header_name(&key, name)?;
            let value_template = of.template(&key, value, IN_PATHS)?;
            of.header_value(&key, &value_template.fill("x", ""))?;
            headers.push((name, value_template));
        }
        let line = LineAt {
            prefix: self.line.prefix,
            only: self.line.only.into_iter().collect(),
            text: self.line.text,
        };
        for pointer in line.only.iter().map(|(pointer, _)| pointer) {
            of.pointer("subscribe.line.only", pointer)?;
        }
        if let Some(pointer) = &line.text {
            of.pointer("subscribe.line.text", pointer)?;
        }
        let is_json = !line.only.is_empty() || line.text.is_some();
        let resume = self
            .resume
            .iter()
            .map(|resume| resume.resolve(self.wire, is_json, of))
            .collect::<Result<_, _>>()?;
        let given = [
            ("subscribe.event", self.event.is_some(), FileWire::Sse),
            ("subscribe.protocol", self.protocol.is_some(), FileWire::Websocket),
            ("subscribe.send", self.send.is_some(), FileWire::Websocket),
            ("subscribe.answers", self.answers.is_some(), FileWire::Websocket),
        ];
        if let Some((key, _, wire)) = given.iter().find(|(_, given, wire)| *given && *wire != self.wire) {
            let must = format!("it belongs to wire = {:?}; take it out", wire.name());
            return Err(of.refused(key, "given", must));
        }
        let wire = match self.wire {
            FileWire::Sse => SubscribeWire::Sse { event: self.event.unwrap_or_else(|| "message".to_owned()) },
            FileWire::LongPoll => SubscribeWire::LongPoll,
            FileWire::Websocket => {
                let frame = |text: &String| of.template("subscribe.send", text, IN_PATHS);
                let send = self.send.unwrap_or_default().iter().map(frame).collect::<Result<_, _>>()?;
                let answer = |answer: FileAnswer| {
                    let send = of.template("subscribe.answers", &answer.send, IN_PATHS)?;
                    Ok(Answer { begins: answer.begins, send })
                };
                let answers = self.answers.unwrap_or_default().into_iter().map(answer);
                let answers = answers.collect::<Result<_, ProfileError>>()?;
                if let Some(protocol) = &self.protocol {
                    of.header_value("subscribe.protocol", protocol)?;
                }
                SubscribeWire::Websocket(Speech { protocol: self.protocol, send, answers })
            }
        };
        Ok(Subscribe { wire, path, headers, line, resume })
    }
}

impl FileResume {
    fn resolve(&self, wire: FileWire, is_json: bool, of: ProfileErrors<'_>) -> Result<Resume, ProfileError> {
        let key = "subscribe.resume.take";
        let take = if self.take == "event-id" && wire == FileWire::Sse {
            Take::EventId
        } else if let Some(name) = self.take.strip_prefix("header ")
            && wire == FileWire::LongPoll
        {
            Take::Header(of.header_name(key, name)?)
        } else if self.take.starts_with('/') {
            of.pointer(key, &self.take)?;
            if !is_json {
                let must = "a pointer needs lines in JSON; set subscribe.line.text or subscribe.line.only"
                    .to_owned();
                return Err(of.refused(key, &self.take, must));
            }
            Take::Pointer(self.take.clone())
        } else {
            let must =
                "write event-id (with sse), \"header NAME\" (with long-poll) or a JSON pointer such as /1/id";
            return Err(of.refused(key, &self.take, must.to_owned()));
        };
        let key = "subscribe.resume.send";
        let send = match self.send.split_once(' ') {
            Some(("header", name)) => SendBack::Header(of.header_name(key, name)?),
            Some(("query", name))
                if !name.is_empty()
                    && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)) =>
            {
                SendBack::Query(name.to_owned())
            }
            Some(_) | None => {
                let must = "write \"header NAME\" or \"query NAME\"".to_owned();
                return Err(of.refused(key, &self.send, must));
            }
        };
        Ok(Resume { take, send })
    }
}

/// Factory of errors that name the profile.
#[derive(Clone, Copy)]
pub(super) struct ProfileErrors<'a> {
    pub(super) profile: &'a str,
}

impl ProfileErrors<'_> {
    pub(super) fn refused(self, key: &str, given: &str, must: String) -> ProfileError {
        let (profile, key, given) = (self.profile.to_owned(), key.to_owned(), given.to_owned());
        ProfileError::Refused { profile, key, given, must }
    }

    fn template(self, key: &str, text: &str, allowed: &[Placeholder]) -> Result<Template, ProfileError> {
        Template::parse(text, allowed).map_err(|must| self.refused(key, text, must))
    }

    fn path(self, key: &str, text: &str) -> Result<Template, ProfileError> {
        let template = self.template(key, text, IN_PATHS)?;
        let filled = template.fill("x", "");
        if !filled.starts_with('/') || filled.contains('#') || filled.parse::<PathAndQuery>().is_err() {
            let must = "write a path from the server's root, such as /streams/{deployment}".to_owned();
            return Err(self.refused(key, text, must));
        }
        Ok(template)
    }

    fn header_name(self, key: &str, name: &str) -> Result<String, ProfileError> {
        let parsed = name.parse::<HeaderName>();
        let must = "that is not a header name; use letters, digits and dashes".to_owned();
        parsed.map(|name| name.as_str().to_owned()).map_err(|_| self.refused(key, name, must))
    }

    fn header_value(self, key: &str, value: &str) -> Result<(), ProfileError> {
        let must = "a header may hold visible ASCII only".to_owned();
        let visible = HeaderValue::from_str(value).is_ok_and(|value| value.to_str().is_ok());
        if visible { Ok(()) } else { Err(self.refused(key, value, must)) }
    }

    /// Checks a JSON pointer (RFC 6901 §3): empty or `/…`, and `~` only before 0 or 1.
    fn pointer(self, key: &str, pointer: &str) -> Result<(), ProfileError> {
        let escaped = pointer.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
        if (pointer.is_empty() || pointer.starts_with('/')) && escaped {
            return Ok(());
        }
        let must = "write a JSON pointer: / before each key or index, such as /1/text".to_owned();
        Err(self.refused(key, pointer, must))
    }
}
