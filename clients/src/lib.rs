//! wirelab's clients and harness.
pub mod harness;
pub mod os;
pub mod recording;
pub mod traffic;
pub mod wire;
