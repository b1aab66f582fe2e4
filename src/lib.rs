//! wirelab: one deployment log, every transport, delivery measured.
pub mod store;
