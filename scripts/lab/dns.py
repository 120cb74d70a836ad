"""A name server for one name, run inside a namespace: dns.py ADDRESS NAME IPV4. Knows A only."""

import socket
import struct
import sys


def answer(query, name, address):
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode("ascii", "replace"))
        at += 1 + query[at]
    question = query[12:at + 5]
    kind, = struct.unpack(">H", query[at + 1:at + 3])
    known = ".".join(labels).lower() == name
    answers = 1 if known and kind == 1 else 0
    header = query[:2] + struct.pack(">HHHHH", 0x8180 | (0 if known else 3), 1, answers, 0, 0)
    record = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + socket.inet_aton(address)
    return header + question + record * answers


def main():
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((sys.argv[1], 53))
    print("ready", flush=True)
    while True:
        query, client = server.recvfrom(4096)
        try:
            server.sendto(answer(query, sys.argv[2], sys.argv[3]), client)
        except (IndexError, struct.error):
            pass


main()
