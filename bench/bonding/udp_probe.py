"""A UDP flow whose every datagram is accounted for; run inside a namespace:

udp_probe.py receive PORT SECONDS                  prints "ready", then the account as JSON
udp_probe.py send ADDRESS PORT BPS SECONDS BYTES   prints how many were sent, as JSON

Arrival times are the kernel's. For some thousand datagrams a second."""

import json
import os
import socket
import struct
import sys
import time

SO_TIMESTAMPNS_NEW = 64
SO_RCVBUFFORCE = 33
STAMP = struct.Struct("=qq")
HEADER = struct.Struct("!IQ")  # Number, ns since the epoch. Number `END`: the flow's length in place of the time.
END = 0xFFFFFFFF


def hurry():
    """Before other processes: what is measured is the tunnel, not this program's turn."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except OSError:
        os.nice(-10)


def receive(port, seconds):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS_NEW, 1)
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
    sock.bind(("0.0.0.0", port))
    print("ready", flush=True)
    arrivals, sent = [], None
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        sock.settimeout(max(0.01, deadline - time.monotonic()))
        try:
            data, extra, _, _ = sock.recvmsg(65535, 64)
        except TimeoutError:
            break
        number, stamp = HEADER.unpack_from(data)
        if number == END:
            if sent is None:  # What is still on its way may come by a slower line.
                sent, deadline = stamp, min(deadline, time.monotonic() + 1.5)
            continue
        arrived = next((STAMP.unpack(value) for level, kind, value in extra
                        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS_NEW), None)
        arrived = arrived[0] * 10**9 + arrived[1] if arrived else time.time_ns()
        arrivals.append((number, stamp, arrived))
    print(json.dumps(account(arrivals, sent)))


def account(arrivals, sent):
    """What became of a flow of `sent` datagrams: times in seconds of the day's clock, delays in ms."""
    seen, out_of_order, duplicates, highest = set(), 0, 0, -1
    gap, gap_at, previous = 0.0, None, None
    for number, _, arrived in arrivals:
        if number in seen:
            duplicates += 1
            continue
        seen.add(number)
        out_of_order += number < highest
        highest = max(highest, number)
        if previous is not None and arrived - previous > gap:
            gap, gap_at = arrived - previous, previous
        previous = arrived
    delays = sorted((arrived - stamp) / 1e6 for _, stamp, arrived in arrivals)
    lost = [] if sent is None else [number for number in range(sent) if number not in seen]
    return {
        "sent": sent, "received": len(seen), "lost": len(lost) if sent is not None else None,
        "lost_numbers": lost[:200], "out_of_order": out_of_order, "duplicates": duplicates,
        "gap_ms": gap / 1e6, "gap_at": gap_at and gap_at / 1e9,
        "delay_p50_ms": delays[len(delays) // 2] if delays else None,
        "delay_max_ms": delays[-1] if delays else None,
        # Every 10 ms: how many came. Enough for the gap in any window, and for a chart.
        "started": arrivals[0][2] / 1e9 if arrivals else None, "per_10_ms": per_bin(arrivals),
    }


def per_bin(arrivals, width_ns=10_000_000):
    if not arrivals:
        return []
    start = arrivals[0][2]
    bins = [0] * ((max(one[2] for one in arrivals) - start) // width_ns + 1)
    for _, _, arrived in arrivals:
        bins[max(0, arrived - start) // width_ns] += 1
    return bins


def send(address, port, bps, seconds, size):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect((address, port))
    padding = bytes(size - HEADER.size)
    count = int(bps * seconds / 8 / size)
    step = seconds / count
    start, failed, late = time.monotonic(), 0, 0.0
    for number in range(count):
        wait = start + number * step - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        late = max(late, -wait)
        try:
            sock.send(HEADER.pack(number, time.time_ns()) + padding)
        except OSError:
            failed += 1  # Counted as lost by the receiver too: the flow had it to send.
    for _ in range(25):
        time.sleep(0.04)
        try:
            sock.send(HEADER.pack(END, count) + padding)
        except OSError:
            pass
    print(json.dumps({"sent": count, "refused": failed, "late_ms_max": late * 1000}))


if __name__ == "__main__":
    hurry()
    if sys.argv[1] == "receive":
        receive(int(sys.argv[2]), float(sys.argv[3]))
    else:
        send(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), float(sys.argv[5]), int(sys.argv[6]))
