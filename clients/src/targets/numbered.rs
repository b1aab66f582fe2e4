//! Numbered texts: how a line is recognised when it comes from a server that numbers nothing.
//!
//! The harness publishes `42 text` for the line with seq 42. After the drain it publishes one last text, `0 742`: the
//! log has 742 lines and this is its end. Lines that are missing when the end arrives are lost. Without the end, lost
//! lines could not be told from late ones.

use crate::wire::Seq;

/// Meaning of a text from the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Numbered<'a> {
    /// Line of the log.
    Line {
        /// Seq of the line, from 1.
        seq: Seq,
        /// Text of the line.
        text: &'a str,
    },
    /// End of the log.
    End {
        /// Seq of the last line.
        after: Seq,
    },
    /// Text that the publisher did not send.
    Unnumbered,
}

/// Returns the text that is published for a line.
pub fn number(seq: Seq, text: &str) -> String {
    format!("{seq} {text}")
}

/// Returns the text that is published after the last line.
pub fn end(after: Seq) -> String {
    number(0, &after.to_string())
}

/// Parses a text from the wire.
///
/// ```
/// use wirelab_clients::targets::numbered::{Numbered, end, number, read};
/// assert_eq!(read(&number(7, "a b")), Numbered::Line { seq: 7, text: "a b" });
/// assert_eq!(read(&end(7)), Numbered::End { after: 7 });
/// assert_eq!(read("hello"), Numbered::Unnumbered);
/// ```
pub fn read(text: &str) -> Numbered<'_> {
    let Some((seq, text)) = text.split_once(' ') else { return Numbered::Unnumbered };
    match (seq.parse(), text.parse()) {
        (Ok(0), Ok(after)) => Numbered::End { after },
        (Ok(0), Err(_)) | (Err(_), _) => Numbered::Unnumbered,
        (Ok(seq), _) => Numbered::Line { seq, text },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_not_a_number_and_a_space_is_unnumbered() {
        for text in ["", "7", "seven x", "-7 x", "0 x", "0", " 7 x", "99999999999999999999999 x"] {
            assert_eq!(read(text), Numbered::Unnumbered, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_survives_its_number(seq in 1..Seq::MAX, text in "\\PC*") {
            let numbered = number(seq, &text);
            prop_assert_eq!(read(&numbered), Numbered::Line { seq, text: &text });
        }
    }
}
