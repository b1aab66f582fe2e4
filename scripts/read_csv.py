"""usage: read_csv.py FOLDER

Reads a run's files with pandas and hdrhistogram and checks what a researcher relies on: types, the books, the links
between files, and that the histograms are those of the percentiles.
"""

import math
import pathlib
import sys

import pandas
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

folder = pathlib.Path(sys.argv[1])
# A column of nothing but empty cells would be taken for numbers.
runs = pandas.read_csv(folder / "runs.csv", dtype={"verdict_reasons": "string"})
percentiles = pandas.read_csv(folder / "percentiles.csv")

units = ("_count", "_us", "_ms", "_s", "_bytes", "_ratio", "_hz")
statistics = ("_mean", "_p50", "_p90", "_p99", "_p999", "_max")
for name in runs.columns:
    stem = next((name.removesuffix(end) for end in statistics if name.endswith(end)), name)
    if stem.endswith(units):
        assert pandas.api.types.is_numeric_dtype(runs[name]), f"{name} is not numeric"

assert len(runs) > 0, "no run"
assert runs.run_id.is_unique
assert (runs.expected_count == runs.delivered_count + runs.lost_count + runs.censored_count).all()
assert (runs.lost_count == 0).all() and (runs.duplicated_count == 0).all()
assert (runs.censored_count == 0).all() and (runs.out_of_order_count == 0).all()
assert set(percentiles.run_id) == set(runs.run_id)
assert (runs.warm_up_defects_count == 0).all()
checks = pandas.read_csv(folder / "checks.csv")
# A busy machine may make figures unbelievable. Any other check that does not pass is a defect.
busy = {"send-lateness", "send-lateness-share", "hiccup", "hiccup-share", "harness-run-delay", "harness-cores"}
doubtful = checks[checks.verdict.isin(["fail", "unresolved"])]
assert set(doubtful.check) <= busy, doubtful.to_string()

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

texts = {"arm": "string", "assumption_broken": "string"}
theory = pandas.read_csv(folder / "theory.csv", dtype=texts)
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

series = pandas.read_csv(folder / "timeseries.csv", dtype={"arm": "string"})
assert set(series.run_id) == set(runs.run_id) and series.t_s.between(-1, 1e6).all()
assert pandas.api.types.is_numeric_dtype(series.value) and series.value.notna().all()

print(runs[["transport", "verdict", "requests_count", "delivery_latency_us_p50", "lost_count"]].to_string(index=False))
print(f"{len(runs)} runs read from {folder.name}, {compared} percentiles found again in their histograms, {texts_compared} texts")
print(f"{len(judged)} predictions judged, {len(theory) - len(judged)} reported; {len(checks)} gates; {len(series)} points")
