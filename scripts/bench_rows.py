"""The rows of scripts/bench: each a function that yields figures of servers. Every load has an end in count and in time.

A figure is a dict: row, unit, better (higher or lower), server, value, and what is known of how it came about.
"""

import contextlib
import json
import math
import os
import pathlib
import re
import subprocess
import time
import urllib.error

from bench_servers import BINARIES, CLIENT_CORE, SCRATCH, Failed, Server, on_core

SUBSCRIBERS = 1_000
# A load holds when its p99 stays below, from each line's intended time, and nothing is lost or comes twice.
P99_MS_MAX = 100
# A failed step is tried once more when it failed by no more than this: another program may have had the core.
P99_MS_AGAIN = 300
# Steps of the ladder: a rate is STEP to the power of a whole number. 9 % is what a search can tell apart.
STEP = 2 ** (1 / 8)
FIRST_STEP, STRIDE = 61, 16  # 197 lines/s, then times 4
STEPS_MIN, STEPS_MAX = 24, 136  # 8 to 131,000 lines/s
# A core that is busier than this is what limits.
BUSY_RATIO = 0.9
PACED_HZ = 40
WRK_MAX_S = 30

LADDERS = {
    "sse": "SSE deliveries", "ndjson": "NDJSON deliveries", "websocket": "WebSocket deliveries",
    "long-poll": "long poll deliveries",
}


class Lengths:
    """How long and how many: a whole run, or one that shows in a minute that everything works."""

    def __init__(self, quick):
        self.measured_ms = 400 if quick else 1_500
        self.warm_up_ms = 200 if quick else 400
        self.paced_ms = 600 if quick else 4_000
        self.step_tolerance = 16 if quick else 1
        self.wrk_s = 1 if quick else 3
        self.idle = 200 if quick else 2_000
        self.held = 1_000 if quick else 19_000
        self.held_ms = 2_000 if quick else 8_000
        self.fan_out = (10, 100, 1_000) if quick else (10, 100, 1_000, 10_000)
        self.fan_out_ms = 600 if quick else 3_000


def load(server, transport, subscribers, rate_hz, lengths_ms, drain_ms=600, core=CLIENT_CORE):
    """One run of the load client."""
    warm_up_ms, measured_ms = lengths_ms
    command = [str(BINARIES / "load"), "deliver", "--address", server.address, "--subscribers", str(subscribers),
               *server.subscribing(transport), *server.publishing(), "--rate", f"{rate_hz:.3f}",
               "--warm-up-ms", str(warm_up_ms), "--duration-ms", str(measured_ms), "--drain-ms", str(drain_ms),
               "--server-pid", ",".join(map(str, server.pids()))]
    # Beyond its own end it may wait for subscribers to be let in.
    most_s = (warm_up_ms + measured_ms + drain_ms) / 1000 + 40
    done = subprocess.run(on_core(core, command), capture_output=True, text=True, timeout=most_s)
    if done.returncode != 0:
        return {"problem": done.stderr.strip()[-300:]}
    return json.loads(done.stdout)


def is_whole(seen):
    return "problem" not in seen and seen["lost"] == seen["duplicated"] == 0 and seen["acknowledged"] == seen["due"]


def holds(seen):
    return is_whole(seen) and seen["p99_ms"] < P99_MS_MAX


def figure(row, unit, better, server, value, seen=None, **more):
    found = {"row": row, "unit": unit, "better": better, "server": server, "value": value}
    if seen and "problem" not in seen:
        window = max(seen["window_s"], 1e-9)
        server_ratio, client_ratio = seen["server_cpu_s"] / window, seen["client_cpu_s"] / window
        found |= {"p99_ms": seen["p99_ms"], "lost_count": seen["lost"], "duplicated_count": seen["duplicated"],
                  "line_rate_hz": round(seen["rate_hz"], 1), "server_cpu_ratio": round(server_ratio, 3),
                  "client_cpu_ratio": round(client_ratio, 3)}
    if seen and "problem" in seen:
        found["note"] = seen["problem"]
    return found | more


def limit(seen):
    """Which core was busy in the fastest step that held, and so what the next step would need more of."""
    window = max(seen["window_s"], 1e-9)
    busy = [name for name in ("server", "client") if seen[f"{name}_cpu_s"] / window > BUSY_RATIO]
    return " and ".join(busy) or "latency"


def ladder(transport, name, lengths):
    """The largest rate that holds: up by strides until one fails, then halved between the last two."""
    tried = {}

    def try_step(step):
        rate_hz = STEP ** step
        for attempt in range(2):
            with Server(name) as server:
                seen = load(server, transport, SUBSCRIBERS, rate_hz, (lengths.warm_up_ms, lengths.measured_ms))
            if holds(seen):
                break
            near = is_whole(seen) and seen["p99_ms"] < P99_MS_AGAIN
            if not near:
                break
        tried[step] = seen
        return holds(seen)

    step, below, above = FIRST_STEP, None, None
    while (below is None or above is None) and STEPS_MIN <= step <= STEPS_MAX:
        if try_step(step):
            below, step = step, step + STRIDE
        else:
            above, step = step, step - STRIDE
    while below is not None and above is not None and above - below > lengths.step_tolerance:
        middle = (below + above) // 2
        if try_step(middle):
            below = middle
        else:
            above = middle
    row = LADDERS[transport]
    if below is None:
        return figure(row, "1/s", "higher", name, None, tried[min(tried)], note="no rate of the ladder holds")
    seen = tried[below]
    rate = seen["deliveries"] / seen["window_s"]
    # Deliveries are due at this rate; the window ends a little later.
    due = min(rate, SUBSCRIBERS * seen["rate_hz"])
    failed = tried.get(above)
    why = "" if failed is None else failed.get("problem") or (
        f"at {failed['rate_hz']:.0f} lines/s: p99 {failed['p99_ms']:.0f} ms, {failed['lost']} lost")
    return figure(row, "1/s", "higher", name, round(max(due, SUBSCRIBERS * seen["rate_hz"] * 0.9)), seen,
                  limited_by=limit(seen), note=why)


def deliveries(transport, names, lengths):
    for name in names:
        yield ladder(transport, name, lengths)


def paced(transport, names, lengths):
    """CPU of the server per delivery, or per request of a long poll, at one pace for all."""
    row = {"sse": "SSE paced, CPU per delivery", "websocket": "WebSocket paced, CPU per delivery",
           "long-poll": "long poll paced, CPU per request"}[transport]
    for name in names:
        with Server(name) as server:
            seen = load(server, transport, SUBSCRIBERS, PACED_HZ, (1_000, lengths.paced_ms))
        counted = seen.get("answers" if transport == "long-poll" else "deliveries")
        value = round(seen["server_cpu_s"] * 1e6 / counted, 2) if counted else None
        note = "" if "problem" in seen or holds(seen) else "cannot hold the pace"
        yield figure(row, "µs", "lower", name, value, seen, **({"note": note} if note else {}))


def wrk(server, path, connections, seconds, fields=(), script=None):
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s"]
    for field in fields:
        command += ["-H", field]
    if script:
        command += ["-s", str(script)]
    command.append(f"http://{server.address}{path}")
    done = subprocess.run(on_core(CLIENT_CORE, command), capture_output=True, text=True, timeout=seconds + WRK_MAX_S)
    found = re.search(r"(\d+) requests in", done.stdout)
    rate = re.search(r"Requests/sec:\s*([\d.]+)", done.stdout)
    if done.returncode != 0 or not found or not rate:
        raise Failed(f"wrk said of {server.name}: {(done.stdout + done.stderr).strip()[-300:]}")
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", done.stdout)
    broken = re.search(r"Socket errors: (.*)", done.stdout)
    return int(found[1]), float(rate[1]), int(refused[1]) if refused else 0, broken[1] if broken else ""


def short_polls(names, lengths):
    for name in names:
        with Server(name) as server:
            path, fields = server.poll()
            _, rate, refused, broken = wrk(server, path, 32, lengths.wrk_s, [f"{k}: {v}" for k, v in fields.items()])
        note = f"{refused} refused {broken}".strip() if refused or broken else ""
        yield figure("short poll with nothing new", "1/s", "higher", name, round(rate), note=note, client="wrk")


def published(row, name, lengths, connections, content_type, body, lines_each):
    SCRATCH.mkdir(parents=True, exist_ok=True)
    script = SCRATCH / f"publish-{os.getpid()}.lua"
    script.write_text(f"wrk.method = 'POST'\nwrk.body = [[{body}]]\nwrk.headers['content-type'] = '{content_type}'\n")
    try:
        with Server(name) as server:
            requests, rate, refused, broken = wrk(server, server.publish_path(), connections, lengths.wrk_s, (), script)
            has = server.lines()
    finally:
        script.unlink()
    acknowledged = (requests - refused) * lines_each
    note = f"{refused} refused {broken}".strip() if refused or broken else ""
    lost = None if has is None else max(0, acknowledged - has)
    if lost:
        note = f"{lost} acknowledged lines are missing {note}".strip()
    value = None if lost else round(rate * lines_each * (requests - refused) / max(requests, 1))
    more = {} if lost is None else {"lost_count": lost}
    return figure(row, "lines/s", "higher", name, value, note=note, client="wrk", **more)


def publishing(names, lengths):
    line = "#000000001 " + "x" * 89
    for name in names:
        yield published("publish one line per POST", name, lengths, 16, "text/plain", line, 1)


def batches(names, lengths):
    line = "#000000001 " + "x" * 89
    body = "".join('{"text":"' + line + '"}\n' for _ in range(1_000))
    for name in names:
        # Few connections keep one core busy with bodies of this size; more of them only wait.
        yield published("publish NDJSON batches of 1,000", name, lengths, 4, "application/x-ndjson", body, 1_000)


@contextlib.contextmanager
def held(server, transport, count):
    """Subscribers that are let in and then hear nothing."""
    command = [str(BINARIES / "load"), "hold", "--address", server.address, "--subscribers", str(count),
               *server.subscribing(transport)]
    process = subprocess.Popen(on_core(CLIENT_CORE, command), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    try:
        if not process.stdout.readline():
            raise Failed(process.stderr.read().strip()[-300:])
        yield
    finally:
        process.stdin.close()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def idle(transport, names, lengths):
    row = {"sse": "idle SSE connection", "websocket": "idle WebSocket connection", "long-poll": "held poll"}[transport]
    for name in names:
        try:
            with Server(name) as server:
                # A first few bring what is there once, whatever the number.
                with held(server, transport, 10):
                    time.sleep(0.3)
                    before = server.memory_kib()
                with held(server, transport, lengths.idle):
                    time.sleep(0.5)
                    after = server.memory_kib()
            yield figure(row, "KiB", "lower", name, round(max(after - before, 0) / lengths.idle, 2))
        except Failed as failed:
            yield figure(row, "KiB", "lower", name, None, note=str(failed))


def many(names, lengths):
    """As many connections as the server admits, both cores shared with the client."""
    for name in names:
        with Server(name, core=None) as server:
            seen = load(server, "sse", lengths.held, 1, (2_000, lengths.held_ms), 3_000, core=None)
        value = seen.get("p99_ms") if is_whole(seen) else None
        yield figure(f"{lengths.held:,} SSE connections, 1 line/s, p99", "ms", "lower", name, value, seen)


def exponent(points):
    """Slope of a line through the logarithms: 1 is linear."""
    xs, ys = [math.log(x) for x, _ in points], [math.log(y) for _, y in points]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys)) / sum((x - mean_x) ** 2 for x in xs)


def fan_out(names, lengths):
    """CPU of the server per line, by the number of subscribers; the last figure is the fitted exponent."""
    for name in names:
        points = []
        for count in lengths.fan_out:
            with Server(name) as server:
                seen = load(server, "sse", count, 10, (500, lengths.fan_out_ms), 2_000)
            if not is_whole(seen) or not seen["deliveries"]:
                yield figure(f"fan-out, CPU per line to {count:,}", "µs", "lower", name, None, seen)
                continue
            value = seen["server_cpu_s"] * 1e6 / (seen["deliveries"] / count)
            points.append((count, value))
            yield figure(f"fan-out, CPU per line to {count:,}", "µs", "lower", name, round(value, 1), seen)
        # Below a hundred, what a line costs whoever hears it is most of it.
        many_points = [point for point in points if point[0] >= 100]
        if len(many_points) > 1:
            # Linear is as good as it gets: neither more nor less of it is a ratio.
            yield figure("fan-out, exponent from 100 subscribers up", "", "", name,
                         round(exponent(many_points), 3))


def threads(lengths):
    """Two server threads against one."""
    row, cores = "two server threads against one", os.cpu_count() or 1
    if cores < 4:
        yield figure(row, "ratio", "higher", "wirelab", None,
                     note=f"not measured: {cores} cores, and two for the server and two for clients are needed")
        return
    rates = []
    for server_cores in ("0", "0,1"):
        with Server("wirelab", core=server_cores) as server:
            _, rate, _, _ = wrk_on(server, server.poll()[0], lengths)
        rates.append(rate)
    yield figure(row, "ratio", "higher", "wirelab", round(rates[1] / rates[0], 2), client="wrk",
                 note="short polls with nothing new")


def wrk_on(server, path, lengths):
    command = ["taskset", "-c", "2,3", "wrk", "-t2", "-c64", f"-d{lengths.wrk_s}s", f"http://{server.address}{path}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=lengths.wrk_s + WRK_MAX_S)
    rate = re.search(r"Requests/sec:\s*([\d.]+)", done.stdout)
    if not rate:
        raise Failed(f"wrk said: {done.stdout[-300:]}")
    return None, float(rate[1]), None, None
