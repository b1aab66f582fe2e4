"""usage: read_csv.py FOLDER

Reads a results folder with pandas, whatever its runs came to, and prints what it says. For a notebook:

    from read_csv import read
    runs = read("results/sample")["runs"]

results/README.md explains every column. A row whose verdict is `invalid` must not be used for latencies.
"""

import pathlib
import sys

import pandas

FILES = ("runs", "percentiles", "theory", "checks", "timeseries", "two_way", "claims")
UNITS = ("_count", "_us", "_ms", "_s", "_bytes", "_ratio", "_hz")
STATISTICS = ("_mean", "_p50", "_p90", "_p99", "_p999", "_max")
SHOWN = ("run_id", "verdict", "delivered_count", "lost_count", "censored_count", "duplicated_count",
         "out_of_order_count", "delivery_latency_us_p50", "delivery_latency_us_p99", "requests_count")


def is_number(column):
    """Whether the name of a column ends with a unit. Its empty cells are then NaN: not measured, never 0."""
    stem = next((column.removesuffix(end) for end in STATISTICS if column.endswith(end)), column)
    return stem.endswith(UNITS)


def table(path):
    """One CSV file. pandas would take a column of nothing but empty cells for numbers: a text stays a text."""
    rows = pandas.read_csv(path)
    texts = [name for name in rows.columns if not is_number(name) and rows[name].isna().all()]
    return rows.astype({name: "string" for name in texts})


def read(folder):
    """The tables of a results folder by their names; a file that the folder does not have is left out."""
    folder = pathlib.Path(folder)
    found = {name: folder / f"{name}.csv" for name in FILES if (folder / f"{name}.csv").is_file()}
    if "runs" not in found:
        raise FileNotFoundError(f"{folder} has no runs.csv; name a folder that `wirelab run` wrote")
    return {name: table(path) for name, path in found.items()}


def main(folder):
    tables = read(folder)
    runs = tables["runs"]
    shown = [name for name in SHOWN if name in runs]
    print(runs[shown].to_string(index=False) if len(runs) else "no run was finished")
    if "verdict_reasons" in runs:
        for run in runs[runs.verdict != "ok"].itertuples():
            print(f"{run.run_id} is {run.verdict}: {run.verdict_reasons}")
    for name in ("checks", "theory"):
        if name in tables:
            rows = tables[name]
            failed = rows[rows.verdict == "fail"]
            print(f"{name}.csv: {len(rows)} rows, {len(failed)} of them fail")
            if len(failed):
                print(failed.dropna(axis="columns", how="all").to_string(index=False))
    for name, rows in tables.items():
        if name not in ("runs", "checks", "theory"):
            print(f"{name}.csv: {len(rows)} rows")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        main(sys.argv[1])
    except (OSError, pandas.errors.ParserError, pandas.errors.EmptyDataError) as error:
        sys.exit(f"read_csv.py: {error}")
