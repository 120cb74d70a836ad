#!/usr/bin/env python3
"""Validates the link emulator with real traffic: what was asked for is what is measured.

Usage: linkem_test.py PATH_OF_LINKEM [NAME_PART...]
Two network namespaces of its own, joined by two lines; exit 0 when all holds, 1 when something does
not, 77 when it cannot run here (no root, no /dev/net/tun).
"""

import atexit
import ctypes
import fcntl
import json
import math
import os
import select
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time

CLONE_NEWNET = 0x40000000
SO_TIMESTAMPNS = 35
SO_RCVBUFFORCE = 33
SO_SNDBUFFORCE = 32
ETH_P_ALL = 3
HEADER = struct.Struct("!IQ")  # sequence number, send time in ns
IP_UDP = 28
SEED = 7

A, B = f"lkeA{os.getpid()}", f"lkeB{os.getpid()}"
ADDRESS = {("l1", A): "10.201.1.1", ("l1", B): "10.201.1.2",
           ("l2", A): "10.201.2.1", ("l2", B): "10.201.2.2"}
INTERFACE = {("l1", A): "l1a", ("l1", B): "l1b", ("l2", A): "l2a", ("l2", B): "l2b"}

PLAIN = ("rate=none queue=200ms delay=0 jitter=0 jitter_mode=fifo loss=0 ge=none duplicate=0 "
         "corrupt=0 mtu=none burst=0 policer=none policer_burst=0 shared=none")

libc = ctypes.CDLL(None, use_errno=True)
failures = []


# ---------------------------------------------------------------------------------------- tools

def run(*command, check=True):
    return subprocess.run(command, check=check, capture_output=True, text=True)


class inside:
    """Sockets opened in the block belong to the namespace ever after."""

    def __init__(self, netns):
        self.netns = netns

    def __enter__(self):
        self.home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        away = os.open(f"/run/netns/{self.netns}", os.O_RDONLY)
        if libc.setns(away, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        os.close(away)

    def __exit__(self, *_):
        if libc.setns(self.home, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        os.close(self.home)


class Linkem:
    def __init__(self, binary, folder):
        self.binary = binary
        self.dropped_without_carrier = 0
        self.control = os.path.join(folder, "ctl.sock")
        self.process = subprocess.Popen(
            [binary, "--control", self.control, "--seed", str(SEED),
             "--shared", "name=cell rate=20M",
             "--line", f"name=l1 a=l1a@{A} b=l1b@{B}",
             "--line", f"name=l2 a=l2a@{A} b=l2b@{B}"], stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "linkem: ready\n":
            raise RuntimeError("linkem did not get ready")

    def ctl(self, command):
        done = run(self.binary, "ctl", self.control, *command.split(), check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{command}: {done.stderr}")
        return json.loads(done.stdout)

    def refusal(self, command):
        done = run(self.binary, "ctl", self.control, *command.split(), check=False)
        return done.returncode, done.stderr

    def set(self, settings, line="l1"):
        self.ctl(f"set {line} {settings}")

    def stats(self, line="l1", direction="up"):
        return self.ctl("stats")["lines"][line][direction]


class Flow:
    """UDP from one namespace to the other, numbered and stamped; direction "up" is from A to B."""

    def __init__(self, line="l1", direction="up"):
        source, target = (A, B) if direction == "up" else (B, A)
        with inside(target):
            self.receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.receiver.bind((ADDRESS[line, target], 0))
        self.receiver.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.receiver.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 24)
        self.receiver.setblocking(False)
        with inside(source):
            self.sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sender.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 1 << 22)
        self.sender.connect(self.receiver.getsockname())
        self.sent = 0
        self.errors = 0

    def send(self, ip_bytes=1500):
        packet = HEADER.pack(self.sent, time.time_ns()).ljust(ip_bytes - IP_UDP, b"\0")
        self.sent += 1
        try:
            self.sender.send(packet)
        except OSError:
            self.errors += 1

    def send_evenly(self, count, gap_s, ip_bytes=1500):
        start = time.monotonic()
        for i in range(count):
            wait = start + i * gap_s - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            self.send(ip_bytes)

    def send_at(self, rate_bps, seconds, ip_bytes=1500):
        """The rate in steps of a millisecond or more, as the machine allows."""
        start, before = time.monotonic(), self.sent
        while (elapsed := time.monotonic() - start) < seconds:
            while (self.sent - before) * ip_bytes * 8 < rate_bps * elapsed:
                self.send(ip_bytes)
            time.sleep(0.001)

    def receive(self, quiet_s=0.15, limit_s=math.inf):
        """All packets until nothing came for a while: (sequence, sent ns, arrived ns, IP bytes)."""
        packets = []
        end = time.monotonic() + limit_s
        while time.monotonic() < end and select.select([self.receiver], [], [], quiet_s)[0]:
            while True:
                try:
                    data, ancillary, _, _ = self.receiver.recvmsg(2048, 64)
                except BlockingIOError:
                    break
                arrived_s, arrived_ns = struct.unpack("qq", ancillary[0][2])
                sequence, sent_ns = HEADER.unpack_from(data)
                packets.append((sequence, sent_ns, arrived_s * 10**9 + arrived_ns,
                                len(data) + IP_UDP))
        return packets

    def close(self):
        self.receiver.close()
        self.sender.close()


def together(*tasks):
    threads = [threading.Thread(target=task) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def exchange(flow, send, quiet_s=0.15):
    """Sends in another thread while this one receives."""
    thread = threading.Thread(target=send)
    thread.start()
    packets = []
    while thread.is_alive():
        packets += flow.receive(0.05)
    thread.join()
    return packets + flow.receive(quiet_s)


def delays_ms(packets):
    return [(arrived - sent) / 1e6 for _, sent, arrived, _ in packets]


def rate_of(packets, from_s=0.0, to_s=math.inf):
    """IP bits per second between the first and the last arrival in the part of the time."""
    first = packets[0][2]
    part = [p for p in packets if from_s <= (p[2] - first) / 1e9 <= to_s]
    return sum(p[3] for p in part[1:]) * 8e9 / (part[-1][2] - part[0][2])


def deviation(values):
    """Standard deviation by the middle half, which a hiccup of the machine does not move."""
    quarters = statistics.quantiles(values, n=4)
    return (quarters[2] - quarters[0]) / 1.349


def claim(holds, text):
    print(f"    {'ok  ' if holds else 'FAIL'} {text}", flush=True)
    if not holds:
        failures.append(text)


def near(value, wanted, tolerance):
    return abs(value - wanted) <= tolerance


# ---------------------------------------------------------------------------------------- tests

def test_rate(linkem):
    for rate in (5e6, 60e6):
        linkem.set(f"up.rate={rate:.0f} queue=50ms")
        flow = Flow()
        packets = exchange(flow, lambda: flow.send_at(rate * 1.4, 1.2))
        got = rate_of(packets, 0.1, 1.1)
        claim(near(got, rate, 0.015 * rate), f"{rate / 1e6:.0f} Mbit/s up: {got / 1e6:.3f}")
        flow.close()


def test_rates_differ_by_direction(linkem):
    linkem.set("up.rate=4M down.rate=16M queue=50ms")
    up, down = Flow(direction="up"), Flow(direction="down")
    together(lambda: up.send_at(8e6, 1), lambda: down.send_at(24e6, 1))
    for name, flow, rate in (("up", up, 4e6), ("down", down, 16e6)):
        got = rate_of(flow.receive(), 0.1)
        claim(near(got, rate, 0.015 * rate), f"{name} {rate / 1e6:.0f} Mbit/s: {got / 1e6:.3f}")
        flow.close()


def test_small_packets_count_ip_bytes(linkem):
    linkem.set("up.rate=4M queue=50ms")
    flow = Flow()
    packets = exchange(flow, lambda: flow.send_at(6e6, 1, ip_bytes=200))
    got = rate_of(packets, 0.1)
    claim(near(got, 4e6, 0.06e6), f"200-byte packets at 4 Mbit/s: {got / 1e6:.3f}")
    flow.close()


def test_delay(linkem):
    for up, down in ((20, 20), (5, 35)):
        linkem.set(f"up.delay={up}ms down.delay={down}ms")
        lines = run("ip", "netns", "exec", A, "ping", "-n", "-i", "0.02", "-c", "20",
                    ADDRESS["l1", B]).stdout
        trips = [float(line.split("time=")[1].split()[0]) for line in lines.splitlines()
                 if "time=" in line]
        got = statistics.median(trips)
        # Twice what one way may be off below.
        claim(len(trips) == 20 and near(got, up + down, 1.0),
              f"RTT of {up} + {down} ms: {got:.3f} ms")
        for direction, wanted in (("up", up), ("down", down)):
            flow = Flow(direction=direction)
            flow.send_evenly(40, 0.005)
            one_way = statistics.median(delays_ms(flow.receive()))
            claim(near(one_way, wanted, 0.5), f"{direction} {wanted} ms: {one_way:.3f} ms")
            flow.close()


def test_jitter_fifo(linkem):
    # Far enough apart that hardly any packet waits for the one before.
    linkem.set("delay=20ms jitter=2ms")
    up, down = Flow(direction="up"), Flow(direction="down")
    together(lambda: up.send_evenly(300, 0.009), lambda: down.send_evenly(300, 0.009))
    delays = delays_ms(up.receive()) + delays_ms(down.receive())
    sigma, mean = deviation(delays), statistics.median(delays)
    claim(near(sigma, 2, 0.3), f"fifo, sparse: deviation of 2 ms: {sigma:.3f} ms")
    claim(near(mean, 20, 0.5), f"fifo, sparse: around 20 ms: {mean:.3f} ms")
    up.close()
    down.close()
    linkem.set("up.jitter=5ms up.rate=50M")
    flow = Flow()
    packets = exchange(flow, lambda: flow.send_evenly(1000, 0.0005))
    sequence = [p[0] for p in packets]
    claim(len(packets) == 1000 and sequence == sorted(sequence), "fifo keeps the order")
    flow.close()


def test_jitter_reorder(linkem):
    linkem.set("up.delay=20ms up.jitter=3ms jitter_mode=reorder")
    flow = Flow()
    packets = exchange(flow, lambda: flow.send_evenly(1500, 0.0008))
    sequence = [p[0] for p in packets]
    overtaken = sum(1 for a, b in zip(sequence, sequence[1:]) if b < a)
    sigma = deviation(delays_ms(packets))
    claim(overtaken > 300, f"reorder: {overtaken} of 1500 overtaken")
    claim(near(sigma, 3, 0.45), f"reorder: deviation of 3 ms: {sigma:.3f} ms")
    flow.close()


def lost_of(linkem, settings, count):
    """Sends `count` packets fast; the set of those that did not arrive."""
    linkem.set(settings)
    before = linkem.stats()["drops"]["loss"]
    flow = Flow()
    packets = exchange(flow, lambda: flow.send_evenly(count, 0.0001, 100))
    lost = set(range(count)) - {p[0] for p in packets}
    counted = linkem.stats()["drops"]["loss"] - before
    claim(counted == len(lost), f"{len(lost)} missing, {counted} counted as lost")
    flow.close()
    return lost


def test_loss(linkem):
    lost = lost_of(linkem, "up.loss=5%", 6000)
    bound = 4 * math.sqrt(6000 * 0.05 * 0.95)
    claim(near(len(lost), 300, bound), f"5 % of 6000: {len(lost)} (300 +- {bound:.0f})")


def test_burst_loss(linkem):
    lost = lost_of(linkem, "up.ge=2%,25%", 8000)
    bursts = sum(1 for n in lost if n - 1 not in lost)
    mean = len(lost) / bursts
    # The deviation of a geometric length with mean 4 is 3.5, over some 150 bursts.
    claim(near(mean, 4, 4 * 3.5 / math.sqrt(bursts)),
          f"bursts of 4: {mean:.2f} over {bursts} bursts")
    claim(near(len(lost) / 8000, 0.02 / 0.27, 0.025), f"share of 7.4 %: {len(lost) / 80:.1f} %")


def test_duplicate(linkem):
    linkem.set("up.duplicate=10%")
    before = linkem.stats()
    flow = Flow()
    packets = exchange(flow, lambda: flow.send_evenly(3000, 0.0001, 200))
    extra = len(packets) - 3000
    bound = 4 * math.sqrt(3000 * 0.1 * 0.9)
    claim(near(extra, 300, bound), f"10 % of 3000: {extra} (300 +- {bound:.0f})")
    claim({p[0] for p in packets} == set(range(3000)), "every original arrives")
    claim(linkem.stats()["duplicates"] - before["duplicates"] == extra, "as many are counted")
    flow.close()


def test_corrupt(linkem):
    linkem.set("up.corrupt=10%")
    before = linkem.stats()["corrupted"]
    with inside(B):
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        tap.bind((INTERFACE["l1", B], 0))
    tap.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 24)
    tap.setblocking(False)
    flow = Flow()
    packets = exchange(flow, lambda: flow.send_evenly(3000, 0.0001, 128))
    frames = []
    while select.select([tap], [], [], 0.1)[0]:
        frames.append(tap.recv(2048))
    frames = [f for f in frames if len(f) == 14 + 128 and f[12:14] == b"\x08\x00"]
    headers = {f[:14] for f in frames}
    claim(len(frames) == 3000 and len(headers) == 1, "every frame arrives, MAC header untouched")
    claim(all(sum(struct.unpack("!10H", f[14:34])) % 0xFFFF == 0 for f in frames),
          "IP headers untouched")
    # Behind the send stamp the payload is zeros; a flip elsewhere shows in the checksum.
    corrupted = linkem.stats()["corrupted"] - before
    refused = 3000 - len(packets)
    claim(near(corrupted, 300, 66), f"10 % of 3000: {corrupted} (300 +- 66)")
    claim(0.9 * corrupted <= refused <= corrupted,
          f"UDP's checksum refuses {refused} of the {corrupted}")
    tap.close()
    flow.close()


def test_mtu(linkem):
    linkem.set("up.mtu=1300")
    flow = Flow()
    for size in (1300, 1301, 1500, 100):
        flow.send(size)
    sizes = [p[3] for p in flow.receive()]
    claim(sizes == [1300, 100], f"mtu 1300 passes 1300 and 100 of 1300, 1301, 1500, 100: {sizes}")
    claim(flow.errors == 0, "the sender is not told")
    flow.close()


def test_policer(linkem):
    linkem.set("up.policer=10M up.policer_burst=60000")
    flow = Flow()
    packets = exchange(flow, lambda: flow.send_at(25e6, 1.5))
    # The burst is gone in 32 ms at the 15 Mbit/s in excess.
    got = rate_of(packets, 0.2, 1.4)
    claim(near(got, 10e6, 0.15e6), f"10 Mbit/s: {got / 1e6:.3f}")
    first = [p[0] for p in packets[:40]]
    claim(first == list(range(40)), "the first 60 kB pass whole")
    claim(statistics.median(delays_ms(packets)) < 0.6, "nothing is delayed")
    flow.close()


def test_queue(linkem):
    linkem.set("up.rate=10M up.delay=5ms queue=200ms")
    load = Flow()
    thread = threading.Thread(target=lambda: load.send_at(15e6, 1.6))
    thread.start()
    time.sleep(0.8)
    lines = run("ip", "netns", "exec", A, "ping", "-n", "-s", "20", "-i", "0.03", "-c", "20",
                ADDRESS["l1", B], check=False).stdout
    trips = [float(line.split("time=")[1].split()[0]) for line in lines.splitlines()
             if "time=" in line]
    thread.join()
    got = statistics.median(trips)
    claim(near(got, 205, 4), f"a ping behind 200 ms of queue and 5 of delay: {got:.1f} ms")
    # The end of the range would show this machine's hiccups between stamp and interface.
    worst = statistics.quantiles(delays_ms(load.receive()), n=20)[-1]
    claim(near(worst, 205, 4), f"95 % of the load had at most {worst:.1f} ms")
    queue = linkem.stats()
    claim(249000 <= queue["queue_bytes_max"] <= 250000, f"queue_bytes_max: "
          f"{queue['queue_bytes_max']} of 250000")
    load.close()
    linkem.set("queue=30000")
    flow = Flow()
    for _ in range(100):
        flow.send()
    claim(20 <= len(flow.receive()) <= 25, "30,000 bytes of queue take 20 packets of 100 at once")
    flow.close()


def test_shared(linkem):
    linkem.set("down.shared=cell", "l1")
    linkem.set("down.shared=cell", "l2")
    one, other = Flow("l1", "down"), Flow("l2", "down")
    together(lambda: one.send_at(20e6, 1.5), lambda: other.send_at(20e6, 1.5))
    first, second = one.receive(), other.receive()
    both = sorted(first + second, key=lambda p: p[2])
    got = rate_of(both, 0.2, 1.4)
    share = sum(p[3] for p in first) / sum(p[3] for p in both)
    claim(near(got, 20e6, 0.3e6), f"two lines on 20 Mbit/s: {got / 1e6:.3f} in all")
    claim(0.3 < share < 0.7, f"share of the first: {share:.2f}")
    linkem.ctl("set cell rate=8M")
    together(lambda: one.send_at(8e6, 1), lambda: other.send_at(8e6, 1))
    both = sorted(one.receive(0.3) + other.receive(), key=lambda p: p[2])
    got = rate_of(both, 0.2, 1)
    claim(near(got, 8e6, 0.12e6), f"changed to 8 Mbit/s: {got / 1e6:.3f} in all")
    linkem.ctl("set cell rate=20M")
    one.close()
    other.close()


def test_burst_release(linkem):
    linkem.set("up.burst=25ms up.delay=3ms")
    flow = Flow()
    packets = exchange(flow, lambda: flow.send_evenly(600, 0.001, 200))
    times = [p[2] / 1e6 for p in packets]
    groups = [times[0]]
    inner = []
    for before, after in zip(times, times[1:]):
        if after - before > 5:
            groups.append(after)
        else:
            inner.append(after - before)
    gap = statistics.median(b - a for a, b in zip(groups, groups[1:]))
    claim(len(packets) == 600 and near(gap, 25, 0.5), f"bursts every 25 ms: {gap:.3f} ms")
    claim(20 <= len(groups) <= 27, f"{len(groups)} bursts in 600 ms")
    delays = delays_ms(packets)
    claim(min(delays) > 2.9 and max(delays) < 35, "no frame waits for more than its burst")
    flow.close()


def test_silent_down(linkem):
    for cut, open_ in (("up", "down"), ("down", "up")):
        linkem.ctl(f"down l1 {cut}")
        dead, alive = Flow(direction=cut), Flow(direction=open_)
        for _ in range(50):
            dead.send()
            alive.send()
        claim(len(dead.receive()) == 0 and len(alive.receive()) == 50,
              f"{cut} is dead, {open_} is not")
        claim(dead.errors == 0 and has_carrier(A, "l1a") and has_carrier(B, "l1b"),
              "nobody is told")
        linkem.ctl("up l1")
        dead.send()
        claim(len(dead.receive()) == 1, "mended")
        dead.close()
        alive.close()
    linkem.set("up.delay=100ms")
    flow = Flow()
    for _ in range(20):
        flow.send()
    time.sleep(0.02)
    linkem.ctl("down l1")
    linkem.ctl("up l1")
    claim(len(flow.receive(0.2)) == 0, "what was on the line when it was cut is lost")
    flow.close()


def has_carrier(netns, interface):
    flags = json.loads(run("ip", "-n", netns, "-j", "link", "show", interface).stdout)[0]["flags"]
    return "LOWER_UP" in flags


def test_carrier(linkem):
    linkem.ctl("carrier l1 off")
    claim(not has_carrier(A, "l1a") and not has_carrier(B, "l1b"), "both ends lose their carrier")
    claim(has_carrier(A, "l2a"), "the other line keeps its carrier")
    flow = Flow()
    flow.send()
    claim(len(flow.receive(0.05)) == 0, "nothing passes")
    linkem.ctl("carrier l1 on")
    claim(has_carrier(A, "l1a") and has_carrier(B, "l1b"), "both ends get it back")
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        flow.send()
        if flow.receive(0.02):
            break
    claim(time.monotonic() < deadline, "and frames pass again")
    # Without a carrier the kernel throws frames away itself, and counts them as the TAP's drops.
    linkem.dropped_without_carrier = linkem.ctl("stats")["lines"]["l1"]["tap_drops_a"]
    flow.close()


def test_changes_at_run_time(linkem):
    linkem.set("up.rate=20M queue=400ms")
    flow = Flow()
    thread = threading.Thread(target=lambda: flow.send_at(30e6, 2.0))
    thread.start()
    packets = []
    changed = None
    start = time.monotonic()
    while thread.is_alive():
        packets += flow.receive(0.02, 0.1)
        if changed is None and time.monotonic() > start + 1:
            linkem.set("up.rate=10M")
            changed = time.time_ns()
    packets += flow.receive(0.3)
    first = [p for p in packets if p[2] < changed - 30e6]
    second = [p for p in packets if p[2] > changed + 30e6]
    claim(near(rate_of(first, 0.1), 20e6, 0.3e6), f"20 Mbit/s: {rate_of(first, 0.1) / 1e6:.3f}")
    claim(near(rate_of(second), 10e6, 0.15e6),
          f"then 10 Mbit/s, the backlog too: {rate_of(second) / 1e6:.3f}")
    flow.close()


def test_trace(linkem):
    # A quarter of the time at 48 Mbit/s, the rest at 4: 15 Mbit/s on average.
    stamps = [ms for ms in range(100) for _ in range(4 if ms < 25 else ms % 3 == 0)]
    path = os.path.join(os.path.dirname(linkem.control), "shape.trace")
    with open(path, "w", encoding="ascii") as file:
        file.writelines(f"{ms}\n" for ms in stamps + [100])
    average = (len(stamps) + 1) * 12000 / 0.1
    linkem.set(f"up.trace={path} queue=200ms")
    flow = Flow()
    packets = exchange(flow, lambda: flow.send_at(average * 1.3, 1.5))
    # Whole periods only: from the start of a fast part to the start of another.
    first = packets[0][2]
    part = [p for p in packets if 0.3e9 <= p[2] - first <= 1.2e9]
    got = sum(p[3] for p in part) * 8 / 0.9
    claim(near(got, average, 0.015 * average),
          f"average of {average / 1e6:.2f} Mbit/s: {got / 1e6:.3f}")
    slots = [0] * 20  # 5 ms each of the 100 ms
    for p in part:
        slots[(p[2] - first) // 5_000_000 % 20] += 1
    busy = sum(1 for n in slots if n > 100)
    claim(4 <= busy <= 6, f"the fast quarter is 25 of 100 ms: {busy} of 20 slots are busy")
    flow.close()


def test_tcp_is_cut_to_frames(linkem):
    linkem.set("delay=2ms")
    before = linkem.stats()
    with inside(B):
        listener = socket.create_server((ADDRESS["l1", B], 0))
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        tap.bind((INTERFACE["l1", B], 0))
    tap.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 26)
    with inside(A):
        client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    client.connect(listener.getsockname())
    server = listener.accept()[0]
    size = 4_000_000
    thread = threading.Thread(target=lambda: (client.sendall(b"x" * size), client.close()))
    thread.start()
    got = 0
    while data := server.recv(1 << 16):
        got += len(data)
    thread.join()
    tap.setblocking(False)
    longest = 0
    while select.select([tap], [], [], 0.05)[0]:
        longest = max(longest, len(tap.recv(70000)))
    after = linkem.stats()
    claim(got == size, "TCP carries 4 MB through the line")
    claim(longest == 1514, f"the longest frame is one MTU: {longest} bytes")
    carried = after["in_frames"] - before["in_frames"]
    claim(carried >= size / 1448, f"{carried} frames of at most 1448 bytes of data each")
    for s in (tap, server, listener):
        s.close()


def test_errors(linkem):
    for command, words in (("set l1 rate=5Q", ["rate=5Q", "k, M or G"]),
                           ("set l9 rate=5M", ["l9", "l1 l2"]),
                           ("set l1 down.shared=moon", ["moon", "--shared"]),
                           ("down l1 sideways", ["sideways", "up, down or both"]),
                           ("explode", ["explode", "stats"])):
        code, text = linkem.refusal(command)
        claim(code == 64 and all(word in text for word in words), f"{command}: {text.strip()}")
    done = run(linkem.binary, "ctl", linkem.control + ".none", "stats", check=False)
    claim(done.returncode == 69 and "cannot reach" in done.stderr, "no linkem there: exit 69")
    twice = run(linkem.binary, "--line", f"name=x a=l1a@{A} b=xb@{B}", check=False)
    claim(twice.returncode == 71 and "l1a" in twice.stderr, f"name taken: {twice.stderr.strip()}")
    nowhere = run(linkem.binary, "--line", "name=x a=xa@lkenowhere b=xb", check=False)
    claim(nowhere.returncode == 71 and "ip netns add" in nowhere.stderr, "no such namespace")
    claim(linkem.ctl("stats")["ok"], "and the running one goes on")


def test_counters_add_up(linkem):
    linkem.set("rate=5M queue=20ms loss=5% duplicate=5% corrupt=5% up.mtu=1400 policer=8M "
               "delay=30ms jitter=3ms")
    flow = Flow()
    for step in range(6):
        linkem.ctl(f"{'down' if step == 2 else 'up'} l1 up")
        for size in (1500, 1400, 300, 60) * 10:
            flow.send(size)
        # Without waiting for the line to run dry: what is inside counts.
        for line in linkem.ctl("stats")["lines"].values():
            for direction in ("up", "down"):
                d = line[direction]
                given = d["in_frames"] + d["duplicates"]
                taken = d["out_frames"] + sum(d["drops"].values()) + d["inside_frames"]
                if given != taken:
                    claim(False, f"in {given}, accounted for {taken}: {d}")
    d = linkem.stats()
    claim(all(d["drops"][reason] > 0 for reason in ("mtu", "policer", "loss", "queue", "down")),
          f"in + duplicates = out + drops + inside at every look; drops {d['drops']}")
    unread = sum(line["tap_drops_a"] + line["tap_drops_b"]
                 for line in linkem.ctl("stats")["lines"].values())
    claim(unread == linkem.dropped_without_carrier,
          "but for the carrier's sake the kernel dropped nothing before it was read")
    flow.receive()
    flow.close()


def test_end(linkem):
    linkem.process.send_signal(signal.SIGTERM)
    claim(linkem.process.wait(5) == 0, "SIGTERM ends it with 0")
    left = run("ip", "-n", A, "-o", "link").stdout + run("ip", "-n", B, "-o", "link").stdout
    claim("l1" not in left and "l2" not in left, "its interfaces are gone")
    claim(not os.path.exists(linkem.control), "and its socket")


# ----------------------------------------------------------------------------------------- main

def set_up_interfaces():
    macs = {}
    for (line, netns), interface in INTERFACE.items():
        run("ip", "-n", netns, "addr", "add", ADDRESS[line, netns] + "/24", "dev", interface)
        run("ip", "-n", netns, "link", "set", interface, "up")
        shown = json.loads(run("ip", "-n", netns, "-j", "link", "show", interface).stdout)
        macs[line, netns] = shown[0]["address"]
    # No ARP: every frame on the lines is the test's own.
    for (line, netns), interface in INTERFACE.items():
        peer = B if netns == A else A
        run("ip", "-n", netns, "neigh", "replace", ADDRESS[line, peer], "lladdr",
            macs[line, peer], "dev", interface, "nud", "permanent")


def main():
    if len(sys.argv) < 2 or not os.access(sys.argv[1], os.X_OK):
        sys.exit("usage: linkem_test.py PATH_OF_LINKEM [NAME_PART...]")
    if os.geteuid() != 0:
        print("skipped: needs root for namespaces and TAPs")
        sys.exit(77)
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except OSError as error:
        print(f"skipped: no usable /dev/net/tun: {error}")
        sys.exit(77)

    for netns in (A, B):
        run("ip", "netns", "add", netns)
        atexit.register(run, "ip", "netns", "del", netns, check=False)
        run("ip", "netns", "exec", netns, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1",
            "net.ipv6.conf.default.disable_ipv6=1", check=False)
    folder = tempfile.TemporaryDirectory(prefix="linkem-test-")
    linkem = Linkem(os.path.abspath(sys.argv[1]), folder.name)
    atexit.register(linkem.process.kill)
    set_up_interfaces()

    tests = [(name, body) for name, body in globals().items() if name.startswith("test_")]
    begin = time.monotonic()
    for name, body in tests:
        if len(sys.argv) > 2 and not any(part in name for part in sys.argv[2:]):
            continue
        print(name, flush=True)
        if linkem.process.poll() is None:
            linkem.set(PLAIN, "l1")
            linkem.set(PLAIN, "l2")
            linkem.ctl("stats reset-max")
        try:
            body(linkem)
        except Exception as error:  # one broken test must not hide the others
            claim(False, f"{type(error).__name__}: {error}")
    print(f"{time.monotonic() - begin:.1f} s, {len(failures)} failed")
    for failure in failures:
        print(f"  FAIL {failure}")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
