"""Lines that die, come back, die by halves, slow down or flap, and what the traffic of a bonded tunnel notices.

Each function takes (arena, timing, tell, series) and gives what it found by name."""

import time

from lab.traffic import Iperf, Ping, percentile

from .line_watch import LineWatch
from .runs import (PING_INTERVAL_S, TICK_S, UdpProbe, drops_of, longest_stall_s, mbit_series, mean_bps, ping_account,
                   ping_series, pings, receive_errors, sleep_until, tcp, tunnel_targets)

UDP_BPS = 20e6


def start_ping(arena, tunnel, seconds):
    return Ping(arena.stage, arena.world.home, tunnel.vps_inner, interval=PING_INTERVAL_S,
                count=round(seconds / PING_INTERVAL_S))


def start_tcp(arena, tunnel, seconds, **options):
    return Iperf(arena.stage, arena.world.vps, arena.world.home, tunnel.vps_inner, down=True, seconds=seconds,
                 interval=TICK_S, **options)


def peer_of(tunnel, side):
    peers = tunnel.status(side).get("peers", [])
    return peers[0] if peers else {}


def loaded_rtt_ms(tunnel):
    """The larger one of the links', as either end measures it now."""
    known = [link["rtt_us"] / 1000 for side in ("client", "server") for link in peer_of(tunnel, side).get("links", [])
             if link.get("rtt_us")]
    return max(known, default=None)


def session_kept(tunnel, since):
    """Whether both ends still have the session they had at a (monotonic) moment."""
    elapsed = time.monotonic() - since
    ages = [peer_of(tunnel, side).get("session_age_ms") for side in ("client", "server")]
    return all(age is not None and age / 1000 > elapsed for age in ages)


def lost_of(drops_before, drops_after):
    """{reason: frames} that both ends dropped between two drops_of()."""
    difference = {}
    for side, counts in drops_after.items():
        for reason, count in counts.items():
            more = count - drops_before.get(side, {}).get(reason, 0)
            if more:
                difference[reason] = difference.get(reason, 0) + more
    return difference


def other_line_bps(arena, timing):
    """What the last line alone gives through the tunnel."""
    tunnel, = arena.singles([len(arena.names)])
    return tcp(arena, tunnel_targets([tunnel]), seconds=timing.short_s, omit=timing.omit_s)[0]["bps"]


# --- Death under load -----------------------------------------------------------------------------

def _death(arena, tell, series, kill, about):
    before, after = 5, 5
    tunnel = arena.bond()
    flow = start_tcp(arena, tunnel, before + after + 1)
    probe = UdpProbe(arena, tunnel.home_inner, UDP_BPS, before + after)
    beside = start_ping(arena, tunnel, before + after)
    sleep_until(flow.started + before - 0.5)
    rtt = loaded_rtt_ms(tunnel)
    drops = drops_of(tunnel)
    sleep_until(flow.started + before)
    cut_at = time.time()
    kill()
    account, answered = probe.result(), beside.result()
    answer = flow.result()
    dropped = lost_of(drops, drops_of(tunnel))
    ping = ping_account(answered)
    found = {"udp": {key: account[key] for key in ("sent", "lost", "refused", "out_of_order", "duplicates", "gap_ms",
                                                   "delay_p50_ms", "delay_max_ms")},
             "ping": ping, "tcp_bps": answer["bps"], "retransmits": answer["retransmits"], "loaded_rtt_ms": rtt,
             "drops": dropped, "session_kept": session_kept(tunnel, flow.started),
             "gap_at_death_ms": gap_after(account, cut_at)}
    if series:
        start = account["started"]
        found["series"] = {"TCP": [round(bps / 1e6, 1) for _, bps in answer["intervals"]],
                           "UDP": mbit_series(account["per_10_ms"])}
        found["ping_series"] = ping_series(answered["answers"], start, before + after)
        found["events"] = [[round(cut_at - start, 2), about]]
    tell(f"{about}: UDP lost {account['lost']} of {account['sent']}, longest gap {account['gap_ms']:.0f} ms; "
         f"pings lost {ping['lost']}, gap {ping['gap_ms'] or 0:.0f} ms (RTT before: {rtt or 0:.0f} ms)")
    tunnel.check_alive()
    return found


def gap_after(account, cut_at, seconds=2.0):
    """The longest time without a datagram near a moment, to 10 ms: the whole flow's is exact."""
    first = max(0, int((cut_at - account["started"]) * 100) - 5)
    longest = current = 0
    for count in account["per_10_ms"][first:first + int(seconds * 100)]:
        current = 0 if count else current + 1
        longest = max(longest, current)
    return longest * 10


def death(arena, _, tell, series):
    return _death(arena, tell, series, lambda: arena.emulator.cut("wan1"), "wan1 dies silently")


def carrier(arena, _, tell, series):
    return _death(arena, tell, series, lambda: arena.emulator.carrier("wan1", False), "wan1 loses its carrier")


def idle_death(arena, timing, tell, _):
    bare = pings(arena, [arena.bare_target(number)[0] for number in range(1, len(arena.names) + 1)], 1)
    tunnel = arena.bond()
    found = {"cases": []}
    for wait in timing.idle_death_waits_s:
        for dead, name in enumerate(arena.names):
            time.sleep(3)
            arena.emulator.cut(name)
            cut = time.monotonic()
            sleep_until(cut + wait)
            answer = Ping(arena.stage, tunnel.home, tunnel.vps_inner, count=1, interval=1).result()
            took = answer["rtt_ms"][0] if answer["rtt_ms"] else None
            seen = wait_down(tunnel, name, cut, 6)
            others = [one["p99_ms"] for number, one in enumerate(bare) if number != dead and one["p99_ms"]]
            case = {"line": name, "wait_s": wait, "rtt_ms": took, "other_rtt_ms": min(others, default=None),
                    "down_seen_s": seen}
            found["cases"].append(case)
            tell(f"{name} dies while idle, ping after {wait:g} s: " +
                 (f"{took:.1f} ms" if took else "lost") + ", status says down " +
                 (f"after {seen:.1f} s" if seen is not None else "never"))
            arena.emulator.mend(name)
            tunnel.wait_links_up(20)
    return found


def wait_down(tunnel, name, cut, seconds):
    """How long after `cut` the client named the link down, or None."""
    while True:
        link = next((one for one in peer_of(tunnel, "client").get("links", []) if one["name"] == name), {})
        if link.get("state") == "down":
            return max(0.0, time.monotonic() - cut - link.get("state_age_ms", 0) / 1000)
        if time.monotonic() - cut > seconds and time.monotonic() - cut > 5:
            return None
        time.sleep(0.1)


# --- Return ---------------------------------------------------------------------------------------

def back(arena, timing, tell, series):
    tunnel = arena.bond()
    reference = tcp(arena, tunnel_targets([tunnel]), seconds=timing.short_s, omit=timing.omit_s)[0]["bps"]
    found = {"sum_bps": reference}
    found["light"] = _back_under_light_load(arena, tunnel, 0.4 * reference, tell)
    time.sleep(2)
    found["share"] = _back_to_share(arena, tunnel, 0.8 * reference, tell)
    time.sleep(2)
    found["bbr"] = _back_with_bbr(arena, tunnel, tell, series)
    tunnel.check_alive()
    return found


def _back_under_light_load(arena, tunnel, bps, tell):
    """UDP that either line could carry alone: through death and return nothing of it may be lost."""
    before, dead, after = 3, 6, 5
    full_before = receive_errors(arena, arena.world.home)
    flow = Iperf(arena.stage, arena.world.vps, arena.world.home, tunnel.vps_inner, down=True, udp_bps=bps,
                 seconds=before + dead + after - 1, omit=1, interval=TICK_S)
    beside = start_ping(arena, tunnel, before + dead + after - 0.5)
    sleep_until(flow.started + before)
    began = time.time()
    arena.emulator.cut("wan1")
    sleep_until(flow.started + before + dead)
    arena.emulator.mend("wan1")
    mended = time.time()
    answer, answered = flow.result(), beside.result()
    earlier = sorted(ms for at, ms in answered["answers"] if at < began)
    later = sorted(ms for at, ms in answered["answers"] if at > mended)
    # What the receiver's own socket had no room for was not lost on the way.
    lost = max(0, answer["lost"] - (receive_errors(arena, arena.world.home) - full_before))
    found = {"lost": lost, "packets": answer["packets"], "pings_lost": answered["lost"],
             "ping_before_ms": percentile(earlier, 0.99), "ping_after_max_ms": later[-1] if later else None}
    tell(f"wan1 dies and returns under UDP at {bps / 1e6:.0f} Mbit/s: lost {lost} of {answer['packets']}, "
         f"pings lost {answered['lost']}; worst ping after the return {found['ping_after_max_ms'] or 0:.0f} ms "
         f"(before: p99 {found['ping_before_ms'] or 0:.0f})")
    return found


def _back_to_share(arena, tunnel, bps, tell):
    """UDP at 80 % of the sum from just before the line is mended: how soon it carries its part."""
    arena.emulator.cut("wan1")
    time.sleep(5)
    rates = [line.rate for line in arena.lines]
    part_bps = bps * rates[0] / sum(rates)
    with LineWatch(arena, period=0.02) as watch:
        flow = Iperf(arena.stage, arena.world.vps, arena.world.home, tunnel.vps_inner, down=True, udp_bps=bps,
                     seconds=7, omit=0, interval=TICK_S)
        sleep_until(flow.started + 0.5)
        rtt = loaded_rtt_ms(tunnel)
        arena.emulator.mend("wan1")
        mended = time.monotonic()
        answer = flow.result()
        ended = time.monotonic()
    first = watch.first_frame_after("wan1", mended)
    reached = None
    if first is not None:
        at = first + 0.2
        while reached is None and at < min(ended, flow.started + 7):
            if watch.rate("wan1", "down", at - 0.2, at) >= 0.9 * part_bps:
                reached = at - first
            at += 0.02
    bound = 1 + 3 * (rtt or 0) / 1000
    late_from = (first or mended) - flow.started + bound
    lost_later = sum(lost for end, _, lost, _ in answer["pieces"] if end > late_from + 0.5)
    found = {"first_frame_s": first and first - mended, "share_reached_s": reached, "bound_s": bound,
             "lost_after_bound": lost_later, "lost_before": answer["lost"] - lost_later}
    tell("wan1 returns under UDP at 80 % of the sum: " +
         (f"its share after {reached:.2f} s" if reached is not None else "never its share") +
         f" (may take {bound:.2f} s), lost after that {lost_later}")
    return found


def _back_with_bbr(arena, tunnel, tell, series):
    warm, dead, after = 8, 6, 9
    flow = start_tcp(arena, tunnel, warm + dead + after, congestion="bbr")
    beside = start_ping(arena, tunnel, warm + dead + after - 1)
    sleep_until(flow.started + warm)
    arena.emulator.cut("wan1")
    sleep_until(flow.started + warm + dead)
    arena.emulator.mend("wan1")
    answer, answered = flow.result(), beside.result()
    before_bps = mean_bps(answer["intervals"], 3, warm)
    after_bps = mean_bps(answer["intervals"], warm + dead + 5, warm + dead + after)
    found = {"before_bps": before_bps, "after_bps": after_bps, "pings_lost": answered["lost"]}
    if series:
        found["series"] = {"TCP (BBR)": [round(bps / 1e6, 1) for _, bps in answer["intervals"]]}
        found["ping_series"] = ping_series(answered["answers"], answered["answers"][0][0], warm + dead + after)
        found["events"] = [[warm, "wan1 dies silently"], [warm + dead, "wan1 is back"]]
    tell(f"wan1 returns under one BBR flow: before {before_bps / 1e6:.0f}, from 5 s after on "
         f"{after_bps / 1e6:.0f} Mbit/s")
    return found


# --- Half dead, slow, flapping --------------------------------------------------------------------

def _disturbance(arena, tunnel, about, seconds, disturb, tell, series, undo=None):
    """One flow down and pings while something goes on for `seconds`."""
    before, after = 5, 2
    flow = start_tcp(arena, tunnel, before + seconds + after)
    beside = start_ping(arena, tunnel, before + seconds + after - 1)
    sleep_until(flow.started + before)
    disturb(flow.started + before)
    sleep_until(flow.started + before + seconds)
    if undo:
        undo()
    answer, answered = flow.result(), beside.result()
    usual = mean_bps(answer["intervals"], 2, before)
    found = {"about": about, "bps": mean_bps(answer["intervals"], before, before + seconds), "before_bps": usual,
             "stall_s": longest_stall_s(answer["intervals"], 1e6, before - 1), "ping": ping_account(answered),
             "session_kept": session_kept(tunnel, flow.started)}
    if series:
        found["series"] = {"TCP": [round(bps / 1e6, 1) for _, bps in answer["intervals"]]}
        found["ping_series"] = ping_series(answered["answers"], answered["answers"][0][0] if answered["answers"]
                                           else 0, before + seconds + after)
        found["events"] = [[before, about], [before + seconds, "over"]]
    tell(f"{about}: {found['bps'] / 1e6:.0f} Mbit/s (before {usual / 1e6:.0f}), longest stall "
         f"{found['stall_s']:.1f} s, pings lost {found['ping']['lost']}, gap {found['ping']['gap_ms'] or 0:.0f} ms" +
         ("" if found["session_kept"] else ", the session was lost"))
    return found


def _against_other_line(arena, timing, tell, measure):
    reference = other_line_bps(arena, timing)
    tell(f"the other line alone through mwtun: {reference / 1e6:.0f} Mbit/s")
    tunnel = arena.bond()
    found = {"other_line_bps": reference, "cases": measure(tunnel)}
    tunnel.check_alive()
    return found


def one_direction(arena, timing, tell, series):
    def measure(tunnel):
        cases = []
        for way in ("down", "up"):
            cases.append(_disturbance(arena, tunnel, f"wan1 dead only {way}", 8,
                                      lambda _, way=way: arena.emulator.cut("wan1", way), tell,
                                      series and way == "down", lambda: arena.emulator.mend("wan1")))
            tunnel.wait_links_up(20)
        return cases
    return _against_other_line(arena, timing, tell, measure)


def rate_step(arena, timing, tell, series):
    return _against_other_line(arena, timing, tell, lambda tunnel: [_disturbance(
        arena, tunnel, "wan1 falls to 10 Mbit/s", 10, lambda _: arena.emulator.set("wan1", "rate=10M"), tell, series,
        lambda: arena.emulator.set("wan1", f"rate={arena.lines[0].rate:g}M"))])


def delay_step(arena, timing, tell, series):
    return _against_other_line(arena, timing, tell, lambda tunnel: [_disturbance(
        arena, tunnel, "wan1's delay rises to 300 ms", 10, lambda _: arena.emulator.set("wan1", "delay=300ms"), tell,
        series, lambda: arena.emulator.set("wan1", f"delay={arena.lines[0].delay_ms:g}ms"))])


def flapping(arena, timing, tell, series):
    def flap(start):
        for second in range(timing.flapping_s):
            sleep_until(start + second)
            arena.emulator.cut("wan1")
            sleep_until(start + second + 0.5)
            arena.emulator.mend("wan1")
    return _against_other_line(arena, timing, tell, lambda tunnel: [_disturbance(
        arena, tunnel, "wan1 flaps at 1 Hz", timing.flapping_s, flap, tell, series)])
