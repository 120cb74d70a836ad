"""The lines may be IPv6, or one of each family: the tunnel carries whole frames over both."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))

from lab.checks import main
from lab.stage import ip
from lab.traffic import iperf, ping
from lab.tunnel import PORT, VPS_INNER
from lab.world import SERVER, World

SERVER6 = "2001:db8:ffff::1"


def test(lab):
    world = World(lab.stage, lab.linkem)
    ip(world.vps, f"-6 address add {SERVER6}/128 dev lo nodad")
    for number, name in enumerate(world.names, 1):
        ip(world.home, f"-6 address add 2001:db8:{number}::2/64 dev {name} nodad")
        ip(world.vps, f"-6 address add 2001:db8:{number}::1/64 dev {name} nodad")
    ip(world.home, "-6 route add default via 2001:db8:1::1")
    tunnel = world.tunnel(lab.program)
    tunnel.server_top["listen"] = [f"0.0.0.0:{PORT}", f"[::]:{PORT}"]
    sixes = [{"name": name, "device": name, "bind": f"2001:db8:{number}::2",
              "gateway": f"2001:db8:{number}::1", "endpoint": f"[{SERVER6}]:{PORT}"}
             for number, name in enumerate(world.names, 1)]
    fours = [dict(link, endpoint=f"{SERVER}:{PORT}") for link in tunnel.links]
    tunnel.start_server()
    for words, links in (("both lines IPv6", sixes), ("one line of each family", [sixes[0], fours[1]])):
        if tunnel.client:
            tunnel.client.stop()
        tunnel.links = links
        tunnel.client_peer["endpoint"] = links[0]["endpoint"]
        tunnel.start_client("round-robin")
        lab.at_most(f"{words}: the tunnel is up", tunnel.wait_up(), 3, " s")
        tunnel.wait_links_up()
        answer = ping(lab.stage, tunnel.home, VPS_INNER, count=40, size=1472, whole=True)
        lab.check(f"{words}: frames of 1500 bytes pass", answer["lost"] == 0, f"{answer['lost']} lost")
        bps = iperf(lab.stage, tunnel.vps, tunnel.home, VPS_INNER, seconds=2, down=True)["bps"]
        lab.check(f"{words}: TCP uses both", bps > 120e6, f"{bps / 1e6:.1f} Mbit/s")
    lab.check("no IPv6 rule is left", (tunnel.stop() == [0, 0]) and
              len(ip(world.home, "-6 rule").stdout.splitlines()) == 2, ip(world.home, "-6 rule").stdout)


main(test)
