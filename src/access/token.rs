//! Tokens: secret texts that give a role. Pure, but for the randomness of a new one.
//!
//! A server keeps the digests of its tokens alone. They are compared in constant time, so that the time of an answer tells
//! nothing of a token.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRng;
use rand::rngs::SysRng;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

/// What a token begins with that wirelab made: a scanner for secrets finds it.
const PREFIX: &str = "wl_";
/// Random bytes of a token: 192 bits, which nobody guesses. Their base64 needs no padding.
const RANDOM_BYTES: usize = 24;
/// Shortest token. Sixteen random bytes, the least that cannot be guessed, take more characters.
pub const TOKEN_CHARS_MIN: usize = 16;
/// Longest token: with it a request head stays far below its own bound.
pub const TOKEN_CHARS_MAX: usize = 256;

/// A secret text that gives a role. `Debug` hides it, and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// Error of a text that is no token. It does not repeat the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// The text is too short or too long.
    #[error(
        "the token has {0} characters; give it {TOKEN_CHARS_MIN} to {TOKEN_CHARS_MAX} (`wirelab token ROLE` makes one)"
    )]
    Length(usize),
    /// The text has characters that no `Authorization` header can carry.
    #[error("the token has characters other than letters, digits and -._~+/=; remove them")]
    Characters,
}

impl Token {
    /// Makes a new random token.
    ///
    /// # Panics
    ///
    /// Panics if the operating system has no random numbers. A guessable token would be worse.
    pub fn make() -> Self {
        let mut random = [0; RANDOM_BYTES];
        SysRng.try_fill_bytes(&mut random).expect("the operating system has random numbers");
        Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random)))
    }

    /// Checks that a text can be a token (RFC 6750 §2.1, `b64token`).
    pub fn parse(text: &str) -> Result<Self, InvalidToken> {
        let chars = text.chars().count();
        if !(TOKEN_CHARS_MIN..=TOKEN_CHARS_MAX).contains(&chars) {
            return Err(InvalidToken::Length(chars));
        }
        let fits = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
        if text.chars().all(fits) { Ok(Self(text.to_owned())) } else { Err(InvalidToken::Characters) }
    }

    /// Returns the secret text, to be given to its holder.
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

/// The SHA-256 digest of a token.
#[derive(Clone, Copy)]
pub(super) struct Digest(pub(super) [u8; 32]);

impl Digest {
    pub(super) fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Compares two digests in constant time.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(hidden)")
    }
}
