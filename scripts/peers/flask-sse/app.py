"""Deployment logs over server-sent events, the plain way: a queue per subscriber and a generator that empties it.

The log so far comes from a regular route; the stream has no ids and begins with whatever comes next.
"""

import os
import queue
import sys
import threading
from collections import defaultdict

from flask import Flask, Response, jsonify, request
from werkzeug.serving import make_server

app = Flask(__name__)
lock = threading.Lock()
logs = defaultdict(list)
subscribers = defaultdict(set)


@app.post("/deployments/<name>/logs")
def append(name):
    text = request.get_json()["text"]
    with lock:
        logs[name].append(text)
        for lines in subscribers[name]:
            lines.put(text)
    return "", 204


@app.get("/deployments/<name>/logs")
def log(name):
    with lock:
        return jsonify(logs[name])


@app.get("/deployments/<name>/logs/stream")
def stream(name):
    lines = queue.Queue()
    with lock:
        subscribers[name].add(lines)

    def events():
        try:
            while True:
                yield f"data: {lines.get()}\n\n"
        finally:
            with lock:
                subscribers[name].discard(lines)

    return Response(events(), mimetype="text/event-stream")


def end_with_stdin():
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    server = make_server("127.0.0.1", 0, app, threaded=True)
    print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
    threading.Thread(target=end_with_stdin, daemon=True).start()
    server.serve_forever()
