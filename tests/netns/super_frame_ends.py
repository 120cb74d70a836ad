"""Run inside namespaces by super_frames.py: captures an interface, or sends and receives."""

import contextlib
import hashlib
import ipaddress
import json
import select
import signal
import socket
import struct
import sys
import time

PORT = 4711
ETH_P_ALL, ETH_P_IP, ETH_P_IPV6, ETH_P_8021Q = 0x0003, 0x0800, 0x86DD, 0x8100
SOL_PACKET, PACKET_STATISTICS, PACKET_AUXDATA, PACKET_VNET_HDR = 263, 6, 8, 15
PACKET_OUTGOING = 4
SOL_UDP, UDP_SEGMENT = 17, 103
SO_RCVBUFFORCE = 33
GSO_NONE, GSO_ECN = 0, 0x80
TCP, UDP = 6, 17
SEGMENT, SEGMENTS = 1200, 40


def segments_of(frame, gso_size):
    """(IP id, sequence, flags, header without what differs, payload's hash) of each packet that a network
    card makes of the frame; checksums are left out, as they may be partial."""
    kind = struct.unpack_from("!H", frame, 12)[0]
    if kind == ETH_P_IP:
        transport, protocol = 14 + (frame[14] & 15) * 4, frame[23]
        identification = struct.unpack_from("!H", frame, 18)[0]
        end = 14 + struct.unpack_from("!H", frame, 16)[0]
        network = frame[14:16].hex() + frame[20:24].hex() + frame[26:transport].hex()
    elif kind == ETH_P_IPV6:
        transport, protocol, identification = 54, frame[20], None
        end = 54 + struct.unpack_from("!H", frame, 18)[0]
        network = frame[14:18].hex() + frame[20:54].hex()
    else:
        return
    if protocol not in (TCP, UDP) or PORT not in struct.unpack_from("!HH", frame, transport):
        return
    payload_at = transport + ((frame[transport + 12] >> 4) * 4 if protocol == TCP else 8)
    payload = frame[payload_at:end]
    step = gso_size or max(1, len(payload))
    ends = frame[transport:transport + 4].hex()
    for number, start in enumerate(range(0, max(1, len(payload)), step)):
        piece = payload[start:start + step]
        last = start + step >= len(payload)
        told = [network, ends, hashlib.sha256(piece).hexdigest()[:16], len(piece)]
        if identification is not None:
            told.append((identification + number) & 0xffff)
        if protocol == TCP:
            sequence, acknowledged = struct.unpack_from("!II", frame, transport + 4)
            flags = frame[transport + 13]
            if number > 0:
                flags &= ~0x80  # CWR
            if not last:
                flags &= ~0x09  # PSH, FIN
            told += [(sequence + start) & 0xffffffff, acknowledged, flags,
                     frame[transport + 14:transport + 16].hex(), frame[transport + 18:payload_at].hex()]
        yield told


def capture(interface, direction, path):
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 256 << 20)
    sock.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    sock.bind((interface, ETH_P_ALL))
    ending = []
    signal.signal(signal.SIGINT, lambda *_: ending.append(True))
    print("ready", flush=True)
    raw = []
    while True:
        # After the signal: what is there still counts.
        ready = select.select([sock], [], [], 0.1)[0]
        if not ready:
            if ending:
                break
            continue
        data, control, _, source = sock.recvmsg(70_000, 256)
        if (source[2] == PACKET_OUTGOING) == (direction == "out"):
            raw.append((data, control))
    dropped = struct.unpack("II", sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]
    segments, super_frames = [], 0
    for data, control in raw:
        _, gso, _, size, _, _ = struct.unpack_from("<BBHHHH", data)
        # The kernel takes VLAN tags out of the bytes and tells them beside, if it does.
        tags = [struct.unpack_from("=IIIHHHH", told)[5] for level, kind, told in control
                if level == SOL_PACKET and kind == PACKET_AUXDATA]
        frame = data[10:]
        if struct.unpack_from("!H", frame, 12)[0] == ETH_P_8021Q:
            tags = [struct.unpack_from("!H", frame, 14)[0]]
            frame = frame[:12] + frame[16:]
        found = list(segments_of(frame, 0 if gso & ~GSO_ECN == GSO_NONE else size))
        super_frames += len(found) > 1
        segments += [tags + one for one in found]
    with open(path, "w", encoding="ascii") as out:
        json.dump({"frames": len(raw), "super_frames": super_frames, "segments": segments,
                   "dropped": dropped}, out)


def fold(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total


def inject(interface, version, mac, count, one_by_one):
    """Super-frames of TCP in VLAN 7, as a kernel with such interfaces would hand them over, or their
    segments one by one."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sock.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    sock.bind((interface, ETH_P_8021Q))
    sequence, mss = 1000, 1400
    payload, flags, ids = (mss, 0x10, 1) if one_by_one else (20_000, 0x19, 100)
    for number in range(count):
        data = hashlib.shake_128(str(number).encode()).digest(payload)
        length = 20 + payload
        if version == "4":
            addresses = socket.inet_aton("10.92.0.2") + socket.inet_aton("10.92.0.1")
            head = bytearray(struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, number * ids & 0xffff, 0x4000,
                                         64, TCP, 0) + addresses)
            struct.pack_into("!H", head, 10, ~fold(bytes(head)) & 0xffff)
            kind, gso = ETH_P_IP, 1
        else:
            addresses = (socket.inet_pton(socket.AF_INET6, "fd00:92::2") +
                         socket.inet_pton(socket.AF_INET6, "fd00:92::1"))
            head = struct.pack("!IHBB", 6 << 28, length, TCP, 64) + addresses
            kind, gso = ETH_P_IPV6, 4
        partial = fold(addresses + struct.pack("!HH", TCP, length))
        tcp = struct.pack("!HHIIBBHHH", PORT, PORT, sequence, 1, 0x50, flags, 500, partial, 0)
        start = 18 + len(head)
        frame = (bytes.fromhex(mac.replace(":", "")) + b"\2\0\0\0\0\1" +
                 struct.pack("!HHH", ETH_P_8021Q, 7, kind) + head + tcp + data)
        told = (0, 0, 0) if one_by_one else (gso, start + 20, mss)
        sock.send(struct.pack("<BBHHHH", 1, *told, start, 16) + frame)
        sequence += payload
        if not one_by_one or number % 20 == 19:
            time.sleep(0.003)


def family_of(address):
    return socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET


def blocks(megabytes):
    """The same on every call, and no two alike."""
    for number in range(megabytes * 16):
        yield hashlib.shake_128(str(number).encode()).digest(65_536)


def send(kind, address, megabytes):
    seen = hashlib.sha256()
    if kind == "tcp":
        with socket.socket(family_of(address), socket.SOCK_STREAM) as sock:
            sock.connect((address, PORT))
            for block in blocks(megabytes):
                sock.sendall(block)
                seen.update(block)
    else:
        with socket.socket(family_of(address), socket.SOCK_DGRAM) as sock:
            sock.connect((address, PORT))
            control = [(SOL_UDP, UDP_SEGMENT, struct.pack("=H", SEGMENT))]
            for block in blocks(megabytes):
                piece = block[:SEGMENT * SEGMENTS - 500]  # The last datagram is shorter.
                sock.sendmsg([piece], control)
                seen.update(piece)
                time.sleep(0.002)
            for _ in range(3):
                time.sleep(0.05)
                with contextlib.suppress(ConnectionRefusedError):  # It has heard the first.
                    sock.send(b"end")
    print(seen.hexdigest())


def receive(kind, address):
    seen = hashlib.sha256()
    if kind == "tcp":
        with socket.socket(family_of(address), socket.SOCK_STREAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((address, PORT))
            sock.listen(1)
            print("ready", flush=True)
            stream, _ = sock.accept()
            while data := stream.recv(1 << 20):
                seen.update(data)
    else:
        with socket.socket(family_of(address), socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
            sock.bind((address, PORT))
            print("ready", flush=True)
            while (data := sock.recv(70_000)) != b"end":
                seen.update(data)
    print(seen.hexdigest())


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    if what == "capture":
        capture(*rest)
    elif what == "inject":
        inject(rest[0], rest[1], rest[2], int(rest[3]), rest[4] == "one-by-one")
    elif what == "send":
        send(rest[0], rest[1], int(rest[2]))
    else:
        receive(*rest)
