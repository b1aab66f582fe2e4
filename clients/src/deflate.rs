//! permessage-deflate (RFC 7692): what a WebSocket client offers, which answers it takes, and how it reads a message.
//!
//! The handshake asks for the offer and checks the answer; the socket of frames reads compressed messages. A client
//! sends no compressed message of its own. Pure: text and bytes in, bytes out.

use std::cell::RefCell;
use std::io;

use flate2::Decompress;

use crate::inflate::{Undeflated, inflate};
use crate::options::Compression;
use crate::wire::BODY_BYTES_MAX;

const NAME: &str = "permessage-deflate";
/// Smallest window that zlib keeps. It reads what was made with the 8 bits that RFC 7692 allows.
const WINDOW_BITS_MIN: u8 = 9;

thread_local! {
    /// Decompresses the messages of all connections of a thread that are compressed each by itself.
    static ALONE: RefCell<Decompress> = RefCell::new(Decompress::new(false));
}

/// Whether messages of the server may refer to earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takeover {
    /// Each message is compressed by itself.
    None,
    /// A message may refer to the text of earlier ones, as far back as the window of this many bits.
    Context { window_bits: u8 },
}

/// What a client offers in its handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offer {
    /// No extension.
    Nothing,
    /// Messages that may refer to earlier ones.
    Context,
    /// Messages that are compressed each by itself.
    NoContext,
}

impl Offer {
    /// Returns what a client with this option offers.
    pub(crate) fn of(compression: Compression) -> Self {
        match compression {
            // gzip is a coding of bodies.
            Compression::Identity | Compression::Gzip => Self::Nothing,
            Compression::Deflate => Self::Context,
            Compression::DeflateNoContextTakeover => Self::NoContext,
        }
    }

    /// Returns the value of `Sec-WebSocket-Extensions`; `None`: the header is left out.
    pub(crate) fn header(self) -> Option<&'static str> {
        match self {
            Self::Nothing => None,
            Self::Context => Some(NAME),
            Self::NoContext => {
                Some("permessage-deflate; server_no_context_takeover; client_no_context_takeover")
            }
        }
    }

    /// Checks the server's answer: the values of its `Sec-WebSocket-Extensions`. `None`: nothing is compressed.
    ///
    /// # Errors
    /// The answer has what was not offered, or what RFC 7692 §7.1 forbids. The client must then fail the connection.
    pub(crate) fn accepted<'a>(
        self,
        answers: impl Iterator<Item = &'a str>,
    ) -> Result<Option<Takeover>, String> {
        let mut agreed = None;
        let elements = answers.flat_map(|answer| answer.split(',')).map(str::trim);
        for answer in elements.filter(|element| !element.is_empty()) {
            let wrong = |what: &str| Err(format!("the server answered the extension `{answer}`, {what}"));
            if self == Self::Nothing || answer.split(';').next().is_none_or(|name| name.trim() != NAME) {
                return wrong("which was not offered");
            }
            if agreed.is_some() {
                return wrong("a second time");
            }
            match self.parameters(answer) {
                Some(takeover) => agreed = Some(takeover),
                None => return wrong("whose parameters do not answer the offer (RFC 7692 §7.1)"),
            }
        }
        Ok(agreed)
    }

    /// Reads the parameters of an answer; `None`: one of them is wrong or missing.
    fn parameters(self, answer: &str) -> Option<Takeover> {
        let (mut seen, mut window_bits, mut takes_over) = (Vec::new(), 15, true);
        for parameter in answer.split(';').skip(1) {
            let (name, value) = match parameter.split_once('=') {
                Some((name, value)) => (name.trim(), Some(value.trim().trim_matches('"'))),
                None => (parameter.trim(), None),
            };
            if seen.contains(&name) {
                return None;
            }
            seen.push(name);
            match (name, value) {
                ("server_no_context_takeover", None) => takes_over = false,
                // A server may ask for it without an offer; this client sends no compressed message.
                ("client_no_context_takeover", None) => {}
                ("server_max_window_bits", Some(bits)) => {
                    let is_decimal = !bits.starts_with('0') && bits.bytes().all(|byte| byte.is_ascii_digit());
                    window_bits = bits.parse().ok().filter(|bits| is_decimal && (8..=15).contains(bits))?;
                }
                // `client_max_window_bits` may only answer an offer that has it.
                _ => return None,
            }
        }
        match (self, takes_over) {
            (_, false) => Some(Takeover::None),
            (Self::Context, true) => Some(Takeover::Context { window_bits }),
            (Self::Nothing | Self::NoContext, true) => None,
        }
    }
}

/// Decompresses the messages of one connection in order.
#[derive(Debug)]
pub(crate) struct Inflater {
    takeover: Takeover,
    /// The context; `None` before the first message, and if there is none to keep.
    context: Option<Box<Decompress>>,
}

impl Inflater {
    pub(crate) fn new(takeover: Takeover) -> Self {
        Self { takeover, context: None }
    }

    /// Decompresses a whole message.
    ///
    /// # Errors
    /// The bytes are no compressed message, or its text is longer than [`BODY_BYTES_MAX`]: no more memory than that is
    /// taken, however little was sent.
    pub(crate) fn text(&mut self, message: &[u8]) -> io::Result<Vec<u8>> {
        match self.takeover {
            Takeover::None => ALONE.with_borrow_mut(|alone| {
                alone.reset(false);
                decompressed(alone, message)
            }),
            Takeover::Context { window_bits } => {
                let context = self.context.get_or_insert_with(|| {
                    Box::new(Decompress::new_with_window_bits(false, window_bits.max(WINDOW_BITS_MIN)))
                });
                decompressed(context, message)
            }
        }
    }
}

/// Decompresses a message into no more memory than a message may have.
fn decompressed(context: &mut Decompress, message: &[u8]) -> io::Result<Vec<u8>> {
    inflate(context, message, BODY_BYTES_MAX).map_err(|error| {
        let what = match error {
            Undeflated::Garbage => "a message of the server cannot be decompressed".to_owned(),
            Undeflated::TooLong => {
                format!("a message of the server decompresses to more than {BODY_BYTES_MAX} bytes")
            }
        };
        io::Error::new(io::ErrorKind::InvalidData, what)
    })
}

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression as Level, FlushCompress};
    use proptest::prelude::*;

    use super::*;
    use crate::inflate::TAIL;

    fn accepted(offer: Offer, answer: &str) -> Result<Option<Takeover>, String> {
        offer.accepted([answer].into_iter())
    }

    #[test]
    fn an_answer_is_taken_if_it_answers_the_offer() {
        let context = |window_bits| Ok(Some(Takeover::Context { window_bits }));
        for (offer, answer, expected) in [
            (Offer::Context, "permessage-deflate", context(15)),
            (Offer::Context, "permessage-deflate; server_max_window_bits=\"10\"", context(10)),
            (
                Offer::Context,
                "permessage-deflate; client_no_context_takeover; server_max_window_bits=8",
                context(8),
            ),
            (Offer::Context, "permessage-deflate;server_no_context_takeover", Ok(Some(Takeover::None))),
            (Offer::NoContext, "permessage-deflate; server_no_context_takeover", Ok(Some(Takeover::None))),
            (Offer::NoContext, "", Ok(None)),
            (Offer::Nothing, " , ", Ok(None)),
        ] {
            assert_eq!(accepted(offer, answer), expected, "{offer:?}: {answer}");
        }
    }

    #[test]
    fn an_answer_that_was_not_offered_fails_the_connection() {
        for (offer, answer) in [
            (Offer::Nothing, "permessage-deflate"),
            (Offer::Context, "x-webkit-deflate-frame"),
            (Offer::Context, "permessage-deflate, permessage-deflate"),
            (Offer::Context, "permessage-deflate; client_max_window_bits=12"),
            (Offer::Context, "permessage-deflate; server_max_window_bits"),
            (Offer::Context, "permessage-deflate; server_max_window_bits=16"),
            (Offer::Context, "permessage-deflate; server_max_window_bits=08"),
            (Offer::Context, "permessage-deflate; server_no_context_takeover=1"),
            (Offer::Context, "permessage-deflate; server_max_window_bits=9; server_max_window_bits=9"),
            (Offer::Context, "permessage-deflate; "),
            (Offer::NoContext, "permessage-deflate"),
        ] {
            let error = accepted(offer, answer).expect_err(answer);
            assert!(error.contains("the server answered the extension"), "{error}");
        }
    }

    /// RFC 7692 §7.2.3.
    #[test]
    fn the_examples_of_the_rfc_are_read() {
        let mut alone = Inflater::new(Takeover::None);
        for message in [
            &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..],
            &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
            &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
            &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
        ] {
            assert_eq!(alone.text(message).unwrap(), b"Hello");
        }
        let mut context = Inflater::new(Takeover::Context { window_bits: 8 });
        assert_eq!(context.text(&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]).unwrap(), b"Hello");
        let second = [0xf2, 0x00, 0x11, 0x00, 0x00];
        assert_eq!(context.text(&second).unwrap(), b"Hello");
        // Without the first message the second one has no meaning.
        assert!(alone.text(&second).is_err());
    }

    fn compressed(compress: &mut Compress, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len() + 100);
        compress.compress_vec(text, &mut out, FlushCompress::Sync).unwrap();
        out.truncate(out.len() - TAIL.len());
        out
    }

    #[test]
    fn a_small_message_does_not_become_a_large_memory() {
        let mut compress = Compress::new(Level::best(), false);
        let bomb = compressed(&mut compress, &vec![b' '; BODY_BYTES_MAX + 1]);
        assert!(bomb.len() < BODY_BYTES_MAX / 500);
        let refused = Inflater::new(Takeover::None).text(&bomb).unwrap_err();
        assert!(refused.to_string().contains("more than"), "{refused}");
        compress.reset();
        let largest = compressed(&mut compress, &vec![b' '; BODY_BYTES_MAX]);
        assert_eq!(Inflater::new(Takeover::None).text(&largest).unwrap().len(), BODY_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn any_texts_are_read_with_their_context(
            texts in proptest::collection::vec("([a-z ]{10,40}.{0,300}){1,3}", 1..20),
            window_bits in 9..=15_u8,
        ) {
            let mut compress = Compress::new_with_window_bits(Level::fast(), false, window_bits);
            let mut inflater = Inflater::new(Takeover::Context { window_bits });
            for text in &texts {
                let message = compressed(&mut compress, text.as_bytes());
                prop_assert_eq!(inflater.text(&message).unwrap(), text.as_bytes());
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(message in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Inflater::new(Takeover::None).text(&message);
        }
    }
}
