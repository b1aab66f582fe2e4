//! Where a TOML file is wrong, for the errors of plans and profiles.
//!
//! The parser's own report has several lines; ours is one that names the line, the key and the remedy.

/// Place and text of a TOML error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Number of the line, counted from 1.
    pub(crate) line: usize,
    /// Key on that line, if there is one.
    pub(crate) key: Option<String>,
    /// Description of the mistake, with the allowed keys or types.
    pub(crate) what: String,
}

impl Place {
    /// Finds the place of `error`, which parsing `text` gave.
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
