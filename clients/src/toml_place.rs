//! Where a TOML file is wrong, for the errors of plans and profiles.
//!
//! The parser's own report is a drawing of several lines; ours is one line that names line, key and remedy.

/// The place and the matter of a TOML error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Counted from 1.
    pub(crate) line: usize,
    /// The key on that line, if there is one.
    pub(crate) key: Option<String>,
    /// What is wrong, with the allowed keys or types.
    pub(crate) what: String,
}

impl Place {
    /// Of `error`, which parsing `text` gave.
    pub(crate) fn of(text: &str, error: &toml::de::Error) -> Self {
        let offset = error.span().map_or(0, |span| span.start).min(text.len());
        let line_start = text[..offset].rfind('\n').map_or(0, |newline| newline + 1);
        let line_text = text[line_start..].lines().next().unwrap_or("");
        let key = line_text.split_once('=').map(|(key, _)| key.trim().to_owned());
        let line = text[..line_start].matches('\n').count() + 1;
        let what = error.message().trim().replace('\n', ", ");
        Self { line, key, what }
    }
}
