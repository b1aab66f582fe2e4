//! Finds numbered lines in whatever bytes a server sends and tells which are missing or came twice. The subscribers scan
//! with it. It knows no framing: a text begins with `#` and nine digits, and nothing else that servers send does.

use std::ops::Range;

/// Begins every text.
pub(crate) const MARK: u8 = b'#';
/// Digits of a line's number after the mark.
pub(crate) const DIGITS: usize = 9;
const NUMBERED: usize = 1 + DIGITS;
/// Shortest text: its number and a space.
pub(crate) const TEXT_BYTES_MIN: usize = NUMBERED + 1;

/// The text of line `number`, `bytes` long.
pub(crate) fn text(number: u64, bytes: usize) -> String {
    format!("#{number:09} {:x<rest$}", "", rest = bytes.saturating_sub(TEXT_BYTES_MIN))
}

/// What one subscriber has seen of the log.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Number of the next line.
    next: u64,
    missed: u64,
    again: u64,
    /// Bytes at the end of what was scanned that may begin a number.
    cut: [u8; NUMBERED],
    cut_bytes: usize,
}

impl Default for Seen {
    fn default() -> Self {
        Self { next: 1, missed: 0, again: 0, cut: [0; NUMBERED], cut_bytes: 0 }
    }
}

impl Seen {
    /// Scans what came next and returns the numbers that are new. Those that were skipped count as missed.
    pub(crate) fn scan(&mut self, mut bytes: &[u8]) -> Range<u64> {
        let before = self.next;
        if self.cut_bytes > 0 {
            // Long enough for a number that began before, and for none that begins after.
            let mut joined = [0; 2 * NUMBERED];
            let kept = self.cut_bytes;
            let added = bytes.len().min(NUMBERED - kept);
            joined[..kept].copy_from_slice(&self.cut[..kept]);
            joined[kept..kept + added].copy_from_slice(&bytes[..added]);
            if kept + added < NUMBERED {
                self.keep(&joined[..kept + added]);
                return before..before;
            }
            self.cut_bytes = 0;
            if let Some(number) = number(&joined[1..NUMBERED]) {
                self.take(number);
                bytes = &bytes[added..];
            }
        }
        for at in memchr::memchr_iter(MARK, bytes) {
            match bytes.get(at + 1..at + NUMBERED) {
                Some(digits) => {
                    if let Some(number) = number(digits) {
                        self.take(number);
                    }
                }
                None => {
                    self.keep(&bytes[at..]);
                    break;
                }
            }
        }
        before..self.next
    }

    fn keep(&mut self, rest: &[u8]) {
        self.cut[..rest.len()].copy_from_slice(rest);
        self.cut_bytes = rest.len();
    }

    fn take(&mut self, number: u64) {
        if number < self.next {
            self.again += 1;
        } else {
            self.missed += number - self.next;
            self.next = number + 1;
        }
    }

    /// Lines of the first `published` ones that did not come.
    pub(crate) fn lost(&self, published: u64) -> u64 {
        self.missed + (published + 1).saturating_sub(self.next)
    }

    /// Whether the last of the first `published` lines has come.
    pub(crate) fn is_whole(&self, published: u64) -> bool {
        self.next > published
    }

    pub(crate) fn duplicated(&self) -> u64 {
        self.again
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    let mut number = 0;
    for digit in digits {
        let value = digit.wrapping_sub(b'0');
        if value > 9 {
            return None;
        }
        number = number * 10 + u64::from(value);
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(numbers: impl IntoIterator<Item = u64>) -> Vec<u8> {
        numbers.into_iter().flat_map(|n| format!("data: {}\n\n", text(n, 40)).into_bytes()).collect()
    }

    #[test]
    fn a_log_is_whole_wherever_it_is_cut() {
        let bytes = log(1..=20);
        for cut in 1..bytes.len() {
            let mut seen = Seen::default();
            let new: u64 = bytes
                .chunks(cut)
                .map(|chunk| {
                    let new = seen.scan(chunk);
                    new.end - new.start
                })
                .sum();
            assert_eq!((new, seen.lost(20), seen.duplicated()), (20, 0, 0), "in pieces of {cut}");
        }
    }

    #[test]
    fn what_is_missing_is_lost_and_what_comes_again_is_not_new() {
        let mut seen = Seen::default();
        seen.scan(&log([1, 2, 4, 4, 3, 5]));
        assert_eq!((seen.lost(7), seen.duplicated()), (3, 2));
    }

    #[test]
    fn a_mark_without_a_number_is_no_line() {
        let mut seen = Seen::default();
        // A frame's head may have the mark's value: 35 bytes follow.
        seen.scan(b"\x81##000000001 x\x81#");
        seen.scan(b"#000000002 y");
        assert_eq!((seen.lost(2), seen.duplicated()), (0, 0));
    }

    #[test]
    fn a_text_has_its_bytes() {
        assert_eq!(text(7, 100).len(), 100);
    }
}
