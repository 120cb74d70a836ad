"""Judges and prints what the demo measured. Pure: figures in, text and points out."""

from lab.tunnel import SCHEDULERS

SPREAD_MIN = 0.80         # Of the sum of the bare lines, one CUBIC flow.
PASSES_MIN = 0.35         # Of the sum, for a scheduler that gives a flow one line: it works at all.
HASH_SHARE_MIN = 0.25     # Of the bytes, for each line.
GAP_MAX_S = 1.0
USED_AGAIN_MAX_S = 5.0


def point(name, value, bound, ok, unit=""):
    return {"name": name, "value": value, "bound": bound, "unit": unit, "ok": bool(ok)}


def at_least(name, value, bound, unit=""):
    return point(name, value, f">= {bound}", value is not None and value >= bound, unit)


def at_most(name, value, bound, unit=""):
    return point(name, value, f"<= {bound}", value is not None and value <= bound, unit)


def pick(tree, *keys):
    """tree[a][b]…, or None when something on the way was not measured."""
    for key in keys:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree


def rounded(value, digits=3):
    return None if value is None else round(value, digits)


def criteria(result):
    points = []
    schedulers = result.get("schedulers", {})
    for scheduler in SCHEDULERS:
        spreading = scheduler in ("adaptive", "round-robin")
        for direction in ("up", "down"):
            of_sum = rounded(pick(schedulers, scheduler, f"tcp_1_{direction}", "of_sum"))
            name = f"{scheduler}: 1 TCP flow {direction}, of the sum of the bare lines"
            points.append(at_least(name, of_sum, SPREAD_MIN if spreading else PASSES_MIN))
    for direction in ("up", "down"):
        share = pick(schedulers, "hash", f"tcp_many_{direction}", "line_share")
        points.append(at_least(f"hash: 16 flows {direction}, share of the less used line",
                               min(share) if share else None, HASH_SHARE_MIN))
    for name in ("wan1", "wan2"):
        points.append(at_most(f"redundant: pings lost while {name} loses 5 %",
                              pick(result, "redundant_loss", name, "lost"), 0))
        points.append(at_most(f"redundant: pings answered twice while {name} loses 5 %",
                              pick(result, "redundant_loss", name, "duplicates"), 0))
    points.append(at_most("1500-byte frames lost", pick(result, "whole_frames", "lost"), 0))
    points.append(at_most("adaptive: traffic stands still when a line dies silently",
                          pick(result, "failure", "gap_s"), GAP_MAX_S, "s"))
    points.append(at_most("adaptive: the line is used again after its return",
                          pick(result, "failure", "used_again_s"), USED_AGAIN_MAX_S, "s"))
    return points


def mbit(bps):
    return "-" if bps is None else f"{bps / 1e6:.1f}"


def row(name, cells):
    return f"  {name:<22}" + "".join(f"{cell:>13}" for cell in cells)


def bare_rows(bare):
    columns = ("tcp_1_up", "tcp_1_down", "tcp_many_up", "tcp_many_down")
    rows = []
    for number in (0, 1):
        cells = [mbit(bare[key][number]) if bare.get(key) else "-" for key in columns]
        udp = bare.get("udp")
        cells.append(f"{mbit(udp[number]['bps'])} {udp[number]['lost_share']:.1%}" if udp else "-")
        rtt = bare.get("idle_rtt_ms")
        cells.append(f"{rtt[number]:.1f}" if rtt else "-")
        rows.append(row(f"wan{number + 1}, bare", cells + ["-"]))
    return rows


def scheduler_row(name, runs):
    cells = [mbit(pick(runs, key, "bps")) for key in ("tcp_1_up", "tcp_1_down", "tcp_many_up", "tcp_many_down")]
    udp = runs.get("udp")
    cells.append(f"{mbit(udp['bps'])} {udp['lost_share']:.1%}" if udp else "-")
    idle = runs.get("idle_rtt_ms")
    cells.append(f"{idle:.1f}" if idle else "-")
    loaded = pick(runs, "tcp_1_down", "ping_p99_ms")
    cells.append(f"{loaded:.0f}" if loaded else "-")
    return row(name, cells)


def table(result):
    """The table of figures and the verdict, as text."""
    lines = ["", "Goodput in Mbit/s; UDP offered at 80 %, with the share lost; ping in ms (idle median; "
             "p99 during TCP 1 down)", "hash has 16 flows in place of 8, so that chance is out of it", "",
             row("", ["TCP 1 up", "TCP 1 down", "TCP 8 up", "TCP 8 down", "UDP up", "ping idle",
                      "ping loaded"])]
    lines += bare_rows(result.get("bare", {}))
    lines += [scheduler_row(name, runs) for name, runs in result.get("schedulers", {}).items()]
    bbr, bare_bbr = pick(result, "schedulers", "adaptive", "bbr_1_down"), pick(result, "bare", "bbr_1_down")
    if bbr and bare_bbr:
        lines += ["", f"  adaptive with BBR instead of CUBIC, TCP 1 down: {mbit(bbr['bps'])} Mbit/s, "
                  f"{bbr['bps'] / sum(bare_bbr):.2f} of the sum"]
    timeline = pick(result, "failure", "mbit_per_100_ms")
    if timeline:
        lines += ["", "wan1 dies silently and returns, Mbit/s in each 100 ms:"]
        lines += ["  " + " ".join(f"{value:3}" for value in timeline[start:start + 20])
                  for start in range(0, len(timeline), 20)]
    if result.get("status_text"):
        lines += ["", "mwtun status, in the middle of that transfer:"]
        lines += ["  " + line for line in result["status_text"].rstrip().splitlines()]
    lines += ["", "Verdict"]
    for one in result["criteria"]:
        value = "not measured" if one["value"] is None else f"{one['value']}{one['unit'] and ' ' + one['unit']}"
        lines.append(f"  {'ok  ' if one['ok'] else 'FAIL'}  {one['name']:<62} {value:>12}  ({one['bound']})")
    failed = sum(not one["ok"] for one in result["criteria"])
    lines.append("")
    if "error" in result:
        lines.append(f"FAIL: it did not run to its end: {result['error'].splitlines()[0]}")
    elif failed:
        lines.append(f"FAIL: {failed} of {len(result['criteria'])} points are not met")
    else:
        lines.append(f"PASS: all {len(result['criteria'])} points are met")
    lines.append(f"({result['seconds']} s)")
    return "\n".join(lines)
