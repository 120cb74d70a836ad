"""What can be measured, how long it takes, and how thoroughly at each depth."""

import dataclasses
import functools
import re

from . import failures, rate_control
from .arena import Arena, trace_file
from .pairs import PairRun
from .scenarios import ALL_CELLS, COSTS, FAILURES, RATE_CONTROL, SCENARIOS, Scenario

SIDE_BY_SIDE_MBIT_MAX = 150


@dataclasses.dataclass(frozen=True)
class Timing:
    """Seconds of the pieces."""
    name: str
    tcp_s: int = 12
    omit_s: int = 3
    short_s: int = 8          # Where only the latency counts, or a reference within a failure.
    idle_ping_s: int = 2
    half_s: int = 5
    udp_s: int = 10
    idle_death_waits_s: tuple = (0.1, 10)
    flapping_s: int = 30
    beside_s: int = 60
    lte_s: int = 30
    idle_cost_settle_s: int = 15
    idle_cost_s: int = 20
    engine_turns: int = 3


TIMINGS = {timing.name: timing for timing in (
    Timing("quick", tcp_s=4, omit_s=2, short_s=3, idle_ping_s=1, half_s=2, udp_s=4, idle_death_waits_s=(0.1,),
           flapping_s=8, beside_s=10, lte_s=10, idle_cost_settle_s=3, idle_cost_s=5, engine_turns=1),
    Timing("default"),
    Timing("control", tcp_s=8, idle_ping_s=1),
    Timing("full", short_s=12, udp_s=60, idle_death_waits_s=(0.1, 10, 600), flapping_s=300, lte_s=60,
           engine_turns=5),
)}

MEASURES = {
    "death": failures.death, "death_unequal": failures.death, "carrier": failures.carrier,
    "idle_death": failures.idle_death, "return": failures.back, "one_direction": failures.one_direction,
    "rate_step": failures.rate_step, "delay_step": failures.delay_step, "flapping": failures.flapping,
    "policer": rate_control.policer, "shared": rate_control.shared, "beside_cubic": rate_control.beside_cubic,
    "beside_bbr": rate_control.beside_bbr, "after_idle": rate_control.after_idle,
    "after_trickle": rate_control.after_trickle, "lte": rate_control.lte, "lte_driving": rate_control.lte,
    "loss_step": rate_control.loss_step, "idle_cost": rate_control.idle_cost,
    "engine_cost": rate_control.engine_cost,
}
# What one run of these is enough for at the default depth: a minute of two flows is its own average.
ONE_RUN = ("beside_cubic", "beside_bbr", "idle_cost", "engine_cost")


class Unit:
    """What is measured in one world: a pair of lines, or a fault."""

    def __init__(self, what, group):
        self.what, self.group, self.name = what, group, what.name

    @property
    def alone(self):
        return self.what.mbit > SIDE_BY_SIDE_MBIT_MAX

    def cells(self, timing):
        scenario = self.what
        if timing.name == "control":
            return ()
        if timing.name != "full":
            return scenario.cells
        pointless = set() if scenario.lossy else {"no_loss", "udp50"}
        pointless |= {"udp80"} if scenario.disturbed else {"half"}
        return tuple(cell for cell in ALL_CELLS if cell not in pointless)

    def estimate_s(self, timing):
        """About as long as one run takes."""
        if not isinstance(self.what, Scenario):
            return self._fault_estimate_s(timing)
        cells = self.cells(timing)
        one, short = timing.tcp_s + timing.omit_s + 1.5, timing.short_s + timing.omit_s + 1.5
        seconds = 6 + 2 * timing.idle_ping_s + 3 * one
        for cell in cells:
            if cell in ("up", "bbr_up", "many"):
                seconds += one + short
            elif cell == "bbr":
                seconds += one + short if "bbr_up" in cells else short
            else:
                seconds += {"both": short, "no_loss": one, "half": timing.half_s + 3, "udp80": timing.udp_s + 4,
                            "udp50": 2 * timing.udp_s + 8}[cell]
        return seconds

    def _fault_estimate_s(self, timing):
        default = TIMINGS["default"]
        seconds = self.what.seconds
        for name, piece in (("idle_death", "idle_death_waits_s"), ("flapping", "flapping_s"),
                            ("beside_cubic", "beside_s"), ("beside_bbr", "beside_s"), ("lte", "lte_s"),
                            ("lte_driving", "lte_s")):
            if name == self.name:
                ours, usual = getattr(timing, piece), getattr(default, piece)
                seconds += 2 * (sum(ours) - sum(usual)) if isinstance(ours, tuple) else ours - usual
        return max(10, seconds)

    def runs(self, timing, wanted):
        return 1 if timing.name == "default" and self.name in ONE_RUN else wanted

    def missing_trace(self, folders):
        """The beginning of the name of a trace it needs and that is not there, or None."""
        return next((line.trace for line in self.what.lines if line.trace and not trace_file(line.trace, folders)),
                    None)

    def measure(self, stage, programs, timing, folders, run, tell):
        """One run in a world of its own; courses are kept of the first. The lines' randomness is the run's."""
        arena = Arena(stage, programs, self.what.lines, folders, seed=6 + run,
                      shared=getattr(self.what, "shared", ""))
        if isinstance(self.what, Scenario):
            return PairRun(arena, self.what, self.cells(timing), timing, tell, run == 1).run()
        return MEASURES[self.name](arena, timing, tell, run == 1)


@functools.cache
def all_units():
    units = [Unit(scenario, "pair") for scenario in SCENARIOS]
    units += [Unit(fault, group) for group, faults in (("failure", FAILURES), ("rate control", RATE_CONTROL),
                                                       ("cost", COSTS)) for fault in faults]
    return {unit.name: unit for unit in units}


def choose(pattern, timing):
    """The units of a depth whose name the pattern finds; without one all of the depth. A pattern also reaches what
    only the full depth measures. Those that most depends on come first: what time is short for are the last ones'
    further runs."""
    units = sorted(all_units().values(), key=lambda unit: unit.group == "pair" and not (
        unit.what.aggregates or len(unit.what.cells) > 1))
    if pattern:
        return [unit for unit in units if re.search(pattern, unit.name)]
    return [unit for unit in units if timing.name == "full" or unit.what.depth == "default"]
