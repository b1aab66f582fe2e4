//! Messages of a WebSocket, compressed and decompressed one by one (RFC 7692 §7.2).
//!
//! Pure. The transport compresses its lines by a [`Deflater`]; `messages` decompresses what clients send. Only whole
//! messages are decompressed, into no more memory than a message may have.

use std::cell::RefCell;

use actix_http::ws::{OpCode, Parser};
use bytes::BytesMut;
use flate2::{Compress, Compression as Level, Decompress, FlushCompress};
pub(super) use wirelab_clients::inflate::Undeflated;
use wirelab_clients::inflate::{self, TAIL};

use super::extension::{Deflate, Takeover, WINDOW_BITS_MAX};

/// The level of gzip in bodies, too: most of the saving for the least time.
const LEVEL: Level = Level::fast();
/// A message without text: the first byte of an empty stored block, whose rest is the [`TAIL`].
const EMPTY: u8 = 0x00;
/// Bit of a frame's first byte that says that its message is compressed (RFC 7692 §6).
pub(super) const RSV1: u8 = 0x40;
/// Bytes of a compressed message that a thread keeps room for. Longer lines are rare.
const KEPT_BYTES: usize = 64 << 10;

thread_local! {
    /// Compresses messages of all connections of a thread that are compressed each by itself.
    static ALONE: RefCell<Deflater> = RefCell::new(Deflater::new(ALONE_AGREED));
    /// Room for one compressed message, so that no connection holds any.
    static COMPRESSED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// Decompresses the messages of all connections of a thread: clients compress each by itself.
    static INFLATE: RefCell<Decompress> = RefCell::new(Decompress::new(false));
}

/// Agreement of connections whose messages can be shared.
const ALONE_AGREED: Deflate = Deflate { takeover: Takeover::None, window_bits: WINDOW_BITS_MAX };

/// Compresses the messages of one connection in order.
pub(crate) struct Deflater {
    compress: Compress,
    takeover: Takeover,
}

impl Deflater {
    /// Starts without context.
    pub(crate) fn new(agreed: Deflate) -> Self {
        let compress = Compress::new_with_window_bits(LEVEL, false, agreed.window_bits);
        Self { compress, takeover: agreed.takeover }
    }

    /// Appends a text message to `out`, in one frame.
    ///
    /// A message that would not get shorter goes out as it is (RFC 7692 §6 lets the sender choose). With a context it
    /// is compressed in any case, because later messages may refer to it.
    pub(crate) fn write_text(&mut self, text: &[u8], out: &mut BytesMut) {
        COMPRESSED.with_borrow_mut(|compressed| {
            self.compress(text, compressed);
            let at = out.len();
            match self.takeover {
                Takeover::None if compressed.len() >= text.len() => {
                    Parser::write_message(out, text, OpCode::Text, true, false);
                }
                Takeover::None | Takeover::Context => {
                    Parser::write_message(out, &compressed, OpCode::Text, true, false);
                    out[at] |= RSV1;
                }
            }
            compressed.clear();
            compressed.shrink_to(KEPT_BYTES);
        });
    }

    /// Compresses a message to `compressed`, in place of what is there.
    fn compress(&mut self, text: &[u8], compressed: &mut Vec<u8>) {
        let Self { compress, takeover } = self;
        match takeover {
            Takeover::None => compress.reset(),
            Takeover::Context => {}
        }
        compressed.clear();
        let (before, mut taken) = (compress.total_in(), 0);
        loop {
            compressed.reserve(text.len() - taken + 64);
            compress
                .compress_vec(&text[taken..], compressed, FlushCompress::Sync)
                .expect("compressing has no state that fails");
            taken = (compress.total_in() - before) as usize;
            // With room left, all of the flush is out.
            if taken == text.len() && compressed.len() < compressed.capacity() {
                break;
            }
        }
        match compressed.strip_suffix(&TAIL) {
            Some(message) if !message.is_empty() => compressed.truncate(message.len()),
            Some(_) | None => {
                compressed.clear();
                compressed.push(EMPTY);
            }
        }
    }
}

/// Appends a text message that is compressed by itself. All connections that agreed on this get the same bytes.
pub(crate) fn write_text_alone(text: &[u8], out: &mut BytesMut) {
    ALONE.with_borrow_mut(|alone| alone.write_text(text, out));
}

/// Tells whether messages that are compressed by themselves may be shared with a connection.
pub(crate) fn shares(agreed: Deflate) -> bool {
    agreed == ALONE_AGREED
}

/// Decompresses a message of at most `text_bytes_max` bytes of text. No more memory is taken for a longer one.
pub(super) fn inflate(message: &[u8], text_bytes_max: usize) -> Result<Vec<u8>, Undeflated> {
    INFLATE.with_borrow_mut(|context| {
        context.reset(false);
        inflate::inflate(context, message, text_bytes_max)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn inflated(message: &[u8]) -> Result<String, Undeflated> {
        inflate(message, 1 << 20).map(|text| String::from_utf8(text).unwrap())
    }

    /// RFC 7692 §7.2.3.1 to §7.2.3.5.
    #[test]
    fn the_examples_of_the_rfc_are_read() {
        for (what, message) in [
            ("one block", &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..]),
            ("no compression", &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00]),
            ("a last block", &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00]),
            ("two blocks", &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00]),
        ] {
            assert_eq!(inflated(message).as_deref(), Ok("Hello"), "{what}");
        }
        assert_eq!(inflated(&[0x00]).as_deref(), Ok(""));
        // The second message of §7.2.3.2 refers to the first one. The server asked for no such message.
        assert_eq!(inflated(&[0xf2, 0x00, 0x11, 0x00, 0x00]), Err(Undeflated::Garbage));
    }

    #[test]
    fn the_examples_of_the_rfc_are_written() {
        let agreed = Deflate { takeover: Takeover::Context, window_bits: WINDOW_BITS_MAX };
        let mut deflater = Deflater::new(agreed);
        let mut out = BytesMut::new();
        deflater.write_text(b"Hello", &mut out);
        assert_eq!(out[..], [0xc1, 0x07, 0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]);
        out.clear();
        // The second refers to the first. The RFC writes it in one byte more: 05 f2 00 11 00 00.
        deflater.write_text(b"Hello", &mut out);
        assert_eq!(out[..], [0xc1, 0x04, 0x02, 0x13, 0x00, 0x00]);
        out.clear();
        deflater.write_text(b"", &mut out);
        assert_eq!(out[..], [0xc1, 0x01, 0x00]);
    }

    #[test]
    fn what_does_not_get_shorter_alone_stays_as_it_is() {
        let mut out = BytesMut::new();
        write_text_alone(b"Hello", &mut out);
        assert_eq!(out[..], *b"\x81\x05Hello");
        out.clear();
        write_text_alone(&[b'x'; 200], &mut out);
        assert_eq!(out[0], 0xc1);
        assert!(out.len() < 20, "{out:?}");
    }

    #[test]
    fn garbage_and_bombs_are_refused() {
        assert_eq!(inflated(&[0xff; 20]), Err(Undeflated::Garbage));
        assert_eq!(inflated(b"no deflate at all"), Err(Undeflated::Garbage));
        let mut deflater = Deflater::new(ALONE_AGREED);
        for (length, result) in
            [(1_000, Ok(1_000)), (1_001, Err(Undeflated::TooLong)), (8 << 20, Err(Undeflated::TooLong))]
        {
            let mut message = Vec::new();
            deflater.compress(&vec![b'x'; length], &mut message);
            let text = inflate(&message, 1_000);
            assert_eq!(text.as_ref().map(Vec::len).map_err(|error| *error), result, "{length}");
            assert!(text.is_err() || text.unwrap().capacity() <= 1_001);
        }
    }

    proptest! {
        #[test]
        fn any_texts_survive(
            texts in proptest::collection::vec("[a-z]{0,40}( line)?.{0,300}", 1..20),
            window_bits in 9..=15_u8,
        ) {
            for takeover in [Takeover::None, Takeover::Context] {
                let mut deflater = Deflater::new(Deflate { takeover, window_bits });
                let mut decompress = Decompress::new_with_window_bits(false, window_bits);
                for text in &texts {
                    let mut message = Vec::new();
                    deflater.compress(text.as_bytes(), &mut message);
                    let read = match takeover {
                        Takeover::None => inflate(&message, text.len()),
                        Takeover::Context => inflate::inflate(&mut decompress, &message, text.len()),
                    };
                    let read = read.unwrap();
                    prop_assert_eq!(std::str::from_utf8(&read).unwrap(), text);
                }
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(message in proptest::collection::vec(any::<u8>(), 0..200)) {
            let read = inflate(&message, 1_000);
            prop_assert!(read.map_or(0, |text| text.capacity()) <= 1_001);
        }
    }
}
