//! Plans: one experiment each, as TOML text.
//!
//! `wirelab run` hands in the text of `data/plans/*.toml`, or flags. Out comes a [`Plan`] with every default explicit,
//! and its [`Cell`]s: the runs to make. A plan varies its [`Factors`] by arms: each arm is the plan's own factors with
//! some of them changed. A wrong value is refused here, with the plan's name, the key and the allowed values. Pure: no
//! file is opened and no clock is read.

mod cells;
mod check;
mod chosen;
mod file;
pub mod keys;
mod network;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::cell::{Cell, Factors, Given, Server};
use super::network::emulated::Network;
use super::schedule::Schedule;
use super::statistics::RUNS_MIN;
use super::theory::{Setting, server_name};
use super::thresholds::Threshold;
use crate::targets::profile::{Profile, ProfileError};

pub use check::PlanError;
use check::{PlanErrors, text_of};
pub use chosen::NetworkChoice;
pub use network::{NetworkFlags, RTT_DEFAULT};

/// Name of a plan made of command-line flags.
pub const AD_HOC: &str = "ad-hoc";

const SEED_DEFAULT: u64 = 1;
/// Estimated time of the calibration of one server over one link, besides the way there and back.
const CALIBRATION: Duration = Duration::from_secs(1);
/// Estimated round trips of that calibration: echoes and connections, one after the other.
const CALIBRATION_ROUND_TRIPS: u32 = 40;
/// Estimated round trips for one kind of exchange: sizes, and exchanges that are timed one after the other.
const CALIBRATION_ROUND_TRIPS_OF_ARM: u32 = 60;

/// One experiment, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Name of the plan and of its results folder.
    pub name: String,
    /// Question of the experiment, in one sentence.
    pub question: String,
    /// Expected answer, written before it was measured.
    pub prediction: Option<String>,
    /// Size of the plan: the experiment itself, or a short run that only shows that it works.
    pub size: Size,
    /// Seed that schedules and the order of runs follow from.
    pub seed: u64,
    /// Servers that are measured.
    pub targets: Vec<Server>,
    /// Number of blocks: every cell is run once in each.
    pub repetitions: u32,
    /// Whether one cell of every block is run twice.
    pub noise_floor: NoiseFloor,
    /// Whether theory's predictions are told before the first run.
    pub announces: Announces,
    /// Limits that the results must keep.
    pub thresholds: Vec<Threshold>,
    /// Factors of every arm that does not say otherwise.
    pub base: Factors,
    /// Arms of the plan. Empty: the base is the only arm, and has no name.
    pub arms: Vec<Arm>,
}

/// A named variation of the plan's factors.
#[derive(Debug, Clone, PartialEq)]
pub struct Arm {
    /// Name of the arm, unique in the plan; part of `run_id`.
    pub name: String,
    /// Factors of the arm, each with a value.
    pub factors: Factors,
}

/// Size at which a plan is run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Size {
    /// The plan with the changes of its table `smoke`: takes seconds and shows that the plan works.
    Smoke,
    /// The plan as it is written.
    #[default]
    Full,
}

impl Size {
    /// Returns the name in plans and on the command line.
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
    /// The first cell is run twice in every block: the difference between both runs is noise (an A/A test).
    Measured,
    /// The difference is not measured.
    #[default]
    Unknown,
}

/// Whether a plan tells what theory predicts before its first run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Announces {
    /// The predictions are printed and written down before the first run.
    Predictions,
    /// Predictions stand in the results only.
    #[default]
    Nothing,
}

/// What the runs of a plan may claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Enough repetitions for a 95 % interval.
    Experiment,
    /// Too few repetitions: the runs show a thing, and no interval says how far they may be off.
    Demonstration,
}

impl Weight {
    /// Returns the weight of a plan with so many repetitions.
    pub const fn of(repetitions: u64) -> Self {
        match repetitions < RUNS_MIN as u64 {
            true => Self::Demonstration,
            false => Self::Experiment,
        }
    }
}

/// Parts of a plan that flags can set; the rest gets the default of a plan file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AdHoc {
    /// Servers to measure; default: wirelab's own.
    pub targets: Option<Vec<Server>>,
    /// Number of blocks; default: 1.
    pub repetitions: Option<u32>,
    /// Seed of schedules and order; default: 1.
    pub seed: Option<u64>,
    /// Limits that the results must keep; default: none.
    pub thresholds: Vec<Threshold>,
    /// Factors; each has a default.
    pub factors: Given,
}

/// Makes the plan of a command without flags.
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

    /// Parses the TOML `text` of a plan; `profile` returns each profile among its targets by name.
    pub fn parse_with(
        file: &str,
        text: &str,
        size: Size,
        profile: impl Fn(&str) -> Result<Profile, ProfileError>,
    ) -> Result<Self, PlanError> {
        file::parse(file, text, size, &profile)
    }

    /// Makes a plan of flags and checks it like a file.
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
            announces: Announces::Nothing,
            thresholds: flags.thresholds,
            base: flags.factors.resolve(),
            arms: Vec::new(),
        };
        plan.check(PlanErrors::of(AD_HOC))?;
        Ok(plan)
    }

    /// Replaces the servers of the plan and checks it again.
    pub fn on(self, targets: Vec<Server>) -> Result<Self, PlanError> {
        let plan = Self { targets, ..self };
        plan.check(PlanErrors::of(&plan.name))?;
        Ok(plan)
    }

    /// Makes every run of the plan this often, and checks it again.
    pub fn repeated(self, repetitions: u32) -> Result<Self, PlanError> {
        let plan = Self { repetitions, ..self };
        plan.check(PlanErrors::of(&plan.name))?;
        Ok(plan)
    }

    /// Reads the networks of a plan's text without the rest, which may name profiles that are not at hand: the plan's own
    /// network, without a name, then that of each arm.
    pub fn networks(file: &str, text: &str) -> Result<Vec<(Option<String>, Network)>, PlanError> {
        file::networks(file, text)
    }

    /// Lays flags over the network of every run and checks the plan again.
    pub fn over(self, flags: &NetworkFlags) -> Result<Self, PlanError> {
        let mut plan = self;
        let name = plan.name.clone();
        let refusals = PlanErrors::of(&name);
        plan.base.network = flags.over(&plan.base.network, refusals)?;
        for arm in &mut plan.arms {
            let refusals = PlanErrors { arm: Some(&arm.name), ..refusals };
            arm.factors.network = flags.over(&arm.factors.network, refusals)?;
        }
        plan.check(refusals)?;
        Ok(plan)
    }

    /// Returns what the plan's runs may claim: few repetitions make a demonstration.
    pub const fn weight(&self) -> Weight {
        Weight::of(self.repetitions as u64)
    }

    /// Writes the plan as a file with every default explicit. Parsing that file gives the same plan.
    pub fn to_toml(&self) -> String {
        file::to_toml(self)
    }

    /// Returns every arm's name and factors; a plan without arms has one arm, without a name.
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

    /// Refuses a schedule that leaves no line in a cell's cohort, or whose last line is due before the fault. This is
    /// only known once a recording was read.
    pub fn check_cohort(&self, cell: &Cell, schedule: &Schedule) -> Result<(), PlanError> {
        let refusals = PlanErrors { plan: &self.name, arm: cell.arm.as_deref() };
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
                    None => {
                        "there is no line at all; choose a recording with lines, or more of them".to_owned()
                    }
                    Some(last) => format!("the last line is due at {}; make it shorter", text_of(last)),
                },
            )),
        }
    }

    /// Estimates how long the whole plan takes, calibration included; `lines` returns how long a cell's lines are
    /// published.
    pub fn duration(&self, lines: impl Fn(&Cell) -> Duration) -> Duration {
        let runs: Duration = self.cells().iter().map(|cell| lines(cell) + cell.time_besides_lines()).sum();
        runs + self.calibration_time()
    }

    /// Estimates how long the calibration takes: each link of each server, and each kind of exchange over that link.
    fn calibration_time(&self) -> Duration {
        let (mut links, mut arms) = (Vec::new(), Vec::new());
        let mut time = Duration::ZERO;
        for cell in self.in_plan_order() {
            let link = (server_name(&cell), cell.network.clone());
            let arm = (link.clone(), Setting::of(&cell).arm());
            if !links.contains(&link) {
                time += CALIBRATION + CALIBRATION_ROUND_TRIPS * cell.network.link.round_trip();
                links.push(link);
            }
            if !arms.contains(&arm) {
                time += CALIBRATION_ROUND_TRIPS_OF_ARM * cell.network.link.round_trip();
                arms.push(arm);
            }
        }
        time
    }
}

#[cfg(test)]
mod tests;
