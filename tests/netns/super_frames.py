"""What leaves the far TAP is what an ordinary network card would have sent: everything both kernels see of
real TCP and UDP is captured at both ends, cut into segments by the rules of the kernel's own software, and
compared byte by byte. That also where the near kernel gives frames one by one, and the far end joins them."""

import collections
import json
import pathlib
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))

from lab.checks import main
from lab.stage import ip
from lab.world import World

ENDS = pathlib.Path(__file__).with_name("super_frame_ends.py")
PYTHON = [sys.executable, ENDS]
MEGABYTES = 6

# `features`: of the near interface, for ethtool.
Case = collections.namedtuple("Case", "name kind address sysctl features", defaults=({}, ""))
ALONE = "tso off gso off"  # The kernel cuts before the TAP sees anything,
ALONE_SUMMED = ALONE + " tx off"  # and sums up.


def set_sysctls(lab, netns, values):
    for key, value in values.items():
        lab.stage.run(netns, ["sysctl", "-q", "-w", f"net.ipv4.{key}={value}"])


def set_features(lab, tunnel, words):
    if words:
        lab.stage.run(tunnel.home, ["ethtool", "-K", "mwt0", *words.split()])


def refused(lab, tunnel):
    """Frames that the near interface had no room for: captured, but never mwtun's to read."""
    shown = ip(tunnel.home, "-s -j link show mwt0").stdout
    return json.loads(shown)[0]["stats64"]["tx"]["dropped"]


def captured(lab, tunnel, work):
    """Runs `work` between two captures, and gives what they have."""
    files = {side: lab.stage.folder / f"{side}.json" for side in ("near", "far")}
    captures = [lab.stage.start(f"capture-{side}", [*PYTHON, "capture", "mwt0", direction, files[side]], netns)
                for side, direction, netns in (("near", "out", tunnel.home), ("far", "in", tunnel.vps))]
    for process in captures:
        process.wait_for_output("ready", 5)
    before = refused(lab, tunnel)
    work()
    for process in captures:
        process.send(signal.SIGINT)
        process.wait(20)
    near, far = (json.loads(files[side].read_text()) for side in ("near", "far"))
    near["refused"] = refused(lab, tunnel) - before
    return near, far


def without(first, second, refused):
    """Of `first`, what is left when `refused` of its frames that `second` has not are taken out."""
    left, at = [], 0
    for segment in first:
        if refused and (at == len(second) or segment != second[at]):
            refused -= 1
            continue
        left.append(segment)
        at += 1
    return left


def compare(lab, name, near, far, alone=False):
    claim = "only the far end sees super-frames" if alone else "both ends see super-frames"
    lab.check(f"{name}: {claim}", (near["super_frames"] == 0) == alone and far["super_frames"] > 0,
              f"{near['super_frames']} and {far['super_frames']} of {near['frames']} and {far['frames']}")
    lost = near["dropped"] + far["dropped"]
    if lost:
        lab.check(f"{name}: the captures are whole", False, f"{lost} frames not captured")
    first, second = near["segments"], far["segments"]
    if near["refused"]:
        print(f"{name}: the near interface had no room for {near['refused']} frames", flush=True)
        first = without(first, second, near["refused"])
    where = next((i for i, pair in enumerate(zip(first, second)) if pair[0] != pair[1]),
                 min(len(first), len(second)))
    differ = "" if first == second else f", they differ at {where}: {first[where:where + 1]} " \
                                        f"{second[where:where + 1]}"
    lab.check(f"{name}: the same segments in the same order", first and first == second,
              f"{len(first)} and {len(second)}{differ}")


def run_case(lab, tunnel, case):
    for netns in (tunnel.home, tunnel.vps):
        set_sysctls(lab, netns, case.sysctl)
    set_features(lab, tunnel, case.features)
    told = {}

    def work():
        receiver = lab.stage.start("receiver", [*PYTHON, "receive", case.kind, case.address], tunnel.vps)
        receiver.wait_for_output("ready", 5)
        sender = lab.stage.start("sender", [*PYTHON, "send", case.kind, case.address, MEGABYTES], tunnel.home)
        told["sent"] = sender.wait(30) == 0 and sender.output().strip()
        told["got"] = receiver.wait(30) == 0 and receiver.output().split()[-1]

    near, far = captured(lab, tunnel, work)
    lab.check(f"{case.name}: everything arrives as it was sent", told["sent"] and told["sent"] == told["got"],
              f"{told['sent']} {told['got']}")
    compare(lab, case.name, near, far, bool(case.features))
    set_features(lab, tunnel, case.features.replace("off", "on"))


def test(lab):
    world = World(lab.stage, None, settings=("", ""))
    tunnel = world.tunnel(lab.program)
    tunnel.start_server()
    tunnel.start_client()
    tunnel.wait_up()
    tunnel.wait_links_up()
    for netns, host in ((tunnel.home, 2), (tunnel.vps, 1)):
        ip(netns, f"address add fd00:90::{host}/64 dev mwt0 nodad")
    tcp = {"tcp_ecn": 0, "tcp_timestamps": 1, "tcp_sack": 1}
    for case in (
            Case("TCP over IPv4", "tcp", tunnel.vps_inner, tcp),
            Case("TCP over IPv6", "tcp", "fd00:90::1", tcp),
            Case("TCP with ECN", "tcp", tunnel.vps_inner, {**tcp, "tcp_ecn": 1}),
            Case("TCP without timestamps and SACK", "tcp", tunnel.vps_inner,
                 {**tcp, "tcp_timestamps": 0, "tcp_sack": 0}),
            Case("TCP over IPv4 one by one", "tcp", tunnel.vps_inner, tcp, ALONE),
            Case("TCP over IPv4 one by one, summed up", "tcp", tunnel.vps_inner, tcp, ALONE_SUMMED),
            Case("TCP with ECN one by one", "tcp", tunnel.vps_inner, {**tcp, "tcp_ecn": 1}, ALONE_SUMMED),
            Case("TCP over IPv6 one by one", "tcp", "fd00:90::1", tcp, ALONE),
            Case("TCP over IPv6 one by one, summed up", "tcp", "fd00:90::1", tcp, ALONE_SUMMED),
            Case("UDP over IPv4", "udp", tunnel.vps_inner),
            Case("UDP over IPv6", "udp", "fd00:90::1")):
        run_case(lab, tunnel, case)
    # Not every kernel has VLAN interfaces, so these are made by hand.
    mac = lab.stage.run(tunnel.vps, ["cat", "/sys/class/net/mwt0/address"]).stdout.strip()
    for version in ("4", "6"):
        for how, alone, count in (("whole", False, 100), ("one-by-one", True, 1000)):
            near, far = captured(lab, tunnel, lambda: lab.stage.run(
                tunnel.home, [*PYTHON, "inject", "mwt0", version, mac, count, how]))
            compare(lab, f"TCP over IPv{version} in a VLAN, {how}", near, far, alone)
    totals = tunnel.status("server")["peers"][0]["totals"]
    lab.check("the server tells what it joined", 0 < totals["super_frames_made"] * 2 <= totals["frames_joined"],
              totals)
    for side in ("client", "server"):
        peer = tunnel.status(side)["peers"][0]
        lab.check(f"the {side} has dropped no frame as unsound", peer["drops"].get("bad-frame-received", 0) == 0
                  and peer["drops"].get("frame-offload-bad", 0) == 0, peer["drops"])
    tunnel.check_alive()


main(test)
