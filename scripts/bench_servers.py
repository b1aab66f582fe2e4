"""Starts what scripts/bench measures, each server on core 0 in a process group of its own, and says how it is asked.

A server ends when its stdin is closed, so that none is left when scripts/bench is killed. Knows no row and no figure.
"""

import contextlib
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import tomllib
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
BINARIES = ROOT / "target/release"
# The folder of logs: on the disk that builds are on, not in memory as /tmp may be.
SCRATCH = ROOT / "target/bench"
SERVER_CORE = "0"
CLIENT_CORE = "1"
START_S_MAX = 20
END_S_MAX = 5
DEPLOYMENT = "bench"

# Servers by name: the command of each, from the root; FOLDER is an empty one.
WIRELAB = ["target/release/wirelab", "serve", "--bind", "127.0.0.1:0", "--no-lab", "--stop-at-stdin-end",
           "--connections-max", "19100", "--keep-alive", "75s"]
COMMANDS = {
    "wirelab": [*WIRELAB, "--store", "memory"],
    "wirelab-actor": [*WIRELAB, "--store", "memory", "--websocket-engine", "actor"],
    "wirelab-disk": [*WIRELAB, "--store", "disk", "--data", "FOLDER/deployments"],
    "ceiling": ["target/release/ceiling"],
    "ceiling-one-write": ["target/release/ceiling", "--writes", "one-write"],
    "ceiling-same-bytes": ["target/release/ceiling", "--envelope", "wirelab"],
    "nchan": ["scripts/peers/nchan/start", "FOLDER"],
    "bun": ["scripts/peers/bun/start", "FOLDER"],
    "ws": ["scripts/peers/ws/start", "FOLDER"],
    "axum": ["scripts/peers/axum/start", "FOLDER"],
}
PEERS = ("nchan", "bun", "ws", "axum")
# The profile of each peer's transports, from data/targets.
PROFILES = {
    ("nchan", "sse"): "nchan-sse", ("nchan", "websocket"): "nchan-websocket", ("nchan", "long-poll"): "nchan-long-poll",
    ("bun", "sse"): "bun-sse", ("bun", "websocket"): "bun-websocket", ("bun", "long-poll"): "bun-long-poll",
    ("axum", "sse"): "axum-sse", ("axum", "websocket"): "axum-websocket", ("axum", "long-poll"): "axum-long-poll",
    ("ws", "websocket"): "ws",
    ("ceiling", "sse"): "ceiling-sse", ("ceiling", "websocket"): "ceiling-websocket",
    ("ceiling", "long-poll"): "ceiling-long-poll",
}


class Failed(Exception):
    """Something that the reader must know: a missing program, a server that did not start, a load that broke off."""


def on_core(core, command):
    return command if core is None else ["taskset", "-c", core, *command]


def busy_s():
    """Time that all cores together were not idle, also where the host took it."""
    user, nice, system, _, _, irq, softirq, steal = map(int, pathlib.Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


class Others:
    """How much of a core went neither to the server nor to what was called meanwhile: programs of others, the host."""

    def __init__(self, server):
        self.server = server
        self.begin = self._now()

    def _now(self):
        own = resource.getrusage(resource.RUSAGE_SELF)
        called = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = own.ru_utime + own.ru_stime + called.ru_utime + called.ru_stime
        return time.monotonic(), busy_s() - self.server.cpu_s() - used

    def ratio(self):
        (begin, others_begin), (end, others_end) = self.begin, self._now()
        return round(max(0.0, (others_end - others_begin) / (end - begin)), 2)


class Server:
    """One running server."""

    def __init__(self, name, core=SERVER_CORE):
        self.name = name
        self.base = name.split("-")[0]
        SCRATCH.mkdir(parents=True, exist_ok=True)
        self.folder = tempfile.mkdtemp(prefix=f"{name}-", dir=SCRATCH)
        command = [part.replace("FOLDER", self.folder) for part in COMMANDS[name]]
        self.log = open(pathlib.Path(self.folder) / "stderr", "w+")
        self.process = subprocess.Popen(on_core(core, command), cwd=ROOT, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.log, text=True, start_new_session=True)
        try:
            self.address = self._listening()
            if self.base == "wirelab":
                made = self.post("/api/deployments", b'{"name":"bench"}', "application/json")
                self.deployment = json.loads(made)["id"]
        except BaseException:
            self.close()
            raise

    def _listening(self):
        line = []
        reading = threading.Thread(target=lambda: line.append(self.process.stdout.readline()), daemon=True)
        reading.start()
        reading.join(START_S_MAX)
        if not line or "listening on http://" not in line[0]:
            self.log.seek(0)
            said = self.log.read(2000)
            raise Failed(f"{self.name} did not say within {START_S_MAX} s where it listens: {said}")
        return line[0].split("http://")[1].strip()

    def post(self, path, body, content_type):
        request = urllib.request.Request(f"http://{self.address}{path}", body, {"content-type": content_type})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read()

    def get(self, path):
        """Body and fields of an answer."""
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=10) as answer:
            return answer.read(), answer.headers

    def pids(self):
        """The server's processes: what was started and all below it."""
        found, left = [], [self.process.pid]
        while left:
            pid = left.pop()
            found.append(pid)
            for children in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
                with contextlib.suppress(OSError):
                    left += map(int, children.read_text().split())
        return found

    def cpu_s(self):
        """CPU time of the server's processes so far."""
        nanoseconds = 0
        for pid in self.pids():
            for thread in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat"):
                with contextlib.suppress(OSError):
                    nanoseconds += int(thread.read_text().split()[0])
        return nanoseconds / 1e9

    def memory_kib(self):
        """Anonymous memory of the server's processes: what connections add to."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                rows = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                total += sum(int(row.split()[1]) for row in rows if row.startswith("Pss_Anon:"))
        return total

    def publishing(self):
        """Arguments of the load client for its publisher."""
        if self.base == "wirelab":
            return ["--publish-path", f"/api/deployments/{self.deployment}/lines"]
        profile = self.profile("websocket")["publish"]
        return ["--publish-path", profile["path"].replace("{deployment}", DEPLOYMENT),
                "--publish-type", profile["content_type"], "--publish-body", profile["body"]]

    def publish_path(self):
        return self.publishing()[1]

    def profile(self, transport):
        with open(ROOT / f"data/targets/{PROFILES[self.base, transport]}.toml", "rb") as file:
            return tomllib.load(file)

    def has(self, transport):
        return self.base == "wirelab" or (self.base, transport) in PROFILES or \
            (self.base, transport) == ("ceiling", "ndjson")

    def subscribing(self, transport):
        """Arguments of the load client for its subscribers."""
        if self.base == "wirelab":
            path = f"/api/deployments/{self.deployment}/{transport}"
            if transport == "long-poll":
                return ["--wire", "long-poll", "--path", f"{path}?wait=25", "--resume", "etag=query from"]
            return ["--wire", "websocket" if transport == "websocket" else "stream", "--path", path]
        if (self.base, transport) == ("ceiling", "ndjson"):
            return ["--wire", "stream", "--path", "/ndjson"]
        subscribe = self.profile(transport)["subscribe"]
        wire = {"sse": "stream"}.get(subscribe["wire"], subscribe["wire"])
        arguments = ["--wire", wire, "--path", subscribe["path"].replace("{deployment}", DEPLOYMENT)]
        for name, value in subscribe.get("headers", {}).items():
            arguments += ["--header", f"{name}: {value}"]
        for resume in subscribe.get("resume", []) if wire == "long-poll" else []:
            arguments += ["--resume", f"{resume['take'].removeprefix('header ')}={resume['send']}"]
        return arguments

    def poll(self):
        """Path and fields of a short poll that finds nothing new, after one line."""
        self.post(self.publish_path(), b"#000000001 one", "text/plain")
        if self.base == "wirelab":
            path = f"/api/deployments/{self.deployment}/short-poll"
            _, fields = self.get(path)
            return f"{path}?from={fields['etag'].strip(chr(34))}", {}
        if self.base == "nchan":
            path = f"/poll/{DEPLOYMENT}"
            _, fields = self.get(path)
            return path, {"if-none-match": fields["etag"], "if-modified-since": fields["last-modified"]}
        return "/poll?from=1", {}

    def lines(self):
        """Lines that the server says it has, or nothing where it does not say."""
        if self.base == "wirelab":
            return json.loads(self.get(f"/api/deployments/{self.deployment}")[0])["lines"]
        if self.base in ("ceiling", "bun", "axum"):
            return int(self.get("/poll?from=0")[1]["next"])
        return None

    def close(self):
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(END_S_MAX)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.process.stdout.close()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
