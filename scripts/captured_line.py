"""usage: captured_line.py FOLDER CAPTURE

Compares the p50 of a run over a delay line with a capture of the loopback device. scripts/capture-line calls it.

Both clocks are tied by the appends: none can leave before its line is due, so the earliest of them, counted from its due
time, tells how far the clocks are apart. The error is the least lateness of a send, a few hundredths of a millisecond.
"""

import csv
import gzip
import json
import pathlib
import re
import statistics
import struct
import sys

TOLERANCE_MS = 0.3

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


appended, brought = {}, {}
for at_us, (source, destination), payload in segments(capture):
    if payload.startswith(b"POST /api/deployments/") and (line := re.search(rb'"text":"(?:line )?(\d+)\b', payload)):
        appended.setdefault(int(line[1]), at_us)
    else:
        for seq in re.findall(rb'"seq":(\d+),', payload):
            brought.setdefault((int(seq), destination), at_us)

apart_us = min(at_us - due_us[seq] for seq, at_us in appended.items() if seq in due_us)
measured = [seq for seq, due in due_us.items() if due >= 1e6]
outside = [(at_us - apart_us - due_us[seq]) / 1e3 + down_ms for (seq, _), at_us in brought.items() if due_us.get(seq, 0) >= 1e6]
assert len(outside) == len(measured) * int(run["subscribers_count"]), f"{len(outside)} deliveries are in the capture"

wirelab_ms = float(run["delivery_latency_us_p50"]) / 1e3
outside_ms = statistics.median(outside)
print("| p50 of delivery latency (ms) | wirelab | capture + way down | difference |")
print("|---|--:|--:|--:|")
print(f"| {len(outside)} deliveries, {run['rtt_ms']} ms there and back | {wirelab_ms:.3f} | {outside_ms:.3f} | {wirelab_ms - outside_ms:.3f} |")
sys.exit(abs(wirelab_ms - outside_ms) > TOLERANCE_MS)
