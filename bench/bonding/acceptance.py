"""What was measured beside what is asked for. Pure: results in, rows out.

A row's figure is the median of the runs; where a bound depends on another figure of the same run (an idle
ping, a bare line), the two are compared run by run and the row tells the ratio or the difference."""

import dataclasses
import statistics

from .scenarios import FAILURES, SCENARIOS


@dataclasses.dataclass
class Row:
    group: str
    what: str
    value: object     # The median, or None: not measured.
    bound: str
    ok: object        # True, False or None.
    runs: int
    note: str = ""

    def verdict(self):
        return {True: "pass", False: "SHORT", None: "-"}[self.ok]


def get(tree, *keys):
    """tree[a][b]…, None when something on the way was not measured."""
    for key in keys:
        try:
            tree = tree[key]
        except (KeyError, IndexError, TypeError):
            return None
    return tree


def total(results):
    return None if not results else sum(one["bps"] for one in results)


def ratio(value, base):
    return None if value is None or not base else value / base


def minus(value, base):
    return None if value is None or base is None else value - base


class Judge:
    def __init__(self, runs):
        """`runs`: {unit: [what each run found]}."""
        self.runs = runs
        self.rows = []

    def add(self, group, what, unit, figure, least=None, most=None, form="{:.3f}", note=None):
        """`figure(found)`: of one run, or None."""
        founds = self.runs.get(unit, [])
        values = [value for value in map(figure, founds) if value is not None]
        median = statistics.median(values) if values else None
        bound = f"≥ {form.format(least)}" if least is not None else f"≤ {form.format(most)}"
        ok = None if median is None else median >= least if least is not None else median <= most
        if not values and not founds:
            return
        self.rows.append(Row(group, what, None if median is None else form.format(median), bound, ok, len(values),
                             note(founds) if note and values else ""))


def no_loss_sum(found):
    return total(found.get("bare_no_loss")) or total(found.get("bare"))


def fair_sum(found, scenario):
    """Of bare TCP; where loss or jitter limits that, of the single lines through mwtun."""
    return total(found.get("single")) if scenario.disturbed else total(found.get("bare"))


def best_single(found):
    return max((one["bps"] for one in found.get("single") or []), default=None)


def best_plus_half(found):
    """The best single line and half of the others."""
    rates = [one["bps"] for one in found.get("single") or []]
    return max(rates) + 0.5 * (sum(rates) - max(rates)) if rates else None


def bond_bps(found, cell="bond"):
    return get(found, cell, 0, "bps")


def bonding_rows(judge):
    for cell, bare, what in (("bond", "bare", "1 CUBIC flow down"), ("bond_up", "bare_up", "1 CUBIC flow up"),
                             ("bond_bbr", "bare_bbr", "1 BBR flow down"),
                             ("bond_bbr_up", "bare_bbr_up", "1 BBR flow up")):
        judge.add("bonding", f"equal: {what}, of the sum", "equal",
                  lambda found, cell=cell, bare=bare: ratio(bond_bps(found, cell), total(found.get(bare))), least=0.92)
    judge.add("bonding", "300_80: 1 flow, of the sum", "300_80",
              lambda found: ratio(bond_bps(found), total(found.get("bare"))), least=0.89)
    judge.add("bonding", "300_80: 16 flows, of the sum", "300_80",
              lambda found: ratio(bond_bps(found, "bond_many"), total(found.get("bare_many"))), least=0.92)
    for scenario in SCENARIOS:
        if scenario.aggregates:
            kind = "singles'" if scenario.disturbed else "bare"
            judge.add("bonding", f"{scenario.name}: 1 flow, of the {kind} sum", scenario.name,
                      lambda found, scenario=scenario: ratio(bond_bps(found), fair_sum(found, scenario)), least=0.85)
            judge.add("bonding", f"{scenario.name}: of the best line + half the other", scenario.name,
                      lambda found: ratio(bond_bps(found), best_plus_half(found)), least=1.0)
    for scenario in SCENARIOS:
        judge.add("bonding", f"{scenario.name}: of the best line through mwtun", scenario.name,
                  lambda found: ratio(bond_bps(found), best_single(found)), least=0.98)
    for scenario in SCENARIOS:
        if "no_loss" in scenario.cells:
            judge.add("bonding", f"{scenario.name}: of the sum without loss", scenario.name,
                      lambda found: ratio(bond_bps(found), no_loss_sum(found)), least=0.90)
    for scenario in SCENARIOS:
        udp_rows(judge, scenario)


def udp_rows(judge, scenario):
    if scenario.lossy:
        if any("udp50" in found for found in judge.runs.get(scenario.name, [])):
            judge.add("bonding", f"{scenario.name}: UDP at 50 %, lost", scenario.name,
                      lambda found: _percent(get(found, "udp50", "lost_share")), most=0.01, form="{:.4f} %")
            judge.add("bonding", f"{scenario.name}: extra outer bytes for its loss", scenario.name,
                      lambda found: _percent(minus(ratio(get(found, "udp50", "outer_bytes"),
                                                         get(found, "udp50_no_loss", "outer_bytes")), 1)),
                      most=3, form="{:.2f} %")
    elif any("udp80" in found for found in judge.runs.get(scenario.name, [])):
        for key, what in (("lost_share", "lost"), ("out_of_order_share", "out of order")):
            judge.add("bonding", f"{scenario.name}: UDP at 80 % of the sum, {what}", scenario.name,
                      lambda found, key=key: _percent(get(found, "udp80", key)), most=0.01, form="{:.4f} %")



def _percent(value):
    return None if value is None else value * 100


def best_p99(pings):
    return min((one["p99_ms"] for one in pings or [] if one["p99_ms"] is not None), default=None)


def latency_rows(judge):
    for scenario in SCENARIOS:
        reference = "bare_half" if scenario.disturbed else "bare_idle"
        over = "the bare best line's at half load" if scenario.disturbed else "the best line's idle p99"
        for cell, what, most in (("bond", "CUBIC down", 20), ("bond_bbr", "BBR down", 20),
                                 ("bond_both", "both ways", 20 if scenario.disturbed else 35)):
            if any(cell in found for found in judge.runs.get(scenario.name, [])):
                judge.add("latency", f"{scenario.name}: ping p99, {what}, over {over}", scenario.name,
                          lambda found, cell=cell, reference=reference: minus(
                              get(found, cell, 0, "ping", "p99_ms"), best_p99(found.get(reference))),
                          most=most, form="{:+.1f} ms")


def failure_rows(judge):
    for unit, factor, spare in (("death", 3, 60), ("death_unequal", 3, 60), ("carrier", 1, 10)):
        group = "failure"
        judge.add(group, f"{unit}: UDP lost", unit, lambda found: get(found, "udp", "lost"), most=0, form="{:g}",
                  note=_aqm_note)
        judge.add(group, f"{unit}: pings lost", unit, lambda found: get(found, "ping", "lost"), most=0, form="{:g}")
        for flow in ("udp", "ping"):
            judge.add(group, f"{unit}: longest gap of {flow}, over {factor} × loaded RTT", unit,
                      lambda found, flow=flow, factor=factor: minus(
                          get(found, flow, "gap_ms"), _times(get(found, "loaded_rtt_ms"), factor)),
                      most=spare, form="{:+.0f} ms")
    judge.add("failure", "dead while idle: pings lost", "idle_death",
              lambda found: sum(case["rtt_ms"] is None for case in found["cases"]) if "cases" in found else None,
              most=0, form="{:g}")
    judge.add("failure", "dead while idle: worst ping, over the other line's", "idle_death",
              lambda found: max((minus(case["rtt_ms"], case["other_rtt_ms"]) for case in found.get("cases", [])
                                 if case["rtt_ms"] is not None), default=None), most=20, form="{:+.1f} ms")
    judge.add("failure", "dead while idle: status names the line down after", "idle_death",
              lambda found: max((99 if case["down_seen_s"] is None else case["down_seen_s"]
                                 for case in found.get("cases", [])), default=None), most=5, form="{:.1f} s")
    judge.add("failure", "return: its share of UDP, over what it may take", "return",
              lambda found: minus(get(found, "share", "share_reached_s") if get(found, "share", "share_reached_s")
                                  is not None else 99 if "share" in found else None, get(found, "share", "bound_s")),
              most=0, form="{:+.2f} s")
    judge.add("failure", "return: UDP lost once it has its share", "return",
              lambda found: get(found, "share", "lost_after_bound"), most=0, form="{:g}")
    judge.add("failure", "return: UDP at 40 % lost over death and return", "return",
              lambda found: get(found, "light", "lost"), most=0, form="{:g}")
    judge.add("failure", "return: worst ping, over p99 before", "return",
              lambda found: minus(get(found, "light", "ping_after_max_ms"), get(found, "light", "ping_before_ms")),
              most=20, form="{:+.1f} ms")
    judge.add("failure", "return: BBR after 5 s, of before", "return",
              lambda found: ratio(get(found, "bbr", "after_bps"), get(found, "bbr", "before_bps")), least=0.9)
    for fault in FAILURES:
        if fault.name not in ("one_direction", "rate_step", "delay_step", "flapping"):
            continue
        judge.add("failure", f"{fault.name}: goodput, of the other line's", fault.name,
                  lambda found: min((ratio(case["bps"], found["other_line_bps"]) for case in found.get("cases", [])),
                                    default=None), least=0.9)
        judge.add("failure", f"{fault.name}: longest stall", fault.name,
                  lambda found: max((max(case["stall_s"], (case["ping"]["gap_ms"] or 99e3) / 1000)
                                     for case in found.get("cases", [])), default=None), most=1, form="{:.2f} s")
        judge.add("failure", f"{fault.name}: sessions lost", fault.name,
                  lambda found: sum(not case["session_kept"] for case in found["cases"])
                  if found.get("cases") else None, most=0, form="{:g}")


def _times(value, factor):
    return None if value is None else value * factor


def _aqm_note(founds):
    """Frames that mwtun's own queue dropped meanwhile, told apart: they are the TCP flow's."""
    reasons = {}
    for found in founds:
        for reason, count in (found.get("drops") or {}).items():
            reasons[reason] = max(reasons.get(reason, 0), count)
    return ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items()))


def rate_rows(judge):
    group = "rate control"
    judge.add(group, "policer: loss after 3 s", "policer", lambda found: _percent(found.get("loss")), most=1,
              form="{:.2f} %")
    judge.add(group, "policer: of its 50 Mbit/s", "policer", lambda found: ratio(found.get("bps"), 50e6), least=0.9)
    judge.add(group, "shared: of its 50 Mbit/s", "shared", lambda found: ratio(found.get("bps"), 50e6), least=0.9)
    judge.add(group, "shared: ping p99, over idle", "shared",
              lambda found: minus(get(found, "ping", "p99_ms"), get(found, "idle", "p99_ms")), most=30,
              form="{:+.1f} ms")
    for unit in ("beside_cubic", "beside_bbr"):
        for key, whose in (("outside_share", "flow"), ("tunnel_share", "tunnel")):
            judge.add(group, f"{unit}: the {whose}'s part of the line", unit, lambda found, key=key: found.get(key),
                      least=0.25)
    for unit in ("after_idle", "after_trickle"):
        judge.add(group, f"{unit}: in the second second, of the sum", unit,
                  lambda found: ratio(found.get("second_bps"), found.get("sum_bps")), least=0.8)
    for unit in ("lte", "lte_driving"):
        judge.add(group, f"{unit}: of its capacity", unit,
                  lambda found: ratio(found.get("wire_bps"), found.get("capacity_bps")), least=0.85)
        judge.add(group, f"{unit}: queue p95", unit, lambda found: found.get("queue_p95_ms"), most=60, form="{:.0f} ms")
    judge.add(group, "loss_step: rate in status, of what is delivered", "loss_step",
              lambda found: ratio(found.get("said_bps"), found.get("delivered_bps")), most=1.1)
    judge.add("cost", "idle: the dearest line and way", "idle_cost",
              lambda found: max(found["kbit_per_s"].values()) if "kbit_per_s" in found else None, most=1,
              form="{:.2f} kbit/s")
    judge.add("cost", "unshaped: adaptive, of round-robin", "engine_cost",
              lambda found: ratio(statistics.median(found["adaptive"]), statistics.median(found["round-robin"]))
              if found.get("adaptive") else None, least=0.85)


def judge_all(runs):
    """Every row for which something was run."""
    judge = Judge(runs)
    bonding_rows(judge)
    latency_rows(judge)
    failure_rows(judge)
    rate_rows(judge)
    return judge.rows
