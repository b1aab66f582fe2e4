//! The integration tests, as one binary: the real server over real sockets.
//!
//! - `conformance`: every promise of the contract, on every transport; `broken`: each promise, against a server that
//!   breaks it
//! - `contract`: every call of the API, byte by byte
//! - `cli`, `commands`, `tail`, `wanted`, `folders`, `terminal`, `shell`, `run_progress`: the real binary; `examples`: the clients'
//!   example programs
//! - `manners`, `event_source`: the clients, and how they react to strange answers
//! - `store_crash`: the disk store under kill -9; `durability`: its system calls; `readiness`: a store that failed
//! - `targets`: servers other than wirelab's, and cut connections
//! - `openapi`: the description of the API against the server
//! - `gates`: each gate catches the fault that it is for
//! - `crowds`, `lab_runs`: processes that the lab starts beside the server
//! - `report`: the page of a run, and making it again; `compare`: changes between two folders; `claims`: what people
//!   say
//! - `anywhere`: the binary in an empty directory; `read_csv`: what a researcher reads with pandas
//! - `documents`: the code blocks of `docs/clients.md`; `tidy`: the repository itself
//!
//! `server` starts the server under test, `http` and `http2` send it requests, and `proxy` and `faulty_store` break
//! things in between; `canned` is a server that says what a test wants.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails where it stands")]

mod anywhere;
mod broken;
mod build_stamp;
mod canned;
mod claims;
mod cli;
mod commands;
mod compare;
mod conformance;
mod contract;
mod crowds;
mod documents;
mod durability;
mod event_source;
mod examples;
mod faulty_store;
mod floors;
mod folders;
mod gates;
mod http;
mod http2;
mod lab_runs;
mod ladder;
mod manners;
mod nginx;
mod openapi;
mod plans;
mod proxy;
mod read_csv;
mod readiness;
mod report;
mod run_metrics;
mod run_progress;
mod server;
mod shell;
mod store_crash;
mod strategies;
mod tail;
mod takeaways;
mod targets;
mod terminal;
mod theory;
mod tidy;
mod wanted;
