//! wirelab's clients and harness.
pub mod recording;
pub mod traffic;
pub mod wire;
