"""A line that dies without a word costs little, and is used again when it is back."""

import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))

from lab.checks import main
from lab.traffic import Ping, ping, wait_for_answer
from lab.tunnel import VPS_INNER
from lab.world import World


def wait_for_link(tunnel, name, state, seconds):
    """Until the client (of a death: either end) says so of a link; the seconds it took, or None."""
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        # Each end judges its own direction: a line cut one way is down for the end that sends that way.
        links = tunnel.client_links() + (tunnel.server_links() if state == "down" else [])
        if any(link["name"] == name and link["state"] == state for link in links):
            return time.monotonic() - started
        time.sleep(0.02)
    return None


def die_and_return(lab, world, tunnel, scheduler, direction, lost_max):
    """Pings at 50/s while the first line is cut for two seconds."""
    pings = Ping(lab.stage, tunnel.home, VPS_INNER, count=250)
    time.sleep(1)
    world.lines.control("down", "wan1", direction)
    what = {"both": "both ways", "up": "upwards only", "down": "downwards only"}[direction]
    lab.at_most(f"{scheduler}: a line cut {what} is seen to be down", wait_for_link(tunnel, "wan1", "down", 5),
                2, " s")
    time.sleep(1)
    world.lines.mend("wan1")
    lab.at_most(f"{scheduler}: it is up again after its return", wait_for_link(tunnel, "wan1", "up", 10),
                5, " s")
    answer = pings.result()
    lab.at_most(f"{scheduler}: pings lost meanwhile, of {answer['sent']}", answer["lost"], lost_max)
    lab.at_most(f"{scheduler}: longest time without an answer", answer["gap_s"], 1, " s")
    lab.at_most(f"{scheduler}: pings answered twice", answer["duplicates"], 0)


def test(lab):
    world = World(lab.stage, lab.linkem)
    tunnel = world.tunnel(lab.program)
    tunnel.start_server()
    tunnel.start_client("adaptive")
    tunnel.wait_up()
    tunnel.wait_links_up()
    for direction in ("both", "up", "down"):
        die_and_return(lab, world, tunnel, "adaptive", direction, 25)
        time.sleep(1)
    for scheduler, lost_max in (("active-backup", 25), ("redundant", 0)):
        tunnel.restart_client(scheduler)
        tunnel.wait_links_up()
        die_and_return(lab, world, tunnel, scheduler, "both", lost_max)

    # Nothing works for a while: it must come back by itself, with the same two processes.
    for name in world.names:
        world.lines.cut(name)
    time.sleep(4)
    for name in world.names:
        world.lines.mend(name)
    lab.at_most("both lines were dead for 4 s: the tunnel is back after their return",
                wait_for_answer(lab.stage, tunnel.home, VPS_INNER, 15, tunnel.client), 5, " s")
    tunnel.wait_links_up(10)

    # Carrier goes, as when a cable is pulled: the kernel tells, so nothing need be lost.
    pings = Ping(lab.stage, tunnel.home, VPS_INNER, count=150)
    time.sleep(1)
    world.lines.carrier("wan1", False)
    time.sleep(1)
    world.lines.carrier("wan1", True)
    lab.at_most("redundant: pings lost when a line loses its carrier", pings.result()["lost"], 2)
    answer = ping(lab.stage, tunnel.home, VPS_INNER, count=25)
    lab.at_most("pings lost after all that", answer["lost"], 0)
    tunnel.check_alive()


main(test)
