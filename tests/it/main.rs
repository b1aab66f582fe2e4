//! The integration tests, as one binary: the real server over real sockets.
//!
//! - `conformance`: every promise of the contract, on every transport; `broken`: each promise fails against a
//!   server that breaks it
//! - `contract`: every call of the API, byte by byte
//! - `cli`, `commands`: the real binary
//! - `event_source`: the SSE client and answers that are no stream
//! - `store_crash`: the disk store under kill -9
//! - `targets`: servers that are not ours, and cut connections
//! - `tidy`: the repository itself
//!
//! `server` starts what is tested, `http` asks it, `proxy` and `faulty_store` stand in between to break things.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails where it stands")]

mod broken;
mod cli;
mod commands;
mod conformance;
mod contract;
mod event_source;
mod faulty_store;
mod http;
mod proxy;
mod server;
mod store_crash;
mod targets;
mod tidy;
