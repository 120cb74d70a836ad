#!/usr/bin/env python3
"""A small mwtun made of mwtun_protocol.py: the same commands and the same configuration file as the real program, so that
interop_test.py can be tried on it, and so that there is a complete example of an endpoint to read.

    reference_endpoint.py genkey | pubkey | genpsk | server FILE | client FILE

It sends frames over all its links in turn in one ordered lane, acknowledges, answers, rekeys as the initiator, and has no
repair and no rate control: it is for lossless test networks.
"""

import base64
import fcntl
import os
import pathlib
import random
import select
import signal
import socket
import struct
import subprocess
import sys
import time
import tomllib

import mwtun_protocol as mw

SECOND = 10**9


def key_from(path):
    return base64.b64decode(path.read_text().strip(), validate=True)


def rate(text):
    """Bits a second of "300M"; 0 for none."""
    scale = {"k": 10**3, "M": 10**6, "G": 10**9}.get(text[-1:], 1)
    return int(float(text.rstrip("kMG") or 0) * scale)


def address_of(text):
    host, port = text.rsplit(":", 1)
    return host.strip("[]"), int(port)


def udp_socket(local, device=None):
    family = socket.AF_INET6 if ":" in local[0] else socket.AF_INET
    udp = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if device:
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
    udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 21)
    udp.bind(local)
    udp.setblocking(False)
    return udp


class Tap:
    """A TAP device that is up, and whose carrier follows the session."""

    def __init__(self, name, mtu):
        self.file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self.file, 0x400454ca, struct.pack("16sH22x", name.encode(), 0x0002 | 0x1000))  # TUNSETIFF
        subprocess.run(["ip", "link", "set", name, "mtu", str(mtu), "up"], check=True)
        self.carrier(False)

    def carrier(self, on):
        fcntl.ioctl(self.file, 0x400454e2, struct.pack("i", on))  # TUNSETCARRIER

    def read(self):
        try:
            return os.read(self.file, 65536)
        except (BlockingIOError, OSError):
            return None

    def write(self, frame):
        try:
            os.write(self.file, frame)
        except OSError:
            pass  # the device is down, or the frame too short


def read_config(path):
    path = pathlib.Path(path)
    config = tomllib.loads(path.read_text())
    config["private_key"] = key_from(path.parent / config["private_key_file"])
    for peer in config["peer"]:
        peer["public"] = base64.b64decode(peer["public_key"], validate=True)
        peer["psk"] = key_from(path.parent / peer["preshared_key_file"]) if "preshared_key_file" in peer else bytes(32)
        wanted = peer.get("cipher", "auto")
        peer["ciphers"] = {"aes-256-gcm": mw.AES_256_GCM | mw.CHACHA20_POLY1305,
                           "auto": mw.AES_256_GCM | mw.CHACHA20_POLY1305}.get(wanted, mw.CHACHA20_POLY1305)
        peer["device"] = Tap(peer["tap"], peer.get("mtu", 1500))
    return config


class Ender:
    """SIGTERM and SIGINT end the loops cleanly."""

    def __init__(self):
        self.ended = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: setattr(self, "ended", True))


def frame_datagrams(session, frame, turn):
    """The datagrams of a frame, over the links in turn, as (link, address, datagram)."""
    links = [link for link in session.links.values() if session.initiator or link.address]
    for chunk in session.cut(0, frame):
        if links:
            turn[0] += 1
            link = links[turn[0] % len(links)]
            yield link.number, link.address, session.seal(link.number, [chunk])


def server(path):
    config, ender, turn = read_config(path), Ender(), [0]
    peers = []
    for peer in config["peer"]:
        peers.append(mw.Peer(peer["public"], peer["psk"], peer["ciphers"], peer.get("mtu", 1500), peer["name"]))
        peers[-1].device = peer["device"]
    responder = mw.Responder(config["private_key"], peers)
    sockets = [udp_socket(address_of(text)) for text in config.get("listen", ["0.0.0.0:4649"])]
    by_family = {udp.family: udp for udp in sockets}
    devices = {peer.device.file: peer for peer in peers}

    def send(address, datagram):
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        by_family[family].sendto(datagram, address)

    while not ender.ended:
        ready, _, _ = select.select(sockets + list(devices), [], [], 0.002)
        for source in ready:
            if source in devices:
                peer = devices[source]
                while (frame := peer.device.read()) is not None:
                    if peer.session:
                        for _, address, datagram in frame_datagrams(peer.session, frame, turn):
                            send(address, datagram)
                continue
            for _ in range(64):
                try:
                    datagram, address = source.recvfrom(65536)
                except BlockingIOError:
                    break
                try:
                    outcome = responder.receive(datagram, address[:2])
                except mw.Refused:
                    continue
                for _, where, answer in outcome.sends:
                    send(where, answer)
                for peer in peers:
                    if outcome.session is not None and outcome.session is peer.session:
                        for frame in outcome.frames:
                            peer.device.write(frame)
        for peer in peers:
            if (peer.session is not None) != getattr(peer, "up", False):
                peer.up = peer.session is not None
                peer.device.carrier(peer.up)
            if peer.session:
                for _, address, datagram in peer.session.acks_due():
                    send(address, datagram)
    for peer in peers:
        if peer.session:
            for _, address, datagram in close(peer.session):
                send(address, datagram)


def close(session):
    for link in session.links.values():
        if session.initiator or link.address:
            yield link.number, link.address, session.seal(link.number, [mw.Close(0)])


class ClientLink:
    def __init__(self, peer, number, config):
        self.number = number
        self.server = address_of(config.get("endpoint", peer["endpoint"]))
        wildcard = "::" if ":" in self.server[0] else "0.0.0.0"
        self.socket = udp_socket((config.get("bind", wildcard), 0), config.get("device"))
        down, _, up = config.get("max_rate", "0/0").partition("/")
        roles = {"normal": 0, "backup": 1, "never": 2}
        self.join = mw.Join(config.get("weight", 1), config.get("priority", 0), roles[config.get("role", "normal")],
                            config.get("metered", False), rate(down), rate(up or down), config["name"])
        self.challenge = os.urandom(8)
        self.cookie = None
        self.up = False
        self.next_join = 0

    def send(self, datagram):
        try:
            self.socket.sendto(datagram, self.server)
        except OSError:
            pass


class Client:
    def __init__(self, path):
        self.config = read_config(path)
        self.peer = self.config["peer"][0]
        self.device = self.peer["device"]
        self.links = [ClientLink(self.peer, i, link) for i, link in enumerate(self.peer["link"])]
        self.session, self.attempt, self.unsent, self.settled = None, None, [], False
        self.tries, self.next_try = 0, 0
        self.settings = mw.Settings(mw.SCHEDULERS.index(self.peer.get("scheduler", "adaptive")))
        self.turn = [0]

    def initiate(self, now):
        """Begin an attempt when it is time, and send its copies."""
        if self.session and now - self.session.key_pairs[self.session.send_epoch].established > 180 * SECOND:
            self.session = None
        due = not self.session or now - self.session.key_pairs[self.session.send_epoch].established > 115 * SECOND
        if due and now >= self.next_try:
            wait = min(2**max(self.tries - 9, 0), 5) + random.random() * 0.334  # 1 s ten times, then 2, 4, 5, 5
            self.next_try, self.tries = now + int(wait * SECOND), self.tries + 1
            self.attempt = mw.Initiator(self.config["private_key"], self.peer["public"], self.peer["psk"],
                                        self.peer["ciphers"], mtu=self.peer.get("mtu", 1500), session=self.session)
            self.unsent = [(now + i * SECOND // 4, link) for i, link in enumerate(self.links)]
        while self.attempt and self.unsent and now >= self.unsent[0][0]:
            link = self.unsent.pop(0)[1]
            link.send(self.attempt.initiation(link.cookie))

    def join(self, now):
        for link in self.links:
            if not link.up and now >= link.next_join:
                link.next_join = now + SECOND // 4
                chunks = [link.join, mw.PathChallenge(link.challenge)] + [self.settings] * (not self.settled)
                link.send(self.session.seal(link.number, chunks))

    def receive(self, link, datagram, now):
        kind = mw.datagram_type(datagram)
        if kind == mw.COOKIE and self.attempt:
            link.cookie = self.attempt.read_cookie(datagram)
            link.send(self.attempt.initiation(link.cookie))
        elif kind == mw.RESPONSE and self.attempt:
            new = self.session is None
            self.session = self.attempt.read_response(datagram, now)
            self.attempt, self.tries, self.next_try = None, 0, 0
            if new:
                self.settled = False
                for each in self.links:
                    each.up, each.next_join = False, now
            else:
                link.send(self.session.seal(link.number, [mw.Ping()]))  # takes the new key into use
            self.device.carrier(True)
        elif kind == mw.DATA and self.session:
            outcome = self.session.receive(datagram, None, now)
            for _, _, answer in outcome.sends:
                link.send(answer)
            for frame in outcome.frames:
                self.device.write(frame)
            for chunk in outcome.opened.chunks:
                if isinstance(chunk, mw.PathResponse) and chunk.data == link.challenge:
                    link.up = self.settled = True
            if self.session.closed is not None:
                self.session, self.next_try = None, now + SECOND

    def run(self):
        ender = Ender()
        by_socket = {link.socket: link for link in self.links}
        while not ender.ended:
            ready, _, _ = select.select([*by_socket, self.device.file], [], [], 0.002)
            now = time.monotonic_ns()
            for source in ready:
                if source in by_socket:
                    for _ in range(64):
                        try:
                            datagram = source.recv(65536)
                        except OSError:
                            break
                        try:
                            self.receive(by_socket[source], datagram, now)
                        except mw.Refused:
                            pass
                else:
                    while (frame := self.device.read()) is not None:
                        if self.session:
                            for number, _, sealed in frame_datagrams(self.session, frame, self.turn):
                                self.links[number].send(sealed)
            self.initiate(now)
            if self.session:
                self.join(now)
                for number, _, datagram in self.session.acks_due(now):
                    self.links[number].send(datagram)
        if self.session:
            for number, _, datagram in close(self.session):
                self.links[number].send(datagram)


def main():
    command = sys.argv[1]
    if command == "genkey":
        print(base64.b64encode(mw.new_private_key()).decode())
    elif command == "genpsk":
        print(base64.b64encode(os.urandom(32)).decode())
    elif command == "pubkey":
        print(base64.b64encode(mw.public_key(base64.b64decode(sys.stdin.read()))).decode())
    elif command == "server":
        server(sys.argv[2])
    elif command == "client":
        Client(sys.argv[2]).run()
    else:
        sys.exit(f"unknown command {command}")


if __name__ == "__main__":
    main()
