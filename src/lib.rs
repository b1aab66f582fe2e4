//! wirelab: one deployment log, every transport, delivery measured.
pub mod api;
pub mod cli;
mod clock;
pub mod command_output;
pub mod commands;
mod connection;
pub mod deployments;
pub mod metrics;
pub mod problem;
pub mod reader;
mod request;
pub mod server;
pub mod sources;
pub mod store;
pub mod transports;
