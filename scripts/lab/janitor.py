"""Clears up after a stage, however that ended: started by it, told over a pipe what there is, and woken by
the pipe's end, which comes also when the stage is killed. Lines: "pid N", "netns NAME", "path PATH"."""

import os
import shutil
import signal
import subprocess
import sys


def kill(pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def main():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    what = {"pid": [], "netns": [], "path": []}
    for line in sys.stdin:
        kind, value = line.rstrip("\n").split(" ", 1)
        if kind == "done":  # A process that has been waited for: its number may be another's now.
            what["pid"].remove(value)
        else:
            what[kind].append(value)
    kill(int(pid) for pid in what["pid"])
    for name in what["netns"]:
        inside = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True)
        kill(int(pid) for pid in inside.stdout.split())
        subprocess.run(["ip", "netns", "del", name], capture_output=True)
        shutil.rmtree(f"/etc/netns/{name}", ignore_errors=True)
    for path in what["path"]:
        shutil.rmtree(path, ignore_errors=True)
        if os.path.exists(path):  # A file or a socket.
            os.unlink(path)


main()
