#!/usr/bin/env python3
"""What interop_test.py stands on: namespaces, sockets in them, the program under test, and one line per check."""

import base64
import contextlib
import ctypes
import os
import pathlib
import select
import signal
import socket
import struct
import subprocess
import time

import mwtun_protocol as mw

ETHERTYPE = 0x88b5  # local experimental: nothing else on the machine sends it
REAL_ADDRESS = ("10.77.0.1", "10.77.1.1")    # the program under test, by link
PYTHON_ADDRESS = ("10.77.0.2", "10.77.1.2")
REAL_ADDRESS6, PYTHON_ADDRESS6 = "fd77::1", "fd77::2"
PORT = 4649
SO_RCVBUFFORCE = 33  # not in the socket module


class Checks:
    """Prints a line per check and counts."""

    def __init__(self):
        self.passed, self.failed = 0, 0

    def __call__(self, name, condition, detail=""):
        if condition:
            self.passed += 1
            print(f"ok {name}", flush=True)
        else:
            self.failed += 1
            print(f"not ok {name}" + (f": {detail}" if detail != "" else ""), flush=True)
        return bool(condition)

    @contextlib.contextmanager
    def group(self, name):
        """What breaks inside is a failed check, and the next group goes on."""
        try:
            yield
        except (mw.Refused, OSError, AssertionError, LookupError, TypeError, AttributeError, StopIteration,
                subprocess.SubprocessError) as error:
            trace = error.__traceback__
            while trace.tb_next:
                trace = trace.tb_next
            where = f"{pathlib.Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
            self(f"{name}_ran_to_its_end", False, f"{type(error).__name__} at {where}: {error}")


# ---------------------------------------------------------------- namespaces

_libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000


class Namespace:
    def __init__(self, name):
        self.name = name
        run("ip", "netns", "add", name)
        self.run("ip", "link", "set", "lo", "up")
        # No neighbour discovery and no MLD from the TAP devices: their frames would only be noise.
        self.run("sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6")

    def run(self, *command):
        return run("ip", "netns", "exec", self.name, *command)

    def delete(self):
        subprocess.run(["ip", "netns", "del", self.name], check=False, stderr=subprocess.DEVNULL)

    @contextlib.contextmanager
    def entered(self):
        """Sockets made inside belong to this namespace."""
        here = os.open("/proc/self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
        try:
            if _libc.setns(there, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), f"setns to {self.name}")
            yield
        finally:
            _libc.setns(here, CLONE_NEWNET)
            os.close(here)
            os.close(there)

    def udp(self, ip, port=0):
        with self.entered():
            udp = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_DGRAM)
        udp.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 22)
        udp.bind((ip, port))
        udp.setblocking(False)
        return udp

    def packet(self, device):
        return EthernetPort(self, device)


class EthernetPort:
    """Sends and receives frames of our EtherType at an interface, as a host behind it would."""

    def __init__(self, namespace, device):
        with namespace.entered():
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERTYPE))
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 22)
        with namespace.entered():
            self.socket.bind((device, ETHERTYPE))
        self.socket.setblocking(False)

    def send(self, frame):
        self.socket.send(frame)

    def receive(self):
        frames = []
        with contextlib.suppress(OSError):  # nothing there, or the interface is gone
            while True:
                frame, address = self.socket.recvfrom(65536)
                if address[2] != socket.PACKET_OUTGOING:
                    frames.append(frame)
        return frames


def run(*command):
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    if result.returncode:
        raise subprocess.SubprocessError(f"{' '.join(command)}: {result.stderr.strip()}")
    return result.stdout


class Net:
    """Two namespaces, joined by two wires. The first wire has IPv6 too."""

    def __init__(self):
        self.real = Namespace(f"mwi-real-{os.getpid()}")
        self.python = Namespace(f"mwi-py-{os.getpid()}")
        for i in range(2):
            self.real.run("ip", "link", "add", f"wire{i}", "type", "veth", "peer", "name", f"wire{i}", "netns",
                          self.python.name)
            for side, address in ((self.real, REAL_ADDRESS), (self.python, PYTHON_ADDRESS)):
                side.run("ip", "address", "add", f"{address[i]}/24", "dev", f"wire{i}")
                side.run("sh", "-c", f"echo 0 > /proc/sys/net/ipv6/conf/wire{i}/disable_ipv6")
                side.run("ip", "link", "set", f"wire{i}", "up")
        self.real.run("ip", "address", "add", f"{REAL_ADDRESS6}/64", "dev", "wire0", "nodad")
        self.python.run("ip", "address", "add", f"{PYTHON_ADDRESS6}/64", "dev", "wire0", "nodad")
        # One address for each thing that is to be refused: no limit by source falls on another.
        for last in range(10, 60):
            self.python.run("ip", "address", "add", f"10.77.0.{last}/24", "dev", "wire0")

    def delete(self):
        self.real.delete()
        self.python.delete()


# ---------------------------------------------------------------- the program under test

class Program:
    def __init__(self, command, namespace, role, config, log):
        self.log = pathlib.Path(log)
        with open(self.log, "wb") as output:
            self.process = subprocess.Popen(["ip", "netns", "exec", namespace.name, *command, role, str(config)],
                                            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)

    def alive(self):
        return self.process.poll() is None

    def wait_until_listening(self, port, seconds=10):
        """True when a UDP socket of its namespace has the port."""
        def listening():
            for table in ("udp", "udp6"):
                for line in pathlib.Path(f"/proc/{self.process.pid}/net/{table}").read_text().splitlines()[1:]:
                    if int(line.split()[1].rsplit(":", 1)[1], 16) == port:
                        return True
            return False
        return self.wait_for(listening, seconds)

    def wait_for(self, condition, seconds=10):
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.alive():
            with contextlib.suppress(OSError):
                if condition():
                    return True
            time.sleep(0.02)
        return False

    def end(self, wait=None):
        """SIGTERM; the exit status, or None when it had to be killed. `wait(seconds)` passes the time."""
        if self.alive():
            self.process.send_signal(signal.SIGTERM)
        end = time.monotonic() + 5
        while self.alive() and time.monotonic() < end:
            (wait or time.sleep)(0.05)
        if self.alive():
            self.process.kill()
            self.process.wait()
            return None
        return self.process.returncode

    def last_words(self, lines=15):
        return "\n".join("    " + line for line in self.log.read_text(errors="replace").splitlines()[-lines:])


class Keys:
    """A key pair, a pre-shared key, made by the program's own commands."""

    def __init__(self, command, folder, name, psk=False):
        self.private_file = folder / f"{name}.key"
        self.private_text = subprocess.run([*command, "genkey"], check=True, capture_output=True, text=True).stdout
        self.public_text = subprocess.run([*command, "pubkey"], check=True, capture_output=True, text=True,
                                          input=self.private_text).stdout.strip()
        self.private_file.write_text(self.private_text)
        self.private_file.chmod(0o600)
        self.private = base64.b64decode(self.private_text.strip())
        self.public = base64.b64decode(self.public_text)
        self.psk, self.psk_file = bytes(32), None
        if psk:
            text = subprocess.run([*command, "genpsk"], check=True, capture_output=True, text=True).stdout
            self.psk, self.psk_file = base64.b64decode(text.strip()), folder / f"{name}.psk"
            self.psk_file.write_text(text)
            self.psk_file.chmod(0o600)


# ---------------------------------------------------------------- the Python end

class Port:
    """A UDP socket of the Python end, for one link."""

    def __init__(self, udp, link=0, to=None):
        self.socket, self.link, self.to = udp, link, to
        self.mute = False    # data is opened and recorded, but nothing goes back
        self.other = []      # what came and was not data of our session
        self.bytes_in = self.bytes_out = 0

    def is_ipv6(self):
        return ":" in self.socket.getsockname()[0]

    def send(self, datagram, to=None):
        self.bytes_out += len(datagram)
        self.socket.sendto(datagram, to or self.to)


class Received:
    """An authentic data datagram with the time and the port it came in on."""

    def __init__(self, at, port, opened):
        self.at, self.port, self.opened = at, port, opened

    def chunks(self, kind):
        return [chunk for chunk in self.opened.chunks if type(chunk) is kind]


class PythonEnd:
    """Sockets and one session; pump() lives its life: receives, answers, acknowledges."""

    def __init__(self, ethernet):
        self.ethernet = ethernet
        self.ports = []
        self.session = None
        self.log = []
        self.refused = []      # (reason, datagram) of data for us that did not open
        self.frames = []       # frames that came through the tunnel to us
        self.delivered = []    # frames that came out of the program's TAP
        self.sent = {}         # (epoch, link) -> packet numbers that really went out
        self.proved_size = {}  # port -> the largest datagram the program may send there
        self.frame_number = 0

    def port_for(self, link, _address):
        """Where datagrams of a link go out."""
        return next(port for port in self.ports if port.link == link)

    def post(self, datagram, port=None, to=None):
        """Send a data datagram and remember its number."""
        head, link, _, number = struct.unpack("<BBII", datagram[:10])
        self.sent.setdefault((head >> 4, link), set()).add(number)
        to = to or self.address_of(link)
        (port or self.port_for(link, to)).send(datagram, to)

    def send(self, link, chunks, **options):
        datagram = self.session.seal(link, chunks, **options)
        self.post(datagram)
        return datagram

    def address_of(self, _link):
        return None  # the port knows

    def take(self, port, datagram, address):
        """One received datagram."""
        port.bytes_in += len(datagram)
        if self.session is None or datagram[0] & 15 != mw.DATA:
            port.other.append(datagram)
            return
        now = time.monotonic_ns()
        try:
            if port.mute:
                self.record(now, port, self.session.open(datagram, now))
                return
            outcome = self.session.receive(datagram, address, now)
        except mw.Refused as reason:
            self.refused.append((str(reason), datagram))
            return
        self.record(now, port, outcome.opened)
        self.frames += outcome.frames
        for link, where, answer in outcome.sends:
            # Answers to a path go out where the question came in; ACKs of another link by that link.
            self.post(answer, port if link == port.link else None, where or address)

    def record(self, now, port, opened):
        """Log a datagram, and complain of what a peer must never do."""
        received = Received(now, port, opened)
        self.log.append(received)
        if opened.error:
            self.refused.append((f"malformed chunk: {opened.error}", opened.chunks))
        proved = self.proved_size.setdefault(port, 1232 if port.is_ipv6() else 1252)
        for probe in received.chunks(mw.MtuProbe):
            self.proved_size[port] = max(proved, opened.size)
            if probe.size != opened.size:
                self.refused.append((f"MTU PROBE of {opened.size} bytes says {probe.size}", opened.chunks))
        if opened.size > self.proved_size[port]:
            self.refused.append((f"{opened.size} bytes, but only {proved} are proved", opened.chunks))

    def pump(self, seconds, until=None):
        """Live for so long, or until the condition holds; its value."""
        end = time.monotonic() + seconds
        while True:
            self.delivered += self.ethernet.receive() if self.ethernet else []
            if until and until():
                return True
            left = end - time.monotonic()
            if left <= 0:
                return bool(until and until())
            sockets = {port.socket: port for port in self.ports}
            waited = [*sockets, self.ethernet.socket] if self.ethernet else list(sockets)
            for source in select.select(waited, [], [], min(left, 0.002))[0]:
                for _ in range(64 if source in sockets else 0):
                    try:
                        datagram, address = source.recvfrom(65536)
                    except OSError:
                        break
                    self.take(sockets[source], datagram, address[:2])
            if self.session:
                for link, where, datagram in self.session.acks_due():
                    port = self.port_for(link, where)
                    if not port.mute:
                        self.post(datagram, port, where)

    def mark(self):
        """Forget what came so far; for checks of what comes next."""
        self.log.clear()
        self.frames.clear()
        self.delivered.clear()
        for port in self.ports:
            port.other.clear()
            port.bytes_in = port.bytes_out = 0

    def frame(self, size):
        """A new frame, unlike every other."""
        self.frame_number += 1
        head = bytes.fromhex("024d57000002024d57000001") + struct.pack(">HI", ETHERTYPE, self.frame_number)
        return head + os.urandom(size - len(head))

    def came_once(self, frames):
        """True when each of these frames came through the tunnel exactly once, others aside."""
        wanted = set(frames)
        return sorted(frame for frame in self.frames if frame in wanted) == sorted(frames)

    def await_delivery(self, frames, seconds=2):
        """True when exactly these frames came out of the TAP, in this order."""
        self.pump(seconds, lambda: len(self.delivered) >= len(frames))
        return self.delivered == frames

    def seen(self, kind, link=None, condition=lambda chunk: True):
        """(received, chunk) of every chunk of a kind that came since mark()."""
        return [(received, chunk) for received in self.log for chunk in received.chunks(kind)
                if (link is None or received.opened.link == link) and condition(chunk)]
