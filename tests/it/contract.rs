//! Every call of docs/protocol.md, checked byte by byte.

mod appends;
mod arriving;
mod bounds;
mod calls;
mod compression;
mod creations;
mod deflate;
mod event_blocks;
mod hosts;
mod http1;
mod http2;
mod lab;
mod lanes;
mod linger;
mod lists;
mod origins;
mod polls;
mod rooms;
mod served;
mod streams;
mod theory;
mod websocket;
