//! Spare memory of lines: a reader that returns its lines lets the next ones be decoded without an allocation each.
//!
//! A subscriber that measures looks at a line and throws it away, millions of times. It calls [`give_back`]. The
//! decoders take from here what the same thread gave back. A program that keeps its lines gives nothing back and loses
//! nothing. The memory is bounded for each thread, and does not grow with its subscribers.

use std::cell::RefCell;

use crate::wire::Line;

/// Most texts that a thread keeps: two full batches.
const TEXTS_MAX: usize = 1_024;
/// Largest capacity of a text that is kept, in bytes: all texts of a thread take at most 1 MiB.
const TEXT_BYTES_MAX: usize = 1_024;
/// Most lists that a thread keeps: a few subscribers may hold one each.
const LISTS_MAX: usize = 4;
/// Largest capacity of a list that is kept, in lines.
const LIST_LINES_MAX: usize = 1_024;

#[derive(Default)]
struct Spare {
    texts: Vec<String>,
    lists: Vec<Vec<Line>>,
}

thread_local! {
    static SPARE: RefCell<Spare> = RefCell::default();
}

/// Gives back the memory of lines that are no longer needed, for lines that this thread decodes later.
pub fn give_back(mut lines: Vec<Line>) {
    SPARE.with_borrow_mut(|spare| {
        for line in lines.drain(..) {
            let text = line.line.text;
            if spare.texts.len() < TEXTS_MAX && (1..=TEXT_BYTES_MAX).contains(&text.capacity()) {
                spare.texts.push(text);
            }
        }
        if spare.lists.len() < LISTS_MAX && (1..=LIST_LINES_MAX).contains(&lines.capacity()) {
            spare.lists.push(lines);
        }
    });
}

/// Returns an empty list of lines.
pub(crate) fn list() -> Vec<Line> {
    SPARE.with_borrow_mut(|spare| spare.lists.pop()).unwrap_or_default()
}

/// Copies a text.
pub(crate) fn text(text: &str) -> String {
    let spare =
        if text.len() <= TEXT_BYTES_MAX { SPARE.with_borrow_mut(|spare| spare.texts.pop()) } else { None };
    match spare {
        Some(mut copy) => {
            copy.clear();
            copy.push_str(text);
            copy
        }
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::NewLine;

    fn line(text: String) -> Line {
        Line { seq: 1, at_us: 0, line: NewLine::plain(text) }
    }

    fn kept() -> (usize, usize) {
        SPARE.with_borrow(|spare| (spare.texts.len(), spare.lists.len()))
    }

    #[test]
    fn what_was_given_back_is_used_again_and_nothing_of_it_is_seen() {
        let first = text("a long text that was there before");
        let memory = first.as_ptr();
        give_back(vec![line(first)]);
        assert_eq!(kept(), (1, 1));
        let again = text("new");
        assert_eq!((again.as_str(), again.as_ptr()), ("new", memory));
        assert!(list().is_empty());
        assert_eq!(kept(), (0, 0));
    }

    #[test]
    fn a_thread_keeps_a_bounded_number_of_texts_and_none_that_is_large() {
        for _ in 0..3 {
            give_back((0..TEXTS_MAX).map(|_| line("x".repeat(9))).collect());
        }
        give_back(vec![line("x".repeat(TEXT_BYTES_MAX + 1))]);
        let (texts, lists) = kept();
        assert!(texts == TEXTS_MAX && lists <= LISTS_MAX, "{texts} {lists}");
        let largest = SPARE.with_borrow(|spare| spare.texts.iter().map(String::capacity).max());
        assert!(largest.is_some_and(|bytes| bytes <= TEXT_BYTES_MAX));
    }
}
