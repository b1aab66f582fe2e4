"""The rows of scripts/bench: each a function that yields the figures of one server.

Every load has an end in count and in time.
A figure is a dict: row, unit, better (higher or lower), server, value, and what is known of how it came about.
"""

import contextlib
import json
import math
import os
import re
import resource
import subprocess
import time

from bench_servers import BINARIES, CLIENT_CORE, SCRATCH, Failed, Others, Server, on_core

SUBSCRIBERS = 1_000
# A load holds when its p99 stays below, from each line's intended time, and nothing is lost or comes twice.
P99_MS_MAX = 100
# A failed step is tried once more when it failed by no more than this: another program may have had the core.
P99_MS_AGAIN = 300
# Steps of the ladder: a rate is STEP to the power of a whole number. 9 % is what a search can tell apart.
STEP = 2 ** (1 / 8)
FIRST_STEP, STRIDE = 85, 16  # 1,580 lines/s, then 4 times as many or a quarter
STEPS_MIN, STEPS_MAX = 24, 136  # 8 to 131,000 lines/s
# A core that is busier than this is what limits.
BUSY_RATIO = 0.9
PACED_HZ = 40
FAN_OUT_HZ = 10
# What a process holds besides its connections.
OTHER_DESCRIPTORS = 200
WRK_MAX_S = 30

# Rows by name: title, unit, and which way is better.
TITLES = {
    "sse": ("SSE deliveries", "1/s", "higher"),
    "ndjson": ("NDJSON deliveries", "1/s", "higher"),
    "websocket": ("WebSocket deliveries", "1/s", "higher"),
    "long-poll": ("long poll deliveries", "1/s", "higher"),
    "long-poll-paced": ("long poll paced, CPU per request", "µs", "lower"),
    "short-poll": ("short poll with nothing new", "1/s", "higher"),
    "publish": ("publish one line per POST", "lines/s", "higher"),
    "batches": ("publish NDJSON batches of 1,000", "lines/s", "higher"),
    "sse-paced": ("SSE paced, CPU per delivery", "µs", "lower"),
    "websocket-paced": ("WebSocket paced, CPU per delivery", "µs", "lower"),
    "sse-idle": ("idle SSE connection", "KiB", "lower"),
    "websocket-idle": ("idle WebSocket connection", "KiB", "lower"),
    "long-poll-idle": ("held poll", "KiB", "lower"),
    "many": ("19,000 SSE connections, 1 line/s, p99", "ms", "lower"),
    "fan-out": ("fan-out, CPU per line", "µs", "lower"),
    "exponent": ("fan-out, exponent from 100 subscribers up", "", ""),
    "harness-sse": ("SSE paced, p50 by the harness", "ms", "lower"),
    "harness-websocket": ("WebSocket paced, p50 by the harness", "ms", "lower"),
    "harness-long-poll": ("long poll paced, p50 by the harness", "ms", "lower"),
    "threads": ("two server threads against one", "ratio", "higher"),
}


class Lengths:
    """How long and how many: a whole run, or one that shows in a minute that everything works."""

    def __init__(self, quick):
        self.measured_ms = 400 if quick else 1_000
        self.warm_up_ms = 200 if quick else 300
        self.rounds = 1 if quick else 3
        self.paced_ms = 600 if quick else 1_500
        self.paced_warm_up_ms = 300 if quick else 500
        # More than a search needs: at most four strides, then four halvings.
        self.steps = 2 if quick else 20
        self.wrk_s = 1 if quick else 2
        self.idle = 200 if quick else 2_000
        self.held = 1_000 if quick else 19_000
        self.held_ms = 2_000 if quick else 6_000
        self.fan_out = (10, 100, 1_000) if quick else (10, 100, 1_000, 10_000)
        self.fan_out_ms = 600 if quick else 2_000


def load(server, transport, subscribers, rate_hz, lengths_ms, drain_ms=400, core=CLIENT_CORE):
    """One run of the load client."""
    warm_up_ms, measured_ms = lengths_ms
    command = [str(BINARIES / "load"), "deliver", "--address", server.address, "--subscribers", str(subscribers),
               *server.subscribing(transport), *server.publishing(), "--rate", f"{rate_hz:.3f}",
               "--warm-up-ms", str(warm_up_ms), "--duration-ms", str(measured_ms), "--drain-ms", str(drain_ms),
               "--server-pid", ",".join(map(str, server.pids()))]
    # Beyond its own end it may wait for subscribers to be let in.
    most_s = (warm_up_ms + measured_ms + drain_ms) / 1000 + 80
    others = Others(server)
    try:
        done = subprocess.run(on_core(core, command), capture_output=True, text=True, timeout=most_s)
    except subprocess.TimeoutExpired:
        return {"problem": f"the load client did not end within {most_s:.0f} s"}
    if done.returncode != 0:
        return {"problem": done.stderr.strip()[-300:]}
    return json.loads(done.stdout) | {"others_cpu_ratio": others.ratio()}


def is_whole(seen):
    return "problem" not in seen and seen["lost"] == seen["duplicated"] == 0 and seen["acknowledged"] == seen["due"]


def holds(seen):
    return is_whole(seen) and seen["p99_ms"] < P99_MS_MAX


def figure(name, server, value, seen=None, **more):
    title, unit, better = TITLES[name]
    found = {"row": title, "unit": unit, "better": better, "server": server, "value": value}
    if seen and "problem" not in seen:
        window = max(seen["window_s"], 1e-9)
        server_ratio, client_ratio = seen["server_cpu_s"] / window, seen["client_cpu_s"] / window
        found |= {"p99_ms": seen["p99_ms"], "lost_count": seen["lost"], "duplicated_count": seen["duplicated"],
                  "line_rate_hz": round(seen["rate_hz"], 1), "server_cpu_ratio": round(server_ratio, 3),
                  "client_cpu_ratio": round(client_ratio, 3), "others_cpu_ratio": seen["others_cpu_ratio"]}
    if seen and "problem" in seen:
        found["note"] = seen["problem"]
    return found | more


def limit(seen):
    """Which core was busy in the fastest step that held, and so what the next step would need more of."""
    window = max(seen["window_s"], 1e-9)
    busy = [name for name in ("server", "client") if seen[f"{name}_cpu_s"] / window > BUSY_RATIO]
    return " and ".join(busy) or "latency"


def deliveries(transport, name, lengths):
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
    while (below is None or above is None) and STEPS_MIN <= step <= STEPS_MAX and len(tried) < lengths.steps:
        if try_step(step):
            below, step = step, step + STRIDE
        else:
            above, step = step, step - STRIDE
    while below is not None and above is not None and above - below > 1 and len(tried) < lengths.steps:
        middle = (below + above) // 2
        if try_step(middle):
            below = middle
        else:
            above = middle
    if below is None:
        seen = tried[min(tried)]
        yield figure(transport, name, None, seen, note=seen.get("problem", "no rate of the ladder holds"))
        return
    seen = tried[below]
    failed = tried.get(above)
    why = "" if failed is None else failed.get("problem") or (
        f"at {failed['rate_hz']:.0f} lines/s: p99 {failed['p99_ms']:.0f} ms, {failed['lost']} lost")
    yield figure(transport, name, round(SUBSCRIBERS * seen["rate_hz"]), seen, limited_by=limit(seen), note=why)


def paced(transport, name, lengths):
    """CPU of the server per delivery, or per request of a long poll, at one pace for all."""
    with Server(name) as server:
        seen = load(server, transport, SUBSCRIBERS, PACED_HZ, (lengths.paced_warm_up_ms, lengths.paced_ms))
    counted = seen.get("answers" if transport == "long-poll" else "deliveries")
    value = round(seen["server_cpu_s"] * 1e6 / counted, 2) if counted else None
    more = {} if "problem" in seen or holds(seen) else {"note": "cannot hold the pace"}
    yield figure(f"{transport}-paced", name, value, seen, **more)


def wrk(server, path, connections, seconds, fields=(), script=None, client_cores=CLIENT_CORE, client_threads=1):
    """Requests, requests per second, how many were refused, what broke, and how much of a core others had."""
    command = ["wrk", f"-t{client_threads}", f"-c{connections}", f"-d{seconds}s"]
    for field in fields:
        command += ["-H", field]
    if script:
        command += ["-s", str(script)]
    command.append(f"http://{server.address}{path}")
    others = Others(server)
    done = subprocess.run(on_core(client_cores, command), capture_output=True, text=True, timeout=seconds + WRK_MAX_S)
    found = re.search(r"(\d+) requests in", done.stdout)
    rate = re.search(r"Requests/sec:\s*([\d.]+)", done.stdout)
    if done.returncode != 0 or not found or not rate:
        raise Failed(f"wrk said of {server.name}: {(done.stdout + done.stderr).strip()[-300:]}")
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", done.stdout)
    broken = re.search(r"Socket errors: (.*)", done.stdout)
    return (int(found[1]), float(rate[1]), int(refused[1]) if refused else 0, broken[1] if broken else "",
            others.ratio())


def remark(refused, broken):
    return f"{refused} refused {broken}".strip() if refused or broken else ""


def short_polls(name, lengths):
    with Server(name) as server:
        path, fields = server.poll()
        fields = [f"{field}: {value}" for field, value in fields.items()]
        _, rate, refused, broken, others = wrk(server, path, 32, lengths.wrk_s, fields)
    yield figure("short-poll", name, round(rate), note=remark(refused, broken), client="wrk",
                 others_cpu_ratio=others)


def published(row, name, lengths, connections, content_type, body, lines_each):
    SCRATCH.mkdir(parents=True, exist_ok=True)
    script = SCRATCH / f"publish-{os.getpid()}.lua"
    script.write_text(f"wrk.method = 'POST'\nwrk.body = [[{body}]]\nwrk.headers['content-type'] = '{content_type}'\n")
    try:
        with Server(name) as server:
            requests, rate, refused, broken, others = wrk(server, server.publish_path(), connections, lengths.wrk_s,
                                                          script=script)
            has = server.lines()
    finally:
        script.unlink()
    acknowledged = (requests - refused) * lines_each
    note, lost = remark(refused, broken), None if has is None else max(0, acknowledged - has)
    if lost:
        note = f"{lost} acknowledged lines are missing {note}".strip()
    value = None if lost else round(rate * lines_each * (requests - refused) / max(requests, 1))
    yield figure(row, name, value, note=note, client="wrk", lost_count=lost, others_cpu_ratio=others)


LINE = "#000000001 " + "x" * 89


def publishing(name, lengths):
    return published("publish", name, lengths, 16, "text/plain", LINE, 1)


def batches(name, lengths):
    body = ('{"text":"' + LINE + '"}\n') * 1_000
    # Few connections keep one core busy with bodies of this size; more of them only wait.
    return published("batches", name, lengths, 4, "application/x-ndjson", body, 1_000)


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


def idle(transport, name, lengths):
    with Server(name) as server:
        # A first few bring what is there once, whatever the number.
        with held(server, transport, 10):
            time.sleep(0.3)
            before = server.memory_kib()
        with held(server, transport, lengths.idle):
            time.sleep(0.5)
            after = server.memory_kib()
    yield figure(f"{transport}-idle", name, round(max(after - before, 0) / lengths.idle, 2))


def many(name, lengths):
    """As many connections as the server admits, both cores shared with the client."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < lengths.held + OTHER_DESCRIPTORS:
        raise Failed(f"not measured: {hard} descriptors; ulimit -n {lengths.held + OTHER_DESCRIPTORS} is needed")
    with Server(name, core=None) as server:
        seen = load(server, "sse", lengths.held, 1, (2_000, lengths.held_ms), 3_000, core=None)
    yield figure("many", name, seen.get("p99_ms") if is_whole(seen) else None, seen,
                 row=TITLES["many"][0].replace("19,000", f"{lengths.held:,}"))


def exponent(points):
    """Slope of a line through the logarithms: 1 is linear."""
    xs, ys = [math.log(x) for x, _ in points], [math.log(y) for _, y in points]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys)) / sum((x - mean_x) ** 2 for x in xs)


def fan_out(name, lengths):
    """CPU of the server per line, by the number of subscribers; the last figure is the fitted exponent."""
    points = []
    for count in lengths.fan_out:
        with Server(name) as server:
            seen = load(server, "sse", count, FAN_OUT_HZ, (500, lengths.fan_out_ms), 2_000)
        row = {"row": f"fan-out, CPU per line to {count:,}"}
        if not is_whole(seen) or not seen["deliveries"]:
            yield figure("fan-out", name, None, seen, **row)
            continue
        value = seen["server_cpu_s"] * 1e6 / (seen["deliveries"] / count)
        points.append((count, value))
        yield figure("fan-out", name, round(value, 1), seen, **row)
    # Below a hundred, the fixed cost of a line is most of it.
    points = [point for point in points if point[0] >= 100]
    if len(points) > 1:
        yield figure("exponent", name, round(exponent(points), 3))


def threads(name, lengths):
    """Two server threads against one."""
    cores = os.cpu_count() or 1
    if cores < 4:
        raise Failed(f"not measured: {cores} cores, and two for the server and two for clients are needed")
    rates = []
    for server_cores in ("0", "0,1"):
        with Server(name, core=server_cores) as server:
            rates.append(wrk(server, server.poll()[0], 64, lengths.wrk_s, client_cores="2,3", client_threads=2)[1])
    yield figure("threads", name, round(rates[1] / rates[0], 2), client="wrk", note="short polls with nothing new")
