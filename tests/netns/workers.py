"""A server of several workers: each client has one of them, and two that send keep two threads busy."""

import os
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))

from lab.checks import main
from lab.hub import Hub
from lab.traffic import Iperf, Ping, ping, wait_for_answer

CLIENTS = 3


def data_threads(pid):
    """Processor seconds so far of each dataplane thread."""
    seconds = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        name, fields = pathlib.Path(f"/proc/{pid}/task/{task}/stat").read_text().rsplit(")", 1)
        if name.endswith("(mwtun-data"):
            user, system = fields.split()[11:13]
            seconds[task] = (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return seconds


def all_reach(lab, hub, claim, seconds, bound):
    for number in range(1, CLIENTS + 1):
        took = wait_for_answer(lab.stage, hub.home(number), hub.server_inner(number), seconds,
                               hub.clients[number - 1])
        lab.at_most(f"{claim}: client {number} reaches the server", took, bound, " s")
        answer = ping(lab.stage, hub.home(number), hub.server_inner(number), count=25)
        lab.check("… and no ping of it is lost", answer["lost"] == 0, f"{answer['lost']} lost")


def send_together(lab, hub, down):
    """TCP of the first two clients at once; each worker's processor seconds meanwhile."""
    before = data_threads(hub.server.pid)
    runs = [Iperf(lab.stage, hub.vps, hub.home(number), hub.server_inner(number), seconds=3, down=down)
            for number in (1, 2)]
    rates = [run.result()["bps"] / 1e6 for run in runs]
    used = {task: after - before[task] for task, after in data_threads(hub.server.pid).items()}
    return rates, sorted(used.values(), reverse=True)


def test(lab):
    stage, workers = lab.stage, lab.workers or 2
    hub = Hub(stage, lab.program, CLIENTS, top={"workers": workers})
    server = hub.start_server()
    for number in range(1, CLIENTS + 1):
        hub.start_client(number)
    all_reach(lab, hub, "at the start", 10, 5)
    lab.check("the log says how many workers there are", f": {workers} workers, " in server.output())
    status = hub.status()
    lab.check("so does the status", status["workers"] == workers, status["workers"])
    placed = [peer["worker"] for peer in status["peers"]]
    lab.check("… and whose each peer is", placed == [number % workers for number in range(CLIENTS)], placed)
    lab.check("… to people too", f"worker 1 of {workers}" in hub.status(json_output=False))
    lab.check("each worker is a thread", len(data_threads(server.pid)) == workers)

    for down in (False, True):
        rates, used = send_together(lab, hub, down)
        way = "from the server" if down else "to the server"
        told = (f"{rates[0]:.0f} and {rates[1]:.0f} Mbit/s, threads "
                + " and ".join(f"{seconds:.2f}" for seconds in used) + " s")
        lab.check(f"two clients' TCP {way} gets through", min(rates) > 20, told)
        lab.check("… and two threads work for it", used[1] > 0.25 * used[0] and used[1] > 0.1, told)
    status = hub.status()
    carried = sum(peer["totals"]["frames_received"] for peer in status["peers"])
    lab.check("the kernel steered right", status["strays"] == 0 and "unknown-index" not in status["drops"],
              f"{status['strays']} astray, drops {status['drops']}, {carried} frames came in")

    pings = [Ping(stage, hub.home(number), hub.server_inner(number), count=150) for number in (1, 3)]
    hub.clients[1].kill()
    hub.start_client(2)
    took = wait_for_answer(stage, hub.home(2), hub.server_inner(2), 10, hub.clients[1])
    lab.at_most("client 2 is killed and started anew: back after", took, 3, " s")
    lost = [one.result()["lost"] for one in pings]
    lab.check("… and the others do not notice", lost == [0, 0], f"{lost} lost")

    rival = stage.folder / "rival.toml"
    rival.write_text(hub.config.read_text().replace("server.sock", "rival.sock"))
    second = stage.start("rival", [lab.program, "server", rival], hub.vps)
    code = second.wait(5)
    lab.check("a second server on the port is refused, with a reason",
              code not in (None, 0) and "has this port" in second.output(), f"exit code {code}")

    for fewer in (1, workers):
        hub.config.write_text(hub.config.read_text().replace(f"workers = {len(data_threads(server.pid))}",
                                                             f"workers = {fewer}"))
        server.send(signal.SIGHUP)
        time.sleep(0.5)
        lab.check(f"after a reload there are {fewer}", hub.status()["workers"] == fewer)
        all_reach(lab, hub, f"reloaded with {fewer}", 10, 5)
    codes = [process.stop() for process in [*hub.clients, server]]
    lab.check("all end with 0", codes == [0] * (CLIENTS + 1), codes)


main(test)
