"""Policers, shared bottlenecks, other traffic, changing demand and changing lines; and what idling costs.

Each function takes (arena, timing, tell, series) and gives what it found by name."""

import re
import time

from lab.traffic import Iperf, percentile

from .arena import trace_file
from .failures import peer_of, start_ping, start_tcp
from .line_watch import LineWatch
from .runs import (TICK_S, bare_targets, mean_bps, ping_account, ping_series, pings, sleep_until, tcp,
                   tunnel_targets)

POLICER_BPS = 50e6
SHARED_BPS = 50e6
TRACE_PACKET_BITS = 1500 * 8


def policer(arena, timing, tell, series):
    arena.emulator.set("wan1", "policer=50M", "policer_burst=64KiB")
    tunnel, = arena.singles([1])
    seconds = 3 + timing.tcp_s
    with LineWatch(arena) as watch:
        flow = start_tcp(arena, tunnel, seconds)
        answer = flow.result()
    start, end = flow.started + 3, flow.started + seconds
    dropped = watch.dropped("wan1", "down", start, end).get("policer", 0)
    offered, _ = watch.moved("wan1", "down", start, end, "in_frames")
    found = {"bps": mean_bps(answer["intervals"], 3, seconds), "loss": dropped / max(1, offered)}
    keep_series(found, series, answer)
    tell(f"policer of 50 Mbit/s: {found['bps'] / 1e6:.1f} Mbit/s, {found['loss']:.2%} of the datagrams dropped")
    return found


def keep_series(found, series, answer):
    if series:
        found["series"] = {"TCP": [round(bps / 1e6, 1) for _, bps in answer["intervals"]]}


def shared(arena, timing, tell, series):
    bare = tcp(arena, bare_targets(arena)[:1], seconds=timing.short_s, omit=timing.omit_s)[0]["bps"]
    tunnel = arena.bond()
    idle = pings(arena, [tunnel.vps_inner], 2)[0]
    result = tcp(arena, tunnel_targets([tunnel]), seconds=timing.tcp_s, omit=timing.omit_s, series=series)[0]
    found = {"bare_bps": bare, "idle": idle, **result}
    if series:
        found["series"] = {"TCP": found.pop("mbit_series")}
    tell(f"one line of 50 Mbit/s behind both: {result['bps'] / 1e6:.1f} Mbit/s (bare {bare / 1e6:.1f}), "
         f"ping p99 {result['ping']['p99_ms'] or 0:.0f} ms (idle {idle['p99_ms'] or 0:.0f})")
    return found


def _beside(arena, timing, tell, series, congestion):
    tunnel = arena.bond()
    seconds = timing.beside_s
    address, own = arena.bare_target(1)
    with LineWatch(arena) as watch:
        inside = start_tcp(arena, tunnel, seconds + 3)
        outside = Iperf(arena.stage, arena.world.vps, arena.world.home, address, bind=own, down=True,
                        seconds=seconds + 3, congestion=congestion, interval=TICK_S)
        inner, outer = inside.result(), outside.result()
    start, end = outside.started + 3, outside.started + 3 + seconds
    # IP bytes of full segments with timestamps: 1448 of 1500 are the flow's.
    outside_bps = mean_bps(outer["intervals"], 3, 3 + seconds) * 1500 / 1448
    line_bps = watch.rate("wan1", "down", start, end)
    capacity = arena.lines[0].rate * 1e6
    found = {"outside_share": outside_bps / capacity, "tunnel_share": max(0.0, line_bps - outside_bps) / capacity,
             "tunnel_bps": mean_bps(inner["intervals"], 3, 3 + seconds)}
    if series:
        found["series"] = {"through mwtun": [round(bps / 1e6, 1) for _, bps in inner["intervals"]],
                           f"{congestion.upper()} beside it": [round(bps / 1e6, 1) for _, bps in outer["intervals"]]}
    tell(f"beside one {congestion.upper()} flow on wan1 for {seconds} s: of that line it has "
         f"{found['outside_share']:.2f}, the tunnel {found['tunnel_share']:.2f}")
    return found


def beside_cubic(arena, timing, tell, series):
    return _beside(arena, timing, tell, series, "cubic")


def beside_bbr(arena, timing, tell, series):
    return _beside(arena, timing, tell, series, "bbr")


def _sudden_demand(arena, timing, tell, series, quiet_bps, about):
    """UDP at all the lines carry, after 10 s of little or nothing."""
    bare = tcp(arena, bare_targets(arena), seconds=timing.short_s, omit=timing.omit_s)
    total = sum(one["bps"] for one in bare)
    tunnel = arena.bond()
    tcp(arena, tunnel_targets([tunnel]), seconds=4, omit=1)
    if quiet_bps:
        Iperf(arena.stage, arena.world.vps, arena.world.home, tunnel.vps_inner, down=True, udp_bps=quiet_bps,
              seconds=10).result()
    else:
        time.sleep(10)
    # As much as the sum: what exceeds it has a queue and drops to go to, and is not judged here.
    answer = Iperf(arena.stage, arena.world.vps, arena.world.home, tunnel.vps_inner, down=True, udp_bps=total,
                   seconds=4, interval=TICK_S).result()
    found = {"sum_bps": total, "second_bps": mean_bps(answer["intervals"], 1, 2),
             "first_bps": mean_bps(answer["intervals"], 0, 1)}
    if series:
        found["series"] = {"UDP": [round(bps / 1e6, 1) for _, bps in answer["intervals"]]}
    tell(f"{about}, then UDP at {total / 1e6:.0f} Mbit/s: {found['first_bps'] / 1e6:.0f} in the first second, "
         f"{found['second_bps'] / 1e6:.0f} in the second")
    return found


def after_idle(arena, timing, tell, series):
    return _sudden_demand(arena, timing, tell, series, 0, "10 s idle")


def after_trickle(arena, timing, tell, series):
    return _sudden_demand(arena, timing, tell, series, 1e6, "10 s at 1 Mbit/s")


def trace_capacity_bps(path, start_s, end_s):
    """What a trace, begun at 0, would have carried between two moments."""
    stamps = [int(word) for word in path.read_text().split() if not word.startswith("#")]
    period = stamps[-1]
    count = 0
    for turn in range(int(end_s * 1000 // period) + 1):
        count += sum(start_s * 1000 <= stamp + turn * period < end_s * 1000 for stamp in stamps)
    return count * TRACE_PACKET_BITS / (end_s - start_s)


def lte(arena, timing, tell, series):
    line = arena.lines[0]
    path = trace_file(line.trace, arena.folders)
    tunnel, = arena.singles([1])
    seconds = timing.lte_s
    arena.replay_traces()
    restarted = time.monotonic()
    with LineWatch(arena, period=0.02) as watch:
        flow = start_tcp(arena, tunnel, seconds + 3)
        sleep_until(flow.started + 3)
        began = time.time()
        beside = start_ping(arena, tunnel, seconds - 0.5)
        answer, answered = flow.result(), beside.result()
    start, end = flow.started + 3, flow.started + 3 + seconds
    capacity = trace_capacity_bps(path, start - restarted, end - restarted)
    queue = [max(0.0, delay - line.delay_ms) for delay in watch.delays_ms("wan1", "down", start, end)]
    found = {"capacity_bps": capacity, "wire_bps": watch.rate("wan1", "down", start, end),
             "bps": mean_bps(answer["intervals"], 3, 3 + seconds), "queue_p95_ms": percentile(queue, 0.95),
             "queue_p50_ms": percentile(queue, 0.5), "ping": ping_account(answered)}
    if series:
        found["series"] = {"TCP": [round(bps / 1e6, 1) for end, bps in answer["intervals"] if end > 3],
                           "capacity": [round(trace_capacity_bps(path, start - restarted + i * 0.5,
                                                                 start - restarted + (i + 1) * 0.5) / 1e6, 1)
                                        for i in range(seconds * 2) for _ in range(5)]}
        found["ping_series"] = ping_series(answered["answers"], began, seconds)
    tell(f"{path.name} alone: {found['bps'] / 1e6:.1f} Mbit/s, {found['wire_bps'] / capacity:.2f} of the capacity "
         f"used, queue p95 {found['queue_p95_ms'] or 0:.0f} ms")
    return found


def _rate_said_bps(tunnel):
    """What the sending end says its first link can carry, whatever the name of it; None when it says nothing."""
    link = (peer_of(tunnel, "server").get("links") or [{}])[0]
    names = [name for name in link if re.search(r"(^|_)(can|capacity|rate)(_|$)", name) and name.endswith("bps")
             and "receive" not in name]
    return link[names[0]] if names else None


def loss_step(arena, timing, tell, series):
    """UDP beyond the line's rate; the rate the sender believes in, 3 s after the loss rose."""
    tunnel, = arena.singles([1])
    with LineWatch(arena) as watch:
        flow = Iperf(arena.stage, arena.world.vps, arena.world.home, tunnel.vps_inner, down=True,
                     udp_bps=arena.lines[0].rate * 1.0e6, seconds=14, interval=TICK_S)
        sleep_until(flow.started + 6)
        before = _rate_said_bps(tunnel)
        arena.emulator.set("wan1", "loss=30%")
        sleep_until(flow.started + 9.2)
        said = _rate_said_bps(tunnel)
        answer = flow.result()
    delivered = watch.rate("wan1", "down", flow.started + 8, flow.started + 10)
    sent = watch.rate("wan1", "down", flow.started + 8, flow.started + 10, "in_bytes")
    found = {"said_before_bps": before, "said_bps": said, "delivered_bps": delivered, "sent_bps": sent}
    keep_series(found, series, answer)
    tell(f"loss from 1 to 30 %: 3 s later {delivered / 1e6:.0f} of {sent / 1e6:.0f} Mbit/s are delivered, status says "
         + (f"{said / 1e6:.0f}" if said is not None else "no rate"))
    return found


# --- Costs ----------------------------------------------------------------------------------------

def idle_cost(arena, timing, tell, _):
    """Kbit/s of IP packets on each line and way, when the start is over and nothing is sent."""
    tunnel = arena.bond()
    time.sleep(timing.idle_cost_settle_s)
    with LineWatch(arena, period=0.5) as watch:
        start = time.monotonic()
        time.sleep(timing.idle_cost_s)
        end = time.monotonic()
    found = {f"{name} {way}": watch.rate(name, way, start, end) / 1000
             for name in arena.names for way in ("down", "up")}
    tunnel.check_alive()
    tell("idle: " + ", ".join(f"{name} {kbit:.2f}" for name, kbit in found.items()) + " kbit/s")
    return {"kbit_per_s": found}


def engine_cost(arena, timing, tell, _):
    """One flow over unshaped veth pairs, in turn with each scheduler."""
    found = {"adaptive": [], "round-robin": []}
    for _ in range(timing.engine_turns):
        for scheduler, rates in found.items():
            tunnel = arena.bond(scheduler)
            rates.append(tcp(arena, tunnel_targets([tunnel]), seconds=4, omit=1)[0]["bps"])
            tell(f"veth pairs, {scheduler}: {rates[-1] / 1e6:.0f} Mbit/s")
    return found
