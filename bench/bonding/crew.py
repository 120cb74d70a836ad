"""Runs the units, each run in a process and a world of its own, one after the other or two small ones at once."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

from lab.stage import LabError, Stage, die_with_parent

from .plan import TIMINGS, all_units

RESULT = "result: "
STAGE_PREFIX = "mwb"
BUSY_MAX = 0.15
# The median of three lies between any two of them: where two agree on a verdict a third cannot change it.
DECISIVE_RUNS = 2


# --- In the process of one run --------------------------------------------------------------------

def work(name, timing, run, programs, folders):
    """Measures one run of a unit; progress and, at last, the result go to stdout."""
    def tell(words):
        print(words, flush=True)
    with Stage(STAGE_PREFIX) as stage:
        started = time.monotonic()
        try:
            found = all_units()[name].measure(stage, programs, TIMINGS[timing], folders, run, tell)
        except (LabError, subprocess.SubprocessError, OSError) as error:
            found = {"error": str(error)}
        found["took_s"] = round(time.monotonic() - started, 1)
        print(RESULT + json.dumps(found), flush=True)


# --- In the process that leads --------------------------------------------------------------------

class Worker:
    def __init__(self, command, unit, run, say):
        self.unit, self.run = unit, run
        self.found = self.busy_before = None
        self._said = []
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                         stderr=subprocess.STDOUT, text=True, preexec_fn=die_with_parent)
        self._reader = threading.Thread(target=self._read, args=(say,), daemon=True)
        self._reader.start()

    def _read(self, say):
        for line in self._process.stdout:
            line = line.rstrip("\n")
            if line.startswith(RESULT):
                self.found = json.loads(line.removeprefix(RESULT))
            else:
                self._said.append(line)
                say(f"    {self.unit.name} #{self.run}: {line}")

    def finished(self):
        if self._process.poll() is None:
            return False
        self._reader.join()
        if self.found is None:
            last = "\n".join(self._said[-10:])
            self.found = {"error": f"the run's process ended with {self._process.returncode}\n{last}"}
        return True

    def stop(self):
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Crew:
    def __init__(self, timing, programs, folders, say):
        self._timing, self._programs, self._folders, self.say = timing, programs, folders, say
        self._running = []

    def start(self, unit, run, timing=None):
        command = [sys.executable, sys.argv[0], "--build", str(self._programs), "--worker", unit.name,
                   "--run", str(run), "--depth", timing or self._timing.name]
        for folder in self._folders:
            command += ["--traces", str(folder)]
        worker = Worker(command, unit, run, self.say)
        self._running.append(worker)
        return worker

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # Each clears up after itself; a terminal's Ctrl-C has reached them already.
        for worker in self._running:
            worker.stop()

    def wait_one(self):
        """The next to finish."""
        while True:
            for worker in self._running:
                if worker.finished():
                    self._running.remove(worker)
                    return worker
            time.sleep(0.1)

    def together(self, units):
        """Control runs, all at once; what each found."""
        workers = [self.start(unit, 9, "control") for unit in units]
        while self._running:
            self.wait_one()
        return [worker.found for worker in workers]

    def run_all(self, jobs, side_by_side, deadline, keep, undecided):
        """`jobs`: (unit, run, of how many); `keep(unit, run, found)`; `undecided()`: names of units whose verdicts a
        further run may change, which come first in the third round. Gives the jobs that no time was left for."""
        waiting, skipped, number = list(jobs), [], 0
        sorted_for = 1
        while waiting or self._running:
            if waiting and waiting[0][1] > max(sorted_for, DECISIVE_RUNS):
                sorted_for = waiting[0][1]
                first = undecided()
                waiting.sort(key=lambda job: (job[1], job[0].name not in first))
            index = self._next(waiting, side_by_side)
            if index is None:
                worker = self.wait_one()
                worker.found["busy_before"] = worker.busy_before
                keep(worker.unit, worker.run, worker.found)
                continue
            unit, run, of = waiting.pop(index)
            number += 1
            seconds = unit.estimate_s(self._timing)
            if deadline and time.monotonic() + seconds > deadline:
                skipped.append((unit, run))
                continue
            self.say(f"[{number}/{len(jobs)}] {unit.name}, run {run} of {of}, about {seconds:.0f} s: {unit.what}")
            busy = None if self._running else processors_busy()
            if busy is not None and busy > BUSY_MAX:
                self.say(f"    the machine is busy with other things ({busy:.0%} of it): figures will suffer")
            self.start(unit, run).busy_before = busy
        return skipped

    def _next(self, waiting, side_by_side):
        """Which of the waiting may start now."""
        if not waiting:
            return None
        if not self._running:
            return 0
        if not side_by_side or len(self._running) > 1 or self._running[0].unit.alone:
            return None
        # Within one round only, so that a unit's runs stay apart in time.
        run = waiting[0][1]
        return next((index for index, (unit, its_run, _) in enumerate(waiting)
                     if not unit.alone and its_run == run), None)


def processors_busy(seconds=0.3):
    """The share of all processors' time that is used, with none of ours running."""
    def times():
        with open("/proc/stat", encoding="ascii") as text:
            values = [int(word) for word in text.readline().split()[1:9]]
        return sum(values), values[3] + values[4]  # idle, iowait
    total, idle = times()
    time.sleep(seconds)
    total_later, idle_later = times()
    return round(1 - (idle_later - idle) / max(1, total_later - total), 2)


def processor():
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as text:
        names = [line.split(":", 1)[1].strip() for line in text if line.startswith("model name")]
    return names[0] if names else "unknown"


def machine():
    return {"processor": processor(), "cores": len(os.sched_getaffinity(0)), "kernel": os.uname().release,
            "date": time.strftime("%Y-%m-%d")}
