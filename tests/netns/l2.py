"""The tunnel is a cable: any Ethernet frame passes, unchanged, both ways."""

import pathlib
import random
import socket
import struct
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))

from lab.checks import main
from lab.stage import Inside
from lab.world import World

ETH_P_ALL = 3
SOL_PACKET, PACKET_AUXDATA = 263, 8
TP_STATUS_VLAN_VALID = 0x10
OWN = bytes.fromhex("020000000001")
EXPERIMENTAL = 0x88b5  # IEEE 802: for local experiments, so nothing in the kernel answers.


class Port:
    """One end of the cable: sends frames as they are, and gives those that came in, with their VLAN tag."""

    def __init__(self, netns):
        with Inside(netns):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self._socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, 33, 4 << 20)  # SO_RCVBUFFORCE
        self._socket.bind(("mwt0", 0))
        self._socket.settimeout(0.05)

    def send(self, frame):
        self._socket.send(frame)

    def received(self, seconds, wanted):
        """Frames from our own test address within a time, until there are as many as wanted."""
        frames, deadline = [], time.monotonic() + seconds
        while time.monotonic() < deadline and len(frames) < wanted:
            try:
                frame, extra, _, source = self._socket.recvmsg(65536, 256)
            except TimeoutError:
                continue
            if source[2] == socket.PACKET_OUTGOING or frame[6:12] != OWN:
                continue
            for level, kind, data in extra:
                if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
                    # The kernel takes the tag out of the frame; put it back where it was.
                    status, _, _, _, _, tci, tpid = struct.unpack("IIIHHHH", data[:20])
                    if status & TP_STATUS_VLAN_VALID:
                        frame = frame[:12] + struct.pack(">HH", tpid or 0x8100, tci) + frame[12:]
            frames.append(frame)
        return frames


def ethernet(destination, kind, payload, tags=()):
    header = bytes.fromhex(destination.replace(":", "")) + OWN
    for tpid, tci in tags:
        header += struct.pack(">HH", tpid, tci)
    return header + struct.pack(">H", kind) + payload


def ipv6_multicast(size):
    """A UDP datagram to ff02::fb, as mDNS sends; its checksum is not looked at on the way."""
    payload = random.randbytes(size)
    udp = struct.pack(">HHHH", 5353, 5353, 8 + size, 0x1234) + payload
    header = struct.pack(">IHBB", 6 << 28, len(udp), 17, 255)
    return header + socket.inet_pton(socket.AF_INET6, "fe80::1") + socket.inet_pton(
        socket.AF_INET6, "ff02::fb") + udp


def test(lab):
    random.seed(11)
    world = World(lab.stage, lab.linkem)
    tunnel = world.tunnel(lab.program)
    tunnel.start_server()
    tunnel.start_client()
    tunnel.wait_up()
    tunnel.wait_links_up()
    ports = {"up": (Port(world.home), Port(world.vps))}
    ports["down"] = ports["up"][::-1]

    kinds = {
        "broadcast": ethernet("ff:ff:ff:ff:ff:ff", EXPERIMENTAL, random.randbytes(100)),
        "IPv6 multicast": ethernet("33:33:00:00:00:fb", 0x86dd, ipv6_multicast(200)),
        "VRRP multicast": ethernet("01:00:5e:00:00:12", EXPERIMENTAL, random.randbytes(60)),
        "spanning tree's address": ethernet("01:80:c2:00:00:00", EXPERIMENTAL, random.randbytes(60)),
        "VLAN 7": ethernet("02:00:00:00:00:02", EXPERIMENTAL, random.randbytes(300), [(0x8100, 7)]),
        "VLAN 4094, priority 5": ethernet("02:00:00:00:00:02", EXPERIMENTAL, random.randbytes(46),
                                          [(0x8100, 5 << 13 | 4094)]),
        "VLAN tag on a full frame": ethernet("02:00:00:00:00:02", EXPERIMENTAL, random.randbytes(1500),
                                             [(0x8100, 100)]),
        "two VLAN tags": ethernet("02:00:00:00:00:02", EXPERIMENTAL, random.randbytes(400),
                                  [(0x88a8, 100), (0x8100, 7)]),
        "unicast": ethernet("02:00:00:00:00:02", EXPERIMENTAL, random.randbytes(1500)),
        "a header and nothing else": ethernet("02:00:00:00:00:02", EXPERIMENTAL, b""),
    }
    for way, (near, far) in ports.items():
        for name, frame in kinds.items():
            near.send(frame)
            got = far.received(1, 1)
            lab.check(f"{way}: {name} passes unchanged", got == [frame],
                      "" if got == [frame] else f"sent {frame[:24].hex()}…, got "
                      f"{[len(one) for one in got]} bytes")

        sizes = [random.randint(14, 1514) for _ in range(400)]
        frames = [ethernet("02:00:00:00:00:02", EXPERIMENTAL,
                           struct.pack(">I", index) + random.randbytes(max(0, size - 18)))
                  for index, size in enumerate(sizes)]
        for frame in frames:
            near.send(frame)
            time.sleep(0.0005)
        got = far.received(3, len(frames))
        lab.check(f"{way}: 400 frames of every size arrive once and unchanged",
                  sorted(got) == sorted(frames), f"{len(got)} of {len(frames)}")
    tunnel.check_alive()


main(test)
