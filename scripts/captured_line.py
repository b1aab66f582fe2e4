"""usage: captured_line.py FOLDER CAPTURE

Compares the p50 of a run over a delay line with a capture of the loopback device. scripts/capture-line calls it.

Both clocks are tied by the appends: none can leave before its line is due, so the earliest of them, counted from its due
time, tells how far the clocks are apart. The error is the least lateness of a send, a few hundredths of a millisecond.
"""

import collections
import csv
import gzip
import json
import pathlib
import re
import statistics
import struct
import sys

TOLERANCE_MS = 0.3
# Lines that are due before are not measured: the default of `run`.
WARM_UP_US = 1e6

folder, capture = map(pathlib.Path, sys.argv[1:])
run = next(csv.DictReader((folder / "runs.csv").open()))
raw = gzip.open(folder / "raw" / f"{run['run_id']}.ndjson.gz", "rt")
receipts = [json.loads(receipt) for receipt in raw]
due_us = {receipt["seq"]: receipt["due_us"] for receipt in receipts}
plan = (folder / "plan.toml").read_text()
down_ms = float(re.search(r"^\[down\][^\[]*?^delay_ms = ([\d.]+)$", plan, re.M | re.S)[1])


def segments(pcap):
    """Yields the time in µs, both ports and the payload of each TCP segment over IPv4."""
    data = pcap.read_bytes()
    assert struct.unpack_from("<I", data)[0] == 0xA1B23C4D, "a capture with nanoseconds"
    at = 24
    while at + 16 <= len(data):
        seconds, nanos, length, _ = struct.unpack_from("<IIII", data, at)
        packet = data[at + 16 : at + 16 + length]
        at += 16 + length
        if packet[12:14] != b"\x08\x00" or packet[23] != 6:
            continue
        ip = packet[14 : 14 + struct.unpack_from(">H", packet, 16)[0]]
        tcp = ip[(ip[0] & 15) * 4 :]
        ports = struct.unpack_from(">HH", tcp)
        yield seconds * 1e6 + nanos / 1e3, ports, tcp[(tcp[12] >> 4) * 4 :]


# Calibration has deployments and subscribers of its own, with fewer lines.
appended, brought = collections.defaultdict(dict), collections.defaultdict(dict)
for at_us, (source, destination), payload in segments(capture):
    append = re.match(rb'POST /api/deployments/(\w+)/lines .*"text":"line (\d+) ', payload, re.S)
    if append:
        appended[append[1]].setdefault(int(append[2]), at_us)
    for seq in re.findall(rb'"seq":(\d+),"at_us"', payload):
        brought[destination].setdefault(int(seq), at_us)
appended = max(appended.values(), key=len)
brought = [seqs for seqs in brought.values() if set(seqs) == set(due_us)]
assert len(brought) == int(run["subscribers_count"]), f"{len(brought)} subscribers are in the capture"

apart_us = min(at_us - due_us[seq] for seq, at_us in appended.items())
measured = [seq for seq, due in due_us.items() if due >= WARM_UP_US]
outside = [(seqs[seq] - apart_us - due_us[seq]) / 1e3 + down_ms for seqs in brought for seq in measured]

wirelab_ms = float(run["delivery_latency_us_p50"]) / 1e3
outside_ms = statistics.median(outside)
print("| p50 of delivery latency (ms) | wirelab | capture + way down | difference |")
print("|---|--:|--:|--:|")
print(f"| {len(outside)} deliveries, {run['rtt_ms']} ms there and back | {wirelab_ms:.3f} | {outside_ms:.3f} | {wirelab_ms - outside_ms:.3f} |")
sys.exit(abs(wirelab_ms - outside_ms) > TOLERANCE_MS)
