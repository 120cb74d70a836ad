"""One world for one measurement: namespaces, emulated lines, and tunnels over them that can be started afresh."""

import pathlib

from lab.stage import LabError
from lab.world import World

# Of both namespaces. Buffers that hold twice the product of the largest rate and delay here, since bare TCP is the
# measure of everything; no memory of earlier connections. Each flow names its congestion control: kernels differ
# in what they take by default.
SYSCTLS = {
    "net.ipv4.tcp_rmem": "4096 131072 33554432",
    "net.ipv4.tcp_wmem": "4096 65536 33554432",
    "net.ipv4.tcp_no_metrics_save": "1",
    "net.ipv4.tcp_ecn": "2",
}
_HOST_ONLY = ("net.core.rmem_max", "net.core.wmem_max")


def trace_file(beginning, folders):
    """The trace whose name begins so, or None."""
    for folder in folders:
        for path in sorted(pathlib.Path(folder).glob(f"{beginning}*")):
            if path.is_file():
                return path.resolve()
    return None


def line_words(line, folders=()):
    """A line in linkem's own words."""
    words = [f"delay={line.delay_ms:g}ms", f"queue={line.queue_ms:g}ms"]
    if line.trace:
        path = trace_file(line.trace, folders)
        if path is None:
            raise LabError(f"there is no trace {line.trace}*")
        # Both directions of one recording, at different times of it.
        words += [f"trace={path}", "up.trace_offset=20s"]
    else:
        words.append(f"rate={round(line.rate * 1000)}k")
    if line.jitter_ms:
        words += [f"jitter={line.jitter_ms:g}ms", f"jitter_mode={'reorder' if line.reorder else 'fifo'}"]
    words += loss_words(line)
    return " ".join(words)


def loss_words(line):
    words = [f"loss={line.loss:g}%"] if line.loss else []
    if line.bursts:
        percent, length = line.bursts
        leave = 1 / length
        enter = leave * percent / (100 - percent)
        words.append(f"ge={enter * 100:.5f}%,{leave * 100:g}%")
    return words


class Arena:
    def __init__(self, stage, programs, lines, folders=(), seed=7, shared=""):
        """`programs`: the folder of mwtun and linkem. Without rates and delays at all the lines are veth pairs."""
        self.stage, self.lines, self.folders = stage, lines, folders
        self.program = programs / "mwtun"
        words = [line_words(line, folders) for line in lines]
        bottlenecks = []
        if shared:
            words = [f"delay={line.delay_ms:g}ms down.shared=down up.shared=up" for line in lines]
            bottlenecks = [f"name={name} queue=200ms {shared}" for name in ("down", "up")]
        bare_wire = all(line.delay_ms == 0 for line in lines)
        self.world = World(stage, None if bare_wire else programs / "linkem", words, seed, bottlenecks)
        for netns in (self.world.home, self.world.vps):
            stage.run(netns, ["sysctl", "-q", "-w", *(f"{name}={value}" for name, value in SYSCTLS.items())])
        self._tunnels = {}

    @property
    def names(self):
        return self.world.names

    @property
    def emulator(self):
        return self.world.lines

    def bond(self, scheduler="adaptive"):
        """A tunnel over all lines, just started; those before are stopped."""
        return self._start([0], scheduler)[0]

    def singles(self, numbers=None):
        """A tunnel over each line alone (counted from 1), all at once."""
        return self._start(numbers or list(range(1, len(self.names) + 1)))

    def _start(self, numbers, scheduler="adaptive"):
        self.stop_tunnels()
        started = []
        for number in numbers:
            if number not in self._tunnels:
                links = self.world.links()
                self._tunnels[number] = self.world.tunnel(
                    self.program, number, links[number - 1:number] if number else links)
            tunnel = self._tunnels[number]
            tunnel.start_server()
            tunnel.start_client(scheduler)
            started.append(tunnel)
        for tunnel in started:
            tunnel.wait_up(20)
            tunnel.wait_links_up(20)
        return started

    def stop_tunnels(self):
        for tunnel in self._tunnels.values():
            tunnel.stop()

    def replay_traces(self):
        """From their beginning again, so that all that is compared meets the same."""
        for name, line in zip(self.names, self.lines):
            if line.trace:
                self.emulator.set(name, f"trace={trace_file(line.trace, self.folders)}")

    def bare_target(self, number):
        """(address, own address) of a line without any tunnel."""
        return self.world.far(number), self.world.near(number)


def settings_text():
    """For the report: what TCP was told, and what it could not be."""
    said = [f"{name.removeprefix('net.ipv4.')} = {value}" for name, value in SYSCTLS.items()]
    for name in _HOST_ONLY:
        path = pathlib.Path("/proc/sys") / name.replace(".", "/")
        said.append(f"{name} = {path.read_text().strip()}")
    return "; ".join(said)

