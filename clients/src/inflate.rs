//! Messages of permessage-deflate decompressed, within a bound (RFC 7692 §7.2.2).
//!
//! The client half of the WebSocket reads lines by it, and the server reads commands. Whoever calls it owns the context.
//! Pure.

use flate2::{Decompress, FlushDecompress, Status};

/// End of a flushed piece, which the sender leaves out (RFC 7692 §7.2.1).
pub const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
/// Most room for a text before it is known how long it gets. It grows with what comes.
const TEXT_BYTES_MIN: usize = 4 << 10;

/// Reason why a message cannot be decompressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undeflated {
    /// The bytes are no compressed message.
    Garbage,
    /// The text is longer than a message may be.
    TooLong,
}

/// Decompresses a whole message to at most `text_bytes_max` bytes of text, after the messages that `context` has read. No
/// more memory is taken for a longer text, however little was sent.
///
/// # Errors
/// The bytes are no compressed message, or its text is too long.
pub fn inflate(
    context: &mut Decompress,
    message: &[u8],
    text_bytes_max: usize,
) -> Result<Vec<u8>, Undeflated> {
    let mut text = Vec::with_capacity((message.len() * 4).clamp(256, TEXT_BYTES_MIN).min(text_bytes_max + 1));
    for part in [message, &TAIL] {
        inflate_part(context, part, &mut text, text_bytes_max)?;
    }
    Ok(text)
}

fn inflate_part(
    context: &mut Decompress,
    mut part: &[u8],
    text: &mut Vec<u8>,
    text_bytes_max: usize,
) -> Result<(), Undeflated> {
    loop {
        if text.len() == text.capacity() {
            // One byte more than allowed shows that a text is too long.
            text.reserve_exact(text.len().max(TEXT_BYTES_MIN).min(text_bytes_max + 1 - text.len()));
        }
        let (taken_before, made_before) = (context.total_in(), text.len());
        let status =
            context.decompress_vec(part, text, FlushDecompress::Sync).map_err(|_| Undeflated::Garbage)?;
        let taken = (context.total_in() - taken_before) as usize;
        part = &part[taken..];
        if text.len() > text_bytes_max {
            return Err(Undeflated::TooLong);
        }
        match status {
            // A last block ends no message: another one may follow (RFC 7692 §7.2.3.4).
            Status::StreamEnd => {
                context.reset(false);
                if part.is_empty() {
                    return Ok(());
                }
            }
            Status::Ok | Status::BufError => {
                // With room left, nothing more can be made of what came.
                if part.is_empty() && text.len() < text.capacity() {
                    return Ok(());
                }
                if taken == 0 && text.len() == made_before && text.len() < text.capacity() {
                    return Err(Undeflated::Garbage);
                }
            }
        }
    }
}
