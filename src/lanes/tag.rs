//! The tag `lane=<page>.<n>` of a request: the lane on whose ledger the request is counted.
//!
//! The tag is read for every request. A request without a tag costs a search in its query and no memory.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use crate::exchange::problem::Refusal;

/// Length of a page's id in characters: long enough to be unique, at most one more than 128 bits take in base 36.
const PAGE_CHARS: RangeInclusive<usize> = 8..=26;
/// Largest number of a lane: three digits. A page does not use up so many in a lesson.
const LANE_MAX: u16 = 999;

/// A tag: a page and one of its lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag<'a> {
    pub(super) page: &'a str,
    pub(super) lane: u16,
}

impl<'a> Tag<'a> {
    /// Parses `<page>.<n>`.
    pub(super) fn parse(text: &'a str) -> Result<Self, Refusal> {
        let parsed = text.split_once('.').and_then(|(page, lane)| {
            let is_canonical = !lane.starts_with('0') && lane.bytes().all(|b| b.is_ascii_digit());
            let lane = is_canonical.then(|| lane.parse().ok()).flatten()?;
            (is_page(page) && (1..=LANE_MAX).contains(&lane)).then_some(Self { page, lane })
        });
        parsed.ok_or_else(|| {
            Refusal::bad_request(format!(
                "lane {text:?} is not valid; give a page's id, a dot and a number from 1 to {LANE_MAX}, such as \
                 lane=k3x9q2w7.1"
            ))
        })
    }
}

/// Tells whether `text` is a valid id of a page.
fn is_page(text: &str) -> bool {
    PAGE_CHARS.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// Checks a page's id in a path or a parameter.
pub(crate) fn parse_page(text: &str) -> Result<&str, Refusal> {
    is_page(text).then_some(text).ok_or_else(|| {
        Refusal::bad_request(format!(
            "page {text:?} is not valid; give {} to {} random characters of a to z and 0 to 9",
            PAGE_CHARS.start(),
            PAGE_CHARS.end()
        ))
    })
}

/// Returns the value of the parameter `lane` in a query. A second one is refused, since a request belongs to one lane.
pub(super) fn given(query: &str) -> Result<Option<Cow<'_, str>>, Refusal> {
    // The query is searched by hand: a decoder would copy every escaped parameter.
    let mut tags = query.split('&').filter(|pair| *pair == "lane" || pair.starts_with("lane="));
    let Some(pair) = tags.next() else { return Ok(None) };
    if tags.next().is_some() {
        return Err(Refusal::bad_request("parameter lane is given twice; give it once"));
    }
    Ok(form_urlencoded::parse(pair.as_bytes()).map(|(_, value)| value).next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_a_page_and_a_number() {
        for (text, page, lane) in [
            ("k3x9q2w7.1", "k3x9q2w7", 1),
            ("00000000.999", "00000000", 999),
            ("abcdefghijklmnopqrstuvwxyz.10", "abcdefghijklmnopqrstuvwxyz", 10),
        ] {
            assert_eq!(Tag::parse(text).unwrap(), Tag { page, lane });
        }
        for text in [
            "",
            ".",
            "k3x9q2w7",
            "k3x9q2w7.",
            "k3x9q2w7.0",
            "k3x9q2w7.01",
            "k3x9q2w7.+1",
            "k3x9q2w7.1000",
            "k3x9q2w7.65537",
            "k3x9q2w7.1.2",
            "k3x9q2w7.1 ",
            "k3x9q2w.1",
            "K3X9Q2W7.1",
            "k3x9-2w7.1",
            "k3x9q2wé.1",
            "abcdefghijklmnopqrstuvwxyz0.1",
        ] {
            let refusal = Tag::parse(text).unwrap_err();
            assert!(refusal.problem().detail.contains(&format!("lane {text:?}")), "{refusal}");
        }
    }

    #[test]
    fn a_lane_is_found_among_other_parameters_and_a_second_one_is_refused() {
        for (query, value) in [
            ("", None),
            ("from=now", None),
            ("lanes=1&airlane=2&x=lane", None),
            ("lane=a.1", Some("a.1")),
            ("from=now&lane=a.1&wait=25", Some("a.1")),
            ("lane=a%2E1", Some("a.1")),
            ("lane", Some("")),
            ("lane=", Some("")),
            ("lane=a.1&x", Some("a.1")),
        ] {
            assert_eq!(given(query).unwrap().as_deref(), value, "{query}");
        }
        for query in ["lane=a.1&lane=a.1", "lane&lane", "lane=&x=1&lane=a.1"] {
            let refusal = given(query).unwrap_err();
            assert!(refusal.problem().detail.contains("parameter lane is given twice"), "{query}: {refusal}");
        }
    }
}
