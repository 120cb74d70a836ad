"""The main routing table is never touched, and nothing is left when the program has ended."""

import os
import pathlib
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))

from lab.checks import main
from lab.stage import ip
from lab.tunnel import VPS_INNER
from lab.traffic import ping
from lab.world import World


def traces(netns):
    """All that a program could leave in a namespace, as text by kind."""
    kinds = {"interfaces": "-brief link", "addresses": "-brief address", "IPv4 rules": "-4 rule",
             "IPv6 rules": "-6 rule", "IPv4 routes": "-4 route show table all",
             "neighbours": "neighbour show nud permanent"}
    return {name: ip(netns, words).stdout for name, words in kinds.items()}


def main_table(netns):
    routes = ip(netns, "-4 route show table main").stdout.splitlines()
    return [route for route in routes if " dev mwt0 " not in route]


def test(lab):
    world = World(lab.stage, lab.linkem)
    tunnel = world.tunnel(lab.program)
    sides = {"client": world.home, "server": world.vps}
    before = {side: traces(netns) for side, netns in sides.items()}
    files_before = sorted(os.listdir(lab.stage.folder))
    routes = {side: main_table(netns) for side, netns in sides.items()}

    def compare(when):
        for side, netns in sides.items():
            now = traces(netns)
            for kind, text in now.items():
                extra = set(text.splitlines()) ^ set(before[side][kind].splitlines())
                lab.check(f"{when}: {side}'s {kind} are as before", not extra, "; ".join(sorted(extra)))
        left = [name for name in os.listdir(lab.stage.folder) if name.endswith(".sock")
                and name not in files_before and not name.startswith("linkem")]
        lab.check(f"{when}: no control socket is left", not left, " ".join(left))

    for number in (signal.SIGTERM, signal.SIGINT):
        name = signal.Signals(number).name
        tunnel.start_server()
        tunnel.start_client()
        tunnel.wait_up()
        tunnel.wait_links_up()
        lab.check("the tunnel has its interface", "mwt0" in traces(world.home)["interfaces"])
        for side, netns in sides.items():
            lab.check(f"the {side}'s main table is untouched while it runs", main_table(netns) == routes[side])
        for process in (tunnel.client, tunnel.server):
            process.send(number)
            code = process.wait(5)
            lab.check(f"{name}: {process.name} ends with 0 within 5 s", code == 0, code)
        compare(name)

    # Killed: rules and socket stay, and the next start takes them over instead of adding to them.
    tunnel.start_server()
    tunnel.start_client()
    tunnel.wait_up()
    tunnel.wait_links_up()
    running = traces(world.home)
    tunnel.client.kill()
    tunnel.start_client()
    tunnel.wait_up()
    tunnel.wait_links_up()
    again = traces(world.home)
    rules = [sorted(line.split("\t")[1] for line in state["IPv4 rules"].splitlines())
             for state in (running, again)]
    lab.check("killed and started anew: no rule is there twice", rules[0] == rules[1], "; ".join(rules[1]))
    lab.check("… and it works", ping(lab.stage, tunnel.home, VPS_INNER, count=10)["lost"] == 0)
    lab.check("both end with 0", tunnel.stop() == [0, 0])
    compare("after a kill, a start and SIGTERM")


main(test)
