"""A tunnel with nothing to do takes next to no processor time, and with small sizes little memory."""

import os
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
RESIDENT_MIB_MAX = 16


def resident_mib(process):
    """None: sanitizers have memory of their own."""
    if "libasan" in pathlib.Path(f"/proc/{process.pid}/maps").read_text():
        return None
    pages = int(pathlib.Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def test(lab):
    world = World(lab.stage, lab.linkem)
    tunnel = world.tunnel(lab.program)
    tunnel.client_top["profile"] = tunnel.server_top["profile"] = "router"
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
    for process in (tunnel.client, tunnel.server):
        mib = resident_mib(process)
        if mib is not None:
            lab.at_most(f"idle: {process.name}'s memory", mib, RESIDENT_MIB_MAX, " MiB")
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
