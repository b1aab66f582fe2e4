//! The token that a client shows to a server which knows people by tokens.

use std::fmt;
use std::sync::Arc;

use hyper::header::{HeaderValue, InvalidHeaderValue};

/// A token (RFC 6750). It is sent, and never shown: neither in messages nor in files.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Arc<HeaderValue>);

/// Error of a text that cannot be a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token has a character that cannot be sent; copy it again from where it was made")]
pub struct InvalidToken;

impl Token {
    /// Takes the text of a token, without what surrounds it.
    pub fn new(text: &str) -> Result<Self, InvalidToken> {
        let text = text.trim();
        if text.is_empty() || text.contains(|c: char| !c.is_ascii_graphic()) {
            return Err(InvalidToken);
        }
        let made = HeaderValue::from_str(&format!("Bearer {text}"));
        let mut header = made.map_err(|_: InvalidHeaderValue| InvalidToken)?;
        header.set_sensitive(true);
        Ok(Self(Arc::new(header)))
    }

    /// Returns the value of `Authorization` that shows this token (RFC 6750 §2.1).
    pub(crate) fn header(&self) -> &HeaderValue {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_sent_and_not_shown() {
        let token = Token::new(" wl_secret\n").unwrap();
        assert_eq!(token.header(), "Bearer wl_secret");
        assert!(token.header().is_sensitive());
        assert!(!format!("{token:?}").contains("secret"));
        for wrong in ["", " ", "two words", "line\nbreak", "\u{fc}"] {
            assert_eq!(Token::new(wrong), Err(InvalidToken), "{wrong:?}");
        }
    }
}
