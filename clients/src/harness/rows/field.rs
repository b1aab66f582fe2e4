//! What a cell of a CSV file may hold: how a value is written, and read again.

use crate::harness::run_result::TheoryVerdict;
use crate::harness::run_result::{CheckVerdict, Verdict};
use crate::wire::Transport;

/// What the cells of a column may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A whole number.
    Whole,
    /// A number.
    Number,
    /// `true` or `false`.
    Flag,
    /// One of these names.
    OneOf(&'static [&'static str]),
}

/// A value that a cell holds.
pub trait Field: Sized {
    /// What the cell may hold. Whether it may be empty is another matter.
    const KIND: Kind;
    /// Description of a readable cell, for an error: `a whole number`.
    const WANTED: &'static str;

    /// Returns the value that reading the cell gives: a number loses the digits that are not written.
    fn rounded(self) -> Self {
        self
    }

    /// Writes the value.
    fn text(&self) -> String;

    /// Reads a value; `None` for a text that is not one.
    fn parse(text: &str) -> Option<Self>;

    /// Returns the value as a number, if it is one.
    fn number(&self) -> Option<f64> {
        None
    }
}

/// Writes a number: six decimals are more than anything here resolves, and no file says 0.30000000000000004.
pub fn number_text(number: f64) -> String {
    let text = format!("{number:.6}");
    match text.trim_end_matches('0').trim_end_matches('.') {
        "-0" => "0".to_owned(),
        text => text.to_owned(),
    }
}

impl Field for f64 {
    const KIND: Kind = Kind::Number;
    const WANTED: &'static str = "a number";

    fn rounded(self) -> Self {
        number_text(self).parse().expect("a finite number is written as one")
    }

    fn text(&self) -> String {
        number_text(*self)
    }

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().filter(|number: &f64| number.is_finite())
    }

    fn number(&self) -> Option<f64> {
        Some(*self)
    }
}

macro_rules! whole_numbers {
    ($($type:ty),*) => { $(
        impl Field for $type {
            const KIND: Kind = Kind::Whole;
            const WANTED: &'static str = "a whole number";

            fn text(&self) -> String {
                self.to_string()
            }

            fn parse(text: &str) -> Option<Self> {
                text.parse().ok()
            }

            fn number(&self) -> Option<f64> {
                Some(*self as f64)
            }
        }
    )* };
}
whole_numbers!(u32, u64);

impl Field for String {
    const KIND: Kind = Kind::Text;
    const WANTED: &'static str = "a text";

    fn text(&self) -> String {
        self.clone()
    }

    fn parse(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl Field for bool {
    const KIND: Kind = Kind::Flag;
    const WANTED: &'static str = "true or false";

    fn text(&self) -> String {
        self.to_string()
    }

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

/// `None` is an empty cell. A number that is not finite becomes one: 0/0 lines is unknown, not 0.
impl<T: Field> Field for Option<T> {
    const KIND: Kind = T::KIND;
    const WANTED: &'static str = T::WANTED;

    fn rounded(self) -> Self {
        self.filter(|value| value.number().is_none_or(f64::is_finite)).map(T::rounded)
    }

    fn text(&self) -> String {
        self.as_ref().map_or(String::new(), T::text)
    }

    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() { Some(None) } else { T::parse(text).map(Some) }
    }

    fn number(&self) -> Option<f64> {
        self.as_ref().and_then(T::number)
    }
}

/// Reasons, separated by semicolons.
impl Field for Vec<String> {
    const KIND: Kind = Kind::Text;
    const WANTED: &'static str = "a list of texts";

    fn rounded(self) -> Self {
        Self::parse(&self.text()).expect("every text is a list of texts")
    }

    fn text(&self) -> String {
        self.join("; ")
    }

    fn parse(text: &str) -> Option<Self> {
        Some(text.split("; ").filter(|reason| !reason.is_empty()).map(str::to_owned).collect())
    }
}

macro_rules! names {
    ($($type:ty: $wanted:literal),* $(,)?) => { $(
        impl Field for $type {
            const KIND: Kind = {
                const NAMES: [&str; <$type>::ALL.len()] = {
                    let mut names = [""; <$type>::ALL.len()];
                    let mut i = 0;
                    while i < names.len() {
                        names[i] = <$type>::ALL[i].name();
                        i += 1;
                    }
                    names
                };
                Kind::OneOf(&NAMES)
            };
            const WANTED: &'static str = $wanted;

            fn text(&self) -> String {
                self.name().to_owned()
            }

            fn parse(text: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|value| value.name() == text)
            }
        }
    )* };
}
names! {
    Verdict: "one of ok, unresolved, invalid",
    CheckVerdict: "one of pass, not-measured, unresolved, fail",
    TheoryVerdict: "one of pass, fail, assumption-broken, reported",
    Transport: "a transport of this wirelab",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_written_without_noise_and_never_as_nan() {
        for (number, told) in
            [(0.1 + 0.2, "0.3"), (200.0, "200"), (0.0, "0"), (-1e-9, "0"), (1.0 / 3.0, "0.333333")]
        {
            assert_eq!(number_text(number), told);
            assert_eq!(Field::rounded(number).to_string(), told);
        }
        assert_eq!(Some(f64::NAN).rounded(), None);
        assert_eq!(Some(1.0 / 0.0).rounded(), None);
    }

    #[test]
    fn an_empty_cell_is_nothing_and_a_wrong_one_is_refused() {
        assert_eq!(Option::<u64>::parse(""), Some(None));
        assert_eq!(Option::<u64>::parse("1.5"), None);
        assert_eq!(u64::parse(""), None);
        assert_eq!(f64::parse("inf"), None);
        assert_eq!(Verdict::parse("fine"), None);
        assert_eq!(Verdict::parse("unresolved"), Some(Verdict::Unresolved));
    }
}
