"""usage: check_results.py FOLDER

Checks that the files of a run say what results/README.md promises, with pandas and hdrhistogram: types, the books, the
links between files, and that the histograms are those of the percentiles. tests/it/read_csv.rs calls it.
"""

import math
import pathlib
import sys

import pandas
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

from read_csv import is_number, read

folder = pathlib.Path(sys.argv[1])
tables = read(folder)
runs, percentiles, checks = tables["runs"], tables["percentiles"], tables["checks"]
theory, series = tables["theory"], tables["timeseries"]

for name in filter(is_number, runs.columns):
    assert pandas.api.types.is_numeric_dtype(runs[name]), f"{name} is not numeric"

assert len(runs) > 0, "no run"
assert runs.run_id.is_unique
assert (runs.expected_count == runs.delivered_count + runs.lost_count + runs.censored_count).all()
assert set(percentiles.run_id) == set(runs.run_id)

delivery = percentiles[percentiles.metric == "delivery_latency"].pivot(
    index="run_id", columns="quantile", values="value_us"
)
both = delivery.join(runs.set_index("run_id").delivery_latency_us_p50)
assert (both[0.5] == both.delivery_latency_us_p50).all(), "the files disagree"


def samples_of(log):
    """All intervals of a log, added up by the library."""
    reader = HistogramLogReader(str(log), HdrHistogram(1, 3_600_000_000, 3))
    total = HdrHistogram(1, 3_600_000_000, 3)
    intervals = 0
    while (interval := reader.get_next_interval_histogram()) is not None:
        assert interval.get_tag() is None, f"{log} is tagged"
        total.add(interval)
        intervals += 1
    assert intervals > 0, f"{log} has no interval that the library sees"
    assert reader.observed_start_time and reader.observed_base_time, f"the library does not see the times of {log}"
    assert reader.start_time_sec > 1.7e9, f"{log} starts before wirelab existed"
    return total


def value_at(histogram, quantile):
    """The value that a share of the samples does not exceed. The library's own function rounds the rank instead."""
    rank = max(1, math.ceil(round(quantile * histogram.get_total_count(), 6)))
    seen = 0
    for step in histogram.get_recorded_iterator():
        seen += step.count_added_in_this_iter_step
        if seen >= rank:
            return histogram.get_highest_equivalent_value(step.value_iterated_to)
    raise AssertionError("fewer samples than it counts")


compared, texts_compared = 0, 0
for (run_id, metric), rows in percentiles.groupby(["run_id", "metric"]):
    histogram = samples_of(folder / "hdr" / f"{run_id}.{metric}.hlog")
    for row in rows.itertuples():
        assert histogram.get_total_count() == row.samples_count, f"{run_id} {metric}"
        if not math.isnan(row.value_us):
            found = value_at(histogram, row.quantile)
            assert found == row.value_us, f"{run_id} {metric} {row.quantile}: {found} is not {row.value_us}"
            compared += 1
    hgrm = folder / "hdr" / f"{run_id}.{metric}.hgrm"
    # Made on demand, by `wirelab report --format hgrm`.
    if hgrm.exists():
        text = pandas.read_csv(hgrm, sep=r"\s+", comment="#")
        assert text.TotalCount.iloc[-1] == histogram.get_total_count()
        assert text.Value.is_monotonic_increasing and text.Percentile.iloc[-1] == 1
        longest_ms = histogram.get_highest_equivalent_value(histogram.get_max_value()) / 1000
        assert math.isclose(text.Value.iloc[-1], longest_ms, abs_tol=0.001), f"{run_id} {metric}"
        texts_compared += 1
assert compared > 0, "no percentile to compare"

assert set(theory.verdict) <= {"pass", "fail", "assumption-broken", "reported"}, set(theory.verdict)
for name in ("predicted", "measured", "residual_ratio", "tolerance_ratio"):
    assert pandas.api.types.is_numeric_dtype(theory[name]), f"{name} is not numeric"
assert theory.predicted.notna().all() and set(theory.run_id) <= set(runs.run_id)
judged = theory[theory.verdict.isin(["pass", "fail"])]
within = judged.residual_ratio.abs() <= judged.tolerance_ratio + 1e-6
# Where nothing is predicted there is no ratio.
assert (within == (judged.verdict == "pass"))[judged.residual_ratio.notna()].all(), "verdicts contradict their numbers"

assert set(checks.verdict) <= {"pass", "fail", "unresolved", "not-measured"}, set(checks.verdict)
assert pandas.api.types.is_numeric_dtype(checks.left) and pandas.api.types.is_numeric_dtype(checks.right)
failed = checks[(checks.verdict == "fail") & ~checks.check.str.startswith("threshold")]
assert set(failed.run_id) == set(runs.run_id[runs.verdict == "invalid"]), "verdicts contradict the gates"

assert set(series.run_id) == set(runs.run_id) and series.t_s.between(-1, 1e6).all()
assert pandas.api.types.is_numeric_dtype(series.value) and series.value.notna().all()

print(f"{len(runs)} runs of {folder}: {compared} percentiles found again in their histograms, {texts_compared} texts")
print(f"{len(judged)} predictions judged, {len(theory) - len(judged)} reported; {len(checks)} gates; {len(series)} points")
