//! Follows a deployment to its end by long polling: the server waits once.
//!
//! `cargo run -p wirelab-clients --example long_poll -- URL [CURSOR]`, URL as `wirelab publish` prints it.
//! Each request asks to be held for 25 s. Prints at the end how many requests it made and how many holds expired.

use std::error::Error;
use std::io::Write;
use std::time::Duration;

use wirelab_clients::meter::Meter;
use wirelab_clients::transports::LongPoll;
use wirelab_clients::{Options, Subscriber, Target};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    if let Err(why) = follow().await {
        eprintln!("{why}");
        std::process::exit(1);
    }
}

async fn follow() -> Result<(), Box<dyn Error>> {
    let target = Target::from_arguments(std::env::args())?;
    // A longer hold means fewer requests. Above a minute, proxies in between give up.
    let options = Options { hold: Duration::from_secs(25), ..Options::default() };
    let mut subscriber = LongPoll::new(target, &options, Meter::new());
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
    eprintln!("{} requests, {} holds expired", requests.total(), requests.timeout);
    Ok(())
}
