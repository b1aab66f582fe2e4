//! Verdicts: what the figures together say about a reproduction.
//!
//! A law that fails contradicts the source. Where every law holds, the printed constants decide between *reproduced* and
//! *same law, other constant*. A printed number that a plan is made from is no such constant: ours equals it by
//! construction, so it is shown, and the laws alone decide. Where a figure that has to decide cannot, nothing is claimed.

use wirelab_clients::harness::plan::Size;

use super::figure::{Asks, Measured, Outcome};
use crate::report::wording::list;

/// Verdict on a reproduction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The law holds here, and the constants that the plan does not set are the printed ones.
    Reproduced,
    /// The law holds here, and a constant is another one.
    SameLawOtherConstant,
    /// The law does not hold here.
    Contradicted,
    /// These runs cannot show it, for the reason beside the verdict.
    CannotBeShownHere,
}

impl Verdict {
    /// All verdicts.
    pub const ALL: [Self; 4] =
        [Self::Reproduced, Self::SameLawOtherConstant, Self::Contradicted, Self::CannotBeShownHere];

    /// Returns the name in tables and CSV files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reproduced => "reproduced",
            Self::SameLawOtherConstant => "same law, other constant",
            Self::Contradicted => "contradicted",
            Self::CannotBeShownHere => "cannot be shown here",
        }
    }
}

/// Returns the verdict of these figures, with its reason.
pub(super) fn rule(size: Size, figures: &[Measured]) -> (Verdict, String) {
    match size {
        Size::Smoke => {
            let why = "the size is smoke, which has too few lines and runs; run it in full";
            return (Verdict::CannotBeShownHere, why.to_owned());
        }
        Size::Full => {}
    }
    let deciding = || figures.iter().filter(|figure| figure.decides());
    let broken: Vec<&str> = deciding().filter(|figure| is_law(figure)).filter_map(differing).collect();
    if !broken.is_empty() {
        return (Verdict::Contradicted, format!("the law does not hold for {}", list(&broken)));
    }
    let untold = deciding().find_map(|figure| match &figure.outcome {
        Outcome::CannotTell(why) => Some(format!("{}: {why}", figure.what)),
        Outcome::Agrees | Outcome::Differs | Outcome::Shown => None,
    });
    if let Some(why) = untold {
        return (Verdict::CannotBeShownHere, why);
    }
    let others: Vec<&str> = deciding().filter_map(differing).collect();
    match others.is_empty() {
        true => (Verdict::Reproduced, String::new()),
        false => (Verdict::SameLawOtherConstant, format!("another constant: {}", list(&others))),
    }
}

fn is_law(figure: &Measured) -> bool {
    match figure.asks {
        Asks::Law { .. } | Asks::Below { .. } | Asks::Above { .. } => true,
        Asks::Constant { .. } | Asks::Nothing => false,
    }
}

/// Returns the name of a figure that differs.
fn differing(figure: &Measured) -> Option<&'static str> {
    match figure.outcome {
        Outcome::Differs => Some(figure.what),
        Outcome::Agrees | Outcome::CannotTell(_) | Outcome::Shown => None,
    }
}
