"""What each emulated line carries, sampled through linkem's control socket without starting programs."""

import bisect
import json
import socket
import threading
import time


class LineWatch(threading.Thread):
    """Samples until stop(): use as a context."""

    def __init__(self, arena, period=0.1):
        super().__init__(daemon=True)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(5)
        self._socket.connect(str(arena.emulator.socket))
        self._period = period
        self._ended = threading.Event()
        self.times, self.samples = [], []

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self._ended.set()
        if self.is_alive():
            self.join()
        self._socket.close()

    def run(self):
        reader = self._socket.makefile("r", encoding="ascii")
        following = time.monotonic()
        while not self._ended.is_set():
            try:
                self._socket.sendall(b"stats\n")
                lines = json.loads(reader.readline())["lines"]
            except (OSError, ValueError):
                return  # linkem has ended: who uses it will say so.
            self.samples.append(lines)
            self.times.append(time.monotonic())
            following = max(following + self._period, time.monotonic())
            self._ended.wait(following - time.monotonic())

    def _at(self, when):
        """The sample next to a moment."""
        index = bisect.bisect(self.times, when)
        near = [one for one in (index - 1, index) if 0 <= one < len(self.times)]
        return min(near, key=lambda one: abs(self.times[one] - when))

    def moved(self, name, direction, start, end, what="out_bytes"):
        """(amount, seconds) between the samples next to two moments."""
        first, last = self._at(start), self._at(end)
        values = [self.samples[one][name][direction][what] for one in (first, last)]
        return values[1] - values[0], self.times[last] - self.times[first]

    def rate(self, name, direction, start, end, what="out_bytes"):
        """Bits a second of IP packets."""
        amount, seconds = self.moved(name, direction, start, end, what)
        return amount * 8 / seconds if seconds > 0 else 0.0

    def dropped(self, name, direction, start, end):
        """{reason: frames} between two moments, the reasons that happened."""
        before, after = (self.samples[self._at(when)][name][direction]["drops"] for when in (start, end))
        return {reason: after[reason] - before[reason] for reason in after if after[reason] > before[reason]}

    def delays_ms(self, name, direction, start, end):
        """Of the last frame that left, as often as it was looked at while frames left."""
        delays, frames = [], None
        for when, lines in zip(self.times, self.samples):
            line = lines[name][direction]
            if start <= when <= end and line["out_frames"] != frames:
                delays.append(line["last_delay_ms"])
            frames = line["out_frames"]
        return sorted(delays)

    def first_frame_after(self, name, when):
        """The time of the first sample after which the line carried frames both ways, or None."""
        before = self.samples[self._at(when)][name]
        for at, lines in zip(self.times, self.samples):
            line = lines[name]
            if at > when and all(line[way]["out_frames"] > before[way]["out_frames"] for way in ("up", "down")):
                return at
        return None
