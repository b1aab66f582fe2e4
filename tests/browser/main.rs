//! The page in real browsers, against the real binary.
//!
//! - `follow`: every transport that the page can speak, from the first line to the end, through cuts and kills
//! - `access`: the login, and what the page offers to each role
//! - `lanes`: all of them side by side, with what the server counted for each
//! - `clocks`: clocks that jump, in the page and in the server
//! - `tls`: the page by HTTPS, and what HTTP/2 changes there
//! - `terminal`: colours and progress bars in lines
//! - `words`: hostile lines, and what a person is told when something is wrong
//! - `timeline`: who waits, from wire events to pixels
//! - `overview`: the list and the form
//! - `lessons`: each guided lesson to its end, and what is left of one
//! - `network`: distance on the page: its panel, its lesson, and what the timeline makes of it
//! - `guide`: what the lecturer's guide says to do besides
//! - `reports`: results read and downloaded, runs started, watched and cancelled
//! - `printed`: the report on paper
//! - `looks`: the page fits its window; takes the screenshots of the documents when asked to
//!
//! What any browser could get wrong runs in both engines (`in_every_browser!`), the rest in Chromium.
//! `browser` drives one of them, which `drivers` and `bidi` help it to; `page` knows the page's elements; `figures`
//! keeps what was seen. Server, HTTP and the faulty proxy are those of the other tests.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails where it stands")]

mod access;
mod bidi;
mod browser;
mod clocks;
mod deflate;
mod drivers;
mod figures;
mod follow;
mod guide;
#[allow(dead_code, reason = "the other tests use the rest of it")]
#[path = "../it/http.rs"]
mod http;
mod lanes;
mod lessons;
mod looks;
mod network;
mod overview;
mod page;
mod printed;
#[allow(dead_code, reason = "the other tests use the rest of it")]
#[path = "../it/proxy.rs"]
mod proxy;
mod reports;
#[allow(dead_code, reason = "the other tests use the rest of it")]
#[path = "../it/secure.rs"]
mod secure;
#[allow(dead_code, reason = "the other tests use the rest of it")]
#[path = "../it/server.rs"]
mod server;
mod terminal;
mod timeline;
mod tls;
mod words;
