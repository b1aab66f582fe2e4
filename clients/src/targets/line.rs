//! Place of a line in what a server sends.
//!
//! Some servers send only the text. Others send JSON, or JSON after a prefix (Socket.IO: `42["log",{"text":"…"}]`),
//! with other messages in between. Pure.

use std::borrow::Cow;

use serde_json::Value;

/// Place of a line's text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LineAt {
    /// Prefix that a line begins with, and that is removed. Data without it is not a line.
    pub prefix: String,
    /// Strings that must stand at JSON pointers; data without them is not a line.
    pub only: Vec<(String, String)>,
    /// JSON pointer (RFC 6901) to the text; `None`: the whole data is the text.
    pub text: Option<String>,
}

/// Line that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found<'a> {
    /// Text of the line, with its number.
    pub text: Cow<'a, str>,
    /// JSON that held the line, if a pointer was followed.
    pub json: Option<Value>,
}

impl LineAt {
    /// Finds the line in `data`; `None`: there is none. The error says what should be there and is not.
    pub fn find<'a>(&self, data: &'a str) -> Result<Option<Found<'a>>, String> {
        let Some(data) = data.strip_prefix(&self.prefix) else { return Ok(None) };
        if self.only.is_empty() && self.text.is_none() {
            return Ok(Some(Found { text: data.into(), json: None }));
        }
        let json: Value = serde_json::from_str(data)
            .map_err(|error| format!("the server sent data that is not JSON: {error}: {data:.80}"))?;
        let has = |(pointer, string): &(String, String)| {
            json.pointer(pointer).and_then(Value::as_str) == Some(string.as_str())
        };
        if !self.only.iter().all(has) {
            return Ok(None);
        }
        let text = match &self.text {
            None => data.into(),
            Some(pointer) => match json.pointer(pointer).and_then(Value::as_str) {
                Some(text) => text.to_owned().into(),
                None => {
                    return Err(format!("the server sent data without a string at {pointer:?}: {data:.80}"));
                }
            },
        };
        Ok(Some(Found { text, json: Some(json) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(at: &LineAt, data: &str) -> Result<Option<String>, String> {
        at.find(data).map(|found| found.map(|found| found.text.into_owned()))
    }

    #[test]
    fn a_line_is_all_of_it_or_what_a_pointer_says() {
        let whole = LineAt::default();
        let json = LineAt { text: Some("/line/text".to_owned()), ..LineAt::default() };
        let socket_io = LineAt {
            prefix: "42".to_owned(),
            only: vec![("/0".to_owned(), "log".to_owned())],
            text: Some("/1/text".to_owned()),
        };
        let said = |text: &str| Ok(Some(text.to_owned()));
        for (at, data, found) in [
            (&whole, "1 a", said("1 a")),
            (&whole, "", said("")),
            (&json, r#"{"line":{"text":"1 \"a\""}}"#, said("1 \"a\"")),
            (
                &json,
                r#"{"line":{"text":7}}"#,
                Err(r#"the server sent data without a string at "/line/text": {"line":{"text":7}}"#
                    .to_owned()),
            ),
            (&socket_io, r#"42["log",{"text":"1 a"}]"#, said("1 a")),
            (&socket_io, r#"42["joined","web"]"#, Ok(None)),
            (&socket_io, "2", Ok(None)),
            (&socket_io, r#"40{"sid":"x"}"#, Ok(None)),
        ] {
            assert_eq!(text(at, data), found, "{data}");
        }
        assert!(text(&json, "1 a").unwrap_err().starts_with("the server sent data that is not JSON"));
    }
}
