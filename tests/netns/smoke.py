"""The tunnel comes up, carries frames and traffic, tells its state and ends: the shortest whole run."""

import json
import os
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))

from lab.checks import main
from lab.traffic import iperf, ping
from lab.tunnel import VPS_INNER
from lab.world import World


def data_thread_nices(pid):
    """proc(5): the 19th field, of which the second, the name, is in parentheses."""
    stats = [path.read_text() for path in pathlib.Path(f"/proc/{pid}/task").glob("*/stat")]
    return [int(stat.rsplit(")", 1)[1].split()[16]) for stat in stats if "(mwtun-data)" in stat]


def test(lab):
    world = World(lab.stage, lab.linkem)
    tunnel = world.tunnel(lab.program)
    for side, role in ((tunnel.write_server(), "server"), (tunnel.write_client(), "client")):
        result = lab.stage.run(None, [lab.program, "check", side], check=False)
        lab.check(f"mwtun check takes the {role}'s file", result.returncode == 0, result.stderr.strip())

    absent = lab.stage.run(None, [lab.program, "status", "--socket", lab.stage.folder / "client.sock"],
                           check=False)
    lab.check("status of what does not run: exit code 69", absent.returncode == 69, absent.returncode)

    tunnel.start_server()
    tunnel.start_client()
    lab.at_most("the tunnel is up after its start", tunnel.wait_up(15), 3, " s")
    tunnel.wait_links_up()

    answer = ping(lab.stage, tunnel.home, VPS_INNER, count=50)
    lab.check("50 pings, none lost, none twice", answer["lost"] == 0 and answer["duplicates"] == 0,
              f"{answer['lost']} lost, {answer['duplicates']} twice")
    whole = ping(lab.stage, tunnel.home, VPS_INNER, count=20, size=1472, whole=True)
    lab.check("frames of 1500 bytes pass whole", whole["lost"] == 0, f"{whole['lost']} lost")
    for down in (False, True):
        bps = iperf(lab.stage, tunnel.vps, tunnel.home, VPS_INNER, seconds=2, down=down)["bps"]
        lab.check(f"TCP {'down' if down else 'up'} passes", bps > 5e6, f"{bps / 1e6:.1f} Mbit/s")

    for side in ("client", "server"):
        status = tunnel.status(side)
        peer = status["peers"][0]
        lab.check(f"the {side}'s status is up, with both links",
                  status["state"] == "up" and [link["state"] for link in peer["links"]] == ["up", "up"],
                  json.dumps([status["state"], [link["state"] for link in peer["links"]]]))
        lab.check(f"the {side}'s status has a table", "wan1" in tunnel.status(side, json_output=False))
        code = lab.stage.run(None, [lab.program, "status", "--check", "--socket",
                                    lab.stage.folder / f"{side}.sock"], check=False).returncode
        lab.check(f"the {side}'s status --check: exit code 0", code == 0, code)

    # Where the kernel weighs sessions before threads, the session has to have it too.
    for process in (tunnel.server, tunnel.client):
        group = pathlib.Path(f"/proc/{process.pid}/autogroup")
        if group.exists() and os.getsid(process.pid) == process.pid:
            lab.check("the session of an mwtun goes ahead of others", group.read_text().endswith("nice -10\n"), group.read_text())

    # Before SIGHUP and after: the threads begin anew with it.
    def check_nice(side, process):
        nices = data_thread_nices(process.pid)
        lab.check(f"the {side}'s data threads go ahead of ordinary programs", nices == [-10], nices)

    # Each makes its sockets anew, the server on the same port.
    for side, process in (("server", tunnel.server), ("client", tunnel.client)):
        check_nice(side, process)
        before = tunnel.status(side)["uptime_ms"]
        process.send(signal.SIGHUP)
        time.sleep(0.5)
        lab.at_most(f"after SIGHUP to the {side} frames pass again", tunnel.wait_up(10), 5, " s")
        after = tunnel.status(side)["uptime_ms"]
        check_nice(side, process)
        lab.check(f"the {side} began anew", after < before + 500, f"{before} ms, then {after} ms")

    tunnel.check_alive()
    lab.check("SIGTERM ends both with exit code 0", tunnel.stop() == [0, 0])


main(test)
