"""The kernel refuses to send on one line, for many reasons: the other carries on, the line comes back."""

import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))

from lab.checks import main
from lab.stage import ip
from lab.traffic import Ping, ping
from lab.tunnel import VPS_INNER
from lab.world import World

NFT_DROP = "table inet lab { chain out { type filter hook output priority 0; ip saddr %s drop; }; }"


def test(lab):
    world = World(lab.stage, None)
    tunnel = world.tunnel(lab.program)
    # The lab's own rules and tables here, so that it can break them.
    for number, link in enumerate(tunnel.links, 1):
        del link["gateway"]
        ip(world.home, f"rule add from {world.near(number)} lookup {100 + number}")
        ip(world.home, f"route add default via {world.far(number)} dev {world.names[number - 1]} "
                       f"table {100 + number}")
    tunnel.start_server()
    tunnel.start_client()
    tunnel.wait_up()
    tunnel.wait_links_up()

    def nft(words):
        lab.stage.run(world.home, ["nft", words])

    def gone():
        ip(world.home, "link del wan1")

    def made_again():
        world.make_veth(1)
        world.set_addresses(1)
        ip(world.home, f"route replace default via {world.far(1)} dev wan1 table 101")

    def route(words):
        return lambda: ip(world.home, f"route replace {words} table 101")

    way = f"default via {world.far(1)} dev wan1"

    def interface_up():
        ip(world.home, "link set wan1 up")
        ip(world.home, f"route add default via {world.far(1)}", check=False)
        route(way)()

    faults = [
        ("a firewall drops what goes out (EPERM)", lambda: nft(NFT_DROP % world.near(1)),
         lambda: nft("delete table inet lab")),
        ("the route becomes unreachable (EHOSTUNREACH)", route("unreachable default"),
         lambda: (ip(world.home, "route del unreachable default table 101", check=False), route(way)())),
        ("the route becomes prohibited (EACCES)", route("prohibit default"),
         lambda: (ip(world.home, "route del prohibit default table 101", check=False), route(way)())),
        ("the interface is set down (ENETUNREACH)", lambda: ip(world.home, "link set wan1 down"),
         interface_up),
        ("the interface is deleted and made again", gone, made_again),
        ("the address is taken away and given again",
         lambda: ip(world.home, f"address del {world.near(1)}/28 dev wan1"),
         lambda: (ip(world.home, f"address add {world.near(1)}/28 dev wan1"), interface_up())),
    ]
    for name, break_it, mend_it in faults:
        pings = Ping(lab.stage, tunnel.home, VPS_INNER, count=150)
        time.sleep(0.5)
        break_it()
        time.sleep(1.5)
        mend_it()
        mended = time.monotonic()
        answer = pings.result()
        tunnel.check_alive()
        lab.at_most(f"{name}: pings lost, of {answer['sent']}", answer["lost"], 15)
        try:
            tunnel.wait_links_up(10)
            took = time.monotonic() - mended
        except Exception as error:  # Told as a figure, with the reason.
            print(error)
            took = None
        lab.at_most(f"{name}: both links carry again", took, 10, " s")

    answer = ping(lab.stage, tunnel.home, VPS_INNER, count=50)
    lab.at_most("pings lost after all that", answer["lost"], 0)
    links = tunnel.client_links()
    lab.check("the errors were counted", any(sum(link["counters"].values()) > 0 for link in links))


main(test)
