//! Token files: one line for each token, `ROLE TOKEN [NAME…]`. Pure.
//!
//! Empty lines and lines that begin with `#` say nothing. A name is for people. An error names the file and the line and
//! never repeats what stands there: a token that was pasted into the wrong place must not reach a log.

use super::role::Role;
use super::token::{Digest, InvalidToken, Token};

/// Tokens of one file: more than one for each person of a large school. Each request by a token looks at all of them.
const TOKENS_MAX: usize = 1_000;

/// One token as the server keeps it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) role: Role,
    pub(super) digest: Digest,
}

impl Entry {
    pub(super) fn new(role: Role, token: &Token) -> Self {
        Self { role, digest: Digest::of(token.secret()) }
    }
}

/// Error of a token file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenFileError {
    /// A line does not begin with a role.
    #[error(
        "{source_name}, line {line}: the line does not begin with a role; write ROLE TOKEN [NAME], ROLE being one of {}",
        roles()
    )]
    NoRole {
        /// Name of the source.
        source_name: String,
        /// Number of the line, from 1.
        line: usize,
    },
    /// A line has a role and nothing else.
    #[error(
        "{source_name}, line {line}: there is no token behind the role; `wirelab token ROLE` prints a line"
    )]
    NoToken {
        /// Name of the source.
        source_name: String,
        /// Number of the line, from 1.
        line: usize,
    },
    /// The token of a line cannot be used.
    #[error("{source_name}, line {line}: {error}")]
    Invalid {
        /// Name of the source.
        source_name: String,
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong with the token.
        #[source]
        error: InvalidToken,
    },
    /// Two lines have the same token, so it is not clear which role it gives.
    #[error("{source_name}, line {line}: line {first} has the same token; remove one of them")]
    Twice {
        /// Name of the source.
        source_name: String,
        /// Number of the line, from 1.
        line: usize,
        /// Number of the earlier line.
        first: usize,
    },
    /// There is no token.
    #[error(
        "{source_name} has no token, so nobody could do anything; add the line that `wirelab token owner` prints"
    )]
    Empty {
        /// Name of the source.
        source_name: String,
    },
    /// There are too many tokens.
    #[error("{source_name} has more than {TOKENS_MAX} tokens; remove those that nobody uses")]
    TooMany {
        /// Name of the source.
        source_name: String,
    },
}

fn roles() -> String {
    Role::ALL.map(Role::name).join(", ")
}

/// Parses the text of a token file; `source` names it in errors.
pub(super) fn entries(text: &str, source: &str) -> Result<Vec<Entry>, TokenFileError> {
    let source_name = || source.to_owned();
    let mut entries: Vec<(usize, Entry)> = Vec::new();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (line, text) in (1..).zip(text.lines()) {
        let mut words = text.split_whitespace();
        let Some(first) = words.next().filter(|first| !first.starts_with('#')) else { continue };
        let role =
            Role::of(first).ok_or_else(|| TokenFileError::NoRole { source_name: source_name(), line })?;
        let token =
            words.next().ok_or_else(|| TokenFileError::NoToken { source_name: source_name(), line })?;
        let token = Token::parse(token).map_err(|error| TokenFileError::Invalid {
            source_name: source_name(),
            line,
            error,
        })?;
        let entry = Entry::new(role, &token);
        if let Some((first, _)) = entries.iter().find(|(_, known)| known.digest.is(&entry.digest)) {
            return Err(TokenFileError::Twice { source_name: source_name(), line, first: *first });
        }
        if entries.len() == TOKENS_MAX {
            return Err(TokenFileError::TooMany { source_name: source_name() });
        }
        entries.push((line, entry));
    }
    if entries.is_empty() {
        return Err(TokenFileError::Empty { source_name: source_name() });
    }
    Ok(entries.into_iter().map(|(_, entry)| entry).collect())
}
