"""Several clients of one server, in one bridge of its kernel: they reach each other, and only with their keys."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))

from lab.checks import main
from lab.hub import Hub
from lab.stage import ip
from lab.traffic import ping, wait_for_answer

CLIENTS = 3


def test(lab):
    stage = lab.stage
    hub = Hub(stage, lab.program, CLIENTS, bridge="br0")
    homes, vps = hub.homes, hub.vps
    server = hub.start_server()
    clients = [hub.start_client(number) for number in range(1, CLIENTS + 1)]
    for number, (home, client) in enumerate(zip(homes, clients), 1):
        took = wait_for_answer(stage, home, "10.90.0.254", 10, client)
        lab.at_most(f"client {number} reaches the server's bridge", took, 5, " s")
    for number, home in enumerate(homes, 1):
        for other in range(1, CLIENTS + 1):
            if other != number:
                wait_for_answer(stage, home, f"10.90.0.{other}", 5)  # The bridge learns.
                answer = ping(stage, home, f"10.90.0.{other}", count=20)
                lab.check(f"client {number} reaches client {other}",
                          answer["lost"] == 0 and answer["duplicates"] == 0,
                          f"{answer['lost']} lost, {answer['duplicates']} twice")
    clients[0].stop()
    answer = ping(stage, homes[1], "10.90.0.3", count=20)
    lab.check("one client ends: the others do not notice", answer["lost"] == 0, f"{answer['lost']} lost")
    codes = [process.stop() for process in [*clients[1:], server]]
    lab.check("all end with 0", codes == [0] * CLIENTS, codes)
    lab.check("the bridge is still there, empty",
              "master br0" not in ip(vps, "link").stdout and "br0" in ip(vps, "link").stdout)


main(test)
