"""A mobile line that stands still for a moment delivers late, and the tunnel over it adds nothing to that."""

import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))

from lab.checks import main
from lab.traffic import Ping
from lab.tunnel import VPS_INNER
from lab.world import World

MOVES_MS, STANDSTILL_MS = 3000, 700


def trace(path):
    """12 Mbit/s for a while, then nothing at all, and again."""
    path.write_text("\n".join(map(str, range(1, MOVES_MS))) + f"\n{MOVES_MS + STANDSTILL_MS}\n")
    return path


def dropped(tunnel):
    """What both ends gave up for good, by reason."""
    found = {}
    for side in ("client", "server"):
        for reason, count in tunnel.status(side)["peers"][0]["drops"].items():
            found[reason] = found.get(reason, 0) + count
    return found


def test(lab):
    words = f"trace={trace(lab.stage.folder / 'standstill')}"
    world = World(lab.stage, lab.linkem, [f"delay=20ms queue=1000ms {words}"])
    tunnel = world.tunnel(lab.program)
    tunnel.start_server()
    tunnel.start_client()
    tunnel.wait_up()
    tunnel.wait_links_up()
    time.sleep(1)
    before = dropped(tunnel)
    # From its beginning, so that there is one standstill.
    world.lines.set("wan1", words)
    pings = Ping(lab.stage, tunnel.home, VPS_INNER, count=250)
    down = carrier_lost = 0
    until = time.monotonic() + 5
    while time.monotonic() < until:
        for side in ("client", "server"):
            peer = tunnel.status(side)["peers"][0]
            carrier_lost += not peer["carrier"]
            down += any(link["state"] == "down" for link in peer["links"])
    answer = pings.result()
    lab.check("the link is called down while nothing comes", down > 0, f"seen {down} times")
    lab.at_most("the interface was seen without carrier", carrier_lost, 0, " times")
    lab.at_most(f"pings lost, of {answer['sent']}", answer["lost"], 0)
    lab.at_most("longest time without an answer", answer["gap_s"], STANDSTILL_MS / 1000 + 0.3, " s")
    lab.at_most("pings answered twice", answer["duplicates"], 0)
    after = dropped(tunnel)
    given_up = {reason: count - before.get(reason, 0) for reason, count in after.items()
                if count > before.get(reason, 0)}
    lab.check("nothing is given up or comes too late", not given_up, str(given_up))
    tunnel.check_alive()


main(test)
