"""A NAT on the way forgets and gives a link another port: the link moves, and its traffic goes on."""

import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))

from lab.checks import main
from lab.traffic import Ping, ping
from lab.tunnel import PORT, VPS_INNER
from lab.world import World

# Rewrites the port both ways without any state, so that it can be changed in one step.
NAT = """
table ip lab
delete table ip lab
table ip lab {{
  chain out {{ type filter hook postrouting priority 0;
    ip saddr {address} udp dport {server} udp sport set {outside}; }}
  chain in {{ type filter hook prerouting priority -300;
    ip daddr {address} udp sport {server} udp dport set {inside}; }}
}}
"""


def rebind(lab, world, link, outside):
    address, _, inside = link["local"].rpartition(":")
    rules = lab.stage.folder / f"nat-{outside}.nft"
    rules.write_text(NAT.format(address=address, server=PORT, inside=inside, outside=outside))
    lab.stage.run(world.home, ["nft", "-f", rules])


def test(lab):
    world = World(lab.stage, lab.linkem)
    tunnel = world.tunnel(lab.program)
    # One link alone, so that nothing else can carry the traffic.
    tunnel.links = tunnel.links[:1]
    tunnel.set_workers(lab.workers)
    tunnel.start_server()
    tunnel.start_client()
    tunnel.wait_up()
    tunnel.wait_links_up()
    link = tunnel.client_links()[0]
    pings = Ping(lab.stage, tunnel.home, VPS_INNER, count=450)
    for outside in (20001, 20002, 20003):
        time.sleep(2.5)
        rebind(lab, world, link, outside)
        time.sleep(0.5)
        seen = tunnel.server_links()[0]["remote"]
        lab.check(f"the server follows the link to port {outside} within 0.5 s",
                  seen.endswith(f":{outside}"), seen)
    answer = pings.result()
    # Answers to the old port are lost until the new one is seen and has answered a challenge.
    lab.at_most(f"pings lost over three rebindings, of {answer['sent']}", answer["lost"], 30)
    lab.at_most("longest time without an answer", answer["gap_s"], 1, " s")
    lab.at_most("pings lost afterwards",
                ping(lab.stage, tunnel.home, VPS_INNER, count=25)["lost"], 0)
    links = tunnel.client_links()
    lab.check("the link was never down", links[0]["times_down"] == 0, f"{links[0]['times_down']} times")
    tunnel.check_alive()


main(test)
