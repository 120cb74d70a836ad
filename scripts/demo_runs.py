"""What the demo measures, one run after the other, and the progress it tells."""

import time

from lab.stage import LabError
from lab.traffic import Iperf, Ping, iperf, percentile, ping
from lab.tunnel import SCHEDULERS, VPS_INNER
from lab.world import World

MBIT = 1e6
LINE_BPS = 100 * MBIT
# These spread one flow over all lines; the others give a flow one line at a time.
SPREADING = ("adaptive", "round-robin")


class Demo:
    def __init__(self, stage, program, linkem, quick, out):
        self.stage, self.quick, self.out = stage, quick, out
        self.world = World(stage, linkem)
        self.tunnel = self.world.tunnel(program)
        self._done = self._steps = 0
        self._counting = False

    # --- Progress ---------------------------------------------------------------------------------

    def step(self, text, measure):
        """Tells what runs, runs it, tells the outcome: `measure` returns (value, words). A run that
        fails is told and counts as no value; the demo goes on as long as the programs live."""
        if self._counting:
            self._steps += 1
            return None
        self._done += 1
        print(f"[{self._done:2}/{self._steps}] {text:<52}", end="", file=self.out, flush=True)
        try:
            value, words = measure()
        except LabError as error:
            print("FAILED", file=self.out, flush=True)
            self.tunnel.check_alive()
            print("\n".join(f"        {line}" for line in str(error).splitlines()), file=self.out)
            return None
        print(words, file=self.out, flush=True)
        self.tunnel.check_alive()
        return value

    # --- The runs ---------------------------------------------------------------------------------

    def measure(self, result):
        """Fills in `result`, as far as it gets."""
        # The same walk twice: first only to know how many steps there are.
        self._counting = True
        self._walk({})
        self._counting = False
        self._walk(result)

    def _walk(self, result):
        result["bare"] = bare = {}
        self._bare_lines(bare)
        result["start_s"] = self.step("the program starts on both ends", self.start)
        result["whole_frames"] = self.step("frames of 1500 bytes, not to be fragmented", self._whole_frames)
        result["schedulers"] = {}
        for scheduler in SCHEDULERS:
            result["schedulers"][scheduler] = runs = {}
            self._scheduler(scheduler, bare, runs)
        # The scheduler of the last round is "redundant".
        result["redundant_loss"] = {
            name: self.step(f"redundant, ping while {name} loses 5 %", lambda name=name: self._lossy(name))
            for name in self.world.names}
        result["restart_s"] = self.step("adaptive again", lambda: self._restart("adaptive"))
        result["failure"] = self.step("wan1 dies silently under load, and returns",
                                      lambda: self._failure(result))

    def start(self):
        self.tunnel.start_server()
        self.tunnel.start_client()
        seconds = self.tunnel.wait_up()
        self.tunnel.wait_links_up()
        return round(seconds, 3), f"first answer after {seconds:.2f} s"

    def _restart(self, scheduler):
        seconds = self.tunnel.restart_client(scheduler)
        self.tunnel.wait_links_up()
        return round(seconds, 3), f"first answer after {seconds:.2f} s"

    def _kinds(self, scheduler=None):
        """(name, words, what iperf3 is told) of the TCP runs."""
        one = dict(seconds=3, omit=2) if self.quick else dict(seconds=4, omit=2)
        kinds = [("tcp_1_up", "TCP 1 flow up", one),
                 ("tcp_1_down", "TCP 1 flow down", dict(one, down=True))]
        if not self.quick or scheduler == "hash":
            # Eight flows would all meet on one line once in 128 runs.
            flows = 16 if scheduler == "hash" else 8
            many = dict(flows=flows, seconds=3, omit=1)
            kinds += [("tcp_many_up", f"TCP {flows} flows up", many),
                      ("tcp_many_down", f"TCP {flows} flows down", dict(many, down=True))]
        if not self.quick and scheduler in (None, "adaptive"):
            kinds.append(("bbr_1_down", "TCP 1 flow down, BBR", dict(one, down=True, congestion="bbr")))
        return [kind for kind in kinds if kind[2].get("congestion") != "bbr" or _has_bbr()]

    def _bare_lines(self, bare):
        """Both lines at once, each with its own traffic: they have nothing in common but the processor."""
        world = self.world

        def both(options):
            runs = [Iperf(self.stage, world.vps, world.home, world.far(number), bind=world.near(number),
                          **options) for number in (1, 2)]
            bps = [one.result()["bps"] for one in runs]
            return bps, " + ".join(f"{one / MBIT:.1f}" for one in bps) + " Mbit/s"

        for name, words, options in self._kinds():
            bare[name] = self.step(f"bare lines, {words}", lambda options=options: both(options))

        def udp():
            runs = [Iperf(self.stage, world.vps, world.home, world.far(number), bind=world.near(number),
                          seconds=2, udp_bps=0.8 * LINE_BPS) for number in (1, 2)]
            answers = [one.result() for one in runs]
            return ([{"bps": one["bps"], "lost_share": one["lost_share"]} for one in answers],
                    " + ".join(f"{one['bps'] / MBIT:.1f}" for one in answers) + " Mbit/s, lost " +
                    " + ".join(f"{one['lost_share']:.2%}" for one in answers))

        bare["udp"] = self.step("bare lines, UDP at 80 %", udp)

        def idle():
            answers = [ping(self.stage, world.home, world.far(number), count=25) for number in (1, 2)]
            medians = [percentile(one["rtt_ms"], 0.5) for one in answers]
            return medians, " + ".join(f"{one:.1f}" for one in medians) + " ms"

        bare["idle_rtt_ms"] = self.step("bare lines, ping", idle)

    def _scheduler(self, scheduler, bare, runs):
        if scheduler != SCHEDULERS[0]:
            runs["restart_s"] = self.step(f"{scheduler}: the client starts anew",
                                          lambda: self._restart(scheduler))
        runs["idle_rtt_ms"] = self.step(f"{scheduler}, ping", self._idle)
        for name, words, options in self._kinds(scheduler):
            value = self.step(f"{scheduler}, {words}",
                              lambda name=name, options=options: self._tcp(bare, name, options))
            runs[name] = value
        if not self.quick:
            lines = 2 if scheduler in SPREADING else 1
            runs["udp"] = self.step(f"{scheduler}, UDP at 80 % of {_lines(lines)}",
                                    lambda: self._udp(0.8 * lines * LINE_BPS))

    def _idle(self):
        answer = ping(self.stage, self.tunnel.home, VPS_INNER, count=25)
        median = percentile(answer["rtt_ms"], 0.5)
        if median is None:
            raise LabError("no ping was answered")
        return median, f"{median:.1f} ms"

    def _tcp(self, bare, name, options):
        """Its rate, the ping meanwhile, and what share of the bytes each line carried."""
        direction = "down" if options.get("down") else "up"
        run = Iperf(self.stage, self.tunnel.vps, self.tunnel.home, VPS_INNER, **options)
        time.sleep(options["omit"])
        before = self._line_bytes(direction)
        alongside = Ping(self.stage, self.tunnel.home, VPS_INNER, interval=0.02,
                         count=int(options["seconds"] / 0.02) - 10)
        answer = run.result()
        used = [now - then for now, then in zip(self._line_bytes(direction), before)]
        pings = alongside.result()
        of_sum = answer["bps"] / sum(bare[name]) if bare.get(name) else None
        value = {"bps": answer["bps"], "of_sum": of_sum, "retransmits": answer["retransmits"],
                 "line_share": [round(one / max(1, sum(used)), 3) for one in used],
                 "ping_p50_ms": percentile(pings["rtt_ms"], 0.5),
                 "ping_p99_ms": percentile(pings["rtt_ms"], 0.99), "ping_lost": pings["lost"]}
        words = f"{answer['bps'] / MBIT:.1f} Mbit/s"
        if of_sum:
            words += f" ({of_sum:.2f} of the sum)"
        if value["ping_p99_ms"]:
            words += f", ping {value['ping_p50_ms']:.0f} ms (p99 {value['ping_p99_ms']:.0f})"
        return value, words

    def _udp(self, bps):
        answer = iperf(self.stage, self.tunnel.vps, self.tunnel.home, VPS_INNER, seconds=3, udp_bps=bps)
        return ({"offered_bps": bps, "bps": answer["bps"], "lost_share": answer["lost_share"]},
                f"{answer['bps'] / MBIT:.1f} Mbit/s, lost {answer['lost_share']:.2%}")

    def _whole_frames(self):
        answer = ping(self.stage, self.tunnel.home, VPS_INNER, count=25, size=1472, whole=True)
        return ({"sent": answer["sent"], "lost": answer["lost"]},
                f"{answer['received']} of {answer['sent']} answered")

    def _lossy(self, name):
        count = 100 if self.quick else 250
        self.world.lines.set(name, "loss=5%")
        try:
            before = self._lost_on(name)
            answer = ping(self.stage, self.tunnel.home, VPS_INNER, count=count)
            dropped = self._lost_on(name) - before
        finally:
            self.world.lines.set(name, "loss=0")
        return ({"sent": answer["sent"], "lost": answer["lost"], "duplicates": answer["duplicates"],
                 "datagrams_lost_on_line": dropped},
                f"{answer['lost']} of {answer['sent']} lost ({dropped} datagrams lost on the line)")

    def _failure(self, result):
        """One TCP flow down over both lines; wan1 is cut both ways and, later, mended."""
        before, dead, after = (2, 2, 4) if self.quick else (3, 3, 5)
        lines, name = self.world.lines, self.world.names[0]
        run = Iperf(self.stage, self.tunnel.vps, self.tunnel.home, VPS_INNER, down=True, omit=2,
                    seconds=before + dead + after, interval=0.1)
        pings = Ping(self.stage, self.tunnel.home, VPS_INNER, interval=0.02,
                     count=int((2 + before + dead + after) / 0.02) - 50)
        sleep_until(run.started + 2 + before - 1)
        result["status"] = self.tunnel.status()
        result["status_text"] = self.tunnel.status(json_output=False)
        sleep_until(run.started + 2 + before)
        lines.cut(name)
        time.sleep(dead)
        lines.mend(name)
        mended = time.monotonic()
        used_after = self._time_until_used(name, mended, after - 0.5)
        answer = run.result()
        gap = longest_gap(answer["intervals"], start=before - 0.5)
        answered = pings.result()
        value = {"gap_s": gap, "used_again_s": used_after, "bps": answer["bps"],
                 "ping_sent": answered["sent"], "ping_lost": answered["lost"],
                 "ping_gap_s": answered["gap_s"],
                 "mbit_per_100_ms": [round(bps / MBIT) for _, bps in answer["intervals"]]}
        again = f"{used_after:.1f} s" if used_after is not None else "never"
        return value, f"gap {gap:.1f} s, used again after {again}, {answered['lost']} pings lost"

    def _time_until_used(self, name, mended, seconds):
        """Until a line carries a fifth of its rate over 200 ms."""
        samples = []
        while time.monotonic() - mended < seconds:
            now = time.monotonic()
            samples.append((now, self.world.lines.stats()["lines"][name]["down"]["out_bytes"]))
            start = next((old for old in reversed(samples) if now - old[0] >= 0.2), None)
            if start and (samples[-1][1] - start[1]) * 8 / (now - start[0]) > 0.2 * LINE_BPS:
                return round(now - mended, 2)
            time.sleep(0.04)
        return None

    def _line_bytes(self, direction):
        lines = self.world.lines.stats()["lines"]
        return [lines[name][direction]["out_bytes"] for name in self.world.names]

    def _lost_on(self, name):
        line = self.world.lines.stats()["lines"][name]
        return line["up"]["drops"]["loss"] + line["down"]["drops"]["loss"]


def sleep_until(when):
    time.sleep(max(0.0, when - time.monotonic()))


def longest_gap(intervals, start):
    """The longest run of intervals with under a tenth of a line's rate, in seconds."""
    longest = current = 0.0
    previous = 0.0
    for end, bps in intervals:
        length = end - previous
        previous = end
        if end < start:
            continue
        current = current + length if bps < LINE_BPS / 10 else 0.0
        longest = max(longest, current)
    return round(longest, 2)


def _lines(count):
    return "one line" if count == 1 else "both lines"


def _has_bbr():
    with open("/proc/sys/net/ipv4/tcp_available_congestion_control", encoding="ascii") as names:
        return "bbr" in names.read().split()
