//! gzip, decoded as it arrives: each chunk gives all the text that can be decoded so far.
//!
//! A compressed stream is of use only if two sides cooperate. The sender flushes the encoder after each event (RFC 1951
//! §3.2.4: an empty stored block). The reader hands over what it can decode without waiting for more; this is the
//! reader's part. Pure: bytes in, bytes out.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::write::MultiGzDecoder;

use crate::wire::BODY_BYTES_MAX;

/// Decoder of one body that is still arriving.
pub(crate) struct Gunzip {
    decoder: MultiGzDecoder<Bounded>,
    /// Whether a first byte has arrived.
    has_begun: bool,
}

impl Gunzip {
    pub(crate) fn new() -> Self {
        Self { decoder: MultiGzDecoder::new(Bounded(Vec::new())), has_begun: false }
    }

    /// Decodes `chunk` and returns what it adds to the text. Returns nothing when the chunk ends within a piece that
    /// cannot be decoded alone.
    ///
    /// # Errors
    /// The bytes are not gzip, or one chunk decodes to more than [`BODY_BYTES_MAX`]. A thousandth of that is enough to
    /// send it, and no line is longer.
    pub(crate) fn push(&mut self, chunk: &[u8]) -> io::Result<Bytes> {
        self.has_begun |= !chunk.is_empty();
        self.decoder.write_all(chunk)?;
        self.decoder.flush()?;
        Ok(std::mem::take(&mut self.decoder.get_mut().0).into())
    }

    /// Checks that the text is whole and has the checksum it was sent with. A body without any byte is whole: a 304
    /// names the coding of a body that it does not have.
    ///
    /// # Errors
    /// The text was cut or altered.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        if self.has_begun { self.decoder.try_finish() } else { Ok(()) }
    }
}

/// Decoded bytes that the caller has not taken yet.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > BODY_BYTES_MAX {
            return Err(io::Error::other(format!("one chunk decodes to more than {BODY_BYTES_MAX} bytes")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    /// Encodes each text with a flush after it, then the end.
    fn flushed(texts: &[String]) -> (Vec<Vec<u8>>, Vec<u8>) {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let pieces = texts.iter().map(|text| {
            encoder.write_all(text.as_bytes()).unwrap();
            encoder.flush().unwrap();
            std::mem::take(encoder.get_mut())
        });
        (pieces.collect(), encoder.finish().unwrap())
    }

    proptest! {
        #[test]
        fn a_flushed_event_is_handed_over_at_once(texts in proptest::collection::vec(any::<String>(), 1..20)) {
            let (pieces, end) = flushed(&texts);
            let mut gunzip = Gunzip::new();
            for (piece, text) in pieces.iter().zip(&texts) {
                let decoded = gunzip.push(piece).unwrap();
                prop_assert_eq!(std::str::from_utf8(&decoded).unwrap(), text);
            }
            prop_assert!(gunzip.push(&end).unwrap().is_empty());
            gunzip.finish().unwrap();
        }

        #[test]
        fn any_chunking_gives_the_same_text(text in any::<String>(), size in 1..50_usize) {
            let (pieces, end) = flushed(std::slice::from_ref(&text));
            let sent = [pieces.concat(), end].concat();
            let mut gunzip = Gunzip::new();
            let mut decoded = Vec::new();
            for chunk in sent.chunks(size) {
                decoded.extend_from_slice(&gunzip.push(chunk).unwrap());
            }
            gunzip.finish().unwrap();
            prop_assert_eq!(String::from_utf8(decoded).unwrap(), text);
        }
    }

    #[test]
    fn a_text_that_was_cut_or_altered_is_not_whole() {
        let (pieces, end) = flushed(&["line".repeat(100)]);
        let sent = [pieces.concat(), end].concat();
        let whole = |sent: &[u8]| {
            let mut gunzip = Gunzip::new();
            gunzip.push(sent).and_then(|_| gunzip.finish())
        };
        whole(&sent).unwrap();
        whole(b"").unwrap();
        for length in 1..sent.len() {
            assert!(whole(&sent[..length]).is_err(), "{length} of {} bytes", sent.len());
        }
        let mut altered = sent.clone();
        altered[sent.len() - 8] ^= 1;
        assert!(whole(&altered).is_err());
        assert!(whole(b"no gzip at all").is_err());
    }

    #[test]
    fn a_small_chunk_does_not_become_a_large_memory() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&vec![b' '; 2 * BODY_BYTES_MAX]).unwrap();
        let bomb = encoder.finish().unwrap();
        assert!(bomb.len() < BODY_BYTES_MAX / 500);
        let refused = Gunzip::new().push(&bomb).unwrap_err();
        assert!(refused.to_string().contains("more than"), "{refused}");
    }
}
