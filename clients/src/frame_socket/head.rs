//! The head of a frame (RFC 6455 §5.2), as both readers of frames need it. Pure.

use super::{CONTROL, MASKED};

/// Head of a frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    /// First byte: whether the message ends here, the reserved bits, the kind.
    pub(super) first: u8,
    pub(super) is_masked: bool,
    /// Whether the length takes the fewest bytes that hold it.
    pub(super) is_minimal: bool,
    pub(super) head_bytes: usize,
    pub(super) payload_bytes: u64,
}

impl Head {
    /// Reads the head with which `bytes` begin; `None` if its length is not whole.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let [first, second] = *bytes.first_chunk()?;
        let (head_bytes, payload_bytes, shortest) = match second & !MASKED {
            126 => (4, u16::from_be_bytes(*bytes[2..].first_chunk()?).into(), 126),
            127 => (10, u64::from_be_bytes(*bytes[2..].first_chunk()?), 1 << 16),
            length => (2, u64::from(length), 0),
        };
        let is_masked = second & MASKED != 0;
        let mask_bytes = if is_masked { 4 } else { 0 };
        let (head_bytes, is_minimal) = (head_bytes + mask_bytes, payload_bytes >= shortest);
        Some(Self { first, is_masked, is_minimal, head_bytes, payload_bytes })
    }

    /// Returns the bytes of the whole frame.
    pub(super) fn whole_bytes(&self) -> u64 {
        self.payload_bytes.saturating_add(self.head_bytes as u64)
    }

    pub(super) fn is_control(&self) -> bool {
        self.first & CONTROL != 0
    }
}
