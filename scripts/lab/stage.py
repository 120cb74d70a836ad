"""A stage: the namespaces, processes and files of one run, and their certain end."""

import atexit
import ctypes
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import tempfile
import time

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def _interrupted(number, _):
    name = signal.Signals(number).name
    print(f"\ninterrupted by {name}; clearing up", file=sys.stderr, flush=True)
    sys.exit(128 + number)


class LabError(Exception):
    """Something did not work as it must; the text says what and shows the log's last lines."""


class Unavailable(LabError):
    """The machine has not what the test is about."""


def die_with_parent():
    """For a child to call: it is killed when the one that made it ends, however that ends."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """A program in the background with its output in a file."""

    def __init__(self, stage, name, command, netns=None):
        self._stage = stage
        self.name = name
        self.log = stage.folder / f"{name}.{stage.next_number()}.log"
        self.command = stage.inside(netns, command)
        with open(self.log, "wb") as log:
            self._popen = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True, preexec_fn=die_with_parent)
        self.pid = self._popen.pid
        stage.remember("pid", self.pid)
        self._known = True

    def alive(self):
        return self._popen.poll() is None

    def send(self, number):
        if self.alive():
            os.kill(self.pid, number)

    def wait(self, seconds):
        """The exit code, or None when it still runs after so long."""
        try:
            code = self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        if self._known:
            self._stage.remember("done", self.pid)
            self._known = False
        return code

    def stop(self, seconds=5):
        """SIGTERM, and SIGKILL when that is not heard. The exit code (negative: the signal)."""
        self.send(signal.SIGTERM)
        code = self.wait(seconds)
        return self.kill() if code is None else code

    def kill(self):
        self.send(signal.SIGKILL)
        return self.wait(10)

    def output(self):
        return self.log.read_text(errors="replace")

    def tail(self, lines=15):
        text = "\n".join(self.output().splitlines()[-lines:])
        return f"--- last lines of {self.name} ---\n{text}\n---"

    def wait_for_output(self, text, seconds):
        deadline = time.monotonic() + seconds
        while text not in self.output():
            if not self.alive() and text not in self.output():
                raise LabError(f"{self.name} ended with {self.wait(0)} before it said "
                               f"\"{text}\"\n{self.tail()}")
            if time.monotonic() > deadline:
                raise LabError(f"{self.name} did not say \"{text}\" in {seconds} s\n{self.tail()}")
            time.sleep(0.01)


class Stage:
    """Use as a context: at its end nothing is left, whatever happens, SIGKILL of this process included."""

    def __init__(self, prefix="mwt"):
        self.tag = f"{prefix}-{os.getpid()}"
        self.event_loop = None  # What the files of its tunnels ask for; None: nothing.
        self._number = 0
        self._processes = []
        janitor = pathlib.Path(__file__).with_name("janitor.py")
        self._janitor = subprocess.Popen(
            [sys.executable, str(janitor)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
            start_new_session=True)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"{self.tag}-"))
        self.remember("path", self.folder)
        # Also what we were started to ignore, as a shell's background jobs are.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _interrupted)
        atexit.register(self.close)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def remember(self, kind, value):
        self._janitor.stdin.write(f"{kind} {value}\n")
        self._janitor.stdin.flush()

    def close(self):
        if self._janitor is None:
            return
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        # The newest first: clients before servers, both before the lines they run over.
        for process in reversed(self._processes):
            process.stop(2)
        self._janitor.stdin.close()
        self._janitor.wait()
        self._janitor = None

    def next_number(self):
        self._number += 1
        return self._number

    def netns(self, name):
        """Makes a namespace and returns its full name."""
        full = f"{self.tag}-{name}"
        self.remember("netns", full)
        run(["ip", "netns", "add", full])
        ip(full, "link set lo up")
        # Every flow names its congestion control, but only once it is connected, and one that began as BBR (where
        # that is the machine's default) is paced for ever: bare veth then carries 15 to 39 Gbit/s instead of 55.
        # Reno is the one that every kernel lets a namespace choose.
        self.run(full, ["sysctl", "-q", "-w", "net.ipv4.tcp_congestion_control=reno"])
        return full

    def resolver(self, netns, address):
        """Makes `address` the name server of what is run inside a namespace from now on."""
        folder = pathlib.Path("/etc/netns") / netns
        folder.mkdir(parents=True)
        (folder / "resolv.conf").write_text(f"nameserver {address}\noptions timeout:1 attempts:2\n")

    @staticmethod
    def inside(netns, command):
        words = [str(word) for word in command]
        # It executes the command in its place, so the process keeps its number.
        return ["ip", "netns", "exec", netns, *words] if netns else words

    def start(self, name, command, netns=None):
        process = Process(self, name, command, netns)
        self._processes = [old for old in self._processes if old.alive()] + [process]
        return process

    def run(self, netns, command, check=True, seconds=60, **options):
        return run(self.inside(netns, command), check=check, seconds=seconds, **options)


def run(command, check=True, seconds=60, **options):
    """Runs a command to its end; its output is in .stdout and .stderr."""
    words = [str(word) for word in command]
    result = subprocess.run(words, stdin=None if "input" in options else subprocess.DEVNULL,
                            capture_output=True, text=True, timeout=seconds,
                            preexec_fn=die_with_parent, **options)
    if check and result.returncode != 0:
        raise LabError(f"{shlex.join(words)}: exit code {result.returncode}\n"
                       f"{result.stdout}{result.stderr}".rstrip())
    return result


def ip(netns, words, check=True):
    """`ip WORDS` for a namespace."""
    return run(["ip", "-n", netns, *words.split()], check=check)


def enter_netns(netns):
    """Moves this thread into a namespace; sockets made from now on are there. Use in a child process."""
    descriptor = os.open(f"/run/netns/{netns}", os.O_RDONLY)
    if _libc.setns(descriptor, 0x40000000) != 0:
        raise OSError(ctypes.get_errno(), f"setns {netns}")
    os.close(descriptor)


class Inside:
    """Sockets in a namespace: `with Inside(netns): socket.socket(…)`; they stay there afterwards."""

    def __init__(self, netns):
        self._netns = netns

    def __enter__(self):
        self._own = os.open("/proc/self/ns/net", os.O_RDONLY)
        enter_netns(self._netns)

    def __exit__(self, *_):
        _libc.setns(self._own, 0x40000000)
        os.close(self._own)
