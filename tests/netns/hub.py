"""Several clients of one server, in one bridge of its kernel: they reach each other, and only with their keys."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))

from lab.checks import main
from lab.stage import ip
from lab.traffic import ping, wait_for_answer
from lab.tunnel import PORT, make_key, public_key, write_config
from lab.world import SERVER, World, keep_inner_inside

CLIENTS = 3


def test(lab):
    stage, program = lab.stage, lab.program
    world = World(stage, None, settings=[""] * CLIENTS)
    # Each client is a namespace of its own, with a line of its own.
    homes = []
    server_key = make_key(program, stage.folder / "server.key")
    text = ""
    for number in range(1, CLIENTS + 1):
        home, name = stage.netns(f"client{number}"), world.names[number - 1]
        ip(world.home, f"link set {name} netns {home}")
        ip(home, f"address add {world.near(number)}/28 dev {name}")
        ip(home, f"link set {name} up")
        ip(home, f"route add default via {world.far(number)}")
        keep_inner_inside(home)
        key = make_key(program, stage.folder / f"client{number}.key")
        peer = {"name": f"client{number}", "public_key": public_key(program, key), "tap": f"mwt{number}",
                "bridge": "br0"}
        path = write_config(stage.folder / "part.toml", {}, peer)
        text += path.read_text()
        write_config(stage.folder / f"client{number}.toml",
                     {"private_key_file": key, "control": stage.folder / f"client{number}.sock"},
                     {"name": "hub", "public_key": public_key(program, server_key), "tap": "mwt0",
                      "endpoint": f"{SERVER}:{PORT}", "address": [f"10.90.0.{number}/24"]})
        homes.append(home)
    ip(world.vps, "link add br0 type bridge")
    ip(world.vps, "address add 10.90.0.254/24 dev br0")
    ip(world.vps, "link set br0 up")
    top = write_config(stage.folder / "top.toml",
                       {"private_key_file": server_key, "listen": [f"0.0.0.0:{PORT}"],
                        "control": stage.folder / "server.sock"}, {})
    config = stage.folder / "server.toml"
    config.write_text(top.read_text().replace("[[peer]]\n", "") + text)

    server = stage.start("mwtun-server", [program, "server", config], world.vps)
    clients = [stage.start(f"mwtun-client{number}", [program, "client", stage.folder / f"client{number}.toml"],
                           home) for number, home in enumerate(homes, 1)]
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
              "master br0" not in ip(world.vps, "link").stdout and "br0" in ip(world.vps, "link").stdout)


main(test)
