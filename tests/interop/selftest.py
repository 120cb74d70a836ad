#!/usr/bin/env python3
"""Python against Python: mwtun_protocol.py on its own, and its Noise against the published vectors.

No root, no network. Exit 0 or 1; 77 when a Python package is missing. The vectors are looked for in $MWTUN_VECTORS
(default: ../shared/vectors, seen from the repository); without them that one check fails.
"""

import json
import os
import pathlib
import random
import struct
import sys
import unittest

try:
    import mwtun_protocol as mw
    import vector
except ImportError as missing:
    print(f"skipped: {missing} (needs Debian's python3-cryptography and python3-nacl; run it with /usr/bin/python3)")
    sys.exit(77)

ROOT = pathlib.Path(__file__).resolve().parents[2]
VECTORS = pathlib.Path(os.environ.get("MWTUN_VECTORS", ROOT.parent / "shared" / "vectors"))
CLIENT, SERVER, PSK = mw.new_private_key(), mw.new_private_key(), os.urandom(32)
HERE, THERE = ("192.0.2.10", 40000), ("198.51.100.7", 40001)
MS = 10**6


class NoiseVectors(unittest.TestCase):
    def test_the_handshake_agrees_with_every_published_ikpsk2_vector(self):
        done = 0
        for path in sorted(VECTORS.glob("noise_*.json")):
            for published in json.loads(path.read_text())["vectors"]:
                if published.get("protocol_name") == mw.NOISE_NAME.decode():
                    self.check(published)
                    done += 1
        self.assertGreater(done, 0, f"no vector for {mw.NOISE_NAME.decode()} in {VECTORS}")

    def check(self, published):
        def value(name):
            return bytes.fromhex(published[name])
        first = mw.Noise(True, value("init_prologue"), value("init_static"), value("init_remote_static"),
                         bytes.fromhex(published["init_psks"][0]), value("init_ephemeral"))
        second = mw.Noise(False, value("resp_prologue"), value("resp_static"), None,
                          bytes.fromhex(published["resp_psks"][0]), value("resp_ephemeral"))
        messages = [(bytes.fromhex(m["payload"]), bytes.fromhex(m["ciphertext"])) for m in published["messages"]]
        self.assertEqual(first.write_first(messages[0][0]), messages[0][1])
        self.assertEqual(second.read_first(messages[0][1]), messages[0][0])
        self.assertEqual(second.remote_static, mw.public_key(value("init_static")))
        self.assertEqual(second.write_second(messages[1][0]), messages[1][1])
        self.assertEqual(first.read_second(messages[1][1]), messages[1][0])
        self.assertEqual(first.hash, value("handshake_hash"))
        self.assertEqual(second.hash, value("handshake_hash"))
        keys = {0: mw.DataKey(mw.CHACHA20_POLY1305, first.split()[0]),
                1: mw.DataKey(mw.CHACHA20_POLY1305, second.split()[0])}
        for i, (payload, sealed) in enumerate(messages[2:]):
            self.assertEqual(keys[i % 2].seal(0, i // 2, b"", payload), sealed)


class OwnVector(unittest.TestCase):
    def test_fixed_inputs_give_the_recorded_handshake_and_datagrams(self):
        recorded = json.loads(pathlib.Path(__file__).with_name("handshake_vector.json").read_text())
        self.assertEqual(vector.build(), recorded)
        self.assertEqual((len(recorded["initiation"]), len(recorded["response"])), (400, 280))


class Primitives(unittest.TestCase):
    def test_the_low_bits_of_a_number_are_completed_to_the_nearest(self):
        self.assertEqual(mw.nearest(0x9b32, 16, 0xa82f30eb), 0xa82f9b32)  # RFC 9000 A.3
        self.assertEqual(mw.nearest(5, 32, 0), 5)
        self.assertEqual(mw.nearest(0xffffffff, 32, 3), 0xffffffff)
        self.assertEqual(mw.nearest(0xffffffff, 32, (1 << 32) + 3), 0xffffffff)
        self.assertEqual(mw.nearest(2, 24, 0xfffffe), 0x1000002)
        choose = random.Random(1)
        for _ in range(2000):
            expected = choose.randrange(1 << 40)
            number = max(0, expected + choose.randrange(-(1 << 23) + 1, 1 << 23))
            self.assertEqual(mw.nearest(number & 0xffffff, 24, expected), number)

    def test_varints_come_back_and_are_bounded(self):
        for value in (0, 1, 127, 128, 300, 16384, (1 << 32) - 1):
            reader = mw.Reader(mw.varint(value))
            self.assertEqual((reader.varint(), reader.left()), (value, 0))
        for wrong in (mw.varint(1 << 32), b"\x80" * 6, b"\x80"):
            with self.assertRaises(mw.Refused):
                mw.Reader(wrong).varint()

    def test_the_aes_nonce_is_big_endian_and_the_chacha_nonce_little_endian(self):
        self.assertEqual(mw.DataKey(mw.AES_256_GCM, bytes(32)).nonce(3, 0x0102), bytes(4) + bytes.fromhex("0003000000000102"))
        self.assertEqual(mw.DataKey(mw.CHACHA20_POLY1305, bytes(32)).nonce(3, 0x0102),
                         bytes(4) + bytes.fromhex("0201000000000300"))

    def test_stamps_wrap(self):
        self.assertEqual(mw.stamp_of(16000 * ((1 << 24) + 5)), 5)
        self.assertEqual(mw.stamp_difference(2, 0xfffffe), 4 * 16000)
        self.assertEqual(mw.stamp_difference(0xfffffe, 2), -4 * 16000)


class Chunks(unittest.TestCase):
    EVERY = [mw.FrameChunk(4095, 0xabcdef, b"frame", True, False), mw.FrameChunk(7, 1, b"x", False, False),
             mw.Ack(15, 3, 0xfffffff0, 65535, 77, 300, [(0, 0), (200, 3)], [(0, 0xffffff), (400, 1)]),
             mw.Heads([(0, 1, 9), (15, 0, 0xffffffff)]), mw.LaneFloor([(0, 0), (4095, 0xffffff)]), mw.Ping(),
             mw.Join(1000, 2, 1, True, 300_000_000, 50_000_000, "Glasfaser ü"), mw.PathChallenge(b"12345678"),
             mw.PathResponse(b"87654321"), mw.Settings(4, 1), mw.MtuProbe(1472), mw.Close(2),
             mw.Offload(1440), mw.Offload(), mw.Hole(5, 0xabcdef, False, True, 1400),
             mw.Hole(4095, 7, True, False, 1400, 1440, b"headers"), mw.Unknown(0x7f, b"later"), mw.Unknown(0x0b, b"")]

    def test_every_chunk_comes_back_as_it_went(self):
        plain = b"".join(chunk.encode() for chunk in self.EVERY)
        chunks, error = mw.decode_chunks(plain + b"\0padding")
        self.assertIsNone(error)
        self.assertEqual(chunks, self.EVERY)
        rest = mw.FrameChunk(1, 2, b"to the end", rest=True)
        self.assertEqual(mw.decode_chunks(mw.Ping().encode() + rest.encode()), ([mw.Ping(), rest], None))

    def test_a_malformed_chunk_ends_the_reading_and_what_came_before_counts(self):
        good = mw.Ping().encode()
        for bad in (b"\x80\0\0\0\0\0\0", b"\x80\0\0\0\0\x40\0abcd", b"\x90\0\0\0\0", b"\x03\4abcd", b"\x06\7abcdefg", b"\x06",
                    b"\x06\x08abc", b"\x04\1x", b"\x01\2ab", b"\x05\x15" + bytes(21)):
            chunks, error = mw.decode_chunks(good + bad + (b"" if bad[0] == 0x90 else good))
            self.assertEqual(chunks, [mw.Ping()], bad)
            self.assertIsNotNone(error, bad)

    def test_no_bytes_make_the_decoder_fail_in_another_way(self):
        choose = random.Random(2)
        whole = b"".join(chunk.encode() for chunk in self.EVERY)
        for _ in range(5000):
            data = bytearray(whole[choose.randrange(len(whole)):])
            for _ in range(choose.randrange(4)):
                data[choose.randrange(len(data))] = choose.randrange(256)
            mw.decode_chunks(bytes(data))

    def test_an_ack_names_the_numbers_that_came(self):
        choose = random.Random(3)
        for loss in (0.0, 0.05, 0.3):
            numbers, came = mw.ReceivedNumbers(), []
            for number in range(500):
                if choose.random() >= loss:
                    came.append(number)
            shuffled = sorted(came, key=lambda n: n + choose.uniform(0, 20))
            for number in shuffled:
                self.assertFalse(numbers.seen(number))
                numbers.enter(number, number * MS)
                self.assertTrue(numbers.seen(number))
            ack, error = mw.decode_chunks(numbers.ack(2, 1, 600 * MS).encode())
            self.assertIsNone(error)
            ack = ack[0]
            told = ack.numbers()
            self.assertEqual(told, {number for number in came if number >= min(told)})
            self.assertEqual((ack.count, ack.largest), (len(came), came[-1]))
            if len(ack.ranges) < 32:
                self.assertEqual(told, set(came))
            for distance, stamp in ack.arrivals:
                self.assertEqual(stamp, mw.stamp_of((ack.largest - distance) * MS))

    def test_the_replay_window_holds_8192_numbers(self):
        numbers = mw.ReceivedNumbers()
        numbers.enter(10_000, 0)
        self.assertTrue(numbers.seen(10_000 - 8192))
        self.assertFalse(numbers.seen(10_000 - 8191))


class Lanes(unittest.TestCase):
    @staticmethod
    def chunks(lane, frames, most):
        session = mw.Session(True, 1, 2)
        return [chunk for frame in frames for chunk in session.cut(lane, frame, most)]

    def test_an_ordered_lane_gives_every_frame_once_in_order_whatever_the_arrival(self):
        choose = random.Random(4)
        for _ in range(50):
            frames = [choose.randbytes(choose.randrange(1, 60)) for _ in range(60)]
            chunks = self.chunks(5, frames, 16)
            chunks += choose.sample(chunks, 20)
            choose.shuffle(chunks)
            lane = mw.LaneReceiver(5)
            got = [frame for chunk in chunks for frame, _ in lane.add(chunk)]
            self.assertEqual(got, frames)
            self.assertEqual(lane.waiting, {})

    def test_an_unordered_lane_gives_every_frame_once_as_soon_as_it_is_whole(self):
        choose = random.Random(5)
        for _ in range(50):
            frames = [struct.pack("<I", i) + choose.randbytes(choose.randrange(1, 60)) for i in range(60)]
            chunks = self.chunks(3072, frames, 16)
            chunks += choose.sample(chunks, 20)
            choose.shuffle(chunks)
            lane, have = mw.LaneReceiver(3072), set()
            got = []
            for chunk in chunks:
                left = [frame for frame, _ in lane.add(chunk)]
                have.add(chunk.sequence)
                got += left
            self.assertEqual(sorted(got), sorted(frames))
            self.assertEqual((lane.waiting, lane.gone), ({}, set()))
        lane = mw.LaneReceiver(3072)
        late, early = self.chunks(3072, [b"first", b"second"], 16)
        self.assertEqual([lane.add(early), lane.add(late)], [[(b"second", None)], [(b"first", None)]])

    def test_a_lane_floor_releases_what_is_whole_and_closes_the_door_behind(self):
        chunks = self.chunks(1, [b"a" * 10, b"b" * 30, b"c" * 10, b"d" * 10], 16)  # 0 | 1 2 | 3 | 4
        lane = mw.LaneReceiver(1)
        self.assertEqual(lane.add(chunks[2]) + lane.add(chunks[3]), [])
        self.assertEqual(lane.raise_floor(2), [(b"c" * 10, None)])
        self.assertEqual(lane.add(chunks[0]) + lane.add(chunks[1]), [])
        self.assertEqual(lane.add(chunks[4]), [(b"d" * 10, None)])

    def test_a_lane_floor_below_a_frame_still_under_way_keeps_its_beginning(self):
        chunks = self.chunks(1, [b"a" * 10, b"b" * 30], 16)  # 0 | 1 2
        lane = mw.LaneReceiver(1)
        lane.add(chunks[1])
        self.assertEqual(lane.raise_floor(2), [])
        self.assertEqual(lane.add(chunks[2]), [(b"b" * 30, None)])

    def test_sequences_go_on_past_24_bits(self):
        for number in (7, 3100):
            lane = mw.LaneReceiver(number)
            lane.next = lane.floor = 0xfffffe
            chunks = [mw.FrameChunk(number, (0xfffffe + i) & 0xffffff, b"%d" % i) for i in range(6)]
            order = [3, 1, 0, 2, 5, 4]
            got = [frame for i in order for frame, _ in lane.add(chunks[i])]
            self.assertEqual(sorted(got), [b"%d" % i for i in range(6)])


def shake(initiator, responder, now, address=HERE):
    """Run a handshake, through a cookie where one comes. The initiator's session."""
    answer = responder.receive(initiator.initiation(), address, now).sends[0][2]
    if mw.datagram_type(answer) == mw.COOKIE:
        cookie = initiator.read_cookie(answer)
        answer = responder.receive(initiator.initiation(cookie), address, now).sends[0][2]
    return initiator.read_response(answer, now)


class Handshake(unittest.TestCase):
    def setUp(self):
        self.peer = mw.Peer(mw.public_key(CLIENT), PSK)
        self.responder = mw.Responder(SERVER, [self.peer])
        self.now = 10**12
        self.peer.cookie_bucket.at = self.now

    def initiator(self, **options):
        return mw.Initiator(CLIENT, self.responder.public, options.pop("psk", PSK), **options)

    def give(self, datagram, address=HERE, after=MS):
        self.now += after
        return self.responder.receive(datagram, address, self.now)

    def silent(self, datagram, address=HERE):
        with self.assertRaises(mw.Refused):
            self.give(datagram, address)

    def connect(self, **options):
        session = shake(self.initiator(**options), self.responder, self.now)
        outcome = self.give(session.seal(0, [mw.Join(name="a"), mw.PathChallenge(b"01234567")]))
        for link, _, datagram in outcome.sends:
            for _, _, answer in session.receive(datagram, None, self.now).sends:
                self.give(answer)
        self.assertEqual(self.peer.session.links[0].address, HERE)
        return session

    def test_the_first_initiation_a_responder_sees_is_answered_with_a_cookie_and_then_with_a_response(self):
        initiator = self.initiator(ciphers=3)
        answer = self.give(initiator.initiation()).sends[0][2]
        self.assertEqual(len(answer), 64)
        cookie = initiator.read_cookie(answer)
        answer = self.give(initiator.initiation(cookie), ("192.0.2.11", 40000)).sends[0][2]
        self.assertEqual(len(answer), 64)  # a cookie is good for one address
        answer = self.give(initiator.initiation(cookie)).sends[0][2]
        self.assertEqual(len(answer), 140)
        initiator.read_response(answer)
        self.assertEqual((initiator.answer.source, initiator.answer.cipher), (HERE, mw.AES_256_GCM))
        with self.assertRaises(mw.Refused):
            initiator.read_response(answer)
        again = self.initiator()
        self.assertEqual(len(self.give(again.initiation()).sends[0][2]), 140)  # freshness is known now

    def test_the_copy_over_a_second_link_gets_the_same_response(self):
        self.connect()
        initiator = self.initiator()
        first = self.give(initiator.initiation()).sends[0][2]
        self.assertEqual(self.give(initiator.initiation(), THERE).sends[0][2], first)

    def test_strangers_and_forgers_get_silence(self):
        self.connect()
        good = self.initiator().initiation()
        for at in (1, 2, 168, 170):
            self.silent(good[:at] + bytes([good[at] ^ 1]) + good[at + 1:])
        self.silent(good[:-1])
        self.silent(good + b"\0")
        self.silent(mw.Initiator(CLIENT, mw.public_key(mw.new_private_key()), PSK).initiation())
        self.silent(mw.Initiator(mw.new_private_key(), self.responder.public, PSK).initiation())
        self.assertEqual(len(self.give(good, THERE).sends[0][2]), 140)

    def test_a_replayed_initiation_costs_a_live_session_nothing(self):
        initiator = self.initiator()
        cookie = initiator.read_cookie(self.give(initiator.initiation()).sends[0][2])
        recorded = initiator.initiation(cookie)
        session = initiator.read_response(self.give(recorded).sends[0][2], self.now)
        self.give(session.seal(0, [mw.Join(), mw.PathChallenge(b"01234567")]))
        live = self.peer.session
        sizes = []
        for _ in range(30):
            try:
                sizes.append(len(self.give(recorded, after=100 * MS).sends[0][2]))
            except mw.Refused:
                pass
        self.assertEqual(set(sizes), {64})
        self.assertLessEqual(len(sizes), 4)
        self.assertIs(self.peer.session, live)

    def test_a_wrong_psk_makes_no_session(self):
        self.connect()
        live = self.peer.session
        initiator = self.initiator(psk=os.urandom(32))
        answer = self.give(initiator.initiation()).sends[0][2]
        with self.assertRaises(mw.Refused):
            initiator.read_response(answer)
        index = struct.unpack("<I", answer[4:8])[0]
        forged = mw.Session(True, initiator.index, index)
        forged.install(mw.KeyPair(0, mw.CHACHA20_POLY1305, *initiator.noise.split(), self.now))
        self.silent(forged.seal(0, [mw.Ping()]))
        self.assertIs(self.peer.session, live)

    def test_both_ciphers_carry_frames_and_refuse_replays(self):
        for ciphers in (1, 3):
            session = self.connect(ciphers=ciphers)
            frame = os.urandom(1514)
            got = []
            for chunk in session.cut(9, frame):
                datagram = session.seal(0, [chunk])
                self.assertLessEqual(len(datagram), 1252)
                got += self.give(datagram).frames
                self.silent(datagram)
                self.silent(datagram[:-1] + bytes([datagram[-1] ^ 1]))
            self.assertEqual(got, [frame])

    def test_a_rekey_keeps_the_session_and_both_keys_open(self):
        session = self.connect()
        self.now += 111 * 10**9
        old = [session.seal(0, [chunk]) for chunk in session.cut(1, b"before")]
        indices = session.local_index, session.remote_index
        for epoch in (1, 2, 3, 0, 1):
            initiator = self.initiator(session=session)
            lost = self.give(initiator.initiation()).sends[0][2]
            again = self.initiator(session=session)
            answer = self.give(again.initiation()).sends[0][2]
            self.assertNotEqual(lost, answer)
            self.assertEqual(self.peer.session.send_epoch, (epoch - 1) % 4)
            self.assertIs(again.read_response(answer, self.now), session)
            self.assertEqual((session.local_index, session.remote_index), indices)
            outcome = self.give(session.seal(0, [mw.Ping()]))
            self.assertEqual(self.peer.session.send_epoch, epoch)
            self.assertEqual(session.receive(outcome.sends[0][2], None, self.now).opened.epoch, epoch)
            if old:
                self.assertEqual(self.give(old.pop()).frames, [b"before"])
            self.now += 100 * 10**9

    def test_a_link_is_used_only_when_its_challenge_came_back(self):
        session = self.connect()
        live = self.peer.session
        outcome = self.give(session.seal(1, [mw.Join(), mw.PathChallenge(b"abcdefgh")]), THERE)
        self.assertIsNone(live.links[1].address)
        answers = [chunk for _, where, datagram in outcome.sends if where == THERE
                   for chunk in session.open(datagram, self.now).chunks]
        self.assertIn(mw.PathResponse(b"abcdefgh"), answers)
        challenge = next(chunk for chunk in answers if type(chunk) is mw.PathChallenge)
        self.give(session.seal(1, [mw.PathResponse(challenge.data)]), HERE)  # from the wrong place
        self.assertIsNone(live.links[1].address)
        self.give(session.seal(1, [mw.PathResponse(challenge.data)]), THERE)
        self.assertEqual(live.links[1].address, THERE)


if __name__ == "__main__":
    unittest.main()
