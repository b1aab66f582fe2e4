//! `raw/<run_id>.ndjson.gz`: every receipt of a run one by one, which `run --raw` keeps.
//!
//! A line is a JSON object, so that pandas, R, jq and DuckDB read the file as it is. The members and the origin of its
//! times are in `results/README.md`.

use std::io::Write;

use flate2::{Compression, GzBuilder};
use wirelab_clients::harness::run_result::RunResult;

use super::File;

/// Name of the folder of receipts, below the results folder.
pub const FOLDER: &str = "raw";

/// Returns the path of a run's receipts, below the results folder.
pub(super) fn path(run_id: &str) -> String {
    format!("{FOLDER}/{run_id}.ndjson.gz")
}

/// Returns the receipts of a run. `None` where they were not kept, or are no longer in memory.
pub(super) fn file(run: &RunResult) -> Option<File> {
    let receipts = run.receipts.as_ref().filter(|receipts| receipts.are_in_memory())?;
    // Without a time, so that equal receipts make equal bytes. The fast level: a run waits for this one.
    let mut packed = GzBuilder::new().write(Vec::new(), Compression::fast());
    let mut line = Vec::new();
    for receipt in receipts.rows() {
        line.clear();
        serde_json::to_writer(&mut line, &receipt).expect("a receipt holds numbers only");
        line.push(b'\n');
        packed.write_all(&line).expect("a vector takes every byte");
    }
    let bytes = packed.finish().expect("a vector takes every byte");
    Some(File::new(path(&run.cell.run_id), bytes))
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::*;
    use wirelab_clients::harness::due_table::DueTable;
    use wirelab_clients::harness::example;
    use wirelab_clients::harness::receipts::{Receipts, SubscriberReceipts};

    #[test]
    fn a_line_of_the_file_is_a_receipt() {
        let mut run = example::result_set().runs.remove(0);
        assert!(file(&run).is_none(), "nothing was kept");
        let due = [0, 5].map(Duration::from_millis).to_vec();
        let table = Arc::new(DueTable::new(Instant::now(), due, Duration::ZERO));
        let mut one = SubscriberReceipts::new(1, table.clone(), 10);
        one.note([1, 2, 7], table.start() + Duration::from_micros(5_120));
        let mut receipts = Receipts::default();
        receipts.add(vec![one]);
        run.receipts = Some(receipts);

        let made = file(&run).unwrap();
        assert_eq!(made.path, "raw/short-poll-1.ndjson.gz");
        let mut text = String::new();
        flate2::read::GzDecoder::new(made.bytes.as_slice()).read_to_string(&mut text).unwrap();
        let expected = concat!(
            "{\"deployment\":1,\"subscriber\":1,\"seq\":1,\"due_us\":0,\"received_us\":5120}\n",
            "{\"deployment\":1,\"subscriber\":1,\"seq\":2,\"due_us\":5000,\"received_us\":5120}\n",
            "{\"deployment\":1,\"subscriber\":1,\"seq\":7,\"due_us\":null,\"received_us\":5120}\n",
        );
        assert_eq!(text, expected);
        assert_eq!(file(&run).unwrap(), made, "not the same bytes");

        run.receipts.as_mut().unwrap().forget();
        assert!(file(&run).is_none(), "an empty file would replace the one that was written");
    }
}
