"""./dev bench workers: two clients of one server that send TCP at once, over bare veth pairs, with one
worker in the server and with two. All namespaces share this machine's cores."""

import argparse
import pathlib
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "scripts"))

from lab.hub import Hub
from lab.stage import Stage
from lab.traffic import Iperf, wait_for_answer
from lab.tunnel import cpu_seconds

CLIENTS = (1, 2)
SECONDS = 3


def measure(stage, hub, down):
    """Mbit/s of each client, and the server's processor seconds for each GB."""
    before = cpu_seconds(hub.server.pid)
    runs = [Iperf(stage, hub.vps, hub.home(number), hub.server_inner(number), seconds=SECONDS, down=down)
            for number in CLIENTS]
    rates = [run.result()["bps"] / 1e6 for run in runs]
    return rates, (cpu_seconds(hub.server.pid) - before) / (sum(rates) * SECONDS / 8000)


def run_round(stage, hub, text, workers, results):
    hub.config.write_text(f"workers = {workers}\n{text}")
    hub.start_server()
    for number in CLIENTS:
        client = hub.start_client(number)
        wait_for_answer(stage, hub.home(number), hub.server_inner(number), 10, client)
    for down in (False, True):
        results.setdefault((down, workers), []).append(measure(stage, hub, down))
    for process in (*hub.clients, hub.server):
        process.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    results = {}
    with Stage() as stage:
        hub = Hub(stage, options.build.resolve() / "mwtun", len(CLIENTS))
        text = hub.config.read_text()
        for _ in range(options.rounds):
            for workers in (1, 2):
                run_round(stage, hub, text, workers, results)
    print("| TCP of two clients | workers | sum, Mbit/s | slower client | server CPU s/GB |")
    print("|---|--:|--:|--:|--:|")
    for (down, workers), runs in sorted(results.items()):
        sums, slower = [sum(rates) for rates, _ in runs], [min(rates) for rates, _ in runs]
        print(f"| {'to the clients' if down else 'to the server'} | {workers} "
              f"| {statistics.median(sums):.0f} ({min(sums):.0f} to {max(sums):.0f}) "
              f"| {statistics.median(slower):.0f} | {statistics.median(cpu for _, cpu in runs):.2f} |")


main()
