//! Follows a deployment to its end by short polling: the client waits, between requests.
//!
//! `cargo run -p wirelab-clients --example short_poll -- URL [CURSOR]`, URL as `wirelab publish` prints it.
//! Asks every half second, whether there is news or not, and says at the end how often it asked in vain.

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
    // The one thing that is ours to decide: how often to ask.
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
