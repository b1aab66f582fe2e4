//! Numbered texts: how a line of a server that numbers nothing is recognised when it arrives.
//!
//! The harness publishes `42 text` for the line with seq 42, and after the drain one last text, `0 742`: the log has
//! 742 lines and this is its end. What is missing when the end arrives is lost; without it nobody could tell lost
//! from late.

use crate::wire::Seq;

/// What a text from the wire is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Numbered<'a> {
    /// A line of the log.
    Line {
        /// Its seq, from 1.
        seq: Seq,
        /// Its text.
        text: &'a str,
    },
    /// The end of the log.
    End {
        /// Seq of the last line.
        after: Seq,
    },
    /// Nothing that was published.
    Unnumbered,
}

/// The text that is published for a line.
pub fn number(seq: Seq, text: &str) -> String {
    format!("{seq} {text}")
}

/// The text that is published after the last line.
pub fn end(after: Seq) -> String {
    number(0, &after.to_string())
}

/// What a text is.
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
