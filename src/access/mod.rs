//! Who may do what: roles, the tokens that give them, the role that each call needs, and the bounds of one address.
//!
//! `server` asks here before any handler sees a request; `commands` reads the tokens at the start. Nothing here reads a
//! socket, answers a request or keeps the text of a token that came from outside.

pub mod addresses;
mod calls;
mod cookie;
mod role;
mod token;
mod token_file;

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::{AUTHORIZATION, COOKIE, HeaderMap};

pub(crate) use self::calls::{Need, need};
pub use self::cookie::LOGIN_LASTS;
pub use self::role::Role;
pub use self::token::{InvalidToken, TOKEN_CHARS_MAX, TOKEN_CHARS_MIN, Token};
pub use self::token_file::TokenFileError;
use self::token_file::{Entry, entries};

/// Name of the variable from which `wirelab serve --access env` reads its tokens.
pub const ACCESS_VARIABLE: &str = "WIRELAB_ACCESS";
/// Name of the variable from which the commands of wirelab read the token that they send. On a command line every account
/// of the machine could read it.
pub const TOKEN_VARIABLE: &str = "WIRELAB_TOKEN";

/// Path of the page on which a person gives a token.
pub const LOGIN: &str = "/login";

/// Who is admitted to a server.
#[derive(Debug, Clone, Default)]
pub enum Access {
    /// Everybody is owner: the server was started without tokens.
    #[default]
    Everybody,
    /// Those who hold a token.
    Tokens(Arc<Tokens>),
}

/// The tokens of one server.
#[derive(Debug)]
pub struct Tokens {
    entries: Vec<Entry>,
    /// What processes that this server starts send. Made at each start, so it is worth nothing afterwards.
    of_children: Token,
}

/// Who asks, and how the request told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// Anybody, on a server without tokens.
    Anybody,
    /// A program that sends its token.
    Bearer(Role),
    /// A browser that sends the cookie of a login. Its pages may not have asked for what it sends.
    Cookie(Role),
}

impl Asker {
    /// Returns the role of the asker.
    pub fn role(self) -> Role {
        match self {
            Self::Anybody => Role::Owner,
            Self::Bearer(role) | Self::Cookie(role) => role,
        }
    }
}

/// Why a request is not admitted. No variant has a part of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The request has no token and no cookie.
    #[error(
        "this call needs a token with the role {needed}; send `Authorization: Bearer TOKEN`, set {TOKEN_VARIABLE} for the \
         commands of wirelab, or log in at {LOGIN} with a browser"
    )]
    Missing {
        /// Role that the call needs.
        needed: Role,
    },
    /// The token is none of this server's.
    #[error("this token is not known here; ask the owner of the server for one that is")]
    UnknownToken,
    /// The cookie is none of this server's, or its time is over.
    #[error("this login is over, or its token is no longer known here; log in again at {LOGIN}")]
    UnknownLogin,
    /// The header has another form.
    #[error("the Authorization header cannot be read; send it once, as `Authorization: Bearer TOKEN`")]
    Unreadable,
    /// The role does not suffice.
    #[error(
        "this call needs the role {needed}, and the token that was given has the role {has}; use another token"
    )]
    Insufficient {
        /// Role that the call needs.
        needed: Role,
        /// Role of the asker.
        has: Role,
    },
}

impl Access {
    /// Reads tokens from the text of a token file. `source` names it in errors.
    pub fn of_text(text: &str, source: &str) -> Result<Self, TokenFileError> {
        let mut entries = entries(text, source)?;
        let of_children = Token::make();
        // A crowd follows a deployment and nothing else.
        entries.push(Entry::new(Role::Reader, &of_children));
        Ok(Self::Tokens(Arc::new(Tokens { entries, of_children })))
    }

    /// Returns the tokens if there are some.
    pub fn tokens(&self) -> Option<&Tokens> {
        match self {
            Self::Everybody => None,
            Self::Tokens(tokens) => Some(tokens),
        }
    }

    /// Returns the token for processes that this server starts; `None` if none is needed.
    pub(crate) fn of_children(&self) -> Option<&Token> {
        self.tokens().map(|tokens| &tokens.of_children)
    }

    /// Finds who asks. `None` means that the request does not say so on a server that wants to know.
    pub(crate) fn asker(
        &self,
        headers: &HeaderMap,
        cookie: &str,
        now: Duration,
    ) -> Result<Option<Asker>, Denied> {
        match self {
            Self::Everybody => Ok(Some(Asker::Anybody)),
            Self::Tokens(tokens) => tokens.asker(headers, cookie, now),
        }
    }
}

impl Tokens {
    /// Returns the role of a token. All entries are looked at, each in constant time.
    pub(crate) fn role_of(&self, token: &str) -> Option<Role> {
        self.entry_of(token).map(|entry| entry.role)
    }

    /// Returns the value of the cookie for one who gave this token at `now`; `None` if it is not known.
    pub(crate) fn log_in(&self, token: &str, now: Duration) -> Option<String> {
        let entry = self.entry_of(token)?;
        Some(cookie::value(&entry.digest, now + LOGIN_LASTS))
    }

    fn entry_of(&self, token: &str) -> Option<&Entry> {
        let digest = token::Digest::of(token);
        // `fold` does not stop at the first one that fits.
        self.entries
            .iter()
            .fold(None, |found, entry| if entry.digest.is(&digest) { Some(entry) } else { found })
    }

    fn asker(&self, headers: &HeaderMap, cookie: &str, now: Duration) -> Result<Option<Asker>, Denied> {
        if let Some(token) = bearer(headers)? {
            let role = self.role_of(token).ok_or(Denied::UnknownToken)?;
            return Ok(Some(Asker::Bearer(role)));
        }
        let mut was_given = false;
        for value in cookies(headers, cookie) {
            was_given = true;
            let entry = self.entries.iter().find(|entry| cookie::is_of(value, &entry.digest, now));
            if let Some(entry) = entry {
                return Ok(Some(Asker::Cookie(entry.role)));
            }
        }
        if was_given { Err(Denied::UnknownLogin) } else { Ok(None) }
    }
}

/// Returns the token of `Authorization: Bearer` (RFC 6750 §2.1). Other schemes may be those of a proxy before this server.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Denied> {
    let mut values = headers.get_all(AUTHORIZATION);
    let (value, another) = (values.next(), values.next());
    if another.is_some() {
        return Err(Denied::Unreadable);
    }
    let Some(value) = value else { return Ok(None) };
    let value = value.to_str().map_err(|_| Denied::Unreadable)?;
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim())),
        None if value.eq_ignore_ascii_case("bearer") => Err(Denied::Unreadable),
        Some(_) | None => Ok(None),
    }
}

/// Returns the values of all cookies with this name (RFC 6265 §5.4). HTTP/2 may split the header.
fn cookies<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    let fields = headers.get_all(COOKIE).filter_map(|value| value.to_str().ok());
    let pairs = fields.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(move |(given, _)| *given == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests;
