"""usage: read_csv.py FOLDER

Reads a run's CSV files with pandas and checks what a researcher relies on: types, the books, the links between files.
"""

import pathlib
import sys

import pandas

folder = pathlib.Path(sys.argv[1])
runs = pandas.read_csv(folder / "runs.csv")
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

delivery = percentiles[percentiles.metric == "delivery_latency"].pivot(
    index="run_id", columns="quantile", values="value_us"
)
both = delivery.join(runs.set_index("run_id").delivery_latency_us_p50)
assert (both[0.5] == both.delivery_latency_us_p50).all(), "the files disagree"

print(runs[["transport", "verdict", "requests_count", "delivery_latency_us_p50", "lost_count"]].to_string(index=False))
print(f"{len(runs)} runs read from {folder.name}")
