//! The cookie of a login: which token it stands for, until when, and a proof of both. Pure.
//!
//! It does not hold the token, so a copied cookie is worth something until its time is over and no longer. The server
//! keeps nothing: the proof is made of the token's digest. A login outlives a restart, and ends when its token leaves
//! the file.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest as _, Sha256};

use super::token::Digest;

/// How long a login lasts: a school day. A browser in a computer room that was left logged in is not for the next day's
/// class.
pub const LOGIN_LASTS: Duration = Duration::from_secs(12 * 3_600);

/// Separates this use of a token's digest from every other.
const PURPOSE: &[u8] = b"wirelab login 1";

/// Returns the value of a cookie that is good until `until`, a time since 1970.
pub(super) fn value(token: &Digest, until: Duration) -> String {
    let until_s = until.as_secs();
    format!(
        "{}.{until_s}.{}",
        name_of(token),
        URL_SAFE_NO_PAD.encode(proof(token, until_s).finalize().into_bytes())
    )
}

/// Tells whether a cookie was made from this token and is good at `now`.
pub(super) fn is_of(value: &str, token: &Digest, now: Duration) -> bool {
    let mut parts = value.splitn(3, '.');
    let (Some(name), Some(until_s), Some(given)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    // The name is no secret: it spares the proofs of all other tokens.
    if name != name_of(token) {
        return false;
    }
    let Ok(until_s) = until_s.parse::<u64>() else { return false };
    let Ok(given) = URL_SAFE_NO_PAD.decode(given) else { return false };
    // Compared in constant time by the crate.
    proof(token, until_s).verify_slice(&given).is_ok() && now.as_secs() < until_s
}

/// Returns a public name of a token: eight bytes of a digest of its digest.
fn name_of(token: &Digest) -> String {
    let digest = Sha256::new().chain_update(b"wirelab name 1").chain_update(token.0).finalize();
    URL_SAFE_NO_PAD.encode(&digest[..8])
}

/// Proves `until_s` by a secret (HMAC, RFC 2104).
fn proof(token: &Digest, until_s: u64) -> Hmac<Sha256> {
    let keyed = Hmac::new_from_slice(&token.0).expect("HMAC takes a key of any length");
    keyed.chain_update(PURPOSE).chain_update(until_s.to_be_bytes())
}
