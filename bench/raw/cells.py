"""What is measured of each target. Every cell returns a dictionary of numbers."""

import json
import statistics

from lab.stage import LabError
from lab.traffic import Ping, iperf, percentile, ping

LOSS_MAX = 0.005
UDP_TRIES = 10


class Cells:
    def __init__(self, stage, world, udpload, seconds):
        self.stage, self.world, self.udpload, self.seconds = stage, world, udpload, seconds

    def _tcp(self, target, flows):
        before = target.cpu_s()
        told = iperf(self.stage, self.world.vps, self.world.home, target.address, flows=flows,
                     seconds=self.seconds, omit=1)
        # The omitted second costs as much as the others.
        gigabytes = told["bps"] * (self.seconds + 1) / 8e9
        return {"bps": told["bps"], "retransmits": told["retransmits"],
                "cpu_s_per_gb": (target.cpu_s() - before) / gigabytes if target.processes else None}

    def tcp_1(self, target):
        return self._tcp(target, 1)

    def tcp_4(self, target):
        return self._tcp(target, 4)

    def tcp_1_cut(self, target):
        """As frames of a bridged card without GRO: the sender's kernel cuts and sums up all of them."""
        told = self.stage.run(self.world.home, ["ip", "-j", "route", "get", target.address]).stdout
        command = ["ethtool", "-K", json.loads(told)[0]["dev"]]
        self.stage.run(self.world.home, [*command, *"tso off gso off gro off tx off".split()])
        try:
            return self._tcp(target, 1)
        finally:
            self.stage.run(self.world.home, [*command, *"tso on gso on gro on tx on".split()])

    def _udp(self, target, size, segments, rate):
        receiver = self.stage.start("udpload-receive", [self.udpload, "receive", target.address],
                                    self.world.vps)
        receiver.wait_for_output("listening", 5)
        sender = self.stage.start("udpload-send", [
            self.udpload, "send", target.address, "--bytes", size, "--seconds", max(2, self.seconds / 2),
            "--rate", int(rate), "--gso", segments], self.world.home)
        if sender.wait(self.seconds + 10) != 0 or receiver.wait(10) != 0:
            receiver.kill()
            if segments > 1 and "Message too long" in sender.output():
                return None  # Its MTU is too small for segments of this size.
            raise LabError(f"udpload found no way\n{sender.tail()}\n{receiver.tail()}")
        return json.loads(receiver.output().splitlines()[-1])

    def udp(self, target, size, segments=1):
        """The most that arrives with less than LOSS_MAX lost. A flood takes the processor from those who carry
        it, so what arrives of one is where the search begins, not where it ends."""
        flood = self._udp(target, size, segments, 0)
        if flood is None:
            return {}
        best, rate, step = None, flood["pps"], 1.25
        if flood["lost_share"] < LOSS_MAX:
            best = flood
        for _ in range(UDP_TRIES if best is None else 0):
            told = self._udp(target, size, segments, rate)
            if told["lost_share"] < LOSS_MAX:
                if best is not None and told["pps"] < best["pps"] * 1.02:
                    break  # The sender has no more to give.
                best = told
            elif best is None:
                rate /= step
                continue
            else:
                rate, step = best["pps"], 1 + (step - 1) / 2
                if step < 1.03:
                    break
            rate *= step
        told = best or flood
        return {"pps": told["pps"], "bps": told["bps"], "lost_share": told["lost_share"],
                "out_of_order": told["out_of_order"]}

    def udp_1400(self, target):
        return self.udp(target, 1400)

    def udp_1400_gso(self, target):
        return self.udp(target, 1400, 44)

    def udp_64(self, target):
        return self.udp(target, 64)

    def rtt(self, target):
        times = ping(self.stage, self.world.home, target.address, count=300, interval=0.005)["rtt_ms"]
        return {"p50_us": statistics.median(times) * 1e3, "p99_us": percentile(times, 0.99) * 1e3}

    def rtt_loaded(self, target):
        probe = Ping(self.stage, self.world.home, target.address, count=int(self.seconds * 50), interval=0.02)
        iperf(self.stage, self.world.vps, self.world.home, target.address, seconds=self.seconds + 1)
        told = probe.result()
        return {"p50_us": statistics.median(told["rtt_ms"]) * 1e3,
                "p99_us": percentile(told["rtt_ms"], 0.99) * 1e3, "lost": told["lost"]}


NAMES = ("tcp_1", "tcp_4", "tcp_1_cut", "udp_1400_gso", "udp_1400", "udp_64", "rtt", "rtt_loaded")
