//! Every call of the contract (PROTOCOL §1.3 to §1.7), byte by byte.

mod appends;
mod bounds;
mod calls;
mod compression;
mod http2;
mod lab;
mod lanes;
mod linger;
mod origins;
mod polls;
mod rooms;
mod served;
mod streams;
mod theory;
mod websocket;
