"""A tunnel with nothing to do takes next to no processor time."""

import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))

from lab.checks import main
from lab.stage import ip
from lab.tunnel import cpu_seconds
from lab.world import World

SECONDS = 3
SHARE_MAX = 0.04


def test(lab):
    world = World(lab.stage, lab.linkem)
    tunnel = world.tunnel(lab.program)
    tunnel.start_server()

    def measure(state, settle):
        time.sleep(settle)
        processes = [process for process in (tunnel.client, tunnel.server) if process.alive()]
        before = [cpu_seconds(process.pid) for process in processes]
        time.sleep(SECONDS)
        for process, then in zip(processes, before):
            share = (cpu_seconds(process.pid) - then) / SECONDS
            lab.at_most(f"{state}: {process.name}'s share of a processor", share, SHARE_MAX)

    tunnel.start_client()
    tunnel.wait_up()
    tunnel.wait_links_up()
    measure("idle", 1)
    world.lines.cut("wan1")
    measure("one line dead", 2)
    world.lines.mend("wan1")
    ip(world.home, "link set mwt0 down")
    measure("the client's TAP set down", 1)
    ip(world.home, "link set mwt0 up")
    tunnel.wait_up()
    for name in world.names:
        world.lines.cut(name)
    measure("both lines dead", 2)
    for name in world.names:
        world.lines.mend(name)
    ip(world.home, "link set wan1 down")
    ip(world.home, "link set wan2 down")
    measure("both interfaces down", 1)
    tunnel.server.kill()
    for number, name in enumerate(world.names, 1):
        ip(world.home, f"link set {name} up")
    ip(world.home, f"route add default via {world.far(1)}", check=False)
    measure("the server gone", 1)


main(test)
