"""The rows of scripts/bench that wirelab's own harness measures, by the profiles in data/targets.

`wirelab run` checks much more of each line than the load client, so it paces: what is compared is latency and loss, at
one rate. The server stays on core 0, the harness runs on core 1.
"""

import csv
import pathlib
import re
import subprocess
import tempfile

from bench_rows import PACED_HZ, SUBSCRIBERS, figure
from bench_servers import CLIENT_CORE, COMMANDS, PROFILES, ROOT, SCRATCH, Failed, Server, on_core

RUN_S_MAX = 60
# 0: all came; 3: lines were lost or came twice; 4: the theory is contradicted, as by a core that is busy; 5: a run is
# invalid. Each is an answer.
ANSWERS = (0, 3, 4, 5)


def running(server, transport, folder):
    """The arguments that have the harness measure a server that is running: a URL, or a profile with its URL."""
    url = f"http://{server.address}"
    if server.base == "wirelab":
        return ["--target", url, "--transport", transport]
    name = PROFILES[server.base, transport]
    text = (ROOT / f"data/targets/{name}.toml").read_text()
    targets = folder / "targets"
    targets.mkdir()
    (targets / f"{name}.toml").write_text(re.sub(r"^start = .*$", f'url = "{url}"', text, flags=re.MULTILINE))
    return ["--target", name]


def paced(transport, name, lengths):
    seconds = max(2, lengths.paced_ms // 1_000)
    with Server(name) as server, tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        folder = pathlib.Path(folder)
        command = [COMMANDS["wirelab"][0], "run", *running(server, transport, folder), "--network", "none",
                   "--subscribers", str(SUBSCRIBERS), "--rate", str(PACED_HZ), "--duration", f"{seconds}s",
                   "--data", str(folder), "--results", str(folder / "results"), "--progress", "json"]
        done = subprocess.run(on_core(CLIENT_CORE, command), cwd=ROOT, capture_output=True, text=True,
                              timeout=RUN_S_MAX)
        tables = list((folder / "results").rglob("runs.csv"))
        if done.returncode not in ANSWERS or not tables:
            raise Failed(f"wirelab run: exit code {done.returncode}: {(done.stdout + done.stderr).strip()[-300:]}")
        with open(tables[0], newline="") as file:
            run = next(csv.DictReader(file))
    # As its verdict says: latencies of an invalid run are not to be used, its losses are.
    p50_us = run["delivery_latency_us_p50"] if run["verdict"] != "invalid" else ""
    lost = int(run["lost_count"] or 0) + int(run["censored_count"] or 0)
    yield figure(f"harness-{transport}", name, round(float(p50_us) / 1e3, 2) if p50_us else None, lost_count=lost,
                 duplicated_count=run["duplicated_count"], line_rate_hz=PACED_HZ, client="wirelab run",
                 note=run["verdict"])
