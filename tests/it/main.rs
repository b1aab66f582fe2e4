//! The integration tests, as one binary: the real server over real sockets.
//!
//! - `conformance`: every promise of the contract, on every transport; `broken`: each promise, against a server that
//!   breaks it
//! - `contract`: every call of the API, byte by byte
//! - `access`: tokens, roles and the login, over every call; bounds per address; a server that is open to all
//! - `wrapper`: what `publish` and `record` do to the command that they wrap
//! - `cli`, `commands`, `tail`, `wanted`, `folders`, `terminal`, `shell`, `run_progress`: the real binary; `examples`: the
//!   clients' example programs
//! - `manners`, `advice`, `event_source`: the clients, and how they react to strange answers
//! - `store_crash`: the disk store under kill -9; `durability`: its system calls; `full_disk`: real disks that are full or
//!   read-only, and descriptors that are out; `failing_disk`: calls of the disk that fail; `slow_disk`: appends
//!   that wait; `descriptors`: a server that may open few files
//! - `targets`: servers other than wirelab's, and cut connections; `misspoken`: profiles that do not fit
//! - `openapi`: the description of the API against the server
//! - `first_run`: what the first run tells a stranger
//! - `gates`: each gate catches the fault that it is for; `distance`: runs over a link, and a link that is off;
//!   `network_flags`: the options of a network; `tun`: a link of packets, and runs over it
//! - `crowds`, `lab_runs`: processes that the lab starts beside the server
//! - `report`: the page of a run, and making it again; `compare`: changes between two folders; `claims`: what people
//!   say; `reproduce`: what others printed
//! - `anywhere`: the binary in an empty directory; `read_csv`: what a researcher reads with pandas
//! - `documents`: the code blocks of `docs/clients.md`; `tidy`: the repository itself
//!
//! `server` starts the server under test, `http` and `http2` send it requests, and `proxy` and `faulty_store` break
//! things in between; `between` lies to requests that a test names, and `canned` is a server that says what a test wants.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails where it stands")]

mod access;
mod advice;
mod anywhere;
mod between;
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
mod deflate;
mod descriptors;
mod distance;
mod documents;
mod durability;
mod event_source;
mod examples;
mod failing_disk;
mod faulty_store;
mod first_run;
mod floors;
mod folders;
mod full_disk;
mod gates;
mod http;
mod http2;
mod lab_runs;
mod ladder;
mod manners;
mod misspoken;
mod network_flags;
mod nginx;
mod openapi;
mod plans;
mod proxy;
mod read_csv;
mod report;
mod reproduce;
mod run_metrics;
mod run_progress;
mod secure;
mod server;
mod shell;
mod slow_disk;
mod store_crash;
mod strategies;
mod tail;
mod takeaways;
mod targets;
mod terminal;
mod theory;
mod tidy;
mod tls;
mod tun;
mod wanted;
mod wrapper;
