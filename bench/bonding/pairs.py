"""One run of one pair of lines: bare, each alone through mwtun, all through mwtun; each as fresh as the other."""

import time

from lab.stage import LabError
from lab.traffic import Iperf

from .arena import loss_words
from .line_watch import LineWatch
from .runs import bare_targets, drops_of, pings, tcp, tunnel_targets, udp

FLOWS_MANY = 16


class PairRun:
    def __init__(self, arena, scenario, cells, timing, tell, series):
        """`cells`: what to measure beside the three; `tell(words)` takes the progress; `series`: keep courses."""
        self.arena, self.scenario, self.cells, self.timing = arena, scenario, cells, timing
        self.tell, self.series = tell, series
        self.found = {}

    def run(self):
        """Everything found, by name."""
        self._bare()
        self._singles()
        self._bond()
        self.arena.stop_tunnels()
        return self.found

    # --- Helpers ----------------------------------------------------------------------------------

    def _tcp(self, targets, short=False, **options):
        time.sleep(0.5)  # What the run before left in the queues has gone.
        self.arena.replay_traces()
        options.setdefault("seconds", self.timing.short_s if short else self.timing.tcp_s)
        return tcp(self.arena, targets, omit=self.timing.omit_s, **options)

    def _keep(self, name, value, words):
        self.found[name] = value
        self.tell(words)
        return value

    def _cell(self, about, measure):
        """One cell that goes wrong does not take the others with it."""
        try:
            return measure()
        except LabError as error:
            self.found.setdefault("errors", []).append(f"{about}: {error}")
            self.tell(f"{about}: STOPPED: {error}")
            return None

    def _measure_tcp(self, name, about, targets, **options):
        return self._cell(about, lambda: self._keep_tcp(name, about, self._tcp(targets, **options)))

    def _keep_tcp(self, name, about, results):
        rates = " + ".join(f"{one['bps'] / 1e6:.1f}" for one in results)
        p99 = ", ".join("-" if one["ping"]["p99_ms"] is None else f"{one['ping']['p99_ms']:.0f}" for one in results)
        return self._keep(name, results, f"{about}: {rates} Mbit/s, ping p99 {p99} ms")

    # --- Bare lines -------------------------------------------------------------------------------

    def _bare(self):
        arena, targets = self.arena, bare_targets(self.arena)
        addresses = [address for address, _ in targets]
        idle = pings(arena, addresses, self.timing.idle_ping_s)
        self._keep("bare_idle", idle, "bare lines, idle: ping p99 " +
                   ", ".join(f"{one['p99_ms'] or 0:.1f}" for one in idle) + " ms")
        self._measure_tcp("bare", "bare lines", targets, series=self.series)
        for cell, about, options in (("up", "bare lines up", {"ways": ("up",)}),
                                     ("bbr", "bare lines, BBR", {"congestion": "bbr"}),
                                     ("bbr_up", "bare lines up, BBR", {"ways": ("up",), "congestion": "bbr"}),
                                     ("many", f"bare lines, {FLOWS_MANY} flows", {"flows": FLOWS_MANY})):
            # BBR bare is a reference only where the sum with BBR is asked for.
            if cell in self.cells and not (cell == "bbr" and "bbr_up" not in self.cells):
                self._measure_tcp(f"bare_{cell}", about, targets, short=True, **options)
        if "no_loss" in self.cells:
            self._without_loss(lambda: self._measure_tcp("bare_no_loss", "bare lines without their loss", targets))
        if "half" in self.cells:
            self._cell("bare lines at half load", lambda: self._half(targets))

    def _without_loss(self, measure):
        lines = list(zip(self.arena.names, self.scenario.lines))
        for name, _ in lines:
            self.arena.emulator.set(name, "loss=0", "ge=none")
        try:
            return measure()
        finally:
            for name, line in lines:
                if loss_words(line):
                    self.arena.emulator.set(name, *loss_words(line))

    def _half(self, targets, tries=3):
        """Ping beside UDP at half of each line's rate. iperf3 gives up when a line loses its first datagram."""
        for left in reversed(range(tries)):
            try:
                return self._half_once(targets)
            except LabError:
                if left == 0:
                    raise

    def _half_once(self, targets):
        self.arena.replay_traces()
        found = []
        for (address, own), line in zip(targets, self.scenario.lines):
            run = Iperf(self.arena.stage, self.arena.world.vps, self.arena.world.home, address, bind=own, down=True,
                        udp_bps=line.rate * 0.5e6, seconds=self.timing.half_s + 2)
            found.append(run)
        time.sleep(1)
        answers = pings(self.arena, [address for address, _ in targets], self.timing.half_s)
        failed = None
        for run in found:
            try:
                run.result()
            except LabError as error:
                failed = error
        if failed:
            raise failed
        self._keep("bare_half", answers, "bare lines at half load: ping p99 " +
                   ", ".join(f"{one['p99_ms'] or 0:.0f}" for one in answers) + " ms")

    # --- Through mwtun ----------------------------------------------------------------------------

    def _singles(self):
        tunnels = self.arena.singles()
        targets = tunnel_targets(tunnels)
        idle = pings(self.arena, [address for address, _ in targets], self.timing.idle_ping_s / 2)
        self.found["single_idle"] = idle
        self._measure_tcp("single", "mwtun, each line alone", targets, series=self.series)

    def _bond(self):
        tunnel = self.arena.bond()
        target = tunnel_targets([tunnel])
        self.found["bond_idle"] = pings(self.arena, [tunnel.vps_inner], self.timing.idle_ping_s / 2)
        self._cell("mwtun, all lines", lambda: self._bond_down(tunnel, target))
        for cell, about, options in (("up", "all lines up", {"ways": ("up",)}),
                                     ("bbr", "all lines, BBR", {"congestion": "bbr"}),
                                     ("bbr_up", "all lines up, BBR", {"ways": ("up",), "congestion": "bbr"}),
                                     ("many", f"all lines, {FLOWS_MANY} flows", {"flows": FLOWS_MANY}),
                                     ("both", "all lines, both ways", {"ways": ("down", "up")})):
            if cell in self.cells:
                short = cell == "both" or (cell == "bbr" and "bbr_up" not in self.cells)
                self._measure_tcp(f"bond_{cell}", f"mwtun, {about}", target, short=short, **options)
        for cell, share in (("udp80", 0.8), ("udp50", 0.5)):
            if cell in self.cells:
                self._cell(cell, lambda cell=cell, share=share: self._udp(cell, target[0], share * self._sum()))
        if "udp50" in self.cells:
            self._without_loss(lambda: self._cell("udp50_no_loss", lambda: self._udp(
                "udp50_no_loss", target[0], 0.5 * self._sum())))
        tunnel.check_alive()

    def _bond_down(self, tunnel, target):
        with LineWatch(self.arena) as watch:
            start = time.monotonic() + 0.5 + self.timing.omit_s
            results = self._tcp(target, series=self.series)
            end = start + self.timing.tcp_s
        result = results[0]
        shares = [watch.moved(name, "down", start, end)[0] for name in self.arena.names]
        result["line_share"] = [round(one / max(1, sum(shares)), 3) for one in shares]
        result["drops"] = drops_of(tunnel)
        self._keep_tcp("bond", "mwtun, all lines", results)

    def _sum(self):
        """Of what the lines can carry, by the best that was seen of each."""
        if "bare_no_loss" in self.found:
            return sum(one["bps"] for one in self.found["bare_no_loss"])
        sums = [sum(one["bps"] for one in self.found[name]) for name in ("bare", "single") if name in self.found]
        if not sums:
            raise LabError("neither the bare lines nor the single ones were measured")
        return max(sums)

    def _udp(self, name, target, bps):
        time.sleep(1)
        lines = self.arena.names
        with LineWatch(self.arena) as watch:
            start = time.monotonic()
            result = udp(self.arena, target, bps, seconds=self.timing.udp_s)
            end = time.monotonic()
        # Everything that went onto the lines, both ways: what repair and acknowledging cost is in it.
        result["outer_bytes"] = sum(watch.moved(line, way, start, end, "in_bytes")[0]
                                    for line in lines for way in ("down", "up"))
        result["line_drops"] = {line: watch.dropped(line, "down", start, end) for line in lines}
        self._keep(name, result, f"mwtun, all lines, UDP at {bps / 1e6:.0f} Mbit/s: lost {result['lost_share']:.4%}, "
                   f"out of order {result['out_of_order_share']:.4%}" +
                   (f" ({result['receiver_dropped']} dropped by the receiver's socket)"
                    if result["receiver_dropped"] else ""))
