//! Gates: checks that decide whether a run's numbers may be believed.
//!
//! Pure: a result in, checks out. From the checks alone follow the verdict, its reasons and `checks.csv`. A run that
//! measured its own harness, or whose books do not balance, is invalid; its row is kept. To add a gate: one function in
//! a file of `gates/` and its entry in that file's list.

use super::run_result::{Check, CheckVerdict, RunResult, Verdict};

mod books;
mod lateness;
mod layers;
mod littles_law;
mod saturation;
mod two_sides;

pub use lateness::LATENESS;

/// One gate: two numbers of a run that are compared, and the function that compares them.
#[derive(Debug, Clone, Copy)]
pub struct Gate {
    /// Name of the gate in the column `check`.
    pub name: &'static str,
    /// Unit of the two numbers.
    pub unit: &'static str,
    /// Definition of the left and the right number, and of what must hold between them.
    pub definition: &'static str,
    find: fn(&RunResult) -> Found,
}

impl Gate {
    fn check(&self, run: &RunResult) -> Check {
        let Found { left, right, tolerance, verdict, said } = (self.find)(run);
        Check { name: self.name.into(), left, right, unit: self.unit.into(), tolerance, verdict, said }
    }
}

/// Lists every gate, in the order of the reasons and of the file.
pub fn gates() -> impl Iterator<Item = &'static Gate> {
    [books::GATES, two_sides::GATES, layers::GATES, littles_law::GATES, lateness::GATES, saturation::GATES]
        .into_iter()
        .flatten()
}

/// Result of one gate for one run.
struct Found {
    left: Option<f64>,
    right: Option<f64>,
    tolerance: Option<f64>,
    verdict: CheckVerdict,
    said: Option<String>,
}

impl Found {
    /// Compares two numbers that must be equal within the tolerance; otherwise the check fails.
    fn equal(left: f64, right: f64, tolerance: f64, said: impl FnOnce() -> String) -> Self {
        Self::judged((left - right).abs() <= tolerance, left, right, tolerance, CheckVerdict::Fail, said)
    }

    /// Compares two numbers of which left must not be above right; otherwise the verdict is `broken`.
    fn at_most(left: f64, right: f64, broken: CheckVerdict, said: impl FnOnce() -> String) -> Self {
        Self::judged(left <= right, left, right, 0.0, broken, said)
    }

    /// Checks a count that must be 0; otherwise the verdict is `broken`.
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

    /// Notes that a number is missing, or must not be compared: nothing follows.
    fn not_compared(left: Option<f64>, right: Option<f64>) -> Self {
        Self { left, right, tolerance: None, verdict: CheckVerdict::NotMeasured, said: None }
    }
}

/// Judges a run: sets its checks, and from them its verdict and the reasons for it.
pub fn judge(run: &mut RunResult) {
    run.checks = checks(run);
    run.verdict = verdict(&run.checks);
    run.verdict_reasons = reasons(run);
}

/// Returns the checks of all gates for a run.
pub fn checks(run: &RunResult) -> Vec<Check> {
    gates().map(|gate| gate.check(run)).collect()
}

/// Returns the verdict that follows from a run's checks.
pub fn verdict(checks: &[Check]) -> Verdict {
    match checks.iter().map(|check| check.verdict).max() {
        Some(CheckVerdict::Fail) => Verdict::Invalid,
        Some(CheckVerdict::Unresolved) => Verdict::Unresolved,
        Some(CheckVerdict::NotMeasured | CheckVerdict::Pass) | None => Verdict::Ok,
    }
}

/// Returns the reasons beside a run's verdict, the gravest first, each once. An `ok` run may have reasons too: defects
/// outside the cohort, and numbers that could not be compared.
pub fn reasons(run: &RunResult) -> Vec<String> {
    let mut spoke: Vec<_> = run.checks.iter().filter(|check| check.said.is_some()).collect();
    // The sort is stable: equal verdicts stay in the order of the gates.
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
