"""Emulated lines between namespaces: the program `linkem` and its control socket."""

import json

from .stage import LabError, run


class Lines:
    def __init__(self, stage, program, lines, seed=7, shared=()):
        """`lines`: linkem's own words, one string a line: "name=wan1 a=IF@NETNS b=IF@NETNS rate=100M …";
        `shared`: bottlenecks that lines can name, "name=cell rate=50M"."""
        self.program = program
        self.socket = stage.folder / f"linkem.{stage.next_number()}.sock"
        command = [program, "--control", self.socket, "--seed", seed]
        for line in lines:
            command += ["--line", line]
        for bottleneck in shared:
            command += ["--shared", bottleneck]
        self.process = stage.start("linkem", command)
        self.process.wait_for_output("ready", 10)

    def control(self, *words):
        if not self.process.alive():
            raise LabError(f"linkem ended with {self.process.wait(0)}\n{self.process.tail()}")
        return run([self.program, "ctl", self.socket, *words]).stdout

    def set(self, name, *settings):
        self.control("set", name, *settings)

    def cut(self, name, direction="both"):
        """The line carries nothing any more, and nobody is told."""
        self.control("down", name, direction)

    def mend(self, name):
        self.control("up", name)

    def carrier(self, name, on):
        self.control("carrier", name, "on" if on else "off")

    def stats(self):
        return json.loads(self.control("stats"))
