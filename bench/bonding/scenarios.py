"""The pairs of lines that are measured. Data only.

Rates in Mbit/s (of IP packets, both directions), delays one-way in ms, `jitter_ms` the standard deviation of
netem's normal jitter in both directions, losses in percent; `bursts`: (percent, mean length) of Gilbert-Elliott
loss. Buffers hold 200 ms unless said."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Line:
    rate: float
    delay_ms: float
    jitter_ms: float = 0
    loss: float = 0
    bursts: tuple = ()
    reorder: bool = False     # Jitter may let frames overtake each other.
    trace: str = ""           # The beginning of a trace's file name, in place of `rate` (then its average).
    queue_ms: float = 200

    def __str__(self):
        words = f"{self.trace or f'{self.rate:g}'}/{self.delay_ms:g} ms"
        if self.jitter_ms:
            words += f" σ{self.jitter_ms:g}" + (" reorder" if self.reorder else "")
        if self.loss:
            words += f" {self.loss:g} %"
        if self.bursts:
            words += f" {self.bursts[0]:g} % in bursts of {self.bursts[1]}"
        return words


@dataclasses.dataclass(frozen=True)
class Scenario:
    name: str
    lines: tuple
    cells: tuple = ()         # What is measured at the default depth beside one CUBIC flow down.
    aggregates: bool = False  # Among those that must reach 0.85 of the sum.
    depth: str = "default"

    @property
    def disturbed(self):
        """By jitter, loss or a changing rate: bare TCP is then no measure of the line."""
        return any(line.jitter_ms or line.loss or line.bursts or line.trace for line in self.lines)

    @property
    def lossy(self):
        return any(line.loss or line.bursts for line in self.lines)

    @property
    def mbit(self):
        return sum(line.rate for line in self.lines)

    def __str__(self):
        return " + ".join(str(line) for line in self.lines)


# The names of cells: `up` one flow up, `bbr` and `bbr_up` the same with BBR, `many` 16 flows down, `both` one flow
# in each direction at once, `udp80` UDP at 80 % of the sum, `udp50` at 50 % with the lines' loss and without,
# `no_loss` the bare lines without their loss, `half` the bare lines' ping at half load.
ALL_CELLS = ("up", "bbr", "bbr_up", "many", "both", "udp80", "udp50", "no_loss", "half")
_LATENCY = ("bbr", "both")
_MAIN = _LATENCY + ("udp80",)

SCENARIOS = (
    Scenario("equal", (Line(100, 10), Line(100, 10)), _MAIN + ("up", "bbr_up")),
    Scenario("300_80", (Line(300, 10), Line(80, 30)), _MAIN + ("many",)),
    Scenario("300_90", (Line(300, 12), Line(90, 6)), _LATENCY, True),
    Scenario("200_20", (Line(200, 10), Line(20, 40)), _MAIN, True),
    Scenario("100_50_loss", (Line(100, 15, loss=1), Line(50, 30, loss=1)), ("bbr", "half", "no_loss", "udp50")),
    Scenario("100_50_loss_on_one", (Line(100, 15), Line(50, 30, loss=1)), ("no_loss", "half")),
    Scenario("100_50_loss_on_first", (Line(100, 15, loss=1), Line(50, 30)), ("no_loss", "half"), depth="full"),
    Scenario("100_100_bursts", (Line(100, 10, bursts=(2, 8)), Line(100, 15, bursts=(2, 8))), ("half",)),
    Scenario("100_lte", (Line(100, 8), Line(17, 30, trace="TMobile")), ("half",)),
    Scenario("100_lte_driving", (Line(100, 8), Line(4.6, 30, trace="ATT")), ("half",), depth="full"),
    Scenario("three", (Line(100, 10), Line(50, 25), Line(25, 40))),
    # The sixteen published pairs.
    Scenario("baseline", (Line(50, 20), Line(50, 20)), _MAIN),
    Scenario("rtt_40", (Line(50, 20), Line(50, 40)), _LATENCY, True),
    Scenario("rtt_70", (Line(50, 20), Line(50, 70)), _MAIN, True),
    Scenario("rtt_120", (Line(50, 20), Line(50, 120)), (), True),
    Scenario("rtt_320", (Line(50, 20), Line(50, 320))),
    Scenario("jit_5", (Line(50, 20, 5), Line(50, 20, 5)), ("half",)),
    Scenario("jit_20", (Line(50, 20, 20), Line(50, 20, 20)), ("half",)),
    Scenario("jit_20_reorder", (Line(50, 20, 20, reorder=True), Line(50, 20, 20, reorder=True)), ("half",),
             depth="full"),
    Scenario("loss_05", (Line(50, 20, loss=0.5), Line(50, 20, loss=0.5)), ("half",)),
    Scenario("loss_2", (Line(50, 20, loss=2), Line(50, 20, loss=2)), ("half",)),
    Scenario("bw_4to1", (Line(50, 20), Line(12, 20)), (), True),
    Scenario("bw_10to1", (Line(100, 20), Line(10, 20)), _LATENCY, True),
    Scenario("dual_lte", (Line(40, 30, 5, 0.5), Line(25, 45, 8, 0.5)), ("bbr", "half"), True),
    Scenario("fiber_lte", (Line(300, 8), Line(30, 40, 8, 0.5)), ("half",), True),
    Scenario("lte_starlink", (Line(40, 35, 8), Line(100, 50, 25, 1)), ("half",), True),
    Scenario("lte_starlink_reorder", (Line(40, 35, 8, reorder=True), Line(100, 50, 25, 1, reorder=True)),
             ("half",), depth="full"),
    Scenario("lte_geo", (Line(40, 35), Line(20, 320, 20, 0.5)), ("half",)),
    Scenario("congested", (Line(20, 50, 20, 2), Line(15, 60, 25, 2)), ("half",)),
)


@dataclasses.dataclass(frozen=True)
class Fault:
    """One way of failing, under the lines of `lines`."""
    name: str
    about: str
    seconds: int              # About as long as it takes, at the default depth.
    lines: tuple = (Line(50, 10), Line(50, 10))
    depth: str = "default"
    shared: str = ""          # One bottleneck for all lines, in linkem's words.

    @property
    def mbit(self):
        return sum(line.rate for line in self.lines)

    def __str__(self):
        return " + ".join(str(line) for line in self.lines) + f": {self.about}"


UNEQUAL = (Line(300, 10), Line(80, 30))

FAILURES = (
    Fault("death", "the first line dies silently under UDP, pings and a TCP flow", 16,
          (Line(100, 10), Line(100, 10))),
    Fault("death_unequal", "the first line dies silently under UDP, pings and a TCP flow", 16, UNEQUAL, "full"),
    Fault("carrier", "the first line loses its local carrier under the same load", 16,
          (Line(100, 10), Line(100, 10))),
    Fault("idle_death", "either line dies while the tunnel is idle; later a ping", 50),
    Fault("return", "the first line comes back after 5 s", 60),
    Fault("one_direction", "the first line is dead in one direction only", 50),
    Fault("rate_step", "the first line falls from 100 to 10 Mbit/s", 30, (Line(100, 10), Line(50, 10))),
    Fault("delay_step", "the first line's delay rises from 20 to 300 ms", 30, (Line(50, 20), Line(50, 20))),
    Fault("flapping", "the first line is cut and mended once a second", 55),
)

RATE_CONTROL = (
    Fault("policer", "a policer of 50 Mbit/s, burst 64 KB, on the only line", 20, (Line(100, 10),)),
    Fault("shared", "both lines lead through one of 50 Mbit/s", 25, (Line(25, 10), Line(25, 10)), shared="rate=50M"),
    Fault("beside_cubic", "a CUBIC flow outside the tunnel on the first line", 70),
    Fault("beside_bbr", "a BBR flow outside the tunnel on the first line", 70),
    Fault("after_idle", "10 s idle, then full demand", 30),
    Fault("after_trickle", "10 s at 1 Mbit/s, then full demand", 30),
    Fault("lte", "a recorded LTE line alone", 40, (Line(17, 30, trace="TMobile"),)),
    Fault("lte_driving", "a recorded LTE line alone", 40, (Line(4.6, 30, trace="ATT"),)),
    Fault("loss_step", "the only line's loss rises from 1 to 30 %", 25, (Line(100, 10, loss=1),)),
)

COSTS = (
    Fault("idle_cost", "a tunnel with nothing to do", 40),
    Fault("engine_cost", "adaptive beside round-robin over unshaped veth pairs", 40, (Line(1000, 0), Line(1000, 0))),
)
