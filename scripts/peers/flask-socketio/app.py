"""Deployment logs over Flask-SocketIO, the plain way: a room per deployment; whoever is in it gets the line.

One thread per connection (threading mode, simple-websocket), on Flask's own server.
"""

import os
import sys
import threading

from flask import Flask, request
from flask_socketio import SocketIO, join_room
from werkzeug.serving import make_server

app = Flask(__name__)
socketio = SocketIO(app, async_mode="threading")


@app.post("/deployments/<name>/logs")
def append(name):
    socketio.emit("log", {"text": request.get_json()["text"]}, to=name)
    return "", 204


@socketio.on("join")
def join(name):
    join_room(name)


def end_with_stdin():
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    server = make_server("127.0.0.1", 0, app, threaded=True)
    print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
    threading.Thread(target=end_with_stdin, daemon=True).start()
    server.serve_forever()
