"""An endpoint may be a name, looked up with what resolv.conf says, also when that answers late."""

import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))

from lab import dns_program
from lab.checks import main
from lab.tunnel import PORT
from lab.world import SERVER, World

NAME = "vps.example.net"


def test(lab):
    world = World(lab.stage, lab.linkem)
    lab.stage.resolver(world.home, "127.0.0.1")
    tunnel = world.tunnel(lab.program)
    tunnel.client_peer["endpoint"] = f"{NAME}:{PORT}"
    tunnel.start_server()

    def start_dns():
        dns = lab.stage.start("dns", ["/usr/bin/python3", dns_program, "127.0.0.1", NAME, SERVER], world.home)
        dns.wait_for_output("ready", 5)
        return dns

    dns = start_dns()
    tunnel.start_client()
    lab.at_most("an endpoint's name is resolved and the tunnel is up", tunnel.wait_up(), 3, " s")
    tunnel.wait_links_up()
    tunnel.client.stop()
    dns.kill()

    tunnel.start_client()
    time.sleep(3)
    lab.check("without a name server the client keeps trying", tunnel.client.alive())
    dns = start_dns()
    lab.at_most("the name server is there again: the tunnel is up after", tunnel.wait_up(30), 12, " s")

    tunnel.client.stop()
    tunnel.client_peer["endpoint"] = f"nowhere.example.net:{PORT}"
    tunnel.start_client()
    time.sleep(2)
    lab.check("a name that does not exist is named in the log",
              "nowhere.example.net" in tunnel.client.output(), tunnel.client.tail(5))
    lab.check("… and the client keeps trying", tunnel.client.alive())


main(test)
