"""usage: bench_picture.py FOLDER

Draws FOLDER/figures.csv, which scripts/bench wrote, as FOLDER/figures.svg: a panel for each row, a bar for each server.
What scripts/scale wrote into the same folder gets a panel for each of its tables.
"""

import csv
import math
import pathlib
import sys

import matplotlib

matplotlib.use("svg")
# The same file from the same figures; text stays text, so that it can be searched.
matplotlib.rcParams |= {"svg.hashsalt": "wirelab", "svg.fonttype": "none", "font.size": 8}

from matplotlib import pyplot  # noqa: E402

COLUMNS = 4
OWN, CEILING, PEER = "#1d6fa5", "#9a9a9a", "#d9a441"
FAN_OUT = "fan-out, CPU per line to "


def colour(server):
    return OWN if server.startswith("wirelab") else CEILING if server.startswith("ceiling") else PEER


def short(value):
    for size, name in ((1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{name}"
    return f"{value:.3g}"


def bars(axes, row, figures):
    measured = [figure for figure in figures if figure["value"]]
    values = [float(figure["value"]) for figure in measured]
    names = [figure["server"] for figure in measured]
    axes.barh(names, values, height=0.7, color=[colour(name) for name in names])
    # Bars are as thick in a panel with few of them.
    axes.set_ylim(max(len(values), 5) - 0.5, -0.5)
    for at, value in enumerate(values):
        axes.text(value, at, f" {short(value)}", va="center")
    unit, better = figures[0]["unit"], figures[0]["better"]
    axes.set_title(f"{row}\n{unit}, {better} is better", loc="left", fontsize=8)
    axes.set_xlim(0, max(values, default=1) * 1.25)
    axes.xaxis.set_visible(False)


def fan_out(axes, figures):
    for server in dict.fromkeys(figure["server"] for figure in figures):
        points = [(int(figure["row"].removeprefix(FAN_OUT).replace(",", "")), float(figure["value"]))
                  for figure in figures if figure["server"] == server and figure["value"]]
        axes.loglog(*zip(*points), marker="o", color=colour(server), label=server) if points else None
    axes.set_title("fan-out: CPU per line by subscribers\nµs, lower is better", loc="left", fontsize=8)
    axes.legend(frameon=False)


def scale(axes, grows_with, table, exponents):
    """How each column of a table of scripts/scale grows, as a multiple of its first value."""
    for column in [name for name in table[0] if name != grows_with]:
        points = [(float(row[grows_with]), float(row[column])) for row in table if row[column]]
        points = [(x, y) for x, y in points if y > 0]
        if points:
            slope = exponents.get((grows_with, column))
            label = column if slope is None else f"{column}: exponent {slope}"
            axes.loglog(*zip(*points), marker=".", label=label)
    axes.set_title(f"by {grows_with.replace('_', ' ')}", loc="left", fontsize=8)
    axes.legend(frameon=False, fontsize=6)


def read(path):
    if not path.is_file():
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def main(folder):
    figures = read(folder / "figures.csv")
    scales = {"lines": read(folder / "log-length.csv"), "deployments": read(folder / "deployments.csv")}
    scales = {grows_with: table for grows_with, table in scales.items() if table}
    exponents = {(row["grows_with"], row["column"]): row["exponent"] for row in read(folder / "exponents.csv")}
    fanned = [figure for figure in figures if figure["row"].startswith(FAN_OUT)]
    rows = {}
    for figure in figures:
        if figure not in fanned:
            rows.setdefault(figure["row"], []).append(figure)
    # What has one figure only, or is no amount, is read in the table.
    rows = {row: found for row, found in rows.items() if found[0]["better"] and any(f["value"] for f in found)}
    count = len(rows) + bool(fanned) + len(scales)
    high = max(1, math.ceil(count / COLUMNS))
    drawing, places = pyplot.subplots(high, COLUMNS, figsize=(4 * COLUMNS, 2.1 * high), squeeze=False)
    places = places.flatten()
    for axes, (row, found) in zip(places, rows.items()):
        bars(axes, row, found)
    if fanned:
        fan_out(places[len(rows)], fanned)
    for axes, (grows_with, table) in zip(places[len(rows) + bool(fanned):], scales.items()):
        scale(axes, grows_with, table, exponents)
    for axes in places:
        axes.spines[["top", "right"]].set_visible(False)
    for axes in places[count:]:
        axes.set_visible(False)
    drawing.tight_layout()
    # Without a date: the same figures give the same file.
    drawing.savefig(folder / "figures.svg", metadata={"Date": None})


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
