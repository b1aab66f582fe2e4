//! `hdr/<run_id>.<metric>.hlog`: every sample of a distribution, for any HdrHistogram library.
//!
//! Each run and distribution has one interval log in the V2 format, with one interval: the cohort. Logs are untagged,
//! because the Python reader skips tagged lines in silence. A space follows the seconds of `StartTime` and
//! `BaseTime`, without which some readers miss them. Values are whole microseconds. This module also reads logs back.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, IntervalLogWriterBuilder, LogEntry};
use hdrhistogram::serialization::{Deserializer, V2DeflateSerializer};
use wirelab_clients::harness::distributions::Distribution;
use wirelab_clients::harness::results::utc;
use wirelab_clients::harness::run_result::RunResult;

use super::{File, ReportError};

/// Name of the folder of histograms, below the results folder.
pub const FOLDER: &str = "hdr";

const LEGEND: &str =
    "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n";

/// Returns a log for each distribution of the run.
pub(super) fn files(run: &RunResult) -> Result<Vec<File>, ReportError> {
    let of = |metric: &Distribution| {
        let path = path(&run.cell.run_id, metric.name);
        match encode(run, metric) {
            Ok(bytes) => Ok(File::new(path, bytes)),
            Err(error) => Err(ReportError::Histogram { path, reason: error.to_string() }),
        }
    };
    Distribution::of(run).map(of).collect()
}

/// Returns the path of a run's distribution, below the results folder.
pub(super) fn path(run_id: &str, metric: &str) -> String {
    format!("{FOLDER}/{run_id}.{metric}.hlog")
}

/// Tells whether a file is the log of a distribution.
pub fn is_log(path: &str) -> bool {
    path.starts_with(FOLDER) && path.ends_with(".hlog")
}

/// Tells whether a file is the log of this distribution.
pub(super) fn is_log_of(path: &str, metric: &str) -> bool {
    is_log(path) && path.ends_with(&format!(".{metric}.hlog"))
}

fn encode(run: &RunResult, metric: &Distribution) -> Result<Vec<u8>, impl fmt::Display + use<>> {
    let started = run.cohort_started_us;
    // A header begins with `[`, so a comment never does.
    let mut log = format!(
        "#{} of run {}, µs. {}\n#[Histogram log format version 1.2]\n",
        metric.name, run.cell.run_id, metric.definition
    );
    for header in ["StartTime", "BaseTime"] {
        let (s, ms) = (started / 1_000_000, started / 1_000 % 1_000);
        log += &format!("#[{header}: {s}.{ms:03} (seconds since epoch), {}]\n", utc(started));
    }
    log += LEGEND;
    let mut bytes = log.into_bytes();
    let mut serializer = V2DeflateSerializer::new();
    let written = IntervalLogWriterBuilder::new()
        .begin_log_with(&mut bytes, &mut serializer)
        .expect("a vector takes every byte")
        .write_histogram((metric.histogram)(run).histogram(), Duration::ZERO, run.measured, None);
    written.map(|()| bytes)
}

/// Returns every sample of a log, its intervals added up. The error says what is wrong with the log.
pub(super) fn decode(log: &[u8]) -> Result<Histogram<u64>, String> {
    let mut all: Option<Histogram<u64>> = None;
    for entry in IntervalLogIterator::new(log) {
        let interval = match entry {
            Ok(LogEntry::Interval(interval)) => interval,
            Ok(LogEntry::StartTime(_) | LogEntry::BaseTime(_)) => continue,
            Err(error) => return Err(format!("it is not an HdrHistogram interval log: {error:?}")),
        };
        let bytes = BASE64.decode(interval.encoded_histogram()).map_err(|error| error.to_string())?;
        let samples: Histogram<u64> =
            Deserializer::new().deserialize(&mut bytes.as_slice()).map_err(|error| error.to_string())?;
        match &mut all {
            None => all = Some(samples),
            Some(all) => add(all, &samples)?,
        }
    }
    all.ok_or_else(|| "it holds no interval".to_owned())
}

/// Adds every sample; the histogram grows as needed.
pub(super) fn add(all: &mut Histogram<u64>, more: &Histogram<u64>) -> Result<(), String> {
    all.auto(true);
    all.add(more).map_err(|error| format!("its samples cannot be added up: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wirelab_clients::harness::distributions::QUANTILES;
    use wirelab_clients::harness::example;

    fn render() -> Vec<(String, String)> {
        let runs = example::result_set().runs;
        let files = runs.iter().flat_map(|run| files(run).unwrap());
        files.map(|file| (file.path, String::from_utf8(file.bytes).unwrap())).collect()
    }

    #[test]
    fn there_is_a_log_per_run_and_distribution() {
        let paths: Vec<String> = render().into_iter().map(|(path, _)| path).collect();
        let of = |run: &str, metrics: &[&str]| {
            metrics.iter().map(|metric| format!("hdr/{run}.{metric}.hlog")).collect::<Vec<_>>()
        };
        let every = ["delivery_latency", "send_lateness", "append", "hiccup"];
        let requests = ["request_service", "request_response"];
        let connections = ["handshake", "first_line", "fanout_skew"];
        // Neither holds a request, and a stream has no requests to time: no file says that there was nothing.
        let short_poll = of("short-poll-1", &[&every[..], &requests, &connections].concat());
        assert_eq!(paths, [short_poll, of("sse-1", &[&every[..], &connections].concat())].concat());
    }

    #[test]
    fn the_header_is_what_every_reader_takes() {
        let (_, log) = &render()[0];
        let lines: Vec<&str> = log.lines().collect();
        assert_eq!(lines[1], "#[Histogram log format version 1.2]");
        assert_eq!(lines[2], "#[StartTime: 1767323046.500 (seconds since epoch), 2026-01-02T03:04:06Z]");
        assert_eq!(lines[3], "#[BaseTime: 1767323046.500 (seconds since epoch), 2026-01-02T03:04:06Z]");
        assert_eq!(lines[4].trim_end(), LEGEND.trim_end());
        // Start, length, longest in µs, and the mark of a deflated V2 histogram in base64.
        assert!(lines[5].starts_with("0.000,10.000,200063.000,HISTFAAA"), "{}", lines[5]);
        assert_eq!(lines.len(), 6);
    }

    #[test]
    fn a_decoded_log_has_the_percentiles_of_the_run() {
        let results = example::result_set();
        for (run, metric) in results.runs.iter().flat_map(|run| Distribution::of(run).map(move |m| (run, m)))
        {
            let read = decode(&encode(run, metric).map_err(|e| e.to_string()).unwrap()).unwrap();
            let recorded = (metric.histogram)(run);
            assert_eq!(read.len(), recorded.len());
            for quantile in QUANTILES {
                assert_eq!(Some(read.value_at_quantile(*quantile)), recorded.quantile_us(*quantile));
            }
        }
    }

    #[test]
    fn a_distribution_without_samples_is_a_log_without_samples() {
        let mut results = example::result_set();
        results.runs[0].append = Default::default();
        let append = Distribution::of(&results.runs[0]).find(|metric| metric.name == "append").unwrap();
        let log = encode(&results.runs[0], append).map_err(|e| e.to_string()).unwrap();
        assert_eq!(decode(&log).unwrap().len(), 0);
    }

    #[test]
    fn what_is_no_log_is_refused() {
        for (log, said) in [
            ("", "no interval"),
            ("#only a comment\n", "no interval"),
            ("nonsense\n", "not an HdrHistogram interval log"),
            ("0.000,1.000,1.000,???\n", "Invalid"),
            ("0.000,1.000,1.000,AAAA\n", ""),
        ] {
            let error = decode(log.as_bytes()).unwrap_err();
            assert!(error.contains(said), "{log:?}: {error}");
        }
    }

    #[test]
    fn intervals_of_one_log_are_added_up() {
        let (_, log) = &render()[0];
        let interval = log.lines().last().unwrap();
        let twice = decode(format!("{log}{interval}\n").as_bytes()).unwrap();
        assert_eq!(twice.len(), 2 * decode(log.as_bytes()).unwrap().len());
    }
}
