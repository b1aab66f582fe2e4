//! Numbers, lists and verdicts as the report writes them, equal in every format.

use wirelab_clients::harness::run_result::Verdict;

/// Returns what a verdict means for its reader and what to do about it; `None` for `ok`, which needs no word.
pub(super) const fn meaning(verdict: Verdict) -> Option<&'static str> {
    match verdict {
        Verdict::Ok => None,
        Verdict::Unresolved => Some(
            "unresolved: requests, bytes and losses hold, but small differences in latency do not. Do not rank the row by \
             latency. See its reason, close other programs and run again.",
        ),
        Verdict::Invalid => Some(
            "invalid: something went wrong in the run. Do not use its figures; only its lost and repeated lines count. See \
             its reason, close other programs and run again.",
        ),
    }
}

/// Returns the meaning of each verdict but `ok` that is among these, the milder first.
pub(super) fn meanings(verdicts: impl Iterator<Item = Verdict> + Clone) -> Vec<&'static str> {
    let there = [Verdict::Unresolved, Verdict::Invalid].into_iter();
    let there = there.filter(|wanted| verdicts.clone().any(|verdict| verdict == *wanted));
    there.filter_map(meaning).collect()
}

/// Returns a number with three significant digits: `0.00018`, `4.70`, `12,345`. No figure here is known better.
pub(super) fn digits(number: f64) -> String {
    let size = number.abs();
    if size == 0.0 {
        return "0".to_owned();
    }
    // A number that rounds up to the next power of ten takes that power's digits: 9.996 becomes 10.0.
    let decade = format!("{size:.2e}").split_once('e').and_then(|(_, decade)| decade.parse::<i32>().ok());
    let decimals = usize::try_from(2 - decade.unwrap_or(0)).unwrap_or(0);
    let text = format!("{size:.decimals$}");
    let sign = if number < 0.0 { "−" } else { "" };
    let (whole, fraction) = text.split_once('.').map_or((text.as_str(), None), |(w, f)| (w, Some(f)));
    let whole = grouped_text(whole);
    match fraction {
        Some(fraction) => format!("{sign}{whole}.{fraction}"),
        None => format!("{sign}{whole}"),
    }
}

/// Returns a number with its unit; without a unit, the number alone.
pub(super) fn with_unit(number: f64, unit: &str) -> String {
    match unit {
        "" => digits(number),
        unit => format!("{} {unit}", digits(number)),
    }
}

/// Returns a number as an axis or a factor shows it, without trailing zeros: `0.5`, `1,600`.
pub(super) fn plain(number: f64) -> String {
    let text = digits(number);
    match text.split_once('.') {
        Some((whole, fraction)) => {
            let fraction = fraction.trim_end_matches('0');
            if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") }
        }
        None => text,
    }
}

/// Returns a difference in percent with its sign: `+12 %`, `−0.3 %`.
pub(super) fn percent_signed(ratio: f64) -> String {
    let sign = if ratio > 0.0 { "+" } else { "" };
    format!("{sign}{} %", plain((ratio * 1000.0).round() / 10.0))
}

/// Joins names into `a, b and c`.
pub(super) fn list<S: AsRef<str>>(names: &[S]) -> String {
    match names {
        [] => String::new(),
        [only] => only.as_ref().to_owned(),
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", first.join(", "), last.as_ref())
        }
    }
}

/// Returns a count with its noun: `1 run`, `2 runs`.
pub(super) fn counted(count: usize, one: &str, several: &str) -> String {
    format!("{} {}", grouped(count as u64), if count == 1 { one } else { several })
}

/// Returns a count in groups of three digits: `12,345`.
pub(super) fn grouped(count: u64) -> String {
    grouped_text(&count.to_string())
}

fn grouped_text(whole: &str) -> String {
    let mut text = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_have_three_digits_that_count() {
        let numbers = [0.0, 0.000_182, 0.01234, 0.9996, 4.7, 9.996, 99.96, 223.4, 999.6, 12_345.6, -0.5];
        let told =
            ["0", "0.000182", "0.0123", "1.00", "4.70", "10.0", "100", "223", "1,000", "12,346", "−0.500"];
        assert_eq!(numbers.map(digits), told);
        assert_eq!([0.5, 2.0, 1_600.0, 0.25, 100.0].map(plain), ["0.5", "2", "1,600", "0.25", "100"]);
        assert_eq!([0.1234, -0.003, 0.0].map(percent_signed), ["+12.3 %", "−0.3 %", "0 %"]);
        assert_eq!((with_unit(2.0, "ms"), with_unit(2.0, "")), ("2.00 ms".to_owned(), "2.00".to_owned()));
    }

    #[test]
    fn a_verdict_but_ok_has_one_line_that_says_what_to_do() {
        use Verdict::{Invalid, Ok, Unresolved};
        assert!(meanings([Ok, Ok].into_iter()).is_empty());
        let both = meanings([Invalid, Ok, Unresolved, Invalid].into_iter());
        assert_eq!(both.len(), 2);
        for (told, name) in both.into_iter().zip([Unresolved.name(), Invalid.name()]) {
            assert!(told.starts_with(name) && told.contains("run again") && !told.contains('\n'), "{told}");
        }
    }

    #[test]
    fn lists_and_counts_read_as_english() {
        assert_eq!(list::<&str>(&[]), "");
        assert_eq!([list(&["a"]), list(&["a", "b"]), list(&["a", "b", "c"])], ["a", "a and b", "a, b and c"]);
        assert_eq!(
            [counted(1, "run", "runs"), counted(1_200, "run", "runs")],
            ["1 run", "1,200 runs"].map(str::to_owned)
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_within_half_a_percent(number in 1e-9..1e12_f64) {
            let read: f64 = digits(number).replace(',', "").parse().unwrap();
            prop_assert!((read / number - 1.0).abs() <= 0.005 + 1e-12, "{number}: {read}");
        }
    }
}
