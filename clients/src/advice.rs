//! Advice: when a server would like to be asked again, as its answer says it.
//!
//! `Retry-After` is a number of seconds or a date (RFC 9110 §10.2.3). A date is counted from the answer's own `Date`, so
//! that the clocks of client and server need not agree. What a client makes of it is in [`backoff`](crate::backoff) and
//! [`poll_schedule`](crate::poll_schedule). Reads headers; never waits.

use std::time::{Duration, SystemTime};

use hyper::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};

/// Returns how long the server asks to be left alone. `None`: it does not say, or says something that is neither a
/// number nor a date. A date that has passed is zero.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: HeaderName| headers.get(name)?.to_str().ok().map(str::trim);
    let date = |text: &str| httpdate::parse_http_date(text).ok();
    let asked = text(RETRY_AFTER)?;
    if !asked.is_empty() && asked.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number beyond 64 bits is still a long time; the caller bounds it.
        return Some(Duration::from_secs(asked.parse().unwrap_or(u64::MAX)));
    }
    let sent = text(DATE).and_then(date).unwrap_or_else(SystemTime::now);
    Some(date(asked)?.duration_since(sent).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice(retry_after: &str, date: Option<&str>) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, retry_after.parse().unwrap());
        if let Some(date) = date {
            headers.insert(DATE, date.parse().unwrap());
        }
        super::retry_after(&headers)
    }

    #[test]
    fn advice_is_a_number_or_a_date_counted_from_the_servers_own_clock() {
        let sent = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (retry_after, expected) in [
            ("0", seconds(0)),
            ("120", seconds(120)),
            (" 7 ", seconds(7)),
            ("99999999999999999999999", seconds(u64::MAX)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", seconds(10)),
            // The two obsolete forms, which a recipient must accept (RFC 9110 §5.6.7).
            ("Sunday, 06-Nov-94 08:50:37 GMT", seconds(60)),
            ("Sun Nov  6 08:49:38 1994", seconds(1)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", seconds(0)),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("soon", None),
        ] {
            assert_eq!(advice(retry_after, sent), expected, "{retry_after:?}");
        }
    }

    #[test]
    fn without_a_date_of_the_answer_the_local_clock_counts() {
        let ahead = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(100));
        for sent in [None, Some("yesterday")] {
            let advised = advice(&ahead, sent).unwrap();
            assert!((95..=100).contains(&advised.as_secs()), "{advised:?}");
        }
    }
}
