//! Follows a deployment to its end by one endless body of JSON lines: the server waits for ever.
//!
//! `cargo run -p wirelab-clients --example ndjson -- URL [CURSOR]`, URL as `wirelab publish` prints it.
//! Makes one request. Prints at the end how many bytes it read.

use std::error::Error;
use std::io::Write;

use wirelab_clients::meter::Meter;
use wirelab_clients::transports::Ndjson;
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
    let options = Options::default();
    let mut subscriber = Ndjson::new(target, &options, Meter::new());
    loop {
        let batch = subscriber.next_batch().await?.batch;
        for line in &batch.lines {
            writeln!(std::io::stdout(), "{}", line.line.text)?;
        }
        if batch.finished {
            break;
        }
    }
    let traffic = subscriber.traffic();
    eprintln!("{} request, {} bytes", traffic.requests.total(), traffic.down_bytes);
    Ok(())
}
