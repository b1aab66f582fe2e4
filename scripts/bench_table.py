"""What scripts/bench writes: figures with their ratios as CSV, a table for people, a description of the machine."""

import csv
import json
import math
import os
import pathlib
import platform
import re
import subprocess
import time
import tomllib

from bench_servers import COMMANDS, PEERS, ROOT

COLUMNS = ("row", "unit", "better", "server", "value", "ratio_to_ceiling", "ratio_to_best_peer", "p99_ms", "lost_count",
           "duplicated_count", "line_rate_hz", "server_cpu_ratio", "client_cpu_ratio", "others_cpu_ratio", "limited_by",
           "client", "note", "round_count")


def ratio(figure, other):
    """How many times as good as `other`: above 1 is better, whichever way is better."""
    if not figure.get("value") or not other or not figure["better"]:
        return None
    return figure["value"] / other if figure["better"] == "higher" else other / figure["value"]


def medians(figures):
    """One figure of each server and row: the median of its rounds. A round without a value is the worst one."""
    by_place = {}
    for figure in figures:
        by_place.setdefault((figure["row"], figure["server"]), []).append(figure)

    def worst_first(figure):
        value = figure.get("value")
        if value is None:
            return -math.inf
        return value if figure["better"] == "higher" else -value

    return [sorted(found, key=worst_first)[(len(found) - 1) // 2] | {"round_count": len(found)}
            for found in by_place.values()]


def with_ratios(figures):
    """The figures, each beside the ceiling and the best peer of its row."""
    done = []
    for figure in figures:
        row = [other for other in figures if other["row"] == figure["row"] and other.get("value")]
        of = {other["server"]: other["value"] for other in row}
        peers = [of[name] for name in PEERS if name in of and name != figure["server"]]
        best = (max if figure["better"] == "higher" else min)(peers, default=None)
        done.append(figure | {"ratio_to_ceiling": ratio(figure, of.get("ceiling")),
                              "ratio_to_best_peer": ratio(figure, best)})
    return done


def write_csv(path, figures):
    with open(path, "w", newline="") as file:
        rows = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        rows.writeheader()
        for figure in figures:
            short = {key: f"{value:.3g}" if key.startswith("ratio") and value is not None else value
                     for key, value in figure.items()}
            rows.writerow({"client": "load"} | {key: "" if value is None else value for key, value in short.items()})


def amount(figure):
    value = figure.get("value")
    if value is None:
        return "–"
    text = f"{value / 1e6:.2f} M" if value >= 1e6 else f"{value / 1e3:.0f} k" if value >= 1e4 else f"{value:,.4g}"
    return f"{text}*" if figure.get("note") == "cannot hold the pace" else text


def table(figures):
    """Markdown: a line per row, a column per server."""
    names = list(dict.fromkeys(figure["server"] for figure in figures))
    lines = ["| | " + " | ".join(names) + " | wirelab : ceiling | wirelab : best peer |",
             "|---|" + "--:|" * (len(names) + 2)]
    for row in dict.fromkeys(figure["row"] for figure in figures):
        of = {figure["server"]: figure for figure in figures if figure["row"] == row}
        own = of.get("wirelab", {})
        ratios = [f"**{own[key]:.2f}**" if own.get(key) else "" for key in ("ratio_to_ceiling", "ratio_to_best_peer")]
        unit = next(iter(of.values()))["unit"]
        cells = [amount(of[name]) if name in of else "" for name in names]
        lines.append(f"| {row}{f' ({unit})' if unit else ''} | " + " | ".join(cells + ratios) + " |")
    return "\n".join(lines) + "\n"


def said(*command):
    """First line of what a program says of itself, or nothing where it is not there."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, cwd=ROOT)
    except OSError:
        return None
    text = (done.stdout + done.stderr).strip()
    return text.splitlines()[0].strip() if text else None


def machine():
    """Everything that the figures depend on and that is no setting of the script."""
    cpu = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s*(\d+)", pathlib.Path("/proc/meminfo").read_text())
    npm = ROOT / "target/peers/npm/node_modules"
    packages = {name: json.loads((npm / name / "package.json").read_text())["version"]
                for name in ("bun", "ws") if (npm / name / "package.json").is_file()}
    lock = tomllib.loads((ROOT / "scripts/peers/axum/Cargo.lock").read_text())
    axum = next(package["version"] for package in lock["package"] if package["name"] == "axum")
    changed = said("git", "status", "--porcelain", "--untracked-files=no")
    return {
        "cpu": cpu[1] if cpu else platform.machine(), "cores": os.cpu_count(),
        "memory_mib": int(memory[1]) // 1024 if memory else None, "kernel": platform.release(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()), "commit": said("git", "rev-parse", "HEAD"),
        "changed_since_commit": bool(changed),
        # An executable that was given may be of any commit.
        "built_from_commit": COMMANDS["wirelab"][0] == "target/release/wirelab",
        "rustc": said("rustc", "--version"), "wirelab": said(COMMANDS["wirelab"][0], "--version"),
        "wrk": said("wrk", "--version"), "nginx": said("nginx", "-v"),
        "nchan": said("dpkg-query", "--show", "--showformat", "${Version}", "libnginx-mod-nchan"),
        "node": said("node", "--version"), "bun": packages.get("bun"), "ws": packages.get("ws"), "axum": axum,
        "python": platform.python_version(),
    }
