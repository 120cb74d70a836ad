"""Either end may be killed or started twice; the tunnel comes back by itself."""

import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))

from lab.checks import main
from lab.traffic import Ping, ping, wait_for_answer
from lab.tunnel import VPS_INNER
from lab.world import World


def test(lab):
    world = World(lab.stage, lab.linkem)
    tunnel = world.tunnel(lab.program)
    tunnel.set_workers(lab.workers)
    tunnel.start_server()
    tunnel.start_client()
    tunnel.wait_up()
    tunnel.wait_links_up()

    second = lab.stage.start("second", [lab.program, "client", lab.stage.folder / "client.toml"],
                             tunnel.home)
    code = second.wait(5)
    lab.check("a second client of the same file is refused, with a reason",
              code not in (None, 0) and len(second.output().strip()) > 20, f"exit code {code}")
    lab.check("… and the first goes on", ping(lab.stage, tunnel.home, VPS_INNER, count=10)["lost"] == 0)

    # A person, or an application, keeps sending while the server is gone: pings are the load here.
    for round_number in (1, 2):
        pings = Ping(lab.stage, tunnel.home, VPS_INNER, count=300)
        time.sleep(0.5)
        tunnel.server.kill()
        time.sleep(1)
        lab.check("a killed server leaves its control socket behind",
                  (lab.stage.folder / "server.sock").exists())
        tunnel.start_server()
        took = wait_for_answer(lab.stage, tunnel.home, VPS_INNER, 15, tunnel.client)
        lab.at_most(f"server killed and started anew ({round_number}): the tunnel is back after its start",
                    took, 3, " s")
        lab.check("… and it answers on the control socket", tunnel.status("server")["state"] != "")
        pings.result()

    for round_number in (1, 2):
        tunnel.client.kill()
        tunnel.start_client()
        lab.at_most(f"client killed and started anew ({round_number}): the tunnel is up after its start",
                    tunnel.wait_up(15), 3, " s")
        tunnel.wait_links_up()

    tunnel.server.stop()
    time.sleep(2.5)
    tunnel.start_server()
    lab.at_most("server ended and started anew after 2.5 s: the tunnel is back",
                wait_for_answer(lab.stage, tunnel.home, VPS_INNER, 15, tunnel.client), 7, " s")
    tunnel.wait_links_up()

    # Stopped and continued: a process that slept does not take it for a dead network for long.
    tunnel.client.send(signal.SIGSTOP)
    time.sleep(1.5)
    tunnel.client.send(signal.SIGCONT)
    lab.at_most("client stopped for 1.5 s: the tunnel is back",
                wait_for_answer(lab.stage, tunnel.home, VPS_INNER, 10, tunnel.client), 1, " s")
    answer = ping(lab.stage, tunnel.home, VPS_INNER, count=50)
    lab.at_most("pings lost after all that", answer["lost"], 0)
    tunnel.check_alive()


main(test)
