//! `hdr/<run_id>.<metric>.hgrm`: the percentile text that HdrHistogram's plotters take. Values in milliseconds.

use hdrhistogram::Histogram;
use wirelab_clients::harness::rows::Garbled;

use super::{File, FolderError, ReportError, hdr_log};

/// Rows between two halvings of the distance to 100 %, as HdrHistogram uses.
const TICKS_PER_HALF_DISTANCE: u32 = 5;
const US_PER_MS: f64 = 1_000.0;

/// Returns a percentile text for each interval log among `files`.
pub(super) fn files(files: &[File]) -> Result<Vec<File>, ReportError> {
    let of = |log: &File| {
        let samples = hdr_log::decode(&log.bytes).map_err(|what| Garbled::new(&log.path, what));
        let path = log.path.strip_suffix(".hlog").unwrap_or(&log.path);
        Ok(File::new(format!("{path}.hgrm"), text(&samples.map_err(FolderError::from)?)))
    };
    files.iter().filter(|file| hdr_log::is_log(&file.path)).map(of).collect()
}

/// Returns the text that `HdrHistogram.outputPercentileDistribution` prints.
fn text(histogram: &Histogram<u64>) -> String {
    let mut text =
        format!("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    let mut so_far = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE) {
        so_far += step.count_since_last_iteration();
        let (ms, quantile) = (step.value_iterated_to() as f64 / US_PER_MS, step.quantile_iterated_to());
        text += &format!("{ms:12.3} {quantile:.12} {so_far:10}");
        text += &if quantile < 1.0 { format!(" {:14.2}\n", 1.0 / (1.0 - quantile)) } else { "\n".to_owned() };
    }
    let ms = |us: f64| us / US_PER_MS;
    // An empty histogram has mean 0 here, as in HdrHistogram itself.
    text += &format!(
        "#[Mean    = {:12.3}, StdDeviation   = {:12.3}]\n",
        ms(histogram.mean()),
        ms(histogram.stdev())
    );
    let max = if histogram.is_empty() { 0 } else { histogram.max() };
    text += &format!("#[Max     = {:12.3}, Total count    = {:12}]\n", ms(max as f64), histogram.len());
    let sub_buckets = (2 * 10_u32.pow(histogram.sigfig().into())).next_power_of_two();
    text += &format!("#[Buckets = {:12}, SubBuckets     = {:12}]\n", histogram.buckets(), sub_buckets);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use wirelab_clients::harness::distributions::Distribution;
    use wirelab_clients::harness::example;

    #[test]
    fn the_text_is_what_plotters_take() {
        let mut histogram = Histogram::new(3).unwrap();
        (1..=4).for_each(|ms| histogram.record(ms * 1_000).unwrap());
        assert_eq!(text(&histogram), EXPECTED);
    }

    const EXPECTED: &str = concat!(
        "       Value     Percentile TotalCount 1/(1-Percentile)\n",
        "\n",
        "       1.000 0.000000000000          1           1.00\n",
        "       1.000 0.100000000000          1           1.11\n",
        "       1.000 0.200000000000          1           1.25\n",
        "       2.000 0.300000000000          2           1.43\n",
        "       2.000 0.400000000000          2           1.67\n",
        "       2.000 0.500000000000          2           2.00\n",
        "       3.001 0.550000000000          3           2.22\n",
        "       3.001 0.600000000000          3           2.50\n",
        "       3.001 0.650000000000          3           2.86\n",
        "       3.001 0.700000000000          3           3.33\n",
        "       4.001 0.750000000000          4           4.00\n",
        "       4.001 1.000000000000          4\n",
        "#[Mean    =        2.501, StdDeviation   =        1.118]\n",
        "#[Max     =        4.001, Total count    =            4]\n",
        "#[Buckets =            2, SubBuckets     =         2048]\n",
    );

    #[test]
    fn there_is_a_text_per_distribution_and_it_counts_every_sample() {
        let run = &example::result_set().runs[0];
        let texts = files(&crate::report::files_of_run(run).unwrap()).unwrap();
        assert_eq!(texts.len(), Distribution::of(run).count());
        assert_eq!(texts[0].path, "hdr/short-poll-1.delivery_latency.hgrm");
        let text = String::from_utf8(texts[0].bytes.clone()).unwrap();
        assert!(text.contains(", Total count    =         1000]"), "{text}");
    }
}
