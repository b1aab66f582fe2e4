//! Follows a deployment to its end by short polling: the client waits, between requests.
//!
//! `cargo run -p wirelab-clients --example short_poll -- URL [CURSOR]`, URL as `wirelab publish` prints it.
//! Asks every half second. Prints at the end how many requests it made and how many brought no line.

use std::error::Error;
use std::io::Write;
use std::time::Duration;

use wirelab_clients::meter::Meter;
use wirelab_clients::transports::ShortPoll;
use wirelab_clients::{Options, Polling, Subscriber, Target};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    if let Err(why) = follow().await {
        eprintln!("{why}");
        std::process::exit(1);
    }
}

async fn follow() -> Result<(), Box<dyn Error>> {
    let target = Target::from_arguments(std::env::args())?;
    // The client decides one thing: how often it asks.
    let options = Options { polling: Polling::every(Duration::from_millis(500)), ..Options::default() };
    let mut subscriber = ShortPoll::new(target, &options, Meter::new());
    loop {
        let batch = subscriber.next_batch().await?.batch;
        for line in &batch.lines {
            writeln!(std::io::stdout(), "{}", line.line.text)?;
        }
        if batch.finished {
            break;
        }
    }
    let requests = subscriber.traffic().requests;
    eprintln!("{} requests, {} without news", requests.total(), requests.empty);
    Ok(())
}
