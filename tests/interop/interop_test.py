#!/usr/bin/env python3
"""The real program against mwtun_protocol.py, which was written from docs/PROTOCOL.md alone.

    interop_test.py MWTUN_BINARY [--long]     --long: also wait for the client's own rekey (2 minutes)
    interop_test.py --self                    against reference_endpoint.py: tries this test itself

Needs root (it makes its own namespaces, named mwi-*, and touches nothing outside them), /dev/net/tun, iproute2, and
Debian's python3-cryptography and python3-nacl: run it with /usr/bin/python3. Prints "ok NAME" or "not ok NAME: why" for
each check and at the end "N passed, M failed". Exit status: 0, 1, or 77 with a reason when it cannot run here.
"""

import os
import pathlib
import random
import shutil
import struct
import sys
import tempfile
import time

try:
    import mwtun_protocol as mw
    from interop_net import (Checks, Keys, Net, Port, Program, PythonEnd, PORT, PYTHON_ADDRESS, PYTHON_ADDRESS6,
                             REAL_ADDRESS, REAL_ADDRESS6)
except ImportError as missing:
    print(f"skipped: {missing} (needs Debian's python3-cryptography and python3-nacl; run it with /usr/bin/python3)")
    sys.exit(77)

check = Checks()
ORDERED, UNORDERED = 7, 3077  # lanes
MS = 10**6


def accepted(name, action):
    """The value of action(), which our implementation must not refuse; else a failed check and None."""
    try:
        value = action()
    except mw.Refused as reason:
        check(name, False, reason)
        return None
    check(name, True)
    return value


# ================================================================ the program as responder

class PythonInitiator(PythonEnd):
    def __init__(self, net, keys, server_public, ethernet):
        super().__init__(ethernet)
        self.net, self.keys, self.server_public = net, keys, server_public

    def open_port(self, link=0, ip=None):
        wire = min(link, 1)
        ip = ip or PYTHON_ADDRESS[wire]
        to = (REAL_ADDRESS6 if ":" in ip else REAL_ADDRESS[wire], PORT)
        port = Port(self.net.python.udp(ip), link, to)
        self.ports.append(port)
        return port

    def close_port(self, port):
        self.ports.remove(port)
        port.socket.close()

    def ask(self, port, datagram, seconds=1.0):
        """The next handshake datagram that comes back, or None."""
        port.other.clear()
        port.send(datagram)
        self.pump(seconds, lambda: port.other)
        return port.other.pop(0) if port.other else None

    def initiator(self, **options):
        return mw.Initiator(self.keys.private, self.server_public, options.pop("psk", self.keys.psk), **options)

    def shake(self, port, **options):
        """(initiator, session) of a whole handshake, through a cookie where one comes. It is not yet in use."""
        initiator = self.initiator(**options)
        answer = self.ask(port, initiator.initiation())
        if answer and mw.datagram_type(answer) == mw.COOKIE:
            answer = self.ask(port, initiator.initiation(initiator.read_cookie(answer)))
        assert answer is not None, "no answer to an initiation"
        return initiator, initiator.read_response(answer)

    def join(self, link, name, seconds=2.0, settings=True):
        """JOIN and CHALLENGE until the link is up; true when it is."""
        challenge = os.urandom(8)
        chunks = [mw.Join(weight=1 + link, name=name), mw.PathChallenge(challenge)] + [mw.Settings()] * settings
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.send(link, chunks)
            if self.pump(0.25, lambda: self.seen(mw.PathResponse, link, lambda c: c.data == challenge)
                         and self.seen(mw.PathChallenge, link)):
                self.pump(0.02)
                return True
        return False

    def connect(self, **options):
        """A session with one link."""
        port = self.open_port(0)
        initiator, self.session = self.shake(port, **options)
        assert self.join(0, "first"), "the first link does not come up"
        return initiator


def first_contact(main):
    """The handshake, byte by byte."""
    port = main.open_port(0)
    initiator = main.initiator(features=(1 << 64) - 1, max_links=8)
    answer = main.ask(port, initiator.initiation(), 2.0)
    if not check("an_initiation_is_answered", answer is not None):
        return
    check("the_first_initiation_after_a_start_is_answered_with_a_cookie", len(answer) == 64, len(answer))
    if len(answer) == 64:
        cookie = initiator.read_cookie(answer)
        elsewhere = main.open_port(0, "10.77.0.10")
        other = main.ask(elsewhere, initiator.initiation(cookie))
        check("a_cookie_is_good_for_its_own_address_alone", other is None or len(other) == 64, other and len(other))
        answer = main.ask(port, initiator.initiation(cookie))
        main.close_port(elsewhere)
    if not check("an_initiation_with_mac2_is_answered_with_a_response", answer is not None and len(answer) == 140):
        return
    again = main.ask(port, initiator.initiation())
    check("the_same_initiation_gets_the_same_response", again == answer, again and again.hex())
    # This looks at mac1, reserved bytes, indices, Noise, and what was chosen of what was offered.
    session = accepted("the_response_opens_and_agrees_with_the_offer", lambda: initiator.read_response(answer))
    if session is None:
        return
    p2 = initiator.answer
    check("the_response_names_the_address_we_sent_from", p2.source == port.socket.getsockname(), p2.source)
    check("the_response_chooses_the_configured_cipher", p2.cipher == mw.CHACHA20_POLY1305, p2.cipher)
    check("the_response_chooses_no_feature_that_is_not_defined", p2.features & ~1 == 0, p2.features)
    check("the_response_allows_links_within_the_offer", 2 <= p2.max_links <= 8, p2.max_links)
    check("the_response_tells_the_inner_mtu", p2.mtu == 1500, p2.mtu)
    main.session = session
    challenge = os.urandom(8)
    chunks = [mw.Join(1, name="first"), mw.PathChallenge(challenge), mw.Settings()]
    main.mark()
    main.send(0, chunks)
    main.pump(1.0, lambda: main.seen(mw.PathResponse) and main.seen(mw.PathChallenge))
    check("a_challenge_with_a_join_is_answered",
          [chunk.data for _, chunk in main.seen(mw.PathResponse, 0)] == [challenge], main.log)
    check("a_join_is_challenged", len(main.seen(mw.PathChallenge, 0)) >= 1)
    check("the_responder_sends_nothing_before_it_is_spoken_to_on_a_link",
          all(received.opened.link == 0 for received in main.log))
    first = main.log[0].opened if main.log else None
    check("packet_numbers_start_at_0", first is not None and first.number == 0, first)


def second_link(main):
    """JOIN of a second link whose challenge we leave open at first."""
    port = main.open_port(1)
    port.mute = True
    main.mark()
    for _ in range(3):
        main.send(1, [mw.Join(2, name="second"), mw.PathChallenge(os.urandom(8))])
        for _ in range(20):
            main.ethernet.send(main.frame(900))
        main.pump(0.3)
    check("an_unproved_address_gets_no_more_than_three_times_the_bytes_it_sent",
          0 < port.bytes_in <= 3 * port.bytes_out, f"{port.bytes_in} for {port.bytes_out}")
    kinds = {type(chunk).__name__ for received in main.log if received.opened.link == 1
             for chunk in received.opened.chunks}
    check("an_unproved_address_gets_only_responses_and_challenges", kinds <= {"PathResponse", "PathChallenge"}, kinds)
    port.mute = False
    check("a_second_link_joins", main.join(1, "second"))


def frames_to_the_program(main):
    main.mark()
    frame = main.frame(60)
    main.send(0, main.session.cut(ORDERED, frame))
    check("a_small_frame_is_delivered", main.await_delivery([frame]), len(main.delivered))

    main.mark()
    frame = main.frame(1514)
    chunks = main.session.cut(ORDERED, frame, 600)
    for i in (2, 0, 1):
        main.send(i % 2, [chunks[i]])
    check("a_1514_byte_frame_in_three_pieces_over_two_links_is_delivered_whole", main.await_delivery([frame]))

    main.mark()
    frames = [main.frame(size) for size in (42, 300, 64, 500)]
    chunks = [chunk for frame in frames for chunk in main.session.cut(ORDERED, frame)]
    chunks[-1].rest = True
    main.send(1, chunks)
    check("several_frames_in_one_datagram_are_delivered", main.await_delivery(frames))

    main.mark()
    frames = [main.frame(100) for _ in range(3)]
    chunks = [chunk for frame in frames for chunk in main.session.cut(ORDERED, frame)]
    main.send(0, [chunks[0], mw.Unknown(0x60, b"what is this"), chunks[1], mw.Unknown(0x0b, bytes(3)), mw.Unknown(0x7f),
                  chunks[2]], size=700)
    check("unknown_chunks_are_skipped_and_padding_is_ignored", main.await_delivery(frames), len(main.delivered))

    main.mark()
    before, after = main.frame(100), main.frame(100)
    chunks = main.session.cut(UNORDERED, before) + main.session.cut(UNORDERED, after)
    main.send(0, [chunks[0], b"\x03\x04abcd", chunks[1]])
    main.pump(0.3)
    check("what_stands_before_a_malformed_chunk_counts_and_what_stands_after_does_not", main.delivered == [before],
          len(main.delivered))

    main.mark()
    wrong, right = main.frame(200), main.frame(200)
    chunks = main.session.cut(ORDERED, wrong) + main.session.cut(ORDERED, right)
    main.send(0, [mw.Offload(1448), chunks[0], chunks[1]])
    check("a_frame_its_offload_does_not_agree_with_is_dropped_and_the_next_is_delivered",
          main.await_delivery([right]), len(main.delivered))


def lanes_to_the_program(main):
    choose = random.Random(7)
    main.mark()
    frames = [main.frame(choose.randrange(60, 1500)) for _ in range(400)]
    count = 0
    for start in range(0, len(frames), 16):
        block = []
        for frame in frames[start:start + 16]:
            for chunk in main.session.cut(ORDERED, frame):
                count += 1
                heads = [main.session.heads()] if count % 16 == 0 else []
                block.append(main.session.seal(count % 2, heads + [chunk]))
        choose.shuffle(block)  # over both links, in another order than they were filled
        for datagram in block:
            main.post(datagram)
        main.pump(0.004)
    main.pump(2, lambda: len(main.delivered) >= len(frames))
    check("400_frames_of_an_ordered_lane_over_two_links_arrive_whole", sorted(main.delivered) == sorted(frames),
          f"{len(main.delivered)} came")
    check("400_frames_of_an_ordered_lane_leave_in_order_though_datagrams_were_swapped", main.delivered == frames)

    main.mark()
    frames = [main.frame(200) for _ in range(40)]
    for frame in frames:
        for chunk in main.session.cut(ORDERED, frame, 100):
            for link in (0, 1, 0):
                main.send(link, [chunk])
    main.pump(0.3)
    check("a_chunk_that_comes_three_times_is_delivered_once", main.delivered == frames, len(main.delivered))

    main.mark()
    frames = [main.frame(200) for _ in range(20)]
    chunks = [main.session.cut(UNORDERED, frame)[0] for frame in frames]
    held = main.session.seal(0, [chunks[0]])
    for chunk in chunks[1:]:
        main.send(1, [chunk])
    check("an_unordered_lane_waits_for_nothing", main.await_delivery(frames[1:], 1), len(main.delivered))
    main.post(held)
    main.pump(1, lambda: len(main.delivered) >= 20)
    check("a_late_frame_of_an_unordered_lane_is_delivered", main.delivered == frames[1:] + frames[:1])
    for chunk in chunks:
        main.send(0, [chunk])
    main.pump(0.2)
    check("an_unordered_lane_delivers_no_frame_twice", len(main.delivered) == 20, len(main.delivered))

    main.mark()
    frames = [main.frame(150) for _ in range(4)]
    chunks = [main.session.cut(ORDERED + 1, frame)[0] for frame in frames]
    main.send(0, [chunks[0], chunks[2]])
    main.send(1, [mw.LaneFloor([(ORDERED + 1, chunks[2].sequence)])])
    check("a_lane_floor_releases_what_waited", main.await_delivery([frames[0], frames[2]], 1), len(main.delivered))
    main.send(0, [chunks[1]])
    main.send(0, [chunks[3]])
    check("what_comes_below_the_lane_floor_is_not_delivered",
          main.await_delivery([frames[0], frames[2], frames[3]], 1), len(main.delivered))

    main.mark()
    blocked, free = main.frame(150), main.frame(150)
    chunks = main.session.cut(ORDERED + 2, main.frame(150)) + main.session.cut(ORDERED + 2, blocked)
    other = main.session.cut(ORDERED + 3, free)
    main.send(0, [chunks[1]])
    main.send(0, other)
    main.pump(1, lambda: free in main.delivered)
    check("a_hole_in_one_lane_holds_up_no_other", main.delivered[:1] == [free], len(main.delivered))
    main.send(0, [mw.LaneFloor([(ORDERED + 2, chunks[1].sequence + 1)])])
    main.pump(0.1)


def frames_from_the_program(end, label=""):
    """`end`: either Python end with two links. Frames go into the program's TAP and come out of our session."""
    choose = random.Random(8)
    end.mark()
    frames = [end.frame(60), end.frame(1514), end.frame(1514)]
    for frame in frames:
        end.ethernet.send(frame)
        end.pump(1, lambda frame=frame: frame in end.frames)
    check(f"small_and_full_frames_come_from_the_program{label}", end.came_once(frames), len(end.frames))
    check(f"a_full_frame_came_in_pieces{label}",
          any(not (chunk.first and chunk.last) for _, chunk in end.seen(mw.FrameChunk)))

    end.mark()
    frames = [end.frame(choose.randrange(60, 1515)) for _ in range(600)]
    for start in range(0, len(frames), 10):
        for frame in frames[start:start + 10]:
            end.ethernet.send(frame)
        end.pump(0.005)
    end.pump(3, lambda: len(end.frames) >= len(frames))
    end.pump(0.1)
    check(f"600_frames_from_the_program_are_reassembled_each_once{label}", end.came_once(frames),
          f"{len(end.frames)} came, {len(set(frames) - set(end.frames))} missing")
    numbers, stamps, sizes = {}, {}, []
    for received in end.log:
        opened = received.opened
        numbers.setdefault((opened.epoch, opened.link), []).append(opened.number)
        stamps.setdefault((opened.epoch, opened.link), []).append((opened.number, opened.stamp))
        sizes.append(opened.size)
    check(f"packet_numbers_rise_by_one_on_each_link{label}",
          all(sorted(got) == list(range(min(got), max(got) + 1)) for got in numbers.values()),
          {key: (min(got), max(got), len(got)) for key, got in numbers.items()})
    check(f"stamps_never_go_back{label}",
          all(mw.stamp_difference(later[1], earlier[1]) >= 0 for pairs in stamps.values()
              for earlier, later in zip(sorted(pairs), sorted(pairs)[1:])))
    check(f"no_datagram_is_larger_than_the_wire_takes{label}", max(sizes) <= 1472, max(sizes))


def acknowledgements(end, label=""):
    """ACK, PING, CHALLENGE and MTU PROBE, towards either role."""
    session = end.session
    epoch = session.send_epoch
    end.pump(0.1)
    waits = []
    for _ in range(11):
        end.mark()
        number = session.key_pairs[epoch].next_number.get(1, 0)
        asked = time.monotonic_ns()
        end.send(1, [mw.Ping()])
        end.pump(0.5, lambda: end.seen(mw.Ack, 1, lambda ack: ack.link == 1 and ack.largest >= number & 0xffffffff))
        came = end.seen(mw.Ack, 1, lambda ack: ack.link == 1 and ack.largest >= number & 0xffffffff)
        waits.append((came[0][0].at - asked) / MS if came else 500.0)
    # An ACK nobody asked for waits 10 ms, always. A busy machine may make some of these slow, but not all.
    check(f"a_ping_is_acknowledged_at_once_on_its_link{label}", sorted(waits)[3] < 6, waits)

    end.mark()
    data = os.urandom(8)
    end.send(0, [mw.PathChallenge(data)])
    end.pump(0.5, lambda: end.seen(mw.PathResponse))
    check(f"a_challenge_is_answered_on_its_link{label}",
          [chunk.data for _, chunk in end.seen(mw.PathResponse, 0)] == [data])

    end.mark()
    number = session.key_pairs[epoch].next_number.get(0, 0)
    probe = end.send(0, [mw.MtuProbe(1400)], size=1400)
    assert len(probe) == 1400
    covered = lambda ack: ack.link == 0 and ack.epoch == epoch and number in ack_numbers(ack, number)
    check(f"an_mtu_probe_is_acknowledged{label}", end.pump(0.5, lambda: end.seen(mw.Ack, None, covered)))

    end.mark()
    number = session.key_pairs[epoch].next_number.get(1, 0)
    asked = time.monotonic_ns()
    end.send(1, [mw.Settings()] if session.initiator else [mw.LaneFloor([(ORDERED, 0)])])
    covered1 = lambda ack: ack.link == 1 and ack.epoch == epoch and number in ack_numbers(ack, number)
    end.pump(0.5, lambda: end.seen(mw.Ack, None, covered1))
    came = end.seen(mw.Ack, None, covered1)
    check(f"an_ack_eliciting_datagram_is_acknowledged_soon{label}", came and came[0][0].at - asked < 60 * MS,
          came and (came[0][0].at - asked) / MS)

    # Numbers that never arrive, and one datagram twice.
    end.mark()
    datagrams, kept = [], []
    for i in range(24):
        datagrams.append((session.seal(0, [mw.LaneFloor([(ORDERED, 0)]) if i < 23 else mw.Ping()]), time.monotonic_ns()))
        if i not in (3, 4, 9, 15, 16, 17):
            end.post(datagrams[-1][0])
            kept.append(i)
            if i == 5:
                end.post(datagrams[-1][0])
        time.sleep(0.002 if i % 8 else 0.02)
    base = struct.unpack("<I", datagrams[0][0][6:10])[0]
    last = base + 23
    end.pump(0.5, lambda: end.seen(mw.Ack, 0, lambda ack: ack.link == 0 and ack.largest == last))
    found = [(received, ack) for received, ack in end.seen(mw.Ack, 0) if ack.link == 0 and ack.largest == last]
    if not check(f"the_last_number_is_acknowledged_on_its_own_link{label}", found):
        return
    received, ack = found[0]
    told = ack_numbers(ack, base - 300)
    really = {number for number in end.sent[epoch, 0] if number <= last}
    check(f"an_ack_tells_exactly_what_arrived{label}",
          told == {number for number in really if number >= min(told)} and min(told) <= base,
          f"told but not sent {sorted(told - really)[:9]}, sent but not told "
          f"{sorted(n for n in really - told if n >= min(told))[:9]}")
    check(f"an_ack_counts_what_arrived_without_duplicates{label}", ack.count == len(really), (ack.count, len(really)))
    check(f"an_ack_names_its_epoch{label}", ack.epoch == epoch, ack.epoch)
    check(f"an_ack_tells_how_long_ago_the_largest_came{label}", ack.delay * 16 < 60_000, ack.delay)
    sent_at = {base + i: at for i, (_, at) in enumerate(datagrams) if i in kept}
    arrivals = {}
    for got, each in end.seen(mw.Ack):
        if each.link == 0 and each.epoch == epoch:
            for distance, stamp in each.arrivals:
                arrivals.setdefault(each.largest - distance, set()).add(stamp)
                age = mw.stamp_difference(got.opened.stamp, stamp)
                if not -MS <= age < 10**9:
                    end.refused.append((f"arrival time {age / MS} ms before the stamp of its ACK", b""))
    known = sorted((number, min(stamps)) for number, stamps in arrivals.items() if number in sent_at)
    check(f"acks_bring_arrival_times_one_for_each_number{label}",
          len(known) >= 2 and all(mw.stamp_difference(max(stamps), min(stamps)) < MS // 10
                                  for stamps in arrivals.values()), arrivals)
    wrong = []
    for (a, stamp_a), (b, stamp_b) in zip(known, known[1:]):
        apart = mw.stamp_difference(stamp_b, stamp_a) - (sent_at[b] - sent_at[a])
        if abs(apart) > 15 * MS:
            wrong.append((a, b, apart / MS))
    check(f"arrival_times_are_as_far_apart_as_the_sendings{label}", not wrong, wrong)

    end.mark()
    for _ in range(64):
        end.send(1, [mw.LaneFloor([(ORDERED, 0)])])
    number = session.key_pairs[epoch].next_number[1] - 1
    end.pump(0.5, lambda: end.seen(mw.Ack, None, lambda a: a.link == 1 and a.largest == number & 0xffffffff))
    got = [ack for _, ack in end.seen(mw.Ack) if ack.link == 1 and ack.epoch == epoch]
    check(f"64_datagrams_in_a_burst_are_acknowledged{label}", len(got) >= 1, len(got))


def ack_numbers(ack, lowest):
    """The acknowledged numbers, down to `lowest`."""
    return {number for low, high in ack.acknowledged() for number in range(max(low, lowest, 0), high + 1)}


def rekey(end, label=""):
    session, old = end.session, end.session.send_epoch
    frames = [end.frame(200) for _ in range(10)]
    chunks = [session.cut(ORDERED, frame)[0] for frame in frames]
    before = [session.seal(i % 2, [chunk]) for i, chunk in enumerate(chunks[:5])]
    end.mark()
    indices = session.local_index, session.remote_index
    initiator, _ = end.shake(end.ports[0], session=session, ciphers=mw.CHACHA20_POLY1305 | mw.AES_256_GCM)
    new = session.send_epoch
    check(f"a_rekey_is_answered_for_the_same_session_and_the_next_epoch{label}",
          new == (old + 1) % 4 and (session.local_index, session.remote_index) == indices and initiator.answer.epoch == new)
    end.mark()
    end.send(0, [mw.Ping()], epoch=old)
    end.pump(0.5, lambda: end.seen(mw.Ack, 0))
    check(f"the_responder_keeps_to_the_old_key_until_we_use_the_new_one{label}",
          end.log and all(received.opened.epoch == old for received in end.log))
    end.mark()
    for i, chunk in enumerate(chunks[5:]):
        end.send(i % 2, [chunk])  # under the new key
    for datagram in before:
        end.post(datagram)
    check(f"frames_sealed_before_a_rekey_and_after_it_are_delivered_in_order{label}", end.await_delivery(frames),
          len(end.delivered))
    end.mark()
    frame = end.frame(300)
    end.ethernet.send(frame)
    end.pump(1, lambda: frame in end.frames)
    check(f"frames_from_the_program_come_under_the_new_key{label}",
          frame in end.frames and all(received.opened.epoch == new for received, _ in end.seen(mw.FrameChunk)))
    lows = [received.opened.number for received in end.log if received.opened.epoch == new]
    check(f"packet_numbers_start_again_in_a_new_epoch{label}", lows and min(lows) < 50, lows[:5])
    end.mark()
    end.send(0, [mw.Ping()])
    end.pump(0.5, lambda: end.seen(mw.Ack, 0, lambda ack: ack.epoch == new and ack.link == 0))
    acks = [ack for _, ack in end.seen(mw.Ack, 0) if ack.epoch == new and ack.link == 0]
    sent = acks and sum(number <= acks[0].largest for number in end.sent[new, 0])
    check(f"acknowledgements_count_from_the_start_of_the_epoch{label}", acks and acks[0].count == sent,
          acks and (acks[0].count, sent))


def refusals(main, live_initiation):
    """What is to be met with silence. Each comes from an address of its own; then the same thing done right is answered."""
    session, server = main.session, main.server_public
    good = main.initiator().initiation()
    stranger = mw.new_private_key()

    def flipped(data, at):
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]

    def with_mac1(body):
        return body + mw.mac1(server, body) + bytes(16)

    wrong_rs = mw.Initiator(main.keys.private, mw.public_key(stranger), main.keys.psk).initiation()
    frame = main.frame(100)
    recorded = main.send(0, main.session.cut(UNORDERED, frame))
    main.pump(1, lambda: frame in main.delivered)
    fresh = main.session.seal(0, main.session.cut(UNORDERED, main.frame(100)))
    pair = session.key_pairs[session.send_epoch]

    def sealed_under(head, link):
        """A datagram that opens, if its header is not looked at."""
        header = struct.pack("<BBII", head, link, session.remote_index, 1 << 20)
        plain = bytes(3) + b"".join(chunk.encode() for chunk in session.cut(UNORDERED, main.frame(100)))
        return header + pair.send.seal(link, 1 << 20, header, plain)

    index = struct.pack("<I", (session.remote_index + 1) & 0xffffffff or 1)
    response = struct.pack("<BBHI", mw.RESPONSE, 1, 0, 77) + struct.pack("<I", session.remote_index) + os.urandom(96)
    response += mw.mac1(server, response) + bytes(16)
    other_peer_key = mw.Initiator(stranger, server, main.keys.psk).initiation()
    cases = {
        "an_initiation_for_another_server_key": wrong_rs,
        "an_initiation_for_another_server_key_with_our_mac1": with_mac1(wrong_rs[:168]),
        "an_initiation_of_an_unknown_client_key": other_peer_key,
        "an_initiation_with_a_bad_mac1": flipped(good, 168),
        "an_initiation_changed_under_its_mac1": flipped(good, 60),
        "an_initiation_with_a_changed_static_key_and_right_mac1": with_mac1(flipped(good, 60)[:168]),
        "an_initiation_with_a_changed_payload_and_right_mac1": with_mac1(flipped(good, 100)[:168]),
        "an_initiation_of_another_wire_version": with_mac1(flipped(good, 1)[:168]),
        "an_initiation_with_a_reserved_byte_set": with_mac1(flipped(good, 2)[:168]),
        "an_initiation_with_high_bits_in_its_type": with_mac1((bytes([0x11]) + good[1:])[:168]),
        "an_initiation_with_a_low_order_ephemeral": with_mac1(good[:8] + bytes(32) + good[40:168]),
        "an_initiation_one_byte_short": good[:-1],
        "an_initiation_one_byte_long": good + b"\0",
        "a_response_nobody_asked_for": response,
        "a_cookie_nobody_asked_for": mw.seal_cookie(server, good, bytes(16)),
        "a_replayed_data_datagram": recorded,
        "a_changed_data_datagram": flipped(fresh, 40),
        "a_data_datagram_with_a_changed_link": flipped(fresh, 1),
        "a_data_datagram_of_another_epoch": bytes([fresh[0] ^ 0x20]) + fresh[1:],
        "a_data_datagram_with_reserved_bits_that_opens": sealed_under(mw.DATA | pair.epoch << 4 | 0x80, 3),
        "a_data_datagram_of_link_16_that_opens": sealed_under(mw.DATA | pair.epoch << 4, 16),
        "a_data_datagram_for_an_unknown_index": fresh[:2] + index + fresh[6:],
        "a_data_datagram_of_28_bytes": fresh[:28],
        "an_empty_datagram": b"",
        "one_byte": b"\x04",
        "a_large_datagram_of_noise": b"\x05" + os.urandom(1400),
    }
    main.mark()
    ports = {}
    for i, (name, datagram) in enumerate(cases.items()):
        ports[name] = main.open_port(15, f"10.77.0.{11 + i}")
        ports[name].mute = True
        ports[name].send(datagram)
    main.pump(1.2)
    for name, port in ports.items():
        check(f"silence_for_{name}", port.bytes_in == 0, f"{port.bytes_in} bytes came back")
        main.close_port(port)
    check("nothing_of_it_is_delivered", main.delivered == [], len(main.delivered))
    port = main.open_port(15, "10.77.0.11")
    answer = main.ask(port, good)
    check("the_same_initiation_unchanged_is_answered", answer is not None and len(answer) == 140, answer and len(answer))
    main.close_port(port)
    main.mark()
    main.post(recorded)
    main.pump(0.3)
    check("a_data_datagram_replayed_from_its_own_address_is_not_delivered_again", main.delivered == [])
    main.post(fresh)
    main.pump(1, lambda: main.delivered)
    check("the_data_datagram_unchanged_is_delivered", len(main.delivered) == 1)
    still_alive(main, "after_what_was_refused")

    # The pre-shared key comes in only with the response, so that one is sent; and no more.
    port = main.open_port(15, "10.77.0.50")
    initiator = main.initiator(psk=os.urandom(32))
    answers = []
    for _ in range(3):
        answers.append(main.ask(port, initiator.initiation(), 0.5))
    check("a_wrong_psk_gets_at_most_one_response_an_initiation",
          not port.other and all(answer is None or len(answer) in (64, 140) for answer in answers), answers)
    answer = next((answer for answer in answers if answer and len(answer) == 140), None)
    opened = None
    try:
        opened = initiator.read_response(answer) if answer else None
    except mw.Refused:
        pass
    check("a_response_does_not_open_under_a_wrong_psk", answer is not None and opened is None)
    if answer:
        forged = mw.Session(True, initiator.index, struct.unpack("<I", answer[4:8])[0])
        forged.install(mw.KeyPair(0, mw.CHACHA20_POLY1305, *initiator.noise.split(), time.monotonic_ns()))
        main.mark()
        port.mute = True
        port.send(forged.seal(0, [mw.Join(), mw.PathChallenge(bytes(8)), mw.Ping()]))
        port.send(forged.seal(0, forged.cut(UNORDERED, main.frame(100))))
        main.pump(1.1)
        check("silence_for_data_under_a_wrong_psk", port.bytes_in == 0 and main.delivered == [], port.bytes_in)
    main.close_port(port)
    still_alive(main, "after_a_wrong_psk")

    port = main.open_port(15, "10.77.0.51")
    main.mark()
    for _ in range(10):
        port.send(live_initiation)
        main.pump(0.25)
    sizes = [len(datagram) for datagram in port.other]
    check("a_replayed_initiation_of_a_live_session_gets_at_most_a_cookie_a_second",
          set(sizes) <= {64} and len(sizes) <= 4, sizes)
    main.close_port(port)
    still_alive(main, "after_replayed_initiations")

    port = main.open_port(15, "10.77.0.52")
    main.shake(port)  # a true handshake, never used
    main.close_port(port)
    still_alive(main, "after_a_handshake_that_was_never_used")


def still_alive(end, when):
    end.mark()
    there, back = end.frame(700), end.frame(700)
    end.send(0, end.session.cut(UNORDERED, there))
    end.ethernet.send(back)
    end.pump(1, lambda: there in end.delivered and back in end.frames)
    check(f"the_live_session_goes_on_{when}", end.delivered == [there] and end.frames == [back],
          (len(end.delivered), len(end.frames)))


def move(main):
    """Link 0 comes from another port all of a sudden, as behind a NAT."""
    old = next(port for port in main.ports if port.link == 0)
    time.sleep(1.1)  # at most one new candidate a second
    main.mark()
    new = main.open_port(0)
    new.mute = True
    main.post(main.session.seal(0, [mw.Ping()]), new)
    main.pump(0.3, lambda: any(received.port is new for received in main.log))
    for _ in range(10):
        main.ethernet.send(main.frame(500))
    main.pump(0.3)
    to_new = {type(chunk) for received in main.log if received.port is new for chunk in received.opened.chunks}
    check("a_new_address_of_a_link_is_challenged_and_gets_nothing_else", to_new == {mw.PathChallenge}, to_new)
    check("a_new_address_gets_no_more_than_three_times_the_bytes_it_sent", 0 < new.bytes_in <= 3 * new.bytes_out,
          (new.bytes_in, new.bytes_out))
    check("the_old_address_is_asked_too",
          any(received.port is old for received, _ in main.seen(mw.Ping)))
    asked = [chunk for received, chunk in main.seen(mw.PathChallenge) if received.port is new]
    new.mute = False
    for chunk in asked[-1:]:
        main.post(main.session.seal(0, [mw.PathResponse(chunk.data)]), new)
    main.pump(0.2)
    main.mark()
    main.ports.sort(key=lambda port: port is old)  # what we send of our own accord goes out by the new one
    for _ in range(30):
        main.ethernet.send(main.frame(500))
        main.pump(0.01)
    # Frames may all take the other link: what a PING asks for must come by this one.
    main.post(main.session.seal(0, [mw.Ping()]), new)
    main.pump(0.5, lambda: len(main.frames) >= 30 and any(received.port is new for received in main.log))
    on_link = [received.port for received in main.log if received.opened.link == 0]
    check("the_link_moves_when_the_new_address_has_answered", on_link and old not in on_link and len(main.frames) == 30,
          (on_link.count(new), on_link.count(old), len(main.frames)))
    main.close_port(old)


def ipv6_link(main):
    main.mark()
    main.open_port(2, PYTHON_ADDRESS6)
    check("a_third_link_joins_over_ipv6", main.join(2, "v6"))
    frames = [main.frame(1200) for _ in range(6)]
    for frame in frames:
        for chunk in main.session.cut(ORDERED, frame, 700):
            main.send(2, [chunk])
    main.pump(1, lambda: len(main.delivered) >= 6)
    check("frames_over_ipv6_are_delivered", main.delivered == frames, len(main.delivered))


def goodbye(main):
    main.mark()
    main.send(0, [mw.Close(0)])
    main.pump(0.1)
    main.mark()
    main.send(0, [mw.Ping(), *main.session.cut(UNORDERED, main.frame(100))])
    main.pump(1.0)
    check("a_closed_session_is_silent_and_delivers_nothing", not main.log and main.delivered == [],
          (len(main.log), len(main.delivered)))


def as_initiator(command, folder, net):
    server, main, aes = (Keys(command, folder, name, psk) for name, psk in (("server", False), ("main", True),
                                                                           ("aes", False)))
    check("keys_are_32_bytes_and_pubkey_agrees", len(server.private) == 32 and len(main.psk) == 32 and
          mw.public_key(server.private) == server.public)
    config = folder / "server.toml"
    config.write_text(f"""
private_key_file = "{server.private_file.name}"
control = "{folder}/server.sock"
listen = ["0.0.0.0:{PORT}", "[::]:{PORT}"]

[[peer]]
name = "main"
public_key = "{main.public_text}"
preshared_key_file = "{main.psk_file.name}"
tap = "mwi-main"
mtu = 1500
cipher = "chacha20-poly1305"

[[peer]]
name = "aes"
public_key = "{aes.public_text}"
tap = "mwi-aes"
mtu = 1500
cipher = "aes-256-gcm"
""")
    program = Program(command, net.real, "server", config, folder / "server.log")
    try:
        if not check("the_server_starts", program.wait_until_listening(PORT), "\n" + program.last_words()):
            return
        taps = {}
        for name in ("mwi-main", "mwi-aes"):
            assert program.wait_for(lambda name=name: net.real.run("ip", "link", "show", name)), f"no interface {name}"
            net.real.run("ip", "link", "set", name, "up")
            taps[name] = net.real.packet(name)
        end = PythonInitiator(net, main, server.public, taps["mwi-main"])
        with check.group("first_contact"):
            first_contact(end)
        if end.session is None:
            return
        for name, step in (("second_link", second_link), ("frames_to_the_program", frames_to_the_program),
                           ("lanes_to_the_program", lanes_to_the_program),
                           ("frames_from_the_program", frames_from_the_program), ("acknowledgements", acknowledgements),
                           ("ipv6_link", ipv6_link), ("rekey", rekey), ("move", move)):
            with check.group(name):
                step(end)
        with check.group("refusals"):
            # A session whose initiation was recorded, made anew: it replaces the first.
            old_port, *others = end.ports
            for port in others:
                end.close_port(port)
            old_port.link, old_port.mute = 15, True
            old, end.session, end.sent = end.session, None, {}
            initiator = end.connect()
            end.pump(0.2)
            end.mark()
            for _ in range(3):
                old_port.send(old.seal(0, [mw.Ping(), *old.cut(UNORDERED, end.frame(100))]))
            end.pump(0.5)
            check("a_session_that_was_replaced_is_silent_and_delivers_nothing",
                  old_port.bytes_in == 0 and end.delivered == [], (old_port.bytes_in, len(end.delivered)))
            end.close_port(old_port)
            refusals(end, initiator.initiation())
        with check.group("goodbye"):
            goodbye(end)
        with check.group("aes"):
            other = PythonInitiator(net, aes, server.public, taps["mwi-aes"])
            initiator = other.connect(ciphers=mw.CHACHA20_POLY1305 | mw.AES_256_GCM)
            check("aes_256_gcm_is_chosen_where_it_is_configured", initiator.answer.cipher == mw.AES_256_GCM)
            other.open_port(1)
            check("aes_two_links_join", other.join(1, "second"))
            other.mark()
            frames = [other.frame(size) for size in (60, 1514, 300)]
            for i, frame in enumerate(frames):
                for chunk in other.session.cut(ORDERED, frame, 800):
                    other.send(i % 2, [chunk])
            check("aes_frames_are_delivered", other.await_delivery(frames), len(other.delivered))
            frames_from_the_program(other, "_aes")
            rekey(other, "_aes")
            other.mark()
            status = program.end(other.pump)
            check("the_server_ends_cleanly_on_sigterm", status == 0, status)
            other.pump(0.1)
            check("a_server_that_ends_says_so", [chunk.reason for _, chunk in other.seen(mw.Close)][:1] == [0])
            # What was under way for a session that this end has replaced is no fault.
            refused = [each for each in end.refused + other.refused if "unknown index" not in each[0]]
            check("every_datagram_of_the_program_opened_and_was_well_formed", not refused, refused[:5])
        check("the_server_did_not_crash", program.process.poll() in (None, 0), program.process.poll())
    finally:
        program.end()
        if check.failed:
            print("    last lines of the server's log:\n" + program.last_words())


# ================================================================ the program as initiator

class PythonResponder(PythonEnd):
    def __init__(self, net, keys, peer, ethernet):
        super().__init__(ethernet)
        self.keys, self.responder = keys, mw.Responder(keys.private, [peer])
        self.peer = peer
        self.answering = False
        self.initiations = []  # (time, link, datagram, address)
        self.handshakes = 0    # handshake datagrams that came while a session was in use
        self.ports = [Port(net.python.udp(ip, PORT), link) for link, ip in enumerate(PYTHON_ADDRESS)]

    def port_for(self, link, address):
        if address:
            return next(port for port in self.ports if port.socket.getsockname()[0].rsplit(".", 1)[0]
                        == address[0].rsplit(".", 1)[0])
        return self.ports[link]

    def address_of(self, link):
        return self.session.links[link].address

    def take(self, port, datagram, address):
        now = time.monotonic_ns()
        port.bytes_in += len(datagram)
        if datagram[0] & 15 == mw.INITIATION:
            self.initiations.append((now, port.link, datagram, address))
            self.handshakes += self.session is not None
        if not self.answering:
            port.other.append(datagram)
            return
        try:
            outcome = self.responder.receive(datagram, address, now)
        except mw.Refused as reason:
            if datagram[0] & 15 == mw.DATA:
                self.refused.append((str(reason), datagram))
            return
        self.session = self.peer.session or self.session
        if outcome.opened:
            self.record(now, port, outcome.opened)
        self.frames += outcome.frames
        for _, where, answer in outcome.sends:
            if answer[0] & 15 == mw.DATA:
                self.post(answer, self.port_for(None, where), where)
            else:
                port.send(answer, where)

    def next_initiation(self, seconds=7, link=None):
        """Wait for an initiation that has not been seen before (a new attempt, or the copy on another link)."""
        count = len(self.initiations)
        wanted = lambda: [each for each in self.initiations[count:] if link is None or each[1] == link]
        self.pump(seconds, wanted)
        return wanted()[0] if wanted() else None


def unanswered(end, client_public):
    """How the client asks when nobody answers."""
    end.pump(4.2)
    check("the_client_asks_again_when_nobody_answers", len(end.initiations) >= 4, len(end.initiations))
    attempts = {}
    for at, link, datagram, _ in end.initiations:
        attempts.setdefault(datagram[:168], []).append((at, link, datagram))
    attempts = list(attempts.values())
    check("the_identical_initiation_goes_out_on_every_link",
          all({link for _, link, _ in copies} == {0, 1} for copies in attempts[:-1]),
          [[link for _, link, _ in copies] for copies in attempts])
    gaps = [(copies[1][0] - copies[0][0]) / MS for copies in attempts[:-1] if len(copies) == 2]
    check("250_ms_apart", gaps and all(200 <= gap <= 400 for gap in gaps), gaps)
    waits = [(later[0][0] - earlier[0][0]) / MS for earlier, later in zip(attempts, attempts[1:])]
    check("it_asks_every_second_and_up_to_334_ms_later", waits and all(970 <= wait <= 1434 for wait in waits), waits)
    def payload_of(datagram):
        mw.require(mw.datagram_type(datagram) == mw.INITIATION and datagram[4:8] != bytes(4), "index 0")
        mw.require(datagram[168:184] == mw.mac1(end.keys.public, datagram[:168]), "mac1")
        noise = mw.Noise(False, mw.prologue(datagram), end.keys.private)
        payload = mw.InitiationPayload.decode(noise.read_first(datagram[8:168]))
        mw.require(noise.remote_static == client_public, "another static key")
        return payload

    payloads = accepted("every_initiation_opens_and_shows_the_client_s_key",
                        lambda: [payload_of(copies[0][2]) for copies in attempts])
    if not payloads:
        return
    check("each_attempt_has_a_new_ephemeral_key", len({copies[0][2][8:40] for copies in attempts}) == len(attempts))
    freshness = [payload.freshness for payload in payloads]
    check("freshness_rises", freshness == sorted(set(freshness)), freshness)
    check("freshness_is_the_time", abs(freshness[0] - time.time_ns()) < 60 * 10**9, freshness[0])
    check("instance_stays", len({payload.instance for payload in payloads}) == 1)
    first = payloads[0]
    check("the_offer_is_as_it_should_be", first.ciphers in (1, 3) and 2 <= first.max_links <= 16 and first.mtu == 1500
          and not first.rekey and first.features & ~1 == 0, first)
    check("mac2_is_zero_without_a_cookie", all(each[2][184:] == bytes(16) for each in end.initiations))


def forged_answers(end):
    """Answers that are not ours, or not right: the client sends no data and does not take the bait."""
    _, link, datagram, address = end.next_initiation()
    port = end.ports[link]
    def answer_by(peer):
        peer.greatest = 0
        return mw.Responder(end.keys.private, [peer]).receive(datagram, address).sends[0][2]

    public = end.peer.public
    answer = answer_by(mw.Peer(public, end.peer.psk))  # right, before it is changed below
    stranger = mw.new_private_key()
    for port_ in end.ports:
        port_.other.clear()
    for bait in (answer[:-1], answer + b"\0", answer[:108] + os.urandom(16) + answer[124:], answer[:139] + b"\1",
                 with_response_mac1(answer[:1] + b"\2" + answer[2:108], public),
                 with_response_mac1(answer[:2] + b"\1" + answer[3:108], public),
                 with_response_mac1(answer[:8] + b"\1\2\3\4" + answer[12:108], public),
                 with_response_mac1(answer[:4] + b"\1\2\3\4" + answer[8:108], public),
                 with_response_mac1(answer[:50] + bytes([answer[50] ^ 1]) + answer[51:108], public),
                 with_response_mac1(answer[:12] + bytes(32) + answer[44:108], public),
                 answer_by(mw.Peer(public, os.urandom(32))), mw.seal_cookie(mw.public_key(stranger), datagram, bytes(16)),
                 mw.seal_cookie(end.keys.public, datagram[:170] + bytes(30), bytes(16))):
        port.send(bait, address)
    end.pump(0.9)
    seen = [other for port_ in end.ports for other in port_.other]
    check("forged_answers_bring_no_data_and_no_mac2",
          all(other[0] & 15 == mw.INITIATION and other[184:] == bytes(16) for other in seen),
          [len(other) for other in seen])


def with_response_mac1(body, public):
    return body + mw.mac1(public, body) + bytes(16)


def cookie_then_response(end):
    """As under load: the client must come back with a valid mac2."""
    end.responder.always_cookie = True
    asked = end.next_initiation()
    assert asked, "the client does not ask any more"
    _, link, datagram, address = asked
    port = end.ports[link]
    start = time.monotonic_ns()
    end.mark()
    cookie = end.responder.receive(datagram, address).sends[0][2]
    check("an_answer_under_load_is_a_cookie", len(cookie) == 64)
    port.send(cookie, address)
    count = len(end.initiations)
    end.pump(1.0, lambda: any(each[2][184:] != bytes(16) for each in end.initiations[count:]))
    repeated = [each for each in end.initiations[count:] if each[2][184:] != bytes(16)]
    if not check("the_client_repeats_its_initiation_with_mac2", repeated):
        return
    back, again, from_ = repeated[0][0], repeated[0][2], repeated[0][3]
    check("at_once", (back - start) / MS < 100, (back - start) / MS)
    check("the_repeated_initiation_is_the_same", again[:184] == datagram[:184] and from_ == address)
    end.answering = True
    outcome = accepted("the_repeated_initiation_is_accepted", lambda: end.responder.receive(again, from_))
    if outcome is None:
        return
    response = outcome.sends[0][2]
    if not check("mac2_is_valid", len(response) == 140, len(response)):
        return
    end.response = response
    answered = time.monotonic_ns()
    port.send(response, address)
    end.pump(1.0, lambda: end.log)
    if not check("the_client_sends_data_as_soon_as_it_has_the_response",
                 end.log and (end.log[0].at - answered) / MS < 100, end.refused[:2]):
        return
    check("packet_numbers_of_the_client_start_at_0", end.log[0].opened.number == 0, end.log[0].opened.number)
    end.pump(2.0, lambda: all(i in end.session.links and end.session.links[i].address for i in range(2)))
    joins = {received.opened.link: chunk for received, chunk in end.seen(mw.Join)}
    check("the_client_joins_both_links_as_configured",
          joins == {0: mw.Join(7, 1, 0, False, 300_000_000, 50_000_000, "fibre"), 1: mw.Join(1, 1, 0, False, 0, 0, "lte")},
          joins)
    check("each_join_comes_with_a_challenge",
          all(received.chunks(mw.PathChallenge) for received, _ in end.seen(mw.Join)))
    check("the_client_tells_its_scheduler", [chunk.scheduler for _, chunk in end.seen(mw.Settings)][:1] == [1],
          end.seen(mw.Settings))
    check("the_client_answers_the_challenges_of_both_links",
          all(end.session.links[i].address and end.session.links[i].address[0] == REAL_ADDRESS[i] for i in range(2)))
    end.mark()
    end.pump(0.8)
    check("a_link_that_is_up_is_not_joined_again", not end.seen(mw.Join), len(end.seen(mw.Join)))


def client_frames(end):
    choose = random.Random(9)
    end.mark()
    frames = [end.frame(choose.randrange(60, 1515)) for _ in range(200)]
    for start in range(0, len(frames), 16):
        block = []
        for frame in frames[start:start + 16]:
            for chunk in end.session.cut(ORDERED, frame):
                block.append(end.session.seal(len(block) % 2, [chunk]))
        choose.shuffle(block)
        for datagram in block:
            end.post(datagram)
        end.pump(0.004)
    end.pump(2, lambda: len(end.delivered) >= len(frames))
    check("200_frames_to_the_client_leave_in_order_though_datagrams_were_swapped", end.delivered == frames,
          len(end.delivered))
    for datagram in block:
        end.post(datagram)
    end.pump(0.3)
    check("replayed_datagrams_to_the_client_deliver_nothing", len(end.delivered) == len(frames), len(end.delivered))
    frames_from_the_program(end, "_client")
    links = {received.opened.link for received, _ in end.seen(mw.FrameChunk)}
    check("round_robin_uses_both_links", links == {0, 1}, links)


def replayed_response(end):
    end.mark()
    end.handshakes = 0
    live = end.session
    for port in end.ports:
        port.send(end.response, end.session.links[port.link].address)
    end.pump(1.2)
    there, back = end.frame(400), end.frame(400)
    end.send(0, end.session.cut(UNORDERED, there))
    end.ethernet.send(back)
    end.pump(1, lambda: there in end.delivered and back in end.frames)
    joins = end.seen(mw.Join)
    check("a_replayed_response_changes_nothing", end.handshakes == 0 and not joins and end.session is live
          and end.delivered == [there] and end.frames == [back],
          (end.handshakes, joins, len(end.delivered), len(end.frames)))


def client_rekey(end):
    """Waits for the client's own rekey, 110 to 120 s after the first key."""
    established = end.session.key_pairs[0].established
    end.responder.always_cookie = False
    end.pump(125, lambda: end.session.send_epoch == 1)
    age = (time.monotonic_ns() - established) / 10**9
    if check("the_client_rekeys_after_110_to_120_s", end.session.send_epoch == 1 and 109 < age < 121, age):
        still_alive(end, "after_the_client_s_rekey")


def as_responder(command, folder, net, long):
    server, client = Keys(command, folder, "python"), Keys(command, folder, "client", True)
    config = folder / "client.toml"
    config.write_text(f"""
private_key_file = "{client.private_file.name}"
control = "{folder}/client.sock"

[[peer]]
name = "python"
public_key = "{server.public_text}"
preshared_key_file = "{client.psk_file.name}"
endpoint = "{PYTHON_ADDRESS[0]}:{PORT}"
tap = "mwi-client"
mtu = 1500
scheduler = "round-robin"

[[peer.link]]
name = "fibre"
bind = "{REAL_ADDRESS[0]}"
weight = 7
priority = 1
max_rate = "300M/50M"

[[peer.link]]
name = "lte"
bind = "{REAL_ADDRESS[1]}"
priority = 1
endpoint = "{PYTHON_ADDRESS[1]}:{PORT}"
""")
    peer = mw.Peer(client.public, client.psk)
    end = PythonResponder(net, server, peer, None)
    program = Program(command, net.real, "client", config, folder / "client.log")
    try:
        if not check("the_client_starts", end.pump(5, lambda: end.initiations), "\n" + program.last_words()):
            return
        with check.group("unanswered"):
            unanswered(end, client.public)
        net.real.run("ip", "link", "set", "mwi-client", "up")
        end.ethernet = net.real.packet("mwi-client")
        with check.group("forged_answers"):
            forged_answers(end)
        with check.group("cookie_then_response"):
            cookie_then_response(end)
        if end.session is None:
            return
        steps = [("client_frames", client_frames), ("client_acknowledgements", lambda e: acknowledgements(e, "_client")),
                 ("replayed_response", replayed_response)] + [("client_rekey", client_rekey)] * long
        for name, step in steps:
            with check.group(name):
                step(end)
        end.mark()
        live = end.session
        status = program.end(end.pump)
        end.pump(0.1)
        check("the_client_ends_cleanly_on_sigterm", status == 0, status)
        check("a_client_that_ends_says_so", live.closed == 0, live.closed)
        check("every_datagram_of_the_client_opened_and_was_well_formed",
              not [each for each in end.refused if "unknown index" not in each[0]], end.refused[:5])
    finally:
        program.end()
        if check.failed:
            print("    last lines of the client's log:\n" + program.last_words())


def main():
    arguments = [argument for argument in sys.argv[1:] if argument != "--long"]
    if len(arguments) != 1:
        sys.exit(__doc__)
    if os.geteuid() != 0:
        print("skipped: needs root, to make network namespaces")
        return 77
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        print("skipped: no /dev/net/tun")
        return 77
    if shutil.which("ip") is None:
        print("skipped: no ip command (iproute2)")
        return 77
    if arguments[0] == "--self":
        command = [sys.executable, "-B", str(pathlib.Path(__file__).resolve().with_name("reference_endpoint.py"))]
    else:
        command = [str(pathlib.Path(arguments[0]).resolve())]
        if not os.access(command[0], os.X_OK):
            sys.exit(f"{command[0]} is not a program; build it, or give another path")
    net = None
    with tempfile.TemporaryDirectory(prefix="mwi-") as folder:
        try:
            net = Net()
            with check.group("the_program_as_responder"):
                as_initiator(command, pathlib.Path(folder), net)
            with check.group("the_program_as_initiator"):
                as_responder(command, pathlib.Path(folder), net, "--long" in sys.argv)
        finally:
            if net:
                net.delete()
    print(f"{check.passed} passed, {check.failed} failed")
    return 1 if check.failed else 0


if __name__ == "__main__":
    sys.exit(main())
