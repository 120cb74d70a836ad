#!/usr/bin/env python3
"""One whole handshake and one data datagram of each cipher from fixed inputs, for other implementations to compare with.

    vector.py > handshake_vector.json     selftest.py checks that the file still says the same
"""

import json
import struct

import mwtun_protocol as mw


def key(first):
    return bytes(range(first, first + 32))


def build():
    """All values as hexadecimal text, datagrams complete."""
    initiator_static, responder_static, psk = key(0), key(64), key(128)
    header = struct.pack("<BBHI", mw.INITIATION, mw.WIRE_VERSION, 0, 0x11223344)
    first = mw.Noise(True, mw.prologue(header), initiator_static, mw.public_key(responder_static), psk, key(32))
    p1 = mw.InitiationPayload(1795168800000000000, 0x0102030405060708, 0, 3, 4, False, 1500, 0, 0).encode()
    initiation = header + first.write_first(p1)
    initiation += mw.mac1(mw.public_key(responder_static), initiation)
    cookie = key(200)[:16]
    mac2 = mw.mac2(cookie, initiation)
    second = mw.Noise(False, mw.prologue(initiation), responder_static, None, psk, key(96))
    assert second.read_first(initiation[8:168]) == p1
    p2 = mw.ResponsePayload(0, 2, 4, 1500, 0, 0x1112131415161718, ("192.0.2.10", 40000), 0x55667788).encode()
    response = struct.pack("<BBHII", mw.RESPONSE, mw.WIRE_VERSION, 0, 0x55667788, 0x11223344) + second.write_second(p2)
    response += mw.mac1(mw.public_key(initiator_static), response) + bytes(16)
    assert first.read_second(response[12:108]) == p2
    send, receive = first.split()
    result = {
        "initiator_static_private": initiator_static, "responder_static_private": responder_static,
        "initiator_ephemeral_private": key(32), "responder_ephemeral_private": key(96), "psk": psk,
        "prologue": mw.prologue(header), "p1": p1, "cookie": cookie, "initiation": initiation + mac2, "p2": p2,
        "response": response, "handshake_hash": first.hash, "k1": send, "k2": receive,
        "aes256gcm_key_of_k1": mw.blake2b(b"mwtun1 aes256gcm", 32, key=send),
    }
    chunks = mw.Ping().encode() + mw.FrameChunk(3079, 0xabcdef, b"frame", rest=True).encode()
    plain = (0x123456).to_bytes(3, "little") + chunks
    number = 0x1_0000_0203
    head = struct.pack("<BBII", mw.DATA | 1 << 4, 5, 0x55667788, number & 0xffffffff)
    result["data_plain"] = plain
    result["data_packet_number"] = number.to_bytes(8, "little")
    for name, cipher in (("chacha20_poly1305", mw.CHACHA20_POLY1305), ("aes_256_gcm", mw.AES_256_GCM)):
        result[f"data_{name}_k1_link_5_epoch_1"] = head + mw.DataKey(cipher, send).seal(5, number, head, plain)
    return {name: value.hex() for name, value in result.items()}


if __name__ == "__main__":
    print(json.dumps(build(), indent=1))
