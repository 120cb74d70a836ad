"""Frames of 1500 bytes pass whole, whatever the lines' MTU."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))

from lab.checks import main
from lab.stage import ip
from lab.traffic import iperf, ping
from lab.tunnel import VPS_INNER
from lab.world import World


def test(lab):
    # The lines drop what is larger without a word, as a path with a broken PMTUD does; the interfaces
    # themselves say 1500.
    line = "rate=100M delay=5ms queue=200ms"
    world = World(lab.stage, lab.linkem, [f"{line} mtu=1280", f"{line} mtu=1400"])
    tunnel = world.tunnel(lab.program)
    tunnel.start_server()
    for mtus in ((1280, 1400), (1400, 1500), (1280, 1280), (1500, 1500)):
        for name, mtu in zip(world.names, mtus):
            world.lines.set(name, f"mtu={mtu}")
        tunnel.restart_client("round-robin") if tunnel.client else tunnel.start_client("round-robin")
        tunnel.wait_up()
        tunnel.wait_links_up()
        lines = " and ".join(str(mtu) for mtu in mtus)
        for size in (1472, 1300, 1200):
            answer = ping(lab.stage, tunnel.home, VPS_INNER, count=40, size=size, whole=True)
            lab.check(f"pings of {size + 28} bytes, DF set, over lines of MTU {lines}", answer["lost"] == 0,
                      f"{answer['lost']} of {answer['sent']} lost")
        bps = iperf(lab.stage, tunnel.vps, tunnel.home, VPS_INNER, seconds=2)["bps"]
        lab.check(f"TCP over lines of MTU {lines}", bps > 20e6, f"{bps / 1e6:.1f} Mbit/s")
        tunnel.check_alive()

    # An interface that itself says less.
    for name in world.names:
        world.lines.set(name, "mtu=0")
        for netns in (world.home, world.vps):
            ip(netns, f"link set {name} mtu 1300")
    tunnel.restart_client("round-robin")
    tunnel.wait_links_up()
    answer = ping(lab.stage, tunnel.home, VPS_INNER, count=40, size=1472, whole=True)
    lab.check("pings of 1500 bytes over interfaces of MTU 1300", answer["lost"] == 0,
              f"{answer['lost']} of {answer['sent']} lost")
    ip(world.home, f"link set {world.names[0]} mtu 1280")
    answer = ping(lab.stage, tunnel.home, VPS_INNER, count=100, size=1472, whole=True)
    lab.at_most("pings of 1500 bytes lost when an interface's MTU falls to 1280 while running",
                answer["lost"], 5)


main(test)
