"""Wrong keys: no tunnel, no harm, and a log that says what to look at."""

import pathlib
import re
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))

from lab.checks import main
from lab.traffic import wait_for_answer
from lab.tunnel import VPS_INNER, make_key, public_key
from lab.world import World


def test(lab):
    world = World(lab.stage, lab.linkem)
    tunnel = world.tunnel(lab.program)
    other = make_key(lab.program, lab.stage.folder / "other.key")
    other_psk = make_key(lab.program, lab.stage.folder / "other.psk", "genpsk")
    tunnel.start_server()

    wrongs = [
        ("wrong server key", tunnel.client_peer, "public_key", public_key(lab.program, other)),
        ("a client the server does not know", tunnel.client_top, "private_key_file", other),
        ("wrong preshared key", tunnel.client_peer, "preshared_key_file", other_psk),
        ("no preshared key", tunnel.client_peer, "preshared_key_file", None),
    ]
    for name, place, key, wrong in wrongs:
        right = place[key]
        place[key] = wrong
        tunnel.start_client()
        time.sleep(0.3)
        took = wait_for_answer(lab.stage, tunnel.home, VPS_INNER, 6, tunnel.client)
        lab.check(f"{name}: no tunnel", took is None)
        log = tunnel.client.output()
        lab.check(f"{name}: the client's log says which keys to look at",
                  re.search(r"public.key", log) is not None and
                  (("preshared" in key) <= (re.search(r"preshared", log) is not None)),
                  "" if re.search(r"public.key", log) else tunnel.client.tail())
        state = tunnel.status()["state"]
        lab.check(f"{name}: its status is not up", state in ("connecting", "down"), state)
        code = lab.stage.run(None, [lab.program, "status", "--check", "--socket",
                                    lab.stage.folder / "client.sock"], check=False).returncode
        lab.check(f"{name}: status --check: exit code 2", code == 2, code)
        lab.check(f"{name}: it ends cleanly", tunnel.client.stop() == 0)
        place[key] = right
    lab.check("the server is not impressed", tunnel.server.alive(), "" if tunnel.server.alive() else
              tunnel.server.tail())

    tunnel.start_client()
    lab.at_most("with the right keys it is up", tunnel.wait_up(), 3, " s")


main(test)
