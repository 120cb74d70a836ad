"""Traffic and what became of it: iperf3 and ping, run inside namespaces."""

import itertools
import json
import re
import time

from .stage import LabError

_ports = itertools.count(5201)


class Iperf:
    """One iperf3 run in the background. `down`: from the server to the client (iperf3's -R)."""

    def __init__(self, stage, server_netns, client_netns, address, *, flows=1, down=False, seconds=4,
                 omit=0, udp_bps=None, congestion="cubic", interval=None, bind=None):
        port = next(_ports)
        self._seconds = seconds + omit
        # A receiver that is late drops UDP itself: it comes before others, and has the largest buffer
        # that every system allows.
        measure = ["nice", "-n", -5, "iperf3"] if udp_bps else ["iperf3"]
        self.server = stage.start("iperf3-server", [*measure, "-s", "-1", "-p", port, "--forceflush"],
                                  server_netns)
        self.server.wait_for_output("Server listening", 5)
        command = [*measure, "-J", "-c", address, "-p", port, "-t", seconds, "-O", omit, "-P", flows,
                   "--connect-timeout", 5000]
        if down:
            command.append("-R")
        if bind:
            command += ["-B", bind]
        if interval:
            command += ["-i", interval]
        if udp_bps:
            # Small enough that one datagram is one frame; paced finely, as a stream of media is.
            command += ["-u", "-b", int(udp_bps / flows), "-l", 1400, "--pacing-timer", 1000,
                        "-w", "208K"]
        else:
            command += ["-C", congestion]
        self.udp = udp_bps is not None
        self.started = time.monotonic()
        self.client = stage.start("iperf3", command, client_netns)

    def result(self):
        """bps: what the receiver got; for UDP also what was lost and out of order; `intervals`: (end, bps)
        a piece, `pieces`: the same with the datagrams (lost, of all) where the client receives."""
        code = self.client.wait(self._seconds + 20)
        if code is None:
            self.client.kill()
            self.server.kill()
            raise LabError("iperf3 did not end: traffic has stopped")
        text = self.client.output()
        self.server.stop(1)
        try:
            report = json.loads(text[text.index("{"):])
        except ValueError:
            raise LabError(f"iperf3 gave no result\n{self.client.tail()}") from None
        if code != 0 or "error" in report:
            raise LabError(f"iperf3: {report.get('error', 'failed')}")
        end = report["end"]
        answer = {
            "bps": (end.get("sum_received") or end["sum"])["bits_per_second"],
            "intervals": [(piece["sum"]["end"], piece["sum"]["bits_per_second"])
                          for piece in report["intervals"] if not piece["sum"].get("omitted")],
        }
        if self.udp:
            answer["lost_share"] = end["sum"]["lost_percent"] / 100
            answer["lost"], answer["packets"] = end["sum"]["lost_packets"], end["sum"]["packets"]
            answer["out_of_order"] = sum(one["udp"].get("out_of_order", 0) for one in end["streams"])
            answer["pieces"] = [
                (piece["sum"]["end"], piece["sum"]["bits_per_second"],
                 piece["sum"].get("lost_packets", 0), piece["sum"].get("packets", 0))
                for piece in report["intervals"] if not piece["sum"].get("omitted")]
            answer["bps"] = end["sum"]["bits_per_second"] * (1 - answer["lost_share"])
        else:
            answer["retransmits"] = end.get("sum_sent", {}).get("retransmits", 0)
        return answer


def iperf(stage, *places, **options):
    return Iperf(stage, *places, **options).result()


class Ping:
    """A ping in the background."""

    def __init__(self, stage, netns, address, *, count, interval=0.02, size=56, whole=False):
        self._seconds = count * interval
        command = ["ping", "-n", "-D", "-i", interval, "-c", count, "-W", 1, "-s", size]
        if whole:
            command += ["-M", "do"]  # Don't fragment: the frame must pass as it is.
        self.process = stage.start("ping", [*command, address], netns)

    def result(self):
        """sent, received, duplicates, lost, rtt_ms (sorted), gap_s: the longest time without an answer;
        `answers`: (time of day, ms) as they came."""
        if self.process.wait(self._seconds + 15) is None:
            self.process.kill()
        text = self.process.output()
        found = re.search(r"(\d+) packets transmitted, (\d+) received(?:, \+(\d+) duplicates)?", text)
        if not found:
            raise LabError(f"ping said nothing useful\n{self.process.tail()}")
        sent, received, duplicates = (int(number or 0) for number in found.groups())
        answers = [(float(at), float(ms)) for at, ms in
                   re.findall(r"^\[(\d+\.\d+)\] \d+ bytes from .* time=([\d.]+) ms$", text, re.M)]
        times = [at for at, _ in answers]
        return {
            "sent": sent, "received": received, "duplicates": duplicates, "lost": sent - received,
            "rtt_ms": sorted(ms for _, ms in answers), "answers": answers,
            "gap_s": max((b - a for a, b in zip(times, times[1:])), default=None),
        }


def ping(stage, *place, **options):
    return Ping(stage, *place, **options).result()


def percentile(ordered, share):
    """Of a sorted list; None of an empty one."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else None


def wait_for_answer(stage, netns, address, seconds, process=None):
    """Pings until the first answer; the seconds it took, or None. `process` must stay alive meanwhile."""
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        if process is not None and not process.alive():
            raise LabError(f"{process.name} ended with {process.wait(0)}\n{process.tail()}")
        # Over a far line the ARP request and the ping take a round trip each.
        patience = 0.2 if time.monotonic() - started < 3 else 1
        # An unreachable host ends a ping too, so its exit code says nothing.
        said = stage.run(netns, ["ping", "-n", "-q", "-c", 1, "-W", patience, address], check=False).stdout
        if " 1 received" in said:
            return time.monotonic() - started
        # An ARP request that met an interface without carrier would be repeated only after a second,
        # and that would be measured instead of the tunnel.
        stage.run(None, ["ip", "-n", netns, "neighbour", "flush", "to", address], check=False)
        time.sleep(0.02)
    return None
