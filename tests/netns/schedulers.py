"""Every scheduler carries TCP both ways and loses no ping."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))

from lab.checks import main
from lab.traffic import Iperf, Ping
from lab.tunnel import SCHEDULERS, VPS_INNER
from lab.world import World


def test(lab):
    world = World(lab.stage, lab.linkem, ["rate=50M delay=10ms queue=200ms"] * 2)
    tunnel = world.tunnel(lab.program)
    tunnel.start_server()
    tunnel.start_client()
    tunnel.wait_up()
    for scheduler in SCHEDULERS:
        tunnel.restart_client(scheduler)
        tunnel.wait_links_up()
        lab.check(f"{scheduler}: the status names it",
                  tunnel.status()["peers"][0]["scheduler"] == scheduler)
        for down in (False, True):
            run = Iperf(lab.stage, tunnel.vps, tunnel.home, VPS_INNER, seconds=2, down=down)
            pings = Ping(lab.stage, tunnel.home, VPS_INNER, count=80)
            bps = run.result()["bps"]
            answer = pings.result()
            way = "down" if down else "up"
            lab.check(f"{scheduler}: TCP {way} gets at least 40 % of a line", bps > 20e6,
                      f"{bps / 1e6:.1f} Mbit/s")
            # The queue's management may drop one of a flow's frames in a while, as it must.
            lab.at_most(f"{scheduler}: pings lost beside TCP {way}", answer["lost"], 1)
            lab.at_most(f"{scheduler}: pings answered twice", answer["duplicates"], 0)
        tunnel.check_alive()


main(test)
