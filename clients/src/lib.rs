//! wirelab's clients and harness.
pub mod wire;
