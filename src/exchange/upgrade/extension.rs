//! The agreement on permessage-deflate (RFC 7692 §5 and §7.1), by which messages of a WebSocket are compressed.
//!
//! Pure. The WebSocket transport asks it what to answer to a client's offers. An offer that cannot be taken is declined
//! and the next one is looked at: a handshake never fails for its extensions. No other extension is accepted.

use std::borrow::Cow;
use std::fmt::Write;

use actix_web::http::header::{HeaderMap, HeaderValue, SEC_WEBSOCKET_EXTENSIONS};

use crate::exchange::compression::WebsocketCompression;

const NAME: &str = "permessage-deflate";
/// Largest window that the server compresses with, as a power of two: 4 KiB, some twenty lines of 100 bytes with their
/// JSON. It bounds the memory of a connection that keeps its context: zlib-rs takes four times the window and 246 KiB,
/// which is 262 KiB. A window of 32 KiB would take 374 KiB.
pub(crate) const WINDOW_BITS_MAX: u8 = 12;
/// Smallest window with which zlib can compress. An offer that asks for 8 bits is declined.
const WINDOW_BITS_MIN: u8 = 9;

/// What the server does with the context of a message when the next one follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takeover {
    /// Each message is compressed by itself.
    None,
    /// A message may refer to the text of earlier ones.
    Context,
}

/// What was agreed on. The client's messages are always compressed each by itself: commands are small, and so no
/// connection needs memory to read them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deflate {
    /// Context of the server's messages.
    pub(crate) takeover: Takeover,
    /// Window of the server's messages, as a power of two.
    pub(crate) window_bits: u8,
}

impl Deflate {
    /// Chooses the first of the client's offers that can be taken; `None`: messages stay as they are.
    pub(crate) fn agreed(headers: &HeaderMap, offered: WebsocketCompression) -> Option<Self> {
        let takeover = match offered {
            WebsocketCompression::Off => return None,
            WebsocketCompression::NoContextTakeover => Takeover::None,
            WebsocketCompression::ContextTakeover => Takeover::Context,
        };
        // Several header fields are one list (RFC 6455 §11.3.2).
        let fields: Option<Vec<_>> =
            headers.get_all(SEC_WEBSOCKET_EXTENSIONS).map(|field| field.to_str().ok()).collect();
        let offers = fields?.into_iter().map(offers).collect::<Option<Vec<_>>>()?;
        offers.iter().flatten().find_map(|offer| Self::of_offer(offer, takeover))
    }

    fn of_offer(offer: &Extension<'_>, takeover: Takeover) -> Option<Self> {
        let mut agreed = Self { takeover, window_bits: WINDOW_BITS_MAX };
        let is_first =
            |index: usize, name: &str| offer.parameters[..index].iter().all(|(other, _)| *other != name);
        for (index, (name, value)) in offer.parameters.iter().enumerate() {
            match (*name, value.as_deref()) {
                (name, _) if !is_first(index, name) => return None,
                ("server_no_context_takeover", None) => agreed.takeover = Takeover::None,
                ("client_no_context_takeover" | "client_max_window_bits", None) => {}
                // The window of one message costs the server no memory, whatever its size.
                ("client_max_window_bits", Some(bits)) => {
                    window_bits(bits)?;
                }
                ("server_max_window_bits", Some(bits)) => {
                    agreed.window_bits = agreed.window_bits.min(window_bits(bits)?);
                }
                _ => return None,
            }
        }
        (offer.name == NAME && agreed.window_bits >= WINDOW_BITS_MIN).then_some(agreed)
    }

    /// Returns the answer to the offer. It may say more than the offer asked for (RFC 7692 §7.1.1 and §7.1.2).
    pub(crate) fn answer(self) -> HeaderValue {
        let mut answer = format!("{NAME}; client_no_context_takeover");
        match self.takeover {
            Takeover::None => answer.push_str("; server_no_context_takeover"),
            Takeover::Context => {}
        }
        write!(answer, "; server_max_window_bits={}", self.window_bits).expect("a string grows as it must");
        HeaderValue::try_from(answer).expect("printable ASCII is a header value")
    }
}

/// Parses the bits of a window: 8 to 15 in decimal digits, without a leading zero.
fn window_bits(text: &str) -> Option<u8> {
    let is_decimal = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|bits| is_decimal && (8..=15).contains(bits))
}

/// An extension with its parameters, some of which have values.
struct Extension<'a> {
    name: &'a str,
    parameters: Vec<(&'a str, Option<Cow<'a, str>>)>,
}

/// Parses the list of one header field (RFC 6455 §9.1); `None`: it breaks the grammar.
fn offers(field: &str) -> Option<Vec<Extension<'_>>> {
    let mut rest = Rest(field);
    let mut offers = Vec::new();
    loop {
        // A list may have empty elements (RFC 9110 §5.6.1).
        while rest.takes(',') {}
        if rest.is_empty() {
            return Some(offers);
        }
        let mut extension = Extension { name: rest.token()?, parameters: Vec::new() };
        while rest.takes(';') {
            let name = rest.token()?;
            let value = if rest.takes('=') { Some(rest.value()?) } else { None };
            extension.parameters.push((name, value));
        }
        offers.push(extension);
        if !rest.is_empty() && !rest.takes(',') {
            return None;
        }
    }
}

/// What is left of a header field.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn is_empty(&mut self) -> bool {
        self.0 = self.0.trim_ascii_start();
        self.0.is_empty()
    }

    /// Takes this delimiter, if it comes next.
    fn takes(&mut self, delimiter: char) -> bool {
        let rest = self.0.trim_ascii_start().strip_prefix(delimiter);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn token(&mut self) -> Option<&'a str> {
        let text = self.0.trim_ascii_start();
        let end = text.bytes().position(|byte| !is_token(byte)).unwrap_or(text.len());
        let (token, rest) = text.split_at(end);
        self.0 = rest;
        (!token.is_empty()).then_some(token)
    }

    /// Takes a token, or a token in quotes, in which characters may be escaped.
    fn value(&mut self) -> Option<Cow<'a, str>> {
        if !self.takes('"') {
            return self.token().map(Cow::Borrowed);
        }
        let mut value = String::new();
        let mut characters = self.0.chars();
        loop {
            match characters.next()? {
                '"' => break,
                '\\' => value.push(characters.next()?),
                character => value.push(character),
            }
        }
        self.0 = characters.as_str();
        (!value.is_empty() && value.bytes().all(is_token)).then_some(Cow::Owned(value))
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agreed_of(fields: &[&str], offered: WebsocketCompression) -> Option<String> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_str(field).unwrap());
        }
        Deflate::agreed(&headers, offered).map(|agreed| agreed.answer().to_str().unwrap().to_owned())
    }

    fn agreed(field: &str) -> Option<String> {
        agreed_of(&[field], WebsocketCompression::ContextTakeover)
    }

    const WITH: &str = "permessage-deflate; client_no_context_takeover; server_max_window_bits=12";
    const WITHOUT: &str = "permessage-deflate; client_no_context_takeover; server_no_context_takeover; \
                           server_max_window_bits=12";

    #[test]
    fn what_browsers_and_libraries_offer_is_taken() {
        for (offer, answer) in [
            ("permessage-deflate", WITH),
            ("permessage-deflate; client_max_window_bits", WITH),
            ("permessage-deflate; server_max_window_bits=12; client_max_window_bits=12", WITH),
            ("permessage-deflate;client_max_window_bits=\"10\" ;server_max_window_bits = 15", WITH),
            ("permessage-deflate; server_max_window_bits=\"\\1\\2\"", WITH),
            ("permessage-deflate; server_no_context_takeover; client_no_context_takeover", WITHOUT),
            (
                "permessage-deflate; server_max_window_bits=9",
                "permessage-deflate; client_no_context_takeover; server_max_window_bits=9",
            ),
        ] {
            assert_eq!(agreed(offer).as_deref(), Some(answer), "{offer}");
        }
        let without = agreed_of(&["permessage-deflate"], WebsocketCompression::NoContextTakeover);
        assert_eq!(without.as_deref(), Some(WITHOUT));
        assert_eq!(agreed_of(&["permessage-deflate"], WebsocketCompression::Off), None);
        assert_eq!(agreed_of(&[], WebsocketCompression::ContextTakeover), None);
    }

    #[test]
    fn an_offer_that_cannot_be_taken_is_declined() {
        for offer in [
            "",
            "x-webkit-deflate-frame",
            "permessage-deflate; level=9",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_no_context_takeover=",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=8",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=012",
            "permessage-deflate; server_max_window_bits=+12",
            "permessage-deflate; client_max_window_bits=7",
            "permessage-deflate; client_max_window_bits=256",
            "permessage-deflate; client_max_window_bits; client_max_window_bits=12",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            // What breaks the grammar says nothing.
            "permessage-deflate; ",
            "permessage-deflate client_max_window_bits",
            "permessage-deflate; server_max_window_bits=\"12",
            "permessage-deflate; server_max_window_bits=\"1 2\"",
            "permessage-deflate/",
            ";",
        ] {
            assert_eq!(agreed(offer), None, "{offer}");
        }
    }

    #[test]
    fn the_first_offer_that_can_be_taken_wins_in_one_field_or_in_several() {
        let bad = "permessage-deflate; server_max_window_bits=8";
        let good = "permessage-deflate; server_max_window_bits=10";
        let last = "permessage-deflate";
        let answer = "permessage-deflate; client_no_context_takeover; server_max_window_bits=10";
        let takes = WebsocketCompression::ContextTakeover;
        assert_eq!(agreed(&format!(", x; y=\"a,b\" ,{bad},{good} , {last}")), None, "`a,b` is no token");
        assert_eq!(agreed(&format!(", x; y=\"ab\" ,{bad},{good} , {last}")).as_deref(), Some(answer));
        assert_eq!(agreed_of(&["x", bad, good, last], takes).as_deref(), Some(answer));
    }
}
