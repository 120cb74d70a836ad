#!/usr/bin/env python3
"""The mwtun wire protocol, version 1, in Python: a second implementation, written from docs/PROTOCOL.md alone.

It is for tests, and for readers of that page: the section numbers in the comments are its. It opens no socket and
starts no thread. Bytes, addresses and the time go in; bytes and frames come out. Times are nanoseconds of
time.monotonic_ns(). Addresses are (ip, port), as socket.recvfrom() gives them.

What goes wrong with bytes from outside raises Refused, which carries the reason.

Left out, since a test peer does not need them: repair, rate control, a backstop for lanes (frames behind a hole wait for
the chunk or for a lane floor), the total budget of Diffie-Hellman operations, and the limits by count in §3.6.
"""

import bisect
import hashlib
import hmac
import ipaddress
import os
import secrets
import struct
import time
from collections import OrderedDict, deque
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from nacl.bindings import (crypto_aead_xchacha20poly1305_ietf_decrypt, crypto_aead_xchacha20poly1305_ietf_encrypt)
from nacl.exceptions import CryptoError


class Refused(ValueError):
    """Bytes that this protocol does not accept, with the reason."""


def require(condition, reason):
    if not condition:
        raise Refused(reason)


# ---------------------------------------------------------------- primitives

def blake2b(data, size, key=b""):
    """BLAKE2b with `size` bytes of output."""
    return hashlib.blake2b(data, digest_size=size, key=key).digest()


def hkdf(chaining_key, material, outputs):
    """HKDF of Noise §4.3 over HMAC-BLAKE2b: two or three outputs of 64 bytes."""
    def mac(key, data):
        return hmac.new(key, data, hashlib.blake2b).digest()
    secret = mac(chaining_key, material)
    result, last = [], b""
    for i in range(1, outputs + 1):
        last = mac(secret, last + bytes([i]))
        result.append(last)
    return result


def new_private_key():
    return X25519PrivateKey.generate().private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())


def public_key(private):
    key = X25519PrivateKey.from_private_bytes(private).public_key()
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def diffie_hellman(private, public):
    try:
        return X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError as error:  # a result of all zeros
        raise Refused("Diffie-Hellman result of all zeros") from error


def noise_nonce(number):
    return bytes(4) + struct.pack("<Q", number)


def stamp_of(now_ns):
    """§1: units of 16 µs modulo 2^24."""
    return (now_ns // 16000) & 0xffffff


def stamp_difference(later, earlier):
    """later - earlier in nanoseconds, negative where `earlier` is the later one."""
    units = (later - earlier) & 0xffffff
    return (units - 0x1000000 if units >= 0x800000 else units) * 16000


# ---------------------------------------------------------------- Noise_IKpsk2 (§3)

NOISE_NAME = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2b"


class Noise:
    """One handshake, either end.  <- s  ...  -> e, es, s, ss   <- e, ee, se, psk"""

    def __init__(self, initiator, prologue, static, remote_static=None, psk=bytes(32), ephemeral=None):
        self.initiator = initiator
        self.static = static
        self.remote_static = remote_static  # the responder learns it from the first message
        self.psk = psk
        self.ephemeral = ephemeral or new_private_key()
        self.remote_ephemeral = None
        self.key, self.nonce = None, 0
        self.chaining_key = self.hash = NOISE_NAME.ljust(64, b"\0")
        self.mix_hash(prologue)
        self.mix_hash(remote_static if initiator else public_key(static))

    def mix_hash(self, data):
        self.hash = blake2b(self.hash + data, 64)

    def mix_key(self, material):
        self.chaining_key, key = hkdf(self.chaining_key, material, 2)
        self.key, self.nonce = key[:32], 0

    def mix_psk(self):
        self.chaining_key, extra, key = hkdf(self.chaining_key, self.psk, 3)
        self.mix_hash(extra)
        self.key, self.nonce = key[:32], 0

    def mix_ephemeral(self, public):
        """Token e of a pattern with a pre-shared key: hashed and mixed into the key (Noise §9.2)."""
        self.mix_hash(public)
        self.mix_key(public)

    def encrypt(self, plain):
        sealed = ChaCha20Poly1305(self.key).encrypt(noise_nonce(self.nonce), plain, self.hash)
        self.nonce += 1
        self.mix_hash(sealed)
        return sealed

    def decrypt(self, sealed, what):
        try:
            plain = ChaCha20Poly1305(self.key).decrypt(noise_nonce(self.nonce), sealed, self.hash)
        except InvalidTag as error:
            raise Refused(f"{what} does not decrypt") from error
        self.nonce += 1
        self.mix_hash(sealed)
        return plain

    def write_first(self, payload):
        """Initiator: e (32), s (48), payload + 16."""
        public = public_key(self.ephemeral)
        self.mix_ephemeral(public)
        self.mix_key(diffie_hellman(self.ephemeral, self.remote_static))
        sealed_static = self.encrypt(public_key(self.static))
        self.mix_key(diffie_hellman(self.static, self.remote_static))
        return public + sealed_static + self.encrypt(payload)

    def read_first(self, message):
        """Responder: the payload; remote_static is set. Whether it is a known one, the caller asks."""
        self.remote_ephemeral = message[:32]
        self.mix_ephemeral(self.remote_ephemeral)
        self.mix_key(diffie_hellman(self.static, self.remote_ephemeral))
        self.remote_static = self.decrypt(message[32:80], "static key")
        self.mix_key(diffie_hellman(self.static, self.remote_static))
        return self.decrypt(message[80:], "first payload")

    def write_second(self, payload):
        """Responder: e (32), payload + 16. `psk` may have been set after read_first()."""
        public = public_key(self.ephemeral)
        self.mix_ephemeral(public)
        self.mix_key(diffie_hellman(self.ephemeral, self.remote_ephemeral))
        self.mix_key(diffie_hellman(self.ephemeral, self.remote_static))
        self.mix_psk()
        return public + self.encrypt(payload)

    def read_second(self, message):
        """Initiator: the payload."""
        self.remote_ephemeral = message[:32]
        self.mix_ephemeral(self.remote_ephemeral)
        self.mix_key(diffie_hellman(self.ephemeral, self.remote_ephemeral))
        self.mix_key(diffie_hellman(self.static, self.remote_ephemeral))
        self.mix_psk()
        return self.decrypt(message[32:], "second payload")

    def split(self):
        """(sending key, receiving key) of this end, 32 bytes each."""
        first, second = (output[:32] for output in hkdf(self.chaining_key, b"", 2))
        return (first, second) if self.initiator else (second, first)


# ---------------------------------------------------------------- data keys (§3.5, §4)

CHACHA20_POLY1305 = 1  # bits of the cipher bitmap
AES_256_GCM = 2


class DataKey:
    """One direction's key of one epoch."""

    def __init__(self, cipher, key):
        self.cipher = cipher
        if cipher == AES_256_GCM:
            self.aead = AESGCM(blake2b(b"mwtun1 aes256gcm", 32, key=key))
        else:
            self.aead = ChaCha20Poly1305(key)

    def nonce(self, link, number):
        value = link << 48 | number
        return bytes(4) + struct.pack(">Q" if self.cipher == AES_256_GCM else "<Q", value)

    def seal(self, link, number, header, plain):
        return self.aead.encrypt(self.nonce(link, number), plain, header)

    def open(self, link, number, header, sealed):
        try:
            return self.aead.decrypt(self.nonce(link, number), sealed, header)
        except InvalidTag as error:
            raise Refused("data does not open") from error


# ---------------------------------------------------------------- handshake datagrams (§3.1 to §3.3)

INITIATION, RESPONSE, COOKIE, DATA = 1, 2, 3, 4
SIZES = {INITIATION: 200, RESPONSE: 140, COOKIE: 64}
WIRE_VERSION = 1


def datagram_type(datagram):
    """The type of a datagram whose size and clear fields are right."""
    require(len(datagram) > 0, "empty")
    kind = datagram[0] & 15
    if kind == DATA:
        require(len(datagram) >= 29, "data too short")
        require(datagram[0] >> 6 == 0, "reserved bits of a data datagram")
        require(datagram[1] <= 15, "link above 15")
        return kind
    require(kind in SIZES and datagram[0] >> 4 == 0, "unknown type")
    require(len(datagram) == SIZES[kind], "wrong size")
    require(datagram[1] == WIRE_VERSION, "another wire version")
    require(datagram[2:4] == bytes(2), "reserved bytes")
    return kind


def prologue(initiation):
    return b"mwtun/1 udp-l2".ljust(30, b"\0") + bytes([WIRE_VERSION, 0]) + initiation[:8]


def mac1(receiver_public, before):
    return blake2b(before, 16, key=blake2b(b"mwtun mac1" + receiver_public, 32))


def mac2(cookie, before):
    return blake2b(before, 16, key=cookie)


def cookie_key(responder_public):
    return blake2b(b"mwtun cookie" + responder_public, 32)


def seal_cookie(responder_public, initiation, cookie):
    """The cookie datagram that answers `initiation`."""
    nonce = os.urandom(24)
    sealed = crypto_aead_xchacha20poly1305_ietf_encrypt(cookie, initiation[168:184], nonce,
                                                        cookie_key(responder_public))
    return struct.pack("<BBH", COOKIE, WIRE_VERSION, 0) + initiation[4:8] + nonce + sealed


def open_cookie(responder_public, initiation, datagram):
    """The 16-byte cookie in `datagram`, which must answer `initiation`."""
    require(datagram[4:8] == initiation[4:8], "cookie for another index")
    try:
        return crypto_aead_xchacha20poly1305_ietf_decrypt(datagram[32:], initiation[168:184], datagram[8:32],
                                                          cookie_key(responder_public))
    except CryptoError as error:
        raise Refused("cookie does not open") from error


P1 = struct.Struct("<QQQHBBHBBI28s")
P2 = struct.Struct("<QHBBHBBQ16sHIH")


@dataclass
class InitiationPayload:
    freshness: int
    instance: int
    features: int = 0
    ciphers: int = CHACHA20_POLY1305
    max_links: int = 16
    rekey: bool = False
    mtu: int = 1500
    epoch: int = 0
    session: int = 0  # rekey: the responder's index

    def encode(self):
        return P1.pack(self.freshness, self.instance, self.features, self.ciphers, self.max_links, int(self.rekey),
                       self.mtu, self.epoch, 0, self.session, bytes(28))

    @staticmethod
    def decode(data):
        freshness, instance, features, ciphers, max_links, flags, mtu, epoch, reserved, session, _ = P1.unpack(data)
        require(ciphers & CHACHA20_POLY1305, "ChaCha20-Poly1305 is not offered")
        require(1 <= max_links <= 16, "number of links")
        require(flags <= 1 and reserved == 0 and epoch <= 3, "reserved bits of the first payload")
        require(flags or (epoch == 0 and session == 0), "a new session with an epoch or an index")
        return InitiationPayload(freshness, instance, features, ciphers, max_links, bool(flags), mtu, epoch, session)


@dataclass
class ResponsePayload:
    features: int
    cipher: int
    max_links: int
    mtu: int
    epoch: int
    instance: int
    source: tuple  # (ip, port) the initiation came from, as the responder saw it
    index: int

    def encode(self):
        return P2.pack(self.features, self.cipher, self.max_links, 0, self.mtu, self.epoch, 0, self.instance,
                       mapped(self.source[0]), self.source[1], self.index, 0)

    @staticmethod
    def decode(data):
        (features, cipher, max_links, reserved1, mtu, epoch, reserved2, instance, address, port, index,
         _) = P2.unpack(data)
        require(reserved1 == 0 and reserved2 == 0 and epoch <= 3, "reserved bytes of the second payload")
        require(1 <= max_links <= 16, "number of links")
        ip = ipaddress.IPv6Address(address)
        return ResponsePayload(features, cipher, max_links, mtu, epoch, instance, (str(ip.ipv4_mapped or ip), port),
                               index)


def mapped(ip):
    """16 bytes: IPv6, or IPv4 as ::ffff:a.b.c.d."""
    address = ipaddress.ip_address(ip.split("%")[0])
    return address.packed if address.version == 6 else bytes(10) + b"\xff\xff" + address.packed


# ---------------------------------------------------------------- chunks (§4.1, §4.2)

def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def left(self):
        return len(self.data) - self.at

    def take(self, count):
        require(count <= self.left(), "chunk cut short")
        self.at += count
        return self.data[self.at - count:self.at]

    def number(self, count):
        return int.from_bytes(self.take(count), "little")

    def varint(self):
        value = 0
        for shift in range(0, 35, 7):
            byte = self.number(1)
            value |= (byte & 127) << shift
            if byte < 128:
                require(value < 1 << 32, "varint above 32 bits")
                return value
        raise Refused("varint above 32 bits")


@dataclass
class FrameChunk:
    lane: int
    sequence: int
    data: bytes
    first: bool = True
    last: bool = True
    rest: bool = False

    def encode(self):
        head = 0x80 | self.first << 6 | self.last << 5 | self.rest << 4 | self.lane >> 8
        out = bytes([head, self.lane & 255]) + (self.sequence & 0xffffff).to_bytes(3, "little")
        return out + (b"" if self.rest else struct.pack("<H", len(self.data))) + self.data

    @staticmethod
    def decode(reader):
        head = reader.number(1)
        lane = (head & 15) << 8 | reader.number(1)
        sequence = reader.number(3)
        rest = bool(head & 0x10)
        length = reader.left() if rest else reader.number(2)
        require(length > 0, "frame chunk of length 0")
        return FrameChunk(lane, sequence, reader.take(length), bool(head & 0x40), bool(head & 0x20), rest)


class Control:
    """A control chunk: type, length, body. Subclasses know their bodies."""
    TYPE = 0
    ack_eliciting = True

    def body(self):
        return b""

    def encode(self):
        body = self.body()
        assert len(body) < 256
        return bytes([self.TYPE, len(body)]) + body


@dataclass
class Ack(Control):
    """§4.3. `ranges` are (gap, run) as on the wire: missing numbers less one, received numbers less one."""
    link: int
    epoch: int
    largest: int
    delay: int  # since the largest arrived, 16 µs units
    count: int
    first_run: int
    ranges: list = field(default_factory=list)
    arrivals: list = field(default_factory=list)  # (distance below the largest, stamp)
    TYPE = 0x01
    ack_eliciting = False

    def body(self):
        out = struct.pack("<BIHI", self.link | self.epoch << 4, self.largest & 0xffffffff, self.delay,
                          self.count & 0xffffffff)
        out += varint(self.first_run) + bytes([len(self.ranges)])
        out += b"".join(varint(gap) + varint(run) for gap, run in self.ranges)
        out += bytes([len(self.arrivals)])
        return out + b"".join(varint(distance) + stamp.to_bytes(3, "little") for distance, stamp in self.arrivals)

    @staticmethod
    def read(reader):
        head = reader.number(1)
        require(head < 0x40, "reserved bits of an ACK")
        ack = Ack(head & 15, head >> 4, reader.number(4), reader.number(2), reader.number(4), reader.varint())
        count = reader.number(1)
        require(count <= 32, "more than 32 ranges")
        ack.ranges = [(reader.varint(), reader.varint()) for _ in range(count)]
        count = reader.number(1)
        require(count <= 16, "more than 16 arrival times")
        ack.arrivals = [(reader.varint(), reader.number(3)) for _ in range(count)]
        return ack

    def acknowledged(self):
        """Inclusive (low, high) ranges of packet numbers, downwards."""
        low = self.largest - self.first_run
        result = [(low, self.largest)]
        for gap, run in self.ranges:
            high = low - gap - 2
            low = high - run
            result.append((low, high))
        return result

    def numbers(self):
        return {number for low, high in self.acknowledged() for number in range(low, high + 1)}


@dataclass
class Heads(Control):
    entries: list  # (link, epoch, largest number sent)
    TYPE = 0x02
    ack_eliciting = False

    def body(self):
        return b"".join(struct.pack("<BI", link | epoch << 4, largest & 0xffffffff)
                        for link, epoch, largest in self.entries)

    @staticmethod
    def read(reader):
        entries = []
        while reader.left():
            head = reader.number(1)
            require(head < 0x40, "reserved bits of HEADS")
            entries.append((head & 15, head >> 4, reader.number(4)))
        return Heads(entries)


@dataclass
class LaneFloor(Control):
    entries: list  # (lane, sequence)
    TYPE = 0x03

    def body(self):
        return b"".join(struct.pack("<H", lane) + (sequence & 0xffffff).to_bytes(3, "little")
                        for lane, sequence in self.entries)

    @staticmethod
    def read(reader):
        require(reader.left() > 0, "empty LANE FLOOR")
        entries = []
        while reader.left():
            lane = reader.number(2)
            require(lane < 4096, "lane above 4095")
            entries.append((lane, reader.number(3)))
        return LaneFloor(entries)


@dataclass
class Ping(Control):
    TYPE = 0x04

    @staticmethod
    def read(_reader):
        return Ping()


@dataclass
class Join(Control):
    weight: int = 1
    priority: int = 0
    role: int = 0
    metered: bool = False
    down: int = 0  # most bits a second towards the initiator
    up: int = 0
    name: str = ""
    TYPE = 0x05

    def body(self):
        return struct.pack("<HBBBQQ", self.weight, self.priority, self.role, self.metered, self.down,
                           self.up) + self.name.encode()

    @staticmethod
    def read(reader):
        weight, priority, role, flags, down, up = struct.unpack("<HBBBQQ", reader.take(21))
        name = reader.take(reader.left())
        require(1 <= weight <= 1000 and role <= 2 and flags <= 1 and len(name) <= 32, "field of a JOIN")
        try:
            return Join(weight, priority, role, bool(flags), down, up, name.decode())
        except UnicodeDecodeError as error:
            raise Refused("name of a link is not UTF-8") from error


@dataclass
class PathChallenge(Control):
    data: bytes
    TYPE = 0x06

    def body(self):
        return self.data

    @classmethod
    def read(cls, reader):
        return cls(reader.take(8))


class PathResponse(PathChallenge):
    TYPE = 0x07


SCHEDULERS = ("adaptive", "round-robin", "hash", "active-backup", "redundant")


@dataclass
class Settings(Control):
    scheduler: int = 0
    hash_fields: int = 2
    TYPE = 0x08

    def body(self):
        return struct.pack("<BBH", self.scheduler, self.hash_fields, 0)

    @staticmethod
    def read(reader):
        settings = Settings(reader.number(1), reader.number(1))
        reader.take(2)
        require(settings.scheduler <= 4 and settings.hash_fields <= 2, "field of SETTINGS")
        return settings


@dataclass
class MtuProbe(Control):
    size: int  # of the whole datagram, header and tag included
    TYPE = 0x09

    def body(self):
        return struct.pack("<H", self.size)

    @staticmethod
    def read(reader):
        return MtuProbe(reader.number(2))


@dataclass
class Close(Control):
    reason: int  # 0 shutting down, 1 replaced, 2 refused
    TYPE = 0x0a

    def body(self):
        return bytes([self.reason])

    @staticmethod
    def read(reader):
        return Close(reader.number(1))


@dataclass
class Offload(Control):
    """§4.6; before the first chunk of its frame."""
    segment: int = 0  # 0: no super-frame, only the checksum is partial
    TYPE = 0x0c

    def body(self):
        return struct.pack("<H", self.segment) if self.segment else b""

    @staticmethod
    def read(reader):
        if not reader.left():
            return Offload()
        segment = reader.number(2)
        require(segment > 0, "segment of an OFFLOAD")
        return Offload(segment)


@dataclass
class Hole(Control):
    """§4.8; this implementation never offers the feature, so it gets and sends none but in tests."""
    lane: int
    sequence: int
    first: bool
    last: bool
    length: int
    segment: int = 0
    headers: bytes = b""
    TYPE = 0x0f

    def body(self):
        head = struct.pack("<HL", self.lane, self.sequence)[:5] + struct.pack(
            "<BH", self.first | self.last << 1, self.length)
        return head + (struct.pack("<H", self.segment) + self.headers if self.first else b"")

    @staticmethod
    def read(reader):
        hole = Hole(reader.number(2), reader.number(3), False, False, 0)
        flags, hole.length = reader.number(1), reader.number(2)
        hole.first, hole.last = bool(flags & 1), bool(flags & 2)
        require(hole.lane < 4096 and flags & 0xfc == 0 and hole.length > 0, "HOLE")
        if hole.first:
            hole.segment = reader.number(2)
            hole.headers = reader.take(reader.left())
            require(hole.segment > 0 and len(hole.headers) <= hole.length, "HOLE")
        return hole


@dataclass
class Unknown(Control):
    kind: int
    data: bytes = b""

    def encode(self):
        return bytes([self.kind, len(self.data)]) + self.data


CONTROLS = {kind.TYPE: kind for kind in (Ack, Heads, LaneFloor, Ping, Join, PathChallenge, PathResponse, Settings,
                                         MtuProbe, Close, Offload, Hole)}


def decode_chunks(plain):
    """(chunks, error): the chunks up to the first malformed one, and why the reading ended there, or None."""
    reader, chunks = Reader(plain), []
    try:
        while reader.left() and reader.data[reader.at] != 0:
            if reader.data[reader.at] & 0x80:
                chunks.append(FrameChunk.decode(reader))
                continue
            kind = reader.number(1)
            body = Reader(reader.take(reader.number(1)))
            if kind in CONTROLS:
                chunk = CONTROLS[kind].read(body)
                require(body.left() == 0, "bytes after the fields of a chunk")
                chunks.append(chunk)
            else:
                chunks.append(Unknown(kind, body.data))
    except Refused as error:
        return chunks, str(error)
    return chunks, None


def is_ack_eliciting(chunks):
    return any(not isinstance(chunk, (Ack, Heads)) for chunk in chunks)


# ---------------------------------------------------------------- lanes (§4.1)

LANES = 4096
FIRST_UNORDERED_LANE = 3072
LANE_WINDOW = 1 << 16  # this implementation's bound on how far a lane's sequences may run ahead


def nearest(low, bits, expected):
    """The number with these low bits that is nearest to `expected`, not below 0 (RFC 9000 A.3)."""
    size = 1 << bits
    candidate = expected & ~(size - 1) | low
    if candidate <= expected - size // 2:
        return candidate + size
    if candidate > expected + size // 2 and candidate >= size:
        return candidate - size
    return candidate


class LaneReceiver:
    """One incoming lane: chunks in, whole frames out, each once; in order in an ordered lane."""

    def __init__(self, lane):
        self.ordered = lane < FIRST_UNORDERED_LANE
        self.next = 0       # ordered: what leaves next; unordered: everything below is dealt with
        self.floor = 0      # nothing below this will come any more
        self.waiting = {}   # sequence -> chunk
        self.gone = set()   # unordered: sequences above `next` that have left

    def add(self, chunk):
        """The frames that leave because of `chunk`, as (frame, offload) pairs. Offload sits on the first chunk."""
        sequence = nearest(chunk.sequence, 24, self.next)
        known = sequence < max(self.next, self.floor) or sequence in self.waiting or sequence in self.gone
        if known or sequence >= self.next + LANE_WINDOW:
            return []
        self.waiting[sequence] = chunk
        return self._in_order() if self.ordered else self._complete(sequence)

    def raise_floor(self, sequence):
        """Nothing below `sequence` will come any more. What is here and whole still leaves."""
        self.floor = max(self.floor, nearest(sequence, 24, self.next))
        if self.ordered:
            return self._in_order()
        for below in [s for s in self.waiting if s < self.floor and not self._run(s)[2]]:
            del self.waiting[below]
        self.next = max(self.next, self.floor)
        self.gone = {s for s in self.gone if s >= self.next}
        return []

    def _run(self, sequence):
        """(first, end, may be completed) of the chunks of one frame around `sequence` that are here."""
        first = end = sequence
        while not self.waiting[first].first and first - 1 in self.waiting and not self.waiting[first - 1].last:
            first -= 1
        while not self.waiting[end].last and end + 1 in self.waiting and not self.waiting[end + 1].first:
            end += 1
        alive = ((self.waiting[first].first or first - 1 >= self.floor)
                 and (self.waiting[end].last or end + 1 >= self.floor))
        return first, end + 1, alive

    def _take(self, first, end):
        chunks = [self.waiting.pop(sequence) for sequence in range(first, end)]
        return b"".join(chunk.data for chunk in chunks), getattr(chunks[0], "offload", None)

    def _in_order(self):
        frames = []
        while True:
            if self.next not in self.waiting:
                if self.next >= self.floor:
                    return frames
                self.next += 1  # given up by the sender
                continue
            if not self.waiting[self.next].first:  # the rest of a frame whose beginning was given up
                del self.waiting[self.next]
                self.next += 1
                continue
            _, end, _ = self._run(self.next)
            if self.waiting[end - 1].last:
                frames.append(self._take(self.next, end))
            elif end >= self.floor and end not in self.waiting:
                return frames  # its next chunk can still come
            else:
                self._take(self.next, end)  # cannot become whole
            self.next = end

    def _complete(self, sequence):
        first, end, _ = self._run(sequence)
        if not (self.waiting[first].first and self.waiting[end - 1].last):
            return []
        self.gone.update(range(first, end))
        while self.next in self.gone:
            self.gone.discard(self.next)
            self.next += 1
        return [self._take(first, end)]


# ---------------------------------------------------------------- packet numbers and acknowledgements (§4, §4.3)

REPLAY_WINDOW = 8192


class ReceivedNumbers:
    """The packet numbers authenticated on one link in one epoch: replay window and source of ACKs."""

    def __init__(self):
        self.largest = -1
        self.largest_at = 0
        self.count = 0
        self.ranges = []               # inclusive [low, high], upwards, inside the window
        self.arrivals = deque(maxlen=16)  # (number, time)

    def reconstruct(self, low):
        return nearest(low, 32, self.largest + 1)

    def seen(self, number):
        if number <= self.largest - REPLAY_WINDOW:
            return True
        at = bisect.bisect_right(self.ranges, [number, 1 << 62]) - 1
        return at >= 0 and self.ranges[at][0] <= number <= self.ranges[at][1]

    def enter(self, number, now_ns):
        """Note an authentic new number; true when it is the largest so far."""
        self.count += 1
        self.arrivals.append((number, now_ns))
        at = bisect.bisect_right(self.ranges, [number, 1 << 62])
        self.ranges.insert(at, [number, number])
        if at + 1 < len(self.ranges) and self.ranges[at + 1][0] == number + 1:
            self.ranges[at][1] = self.ranges.pop(at + 1)[1]
        if at > 0 and self.ranges[at - 1][1] == number - 1:
            self.ranges[at - 1][1] = self.ranges.pop(at)[1]
        if number < self.largest:
            return False
        self.largest, self.largest_at = number, now_ns
        while self.ranges[0][1] <= self.largest - REPLAY_WINDOW:
            self.ranges.pop(0)
        return True

    def ack(self, link, epoch, now_ns):
        low, high = self.ranges[-1]
        delay = min((now_ns - self.largest_at) // 16000, 0xffff)
        ack = Ack(link, epoch, self.largest, delay, self.count, high - low)
        for below, above in zip(reversed(self.ranges[:-1]), reversed(self.ranges)):
            if len(ack.ranges) == 32:
                break
            ack.ranges.append((above[0] - below[1] - 2, below[1] - below[0]))
        arrivals = [(self.largest - number, stamp_of(at)) for number, at in reversed(self.arrivals)]
        # One byte counts the body, so the arrival times take what room the ranges leave.
        while len(ack.body()) < 240 and arrivals:
            ack.arrivals.append(arrivals.pop(0))
        return ack


# ---------------------------------------------------------------- the session (§3.5, §3.6, §4)

KEY_LIFE_NS = 180 * 10**9
ACK_DELAY_NS = 10 * 10**6
ACK_EVERY = 32
CANDIDATE_LIFE_NS = 5 * 10**9


class KeyPair:
    """The keys of one epoch and what is counted under them."""

    def __init__(self, epoch, cipher, send, receive, now_ns):
        self.epoch = epoch
        self.cipher = cipher
        self.send = DataKey(cipher, send)
        self.receive = DataKey(cipher, receive)
        self.established = now_ns
        self.next_number = {}  # link -> next packet number to send
        self.received = {}     # link -> ReceivedNumbers

    def dead(self, now_ns):
        return now_ns - self.established >= KEY_LIFE_NS


@dataclass
class Link:
    number: int
    address: tuple = None        # where datagrams go; None until proved (responder)
    candidate: tuple = None
    candidate_since: int = 0
    challenges: dict = field(default_factory=dict)  # address -> the 8 bytes asked back
    received_bytes: int = 0      # from the candidate, before it is proved
    sent_bytes: int = 0
    join: Join = None


@dataclass
class Opened:
    """An authentic datagram."""
    link: int
    epoch: int
    number: int
    stamp: int
    chunks: list
    error: str
    size: int
    largest: bool


@dataclass
class Outcome:
    """What a received datagram leads to. `sends` are (link, address, datagram)."""
    opened: Opened = None
    frames: list = field(default_factory=list)
    sends: list = field(default_factory=list)
    session: object = None


class Session:
    """One end of a session. The initiator's links have sockets of their own, so their address is just handed back."""

    def __init__(self, initiator, local_index, remote_index, max_links=16):
        self.initiator = initiator
        self.local_index = local_index
        self.remote_index = remote_index
        self.max_links = max_links
        self.key_pairs = {}       # epoch -> KeyPair
        self.pending = []         # responder: KeyPairs of half-open rekeys
        self.send_epoch = 0
        self.links = {}
        self.lanes = {}           # incoming
        self.next_sequence = {}   # outgoing lane -> sequence
        self.last_stamp_ns = 0
        self.owed = {}            # (epoch, link) -> (datagrams to acknowledge, since)
        self.acks = {}            # (epoch, link) -> the last Ack received
        self.settings = None
        self.closed = None        # reason, once the peer has sent CLOSE

    # -- sending

    def install(self, key_pair):
        """Initiator, or first key: take the pair into use for both directions."""
        self.key_pairs[key_pair.epoch] = key_pair
        self.send_epoch = key_pair.epoch

    def seal(self, link, chunks, epoch=None, size=None, now_ns=None):
        """A data datagram with the next packet number of (epoch, link). `size`: pad it to that many bytes.
        `chunks` may hold ready bytes too."""
        pair = self.key_pairs[self.send_epoch if epoch is None else epoch]
        number = pair.next_number.get(link, 0)
        pair.next_number[link] = number + 1
        self.last_stamp_ns = max(self.last_stamp_ns, now_ns or time.monotonic_ns())
        plain = stamp_of(self.last_stamp_ns).to_bytes(3, "little")
        plain += b"".join(chunk if isinstance(chunk, bytes) else chunk.encode() for chunk in chunks)
        if size is not None:
            plain = plain.ljust(size - 26, b"\0")
        header = struct.pack("<BBII", DATA | pair.epoch << 4, link, self.remote_index, number & 0xffffffff)
        return header + pair.send.seal(link, number, header, plain)

    def cut(self, lane, frame, most=1214):
        """`frame` as chunks of at most `most` data bytes each, with the next sequences of `lane`."""
        pieces = [frame[at:at + most] for at in range(0, len(frame), most)]
        start = self.next_sequence.get(lane, 0)
        self.next_sequence[lane] = start + len(pieces)
        return [FrameChunk(lane, start + i, piece, i == 0, i == len(pieces) - 1) for i, piece in enumerate(pieces)]

    def heads(self):
        """HEADS as of now."""
        pair = self.key_pairs[self.send_epoch]
        return Heads([(link, pair.epoch, number - 1) for link, number in sorted(pair.next_number.items())])

    def acks_due(self, now_ns=None, force=()):
        """ACK datagrams whose time has come, as (link, address, datagram). `force`: (epoch, link) pairs due at once."""
        now_ns = now_ns or time.monotonic_ns()
        sends = []
        for (epoch, link), (count, since) in list(self.owed.items()):
            due = (epoch, link) in force or count >= ACK_EVERY or now_ns - since >= ACK_DELAY_NS
            pair = self.key_pairs.get(epoch)
            proved = self.initiator or (link in self.links and self.links[link].address)
            if pair is None:
                del self.owed[epoch, link]
            elif due and proved:
                del self.owed[epoch, link]
                address = self.links[link].address if link in self.links else None
                ack = pair.received[link].ack(link, epoch, now_ns)
                sends.append((link, address, self.seal(link, [ack], now_ns=now_ns)))
        return sends

    # -- receiving

    def open(self, datagram, now_ns=None):
        """Opened; enters the number in the window and takes a pending key pair into use. Refused for all else."""
        now_ns = now_ns or time.monotonic_ns()
        require(datagram_type(datagram) == DATA, "not data")
        head, link, index, low = struct.unpack("<BBII", datagram[:10])
        epoch = head >> 4
        require(index == self.local_index, "unknown index")
        require(link < self.max_links, "link above the agreed number")
        # A repeated rekey leaves several half-open pairs of one epoch; the one that opens is the one in use.
        candidates = [self.key_pairs[epoch]] if epoch in self.key_pairs else []
        candidates += [pair for pair in self.pending if pair.epoch == epoch]
        require(candidates, "no key for this epoch")
        reason = None
        for pair in candidates:
            if pair.dead(now_ns):
                reason = reason or "key too old"
                continue
            numbers = pair.received.get(link) or ReceivedNumbers()
            number = numbers.reconstruct(low)
            if numbers.seen(number):
                reason = "replayed packet number"
                continue
            try:
                plain = pair.receive.open(link, number, datagram[:10], datagram[10:])
            except Refused as error:
                reason = reason or str(error)
                continue
            pair.received[link] = numbers
            largest = numbers.enter(number, now_ns)
            if pair in self.pending:
                self.pending = []
                self.install(pair)
            chunks, error = decode_chunks(plain[3:])
            return Opened(link, epoch, number, int.from_bytes(plain[:3], "little"), chunks, error, len(datagram),
                          largest)
        raise Refused(reason)

    def receive(self, datagram, address=None, now_ns=None):
        """Open a datagram and do what its chunks ask."""
        now_ns = now_ns or time.monotonic_ns()
        opened = self.open(datagram, now_ns)
        outcome = Outcome(opened, session=self)
        key = opened.epoch, opened.link
        if is_ack_eliciting(opened.chunks):
            count, since = self.owed.get(key, (0, now_ns))
            self.owed[key] = count + 1, since
        link = self.links.setdefault(opened.link, Link(opened.link, address if self.initiator else None))
        joined = [chunk for chunk in opened.chunks if isinstance(chunk, Join)]
        if not self.initiator:
            self._follow(link, joined, opened, address, now_ns, outcome)
        at_once, offload = [], None
        for chunk in opened.chunks:
            if isinstance(chunk, FrameChunk):
                if offload and chunk.first:
                    chunk.offload = offload
                lane = self.lanes.setdefault(chunk.lane, LaneReceiver(chunk.lane))
                outcome.frames += self._accept(lane.add(chunk))
            elif isinstance(chunk, LaneFloor):
                for number, sequence in chunk.entries:
                    lane = self.lanes.setdefault(number, LaneReceiver(number))
                    outcome.frames += self._accept(lane.raise_floor(sequence))
            elif isinstance(chunk, Ack):
                self.acks[chunk.epoch, chunk.link] = chunk
            elif isinstance(chunk, PathResponse):
                self._proved(link, chunk.data, address)
            elif isinstance(chunk, PathChallenge):
                at_once.append(key)
                self._reply(link, address, [PathResponse(chunk.data)], outcome)
            elif isinstance(chunk, Ping):
                at_once.append(key)
            elif isinstance(chunk, Settings):
                self.settings = chunk
            elif isinstance(chunk, Close):
                self.closed = chunk.reason
            offload = chunk if isinstance(chunk, Offload) else None
        outcome.sends += self.acks_due(now_ns, at_once)
        return outcome

    @staticmethod
    def _accept(frames):
        """Frames with offload data are for a TAP that takes it; this implementation gives on only the plain ones."""
        return [frame for frame, offload in frames if offload is None]

    # -- paths of the responder (§4.4)

    def _follow(self, link, joined, opened, address, now_ns, outcome):
        if joined:
            link.join = joined[0]
        if link.candidate and now_ns - link.candidate_since > CANDIDATE_LIFE_NS:
            link.candidate, link.challenges = None, {}
        if address == link.candidate:
            link.received_bytes += opened.size
        moved = link.address and opened.largest and address not in (link.address, link.candidate)
        if (moved and now_ns - link.candidate_since > 10**9) or (joined and address not in (link.address, link.candidate)):
            link.candidate, link.candidate_since = address, now_ns
            link.received_bytes, link.sent_bytes = opened.size, 0
            link.challenges = {address: os.urandom(8)}
            if link.address:
                link.challenges[link.address] = os.urandom(8)
                self._reply(link, link.address, [Ping()], outcome)
            self._reply(link, address, [PathChallenge(link.challenges[address])], outcome)
        elif joined and address == link.candidate:  # JOIN repeated: so is the CHALLENGE
            self._reply(link, address, [PathChallenge(link.challenges[address])], outcome)

    def _proved(self, link, data, address):
        # What the old address answers changes nothing: only the candidate's answer moves the link.
        if not self.initiator and address == link.candidate and link.challenges.get(address) == data:
            link.address, link.candidate, link.challenges = address, None, {}

    def _reply(self, link, address, chunks, outcome):
        datagram = self.seal(link.number, chunks)
        if not self.initiator and address != link.address:
            if address != link.candidate or link.sent_bytes + len(datagram) > 3 * link.received_bytes:
                return
            link.sent_bytes += len(datagram)
        outcome.sends.append((link.number, address, datagram))


# ---------------------------------------------------------------- the initiator's handshake (§3.1, §3.6)

INSTANCE = secrets.randbits(64)
_last_freshness = 0


def next_freshness():
    """Real-time nanoseconds that never repeat or go back within this process."""
    global _last_freshness
    _last_freshness = max(time.time_ns(), _last_freshness + 1)
    return _last_freshness


class Initiator:
    """One initiation: for a new session, or, with `session`, for a rekey of it."""

    def __init__(self, static, responder_public, psk=bytes(32), ciphers=CHACHA20_POLY1305, max_links=16, mtu=1500,
                 features=0, session=None):
        self.static, self.responder_public = static, responder_public
        self.session = session
        self.index = session.local_index if session else secrets.randbelow(2**32 - 1) + 1
        self.offer = InitiationPayload(next_freshness(), INSTANCE, features, ciphers, max_links, bool(session), mtu,
                                       (session.send_epoch + 1) % 4 if session else 0,
                                       session.remote_index if session else 0)
        header = struct.pack("<BBHI", INITIATION, WIRE_VERSION, 0, self.index)
        self.noise = Noise(True, prologue(header), static, responder_public, psk)
        body = header + self.noise.write_first(self.offer.encode())
        self.body = body + mac1(responder_public, body)  # all but mac2
        self.answer = None

    def initiation(self, cookie=None):
        return self.body + (mac2(cookie, self.body) if cookie else bytes(16))

    def read_cookie(self, datagram):
        require(datagram_type(datagram) == COOKIE, "not a cookie")
        return open_cookie(self.responder_public, self.body, datagram)

    def read_response(self, datagram, now_ns=None):
        """The Session (the one being rekeyed, with its new key in use, or a new one). self.answer is P2."""
        require(datagram_type(datagram) == RESPONSE, "not a response")
        require(self.answer is None, "a second response")
        require(datagram[124:] == bytes(16), "reserved bytes of a response")
        require(hmac.compare_digest(datagram[108:124], mac1(public_key(self.static), datagram[:108])), "mac1")
        index, receiver = struct.unpack("<II", datagram[4:12])
        require(index != 0 and receiver == self.index, "response for another initiation")
        backup = dict(self.noise.__dict__)  # a forged response must not spoil the handshake for the true one
        try:
            answer = ResponsePayload.decode(self.noise.read_second(datagram[12:108]))
        except Refused:
            self.noise.__dict__.update(backup)
            raise
        require(answer.index == index, "index in the payload")
        require(answer.epoch == self.offer.epoch, "another epoch")
        require(answer.features & ~self.offer.features == 0, "feature that was not offered")
        require(answer.cipher in (CHACHA20_POLY1305, AES_256_GCM) and answer.cipher & self.offer.ciphers,
                "cipher that was not offered")
        require(answer.max_links <= self.offer.max_links, "more links than offered")
        require(not self.session or index == self.session.remote_index, "rekey of another session")
        self.answer = answer
        session = self.session or Session(True, self.index, index, answer.max_links)
        send, receive = self.noise.split()
        session.install(KeyPair(answer.epoch, answer.cipher, send, receive, now_ns or time.monotonic_ns()))
        return session


# ---------------------------------------------------------------- the responder (§3.4)

HALF_OPEN_LIFE_NS = 10 * 10**9
COOKIE_SECRET_LIFE_NS = 120 * 10**9
COOKIE_SECRET_GRACE_NS = 5 * 10**9


class TokenBucket:
    def __init__(self, rate, burst, now_ns):
        self.rate, self.burst, self.tokens, self.at = rate, burst, burst, now_ns

    def take(self, now_ns):
        self.tokens = min(self.burst, self.tokens + (now_ns - self.at) * self.rate / 1e9)
        self.at = now_ns
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@dataclass
class HalfOpen:
    initiation: bytes  # without mac2, which differs by source
    response: bytes
    created: int
    repeats: int
    session: Session
    pair: KeyPair


class Peer:
    """A configured peer that connects to us."""

    def __init__(self, public, psk=bytes(32), ciphers=CHACHA20_POLY1305 | AES_256_GCM, mtu=1500, name=""):
        self.public, self.psk, self.ciphers, self.mtu, self.name = public, psk, ciphers, mtu, name
        self.greatest = None          # freshness accepted
        self.ephemerals = deque(maxlen=64)
        self.half_open = []
        self.session = None
        self.cookie_by_source = {}    # ip -> time of the last cookie
        self.cookie_bucket = TokenBucket(20, 20, time.monotonic_ns())


class Responder:
    """All of a responder but its sockets. `always_cookie`: behave as under load."""

    def __init__(self, static, peers, max_links=16):
        self.static, self.public = static, public_key(static)
        self.peers = {peer.public: peer for peer in peers}
        self.max_links = max_links
        self.always_cookie = False
        self.buckets = OrderedDict()
        self.secrets = [(os.urandom(32), time.monotonic_ns())]

    # -- cookies

    def _cookie(self, secret, address):
        ip = ipaddress.ip_address(address[0].split("%")[0])
        return blake2b(bytes([ip.version]) + ip.packed.ljust(16, b"\0") + struct.pack("<H", address[1]), 16, key=secret)

    def _secrets(self, now_ns):
        if now_ns - self.secrets[0][1] >= COOKIE_SECRET_LIFE_NS:
            self.secrets = [(os.urandom(32), now_ns), self.secrets[0]]
        usable = [self.secrets[0][0]]
        if len(self.secrets) > 1 and now_ns - self.secrets[0][1] < COOKIE_SECRET_GRACE_NS:
            usable.append(self.secrets[1][0])
        return usable

    def _mac2_valid(self, datagram, address, now_ns):
        return any(hmac.compare_digest(datagram[184:], mac2(self._cookie(secret, address), datagram[:184]))
                   for secret in self._secrets(now_ns))

    def _cookie_answer(self, datagram, address, now_ns):
        return seal_cookie(self.public, datagram, self._cookie(self._secrets(now_ns)[0], address))

    # -- datagrams

    def receive(self, datagram, address, now_ns=None):
        """An Outcome. Refused where nothing may be answered."""
        now_ns = now_ns or time.monotonic_ns()
        kind = datagram_type(datagram)
        if kind == INITIATION:
            return Outcome(sends=[(None, address, self._initiation(datagram, address, now_ns))])
        require(kind == DATA, "only an initiator takes that")
        index = struct.unpack("<I", datagram[2:6])[0]
        for peer in self.peers.values():
            peer.half_open = [half for half in peer.half_open if now_ns - half.created < HALF_OPEN_LIFE_NS]
            if peer.session:
                peer.session.pending = [half.pair for half in peer.half_open if half.session is peer.session]
                if peer.session.local_index == index:
                    before = peer.session.send_epoch
                    outcome = peer.session.receive(datagram, address, now_ns)
                    if peer.session.send_epoch != before:
                        peer.half_open = [half for half in peer.half_open if half.session is not peer.session]
                    if peer.session.closed is not None:
                        peer.session = None
                    return outcome
            for half in peer.half_open:
                if half.session.local_index == index:
                    outcome = half.session.receive(datagram, address, now_ns)
                    peer.session = half.session  # taken into use; what it replaces is gone
                    peer.half_open = []
                    return outcome
        raise Refused("unknown index")

    def _initiation(self, datagram, address, now_ns):
        require(hmac.compare_digest(datagram[168:184], mac1(self.public, datagram[:168])), "mac1")
        require(datagram[4:8] != bytes(4), "sender index 0")
        ip = ipaddress.ip_address(address[0].split("%")[0])
        source = ip.packed if ip.version == 4 else ip.packed[:8]
        bucket = self.buckets.setdefault(source, TokenBucket(20, 5, now_ns))
        while len(self.buckets) > 10000:
            self.buckets.popitem(last=False)
        require(bucket.take(now_ns), "too many initiations from this source")
        # The copy that comes by the second link must not be taken for a replay, so this stands before freshness.
        for peer in self.peers.values():
            for half in peer.half_open:
                if half.initiation == datagram[:168] and now_ns - half.created < HALF_OPEN_LIFE_NS:
                    require(half.repeats < 10, "response repeated too often")
                    half.repeats += 1
                    return half.response
        cookie_shown = self._mac2_valid(datagram, address, now_ns)
        if self.always_cookie and not cookie_shown:
            return self._cookie_answer(datagram, address, now_ns)
        noise = Noise(False, prologue(datagram), self.static)
        offer = InitiationPayload.decode(noise.read_first(datagram[8:168]))
        peer = self.peers.get(noise.remote_static)
        require(peer is not None, "unknown static key")
        newer = peer.greatest is not None and offer.freshness > peer.greatest
        if not newer and not (cookie_shown and noise.remote_ephemeral not in peer.ephemerals):
            since = now_ns - peer.cookie_by_source.get(address[0], -10**10)
            require(since >= 10**9 and peer.cookie_bucket.take(now_ns), "cookie sent a moment ago")
            peer.cookie_by_source[address[0]] = now_ns
            return self._cookie_answer(datagram, address, now_ns)
        peer.half_open = [half for half in peer.half_open if now_ns - half.created < HALF_OPEN_LIFE_NS]
        require(len(peer.half_open) < 4, "too many half-open handshakes")
        return self._answer(datagram, address, noise, offer, peer, now_ns)

    def _answer(self, datagram, address, noise, offer, peer, now_ns):
        initiator_index = struct.unpack("<I", datagram[4:8])[0]
        session = peer.session
        if offer.rekey:
            require(session and session.local_index == offer.session and session.remote_index == initiator_index,
                    "rekey of an unknown session")
            require(offer.epoch == (session.send_epoch + 1) % 4, "rekey to another epoch than the next")
        else:
            session = Session(False, secrets.randbelow(2**32 - 1) + 1, initiator_index,
                              min(offer.max_links, self.max_links))
        peer.greatest = max(peer.greatest or 0, offer.freshness)
        peer.ephemerals.append(noise.remote_ephemeral)
        both = offer.ciphers & peer.ciphers
        cipher = AES_256_GCM if both & AES_256_GCM else CHACHA20_POLY1305
        payload = ResponsePayload(0, cipher, session.max_links, peer.mtu, offer.epoch, INSTANCE, address[:2],
                                  session.local_index)
        noise.psk = peer.psk
        body = struct.pack("<BBHI", RESPONSE, WIRE_VERSION, 0, session.local_index) + datagram[4:8]
        body += noise.write_second(payload.encode())
        response = body + mac1(peer.public, body) + bytes(16)
        send, receive = noise.split()
        pair = KeyPair(offer.epoch, cipher, send, receive, now_ns)
        if not offer.rekey:
            session.pending = [pair]
        peer.half_open.append(HalfOpen(datagram[:168], response, now_ns, 0, session, pair))
        return response
