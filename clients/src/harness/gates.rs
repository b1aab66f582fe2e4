//! Gates: whether a run's numbers may be believed.
//!
//! Pure: a result in, checks out, and from the checks alone the verdict, its reasons and `checks.csv`. A run that
//! measured its own harness, or whose books do not balance, is invalid; its row is kept. To add a gate: one function
//! in a file of `gates/` and its entry in that file's list.

use super::run_result::{Check, CheckVerdict, RunResult, Verdict};

mod books;
mod lateness;
mod littles_law;
mod saturation;
mod two_sides;

pub use lateness::{SEND_LATENESS, SEND_LATENESS_SHARE};

/// One gate: what it compares, and the function that does.
#[derive(Debug, Clone, Copy)]
pub struct Gate {
    /// In the column `check`.
    pub name: &'static str,
    /// Of the two numbers.
    pub unit: &'static str,
    /// What is left, what is right, and what must hold between them.
    pub definition: &'static str,
    find: fn(&RunResult) -> Found,
}

impl Gate {
    fn check(&self, run: &RunResult) -> Check {
        let Found { left, right, tolerance, verdict, said } = (self.find)(run);
        Check { name: self.name.into(), left, right, unit: self.unit.into(), tolerance, verdict, said }
    }
}

/// Every gate, in the order of the reasons and of the file.
pub fn gates() -> impl Iterator<Item = &'static Gate> {
    [books::GATES, two_sides::GATES, littles_law::GATES, lateness::GATES, saturation::GATES]
        .into_iter()
        .flatten()
}

/// What a gate found.
struct Found {
    left: Option<f64>,
    right: Option<f64>,
    tolerance: Option<f64>,
    verdict: CheckVerdict,
    said: Option<String>,
}

impl Found {
    /// Left and right must be the same, or one of them is not what it says.
    fn equal(left: f64, right: f64, tolerance: f64, said: impl FnOnce() -> String) -> Self {
        Self::judged((left - right).abs() <= tolerance, left, right, tolerance, CheckVerdict::Fail, said)
    }

    /// Left must not be above right, or `broken` follows.
    fn at_most(left: f64, right: f64, broken: CheckVerdict, said: impl FnOnce() -> String) -> Self {
        Self::judged(left <= right, left, right, 0.0, broken, said)
    }

    /// There must be none.
    fn none(count: u64, broken: CheckVerdict, said: impl FnOnce() -> String) -> Self {
        Self::at_most(count as f64, 0.0, broken, said)
    }

    fn judged(
        holds: bool,
        left: f64,
        right: f64,
        tolerance: f64,
        broken: CheckVerdict,
        said: impl FnOnce() -> String,
    ) -> Self {
        let verdict = if holds { CheckVerdict::Pass } else { broken };
        let said = (!holds).then(said);
        Self { left: Some(left), right: Some(right), tolerance: Some(tolerance), verdict, said }
    }

    /// One of them is missing: nothing follows.
    fn not_compared(left: Option<f64>, right: Option<f64>) -> Self {
        Self { left, right, tolerance: None, verdict: CheckVerdict::NotMeasured, said: None }
    }
}

/// Sets the run's checks from everything else, and from them its verdict and the reasons for it.
pub fn judge(run: &mut RunResult) {
    run.checks = checks(run);
    run.verdict = verdict(&run.checks);
    run.verdict_reasons = reasons(run);
}

/// What every gate says of a run.
pub fn checks(run: &RunResult) -> Vec<Check> {
    gates().map(|gate| gate.check(run)).collect()
}

/// The verdict that follows from a run's checks.
pub fn verdict(checks: &[Check]) -> Verdict {
    match checks.iter().map(|check| check.verdict).max() {
        Some(CheckVerdict::Fail) => Verdict::Invalid,
        Some(CheckVerdict::Unresolved) => Verdict::Unresolved,
        Some(CheckVerdict::NotMeasured | CheckVerdict::Pass) | None => Verdict::Ok,
    }
}

/// What the row says beside the verdict: the gravest first, and what several checks say once. An `ok` run may have
/// reasons too: defects outside the cohort, and what could not be compared.
pub fn reasons(run: &RunResult) -> Vec<String> {
    let mut spoke: Vec<_> = run.checks.iter().filter(|check| check.said.is_some()).collect();
    // Stable: among equals the order of the gates stays.
    spoke.sort_by_key(|check| std::cmp::Reverse(check.verdict));
    let mut reasons: Vec<String> = Vec::new();
    for reason in spoke.into_iter().filter_map(|check| check.said.clone()).chain(books::remarks(run)) {
        if reasons.iter().all(|known| *known != reason) {
            reasons.push(reason);
        }
    }
    reasons
}

#[cfg(test)]
mod tests;
