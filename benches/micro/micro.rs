//! Micro-benches of the server's and the clients' inner parts: `cargo bench --bench micro`.
//!
//! Each part runs alone, without a socket, so that a change of it is seen before it drowns in the kernel's work. A figure
//! holds for one machine and one moment: compare two commits by a baseline (CONTRIBUTING, "Compare two commits").
//! Nothing in the server or the clients calls this.

#![allow(clippy::unwrap_used, reason = "a bench that unwraps stops where it stands")]
#![allow(missing_docs, reason = "criterion's macros make functions without documents")]

mod framing;
mod logs;
mod parsers;
mod reader;
mod record;
mod request;
mod session;
mod store;

use criterion::{criterion_group, criterion_main};

criterion_group!(
    micro,
    framing::frame,
    session::handle,
    request::answer,
    reader::wake_up,
    store::append_and_read,
    parsers::parse,
    record::record
);
criterion_main!(micro);
