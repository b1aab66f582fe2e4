//! Theory: what a run should have measured, from first principles.
//!
//! There is one file per family of formulas, F1 to F12, F15 and F16 of `docs/theory.md`, each with its assumptions.
//! Their constants come from a [`Calibration`], measured before the first run and never fitted to what they predict.
//! [`judge()`] compares a run with the formulas and names the assumptions that the run broke. [`simulation`] plays the
//! transports as events. The formulas are tested against it, and it stands in where no formula is known.
//!
//! F13 and F14, bounds on reconnects and on noticing a cut, are left out until the faults that they are about exist.
//!
//! Pure. All times are seconds.

pub mod age;
pub mod aliasing;
pub mod bytes;
pub mod calibration;
pub mod capacity;
pub mod freeze;
mod judge;
pub mod long_poll;
pub mod overhead;
pub mod short_poll;
pub mod simulation;
pub mod spread;
pub mod streams;
#[cfg(test)]
mod tests;
mod verdict;

pub use calibration::Calibration;
pub use judge::{Disturbance, Reading, Setting, Window, judge, rows, server_name};
pub use verdict::{SIGMAS, TOLERANCE_RATIO, TOLERANCE_RATIO_MAX};
