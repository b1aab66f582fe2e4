//! Plans: one experiment each, as TOML text.
//!
//! `wirelab run` hands the text of `data/plans/*.toml` in, or flags; out comes a [`Plan`] with every default
//! explicit, and its [`Cell`]s: the runs to make. A plan varies its [`Factors`] by arms: each arm is the plan's own
//! factors with some of them changed. Whatever a plan says wrongly is refused here, with the plan's name, the key and
//! the allowed values. A pure function: it opens no file and reads no clock.

mod cells;
mod check;
mod file;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::cell::{Cell, Factors, Given, Server};
use super::schedule::Schedule;
use super::thresholds::Threshold;
use crate::targets::profile::{Profile, ProfileError};

pub use check::PlanError;
use check::{Refusals, text_of};

/// Name of a plan made of command-line flags.
pub const AD_HOC: &str = "ad-hoc";

const SEED_DEFAULT: u64 = 1;

/// One experiment, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Names the results folder.
    pub name: String,
    /// What the experiment asks, in one sentence.
    pub question: String,
    /// What is expected, said before it was measured.
    pub prediction: Option<String>,
    /// Whether this is the experiment, or a short run that only shows that it works.
    pub size: Size,
    /// Schedules and the order of runs follow from it.
    pub seed: u64,
    /// The servers that are measured.
    pub targets: Vec<Server>,
    /// Blocks: every cell is run once in each.
    pub repetitions: u32,
    /// Whether one cell of every block is run twice.
    pub noise_floor: NoiseFloor,
    /// What must hold of the results.
    pub thresholds: Vec<Threshold>,
    /// Factors of every arm that does not say otherwise.
    pub base: Factors,
    /// Empty: the base is the only one, and has no name.
    pub arms: Vec<Arm>,
}

/// A named variation of the plan's factors.
#[derive(Debug, Clone, PartialEq)]
pub struct Arm {
    /// Unique in the plan; part of `run_id`.
    pub name: String,
    /// Every factor's value.
    pub factors: Factors,
}

/// How much of a plan is run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Size {
    /// With the changes of its table `smoke`: seconds, to see that it works.
    Smoke,
    /// As it is written.
    #[default]
    Full,
}

impl Size {
    /// The name in plans and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Smoke => "smoke",
            Self::Full => "full",
        }
    }
}

/// Whether a plan measures the difference between equal runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NoiseFloor {
    /// The first cell is run twice in every block: what the two differ by is noise (an A/A test).
    Measured,
    /// It is not measured.
    #[default]
    Unknown,
}

/// What flags say of a plan; the rest gets the default of a plan file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AdHoc {
    /// Default: wirelab's own.
    pub targets: Option<Vec<Server>>,
    /// Default: 1.
    pub repetitions: Option<u32>,
    /// Default: 1.
    pub seed: Option<u64>,
    /// Default: none.
    pub thresholds: Vec<Threshold>,
    /// Each has a default.
    pub factors: Given,
}

/// A plan without flags.
impl Default for Plan {
    fn default() -> Self {
        Self::ad_hoc(AdHoc::default()).expect("the defaults are a good plan")
    }
}

impl Plan {
    /// Parses the TOML `text` of a plan that names no profile; `file` is the plan's name in errors.
    pub fn parse(file: &str, text: &str) -> Result<Self, PlanError> {
        Self::parse_with(file, text, Size::Full, |name| {
            Err(ProfileError::Unknown { given: name.to_owned(), known: Vec::new() })
        })
    }

    /// Parses the TOML `text`; `profile` is asked for every profile among its targets.
    pub fn parse_with(
        file: &str,
        text: &str,
        size: Size,
        profile: impl Fn(&str) -> Result<Profile, ProfileError>,
    ) -> Result<Self, PlanError> {
        file::parse(file, text, size, &profile)
    }

    /// A plan made of flags, checked like a file.
    pub fn ad_hoc(flags: AdHoc) -> Result<Self, PlanError> {
        let plan = Self {
            name: AD_HOC.to_owned(),
            question: "What do these flags give?".to_owned(),
            prediction: None,
            size: Size::Full,
            seed: flags.seed.unwrap_or(SEED_DEFAULT),
            targets: flags.targets.unwrap_or_else(|| vec![Server::Wirelab]),
            repetitions: flags.repetitions.unwrap_or(1),
            noise_floor: NoiseFloor::Unknown,
            thresholds: flags.thresholds,
            base: flags.factors.resolve(),
            arms: Vec::new(),
        };
        plan.check(Refusals::of(AD_HOC))?;
        Ok(plan)
    }

    /// The same plan on other servers.
    pub fn on(self, targets: Vec<Server>) -> Result<Self, PlanError> {
        let plan = Self { targets, ..self };
        plan.check(Refusals::of(&plan.name))?;
        Ok(plan)
    }

    /// The plan as a file with every default explicit. Parsing it gives the same plan.
    pub fn to_toml(&self) -> String {
        file::to_toml(self)
    }

    /// Every arm with its factors; a plan without arms has one, which has no name.
    pub fn all_arms(&self) -> Vec<(Option<&str>, &Factors)> {
        if self.arms.is_empty() {
            return vec![(None, &self.base)];
        }
        self.arms.iter().map(|arm| (Some(arm.name.as_str()), &arm.factors)).collect()
    }

    /// Refuses a plan whose largest cell needs more than `limit` open descriptors.
    pub fn check_descriptors(&self, limit: u64) -> Result<(), PlanError> {
        let Some(largest) = self.cells().into_iter().max_by_key(Cell::descriptors_needed) else {
            return Ok(());
        };
        let needed = largest.descriptors_needed();
        if needed <= limit {
            return Ok(());
        }
        let (plan, subscribers) = (self.name.clone(), largest.connections());
        Err(PlanError::TooManyDescriptors { plan, subscribers, needed, limit })
    }

    /// Refuses a schedule that leaves no line in a cell's cohort: only known once a recording was read.
    pub fn check_cohort(&self, cell: &Cell, schedule: &Schedule) -> Result<(), PlanError> {
        let refusals = Refusals { plan: &self.name, arm: cell.arm.as_deref() };
        let last = schedule.due_times().last();
        if let (Some(last), Some(fault)) = (last, &cell.fault)
            && fault.last_at() >= last
        {
            let must = format!("must be before the last line, which is due at {}", text_of(last));
            return Err(refusals.refused(fault.key(), text_of(fault.last_at()), must));
        }
        match last {
            Some(last) if last >= cell.warm_up => Ok(()),
            last => Err(refusals.refused(
                "warm_up",
                text_of(cell.warm_up),
                match last {
                    None => "but there is no line at all; choose lines that exist".to_owned(),
                    Some(last) => format!("the last line is due at {}; make it shorter", text_of(last)),
                },
            )),
        }
    }

    /// About how long the whole plan takes; `lines` is how long a cell's lines are published.
    pub fn duration(&self, lines: impl Fn(&Cell) -> Duration) -> Duration {
        self.cells().iter().map(|cell| lines(cell) + cell.time_besides_lines()).sum()
    }
}

#[cfg(test)]
mod tests;
