//! wirelab: one deployment log, every transport, delivery measured.
pub mod report;
pub mod store;
