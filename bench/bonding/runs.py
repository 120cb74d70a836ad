"""Single measurements: TCP flows with a ping beside them, UDP, idle lines. All targets of a call run at once."""

import contextlib
import json
import pathlib
import sys
import time

from lab.stage import LabError
from lab.traffic import Iperf, Ping, percentile

PROBE = pathlib.Path(__file__).with_name("udp_probe.py")
PING_INTERVAL_S = 0.01
TICK_S = 0.1              # Of all series.


def sleep_until(when):
    time.sleep(max(0.0, when - time.monotonic()))


def bare_targets(arena):
    return [arena.bare_target(number) for number in range(1, len(arena.names) + 1)]


def tunnel_targets(tunnels):
    return [(tunnel.vps_inner, None) for tunnel in tunnels]


def ping_account(answer):
    """What of a ping is kept."""
    rtt = answer["rtt_ms"]
    return {"sent": answer["sent"], "lost": answer["lost"], "duplicates": answer["duplicates"],
            "p50_ms": percentile(rtt, 0.5), "p99_ms": percentile(rtt, 0.99), "max_ms": rtt[-1] if rtt else None,
            "gap_ms": answer["gap_s"] and answer["gap_s"] * 1000}


def ping_series(answers, start, seconds):
    """The worst of each tick, None where nothing was answered; `start`: time of day."""
    series = [None] * int(seconds / TICK_S)
    for at, ms in answers:
        index = int((at - ms / 1000 - start) / TICK_S)
        if 0 <= index < len(series):
            series[index] = max(series[index] or 0, round(ms, 1))
    return series


def pings(arena, addresses, seconds):
    """Pings alone, 100 a second."""
    count = max(10, round(seconds / PING_INTERVAL_S))
    # The first packet between two ends waits for ARP, and is not what is measured.
    for address in addresses:
        arena.stage.run(arena.world.home, ["ping", "-n", "-q", "-c", 1, "-W", 3, address], check=False)
    running = [Ping(arena.stage, arena.world.home, address, count=count, interval=PING_INTERVAL_S)
               for address in addresses]
    return [ping_account(one.result()) for one in running]


def tcp(arena, targets, *, ways=("down",), flows=1, congestion="cubic", seconds=12, omit=3, series=False):
    """TCP to each target, with 100 pings a second in the measured time. One result a target: bps (of both ways
    together), retransmits, ping; with `series` also the course of both."""
    stage, world = arena.stage, arena.world
    runs = [[Iperf(stage, world.vps, world.home, address, bind=own, flows=flows, down=way == "down",
                   congestion=congestion, seconds=seconds, omit=omit, interval=TICK_S if series else None)
             for way in ways] for address, own in targets]
    sleep_until(runs[-1][-1].started + omit)
    start = time.time()
    beside = [Ping(stage, world.home, address, interval=PING_INTERVAL_S,
                   count=round((seconds - 0.5) / PING_INTERVAL_S)) for address, _ in targets]
    results = []
    for group, one in zip(runs, beside):
        answers = [run.result() for run in group]
        answered = one.result()
        result = {"bps": sum(answer["bps"] for answer in answers),
                  "retransmits": sum(answer["retransmits"] for answer in answers), "ping": ping_account(answered)}
        if len(answers) > 1:
            result["bps_each"] = [answer["bps"] for answer in answers]
        if series:
            result["mbit_series"] = [round(bps / 1e6, 1) for _, bps in answers[0]["intervals"]]
            result["ping_series"] = ping_series(answered["answers"], start, seconds)
        results.append(result)
    return results


def udp(arena, target, bps, *, seconds, omit=2, down=True):
    """iperf3's UDP at a rate: what arrived, was lost and came out of order, and what the receiver's own socket
    dropped (this machine's fault, told apart)."""
    address, own = target
    receiver = arena.world.home if down else arena.world.vps
    before = receive_errors(arena, receiver)
    answer = Iperf(arena.stage, arena.world.vps, arena.world.home, address, bind=own, down=down, udp_bps=bps,
                   seconds=seconds, omit=omit).result()
    own_drops = receive_errors(arena, receiver) - before
    return {"offered_bps": bps, "bps": answer["bps"], "packets": answer["packets"], "lost": answer["lost"],
            "out_of_order": answer["out_of_order"], "receiver_dropped": own_drops,
            "lost_share": max(0, answer["lost"] - own_drops) / max(1, answer["packets"]),
            "out_of_order_share": answer["out_of_order"] / max(1, answer["packets"])}


def receive_errors(arena, netns):
    """Datagrams that sockets of a namespace had no room for."""
    lines = [line.split() for line in arena.stage.run(netns, ["cat", "/proc/net/snmp"]).stdout.splitlines()
             if line.startswith("Udp:")]
    return int(dict(zip(*lines)).get("RcvbufErrors", 0))


class UdpProbe:
    """A flow down of which every datagram is accounted for (udp_probe.py), for rates up to some 30 Mbit/s."""

    _port = 7000

    def __init__(self, arena, address, bps, seconds, size=1400):
        UdpProbe._port += 1
        port, self._seconds = UdpProbe._port, seconds
        command = [sys.executable, PROBE]
        self._receiver = arena.stage.start("udp-receiver", [*command, "receive", port, seconds + 5],
                                           arena.world.home)
        self._receiver.wait_for_output("ready", 5)
        self._sender = arena.stage.start("udp-sender", [*command, "send", address, port, bps, seconds, size],
                                         arena.world.vps)

    def result(self):
        """udp_probe.account(); `lost` counts what the sender's own system refused, too."""
        for process in (self._sender, self._receiver):
            if process.wait(self._seconds + 15) is None:
                process.kill()
                raise LabError(f"{process.name} did not end")
        try:
            account = json.loads(self._receiver.output().split("\n", 1)[1])
            account["refused"] = json.loads(self._sender.output())["refused"]
        except (ValueError, IndexError, KeyError):
            raise LabError(f"the UDP probe gave no account\n{self._receiver.tail()}\n"
                           f"{self._sender.tail()}") from None
        if account["sent"] is None:
            raise LabError("the UDP probe's end never arrived: nothing comes through any more")
        return account


def mbit_series(per_bin, size=1400):
    """Of udp_probe's counts a hundredth of a second: Mbit/s a tick."""
    ticks = [per_bin[i:i + 10] for i in range(0, len(per_bin), 10)]
    return [round(sum(tick) * size * 8 / 1e6 / TICK_S, 1) for tick in ticks]


def longest_stall_s(intervals, below_bps, start=0.0):
    """The longest run of pieces of (end, bps) with less than that, from `start` on."""
    longest = current = previous = 0.0
    for end, bps in intervals:
        length, previous = end - previous, end
        if end <= start:
            continue
        current = current + length if bps < below_bps else 0.0
        longest = max(longest, current)
    return longest


def mean_bps(intervals, start, end):
    """Of pieces of (end, bps) of equal length."""
    chosen = [bps for at, bps in intervals if start < at <= end + 1e-6]
    return sum(chosen) / len(chosen) if chosen else 0.0


def drops_of(tunnel):
    """Frames that either end dropped by choice or need, by reason: {"client": …, "server": …}."""
    said = {}
    with contextlib.suppress(LabError, ValueError, KeyError):
        for side in ("client", "server"):
            peers = tunnel.status(side).get("peers", [])
            said[side] = dict(peers[0].get("drops", {})) if peers else {}
    return said
