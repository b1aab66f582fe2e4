"""usage: check_openapi.py WIRELAB

Starts a server, reads its /openapi.json and checks that it is a valid OpenAPI 3.1 document.
"""

import json
import subprocess
import sys
import tempfile
import urllib.request

from openapi_spec_validator import OpenAPIV31SpecValidator

with tempfile.TemporaryDirectory() as folder:
    command = [sys.argv[1], "serve", "--bind", "127.0.0.1:0", "--store", "memory", "--recordings", folder]
    # It stops when its stdin is closed, whatever happens here.
    server = subprocess.Popen(
        [*command, "--stop-at-stdin-end"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with server:
        url = server.stdout.readline().removeprefix("listening on ").strip()
        with urllib.request.urlopen(f"{url}/openapi.json", timeout=10) as answer:
            document = json.load(answer)
        server.stdin.close()
        server.stdin = None

assert document["openapi"].startswith("3.1."), document["openapi"]
OpenAPIV31SpecValidator(document).validate()
calls = sum(len(path) for path in document["paths"].values())
print(f"{calls} calls on {len(document['paths'])} paths, a valid OpenAPI {document['openapi']} document")
