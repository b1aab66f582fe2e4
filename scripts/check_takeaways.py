"""usage: check_takeaways.py WIRELAB FOLDER

Reads what a researcher or a job takes away from a results folder with other people's programs: the tables by their Data
Package, receipts against the figures of their run, JUnit XML, benchmark JSON, and drawings as XML.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import xml.etree.ElementTree
from shutil import copytree

import frictionless
import pandas

wirelab, folder = sys.argv[1], pathlib.Path(sys.argv[2])


def report(form, of=folder):
    """What `wirelab report` prints."""
    command = [wirelab, "report", str(of), "--format", form]
    return subprocess.run(command, check=True, capture_output=True, text=True, encoding="utf-8").stdout


package = frictionless.Package(str(folder / "datapackage.json"))
validated = package.validate()
problems = [f"{task.name}: {error.message}" for task in validated.tasks for error in task.errors]
assert validated.valid, problems + [error.message for error in validated.errors]
assert {"runs", "percentiles", "theory", "checks", "timeseries"} <= set(package.resource_names)

runs = pandas.read_csv(folder / "runs.csv").set_index("run_id")
receipts_count = 0
for run_id, kept in runs.raw_receipts_count.dropna().items():
    receipts = pandas.read_json(folder / "raw" / f"{run_id}.ndjson.gz", lines=True)
    assert len(receipts) == kept, f"{run_id}: {len(receipts)} receipts, runs.csv counts {kept}"
    receipts_count += len(receipts)
    run = runs.loc[run_id]
    # The cohort is the lines that were due last.
    first = receipts.drop_duplicates(["deployment", "subscriber", "seq"]).sort_values("due_us", kind="stable")
    cohort = first.tail(int(run.delivered_count))
    late_us = (cohort.received_us - cohort.due_us).sort_values(ignore_index=True)
    for column, share in (("delivery_latency_us_p50", 0.5), ("delivery_latency_us_max", 1.0)):
        if pandas.notna(run[column]) and run.delivered_count == run.expected_count:
            exact = late_us[max(0, round(share * len(late_us)) - 1)]
            # Histograms have three digits, and both times are cut to whole microseconds.
            assert abs(exact - run[column]) <= run[column] * 2e-3 + 2, f"{run_id} {column}: {exact}, not {run[column]}"

suites = xml.etree.ElementTree.fromstring(report("junit").encode())
cases = suites.findall("./testsuite/testcase")
checks, theory = (pandas.read_csv(folder / name) for name in ("checks.csv", "theory.csv"))
assert len(cases) == 2 * len(runs) + len(checks) + len(theory), "a judgement has no case"
invalid = [case for case in suites.findall("./testsuite[@name='verdicts']/testcase") if case.find("failure") is not None]
assert {case.get("classname") for case in invalid} == set(runs.index[runs.verdict == "invalid"])
for name in ("tests", "failures", "skipped"):
    assert sum(int(suite.get(name)) for suite in suites) == int(suites.get(name)), name

benchmark = json.loads(report("benchmark"))
assert all({"name", "unit", "value"} <= set(entry) and entry["value"] >= 0 for entry in benchmark)
assert len({entry["name"] for entry in benchmark}) == len(benchmark)
assert bool(benchmark) == (runs.verdict != "invalid").any(), "figures of invalid runs, or none of valid ones"
assert report("summary").startswith("## ")

with tempfile.TemporaryDirectory() as aside:
    drawn = report("svg", copytree(folder, pathlib.Path(aside) / "folder")).split()
    for path in drawn:
        root = xml.etree.ElementTree.parse(path).getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg" and root.get("width"), path
assert drawn, "there is no drawing"

print(
    f"{folder.name}: {len(package.resource_names)} tables are valid, {receipts_count} receipts agree, {len(cases)} cases, "
    f"{len(benchmark)} figures, {len(drawn)} drawings"
)
