"""./dev profile: where the time goes. One TCP flow through mwtun over a bare veth pair, both ends sampled by
perf; a flame graph and the functions that work most."""

import argparse
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "scripts"))

import flame_graph
from lab.stage import Stage
from lab.traffic import Iperf
from lab.world import World
from raw.rivals import Rivals


def main():
    parser = argparse.ArgumentParser(prog="./dev profile", description=__doc__.split("\n\n")[0])
    parser.add_argument("--cipher", default="aes-256-gcm")
    parser.add_argument("--links", type=int, default=1, choices=(1, 2))
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--svg", type=pathlib.Path, default=pathlib.Path("build/bench/flame.svg"))
    parser.add_argument("--build", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()
    perf = shutil.which("perf")
    if perf is None:
        print("./dev profile: there is no perf; install linux-perf", file=sys.stderr)
        return 69
    with Stage() as stage:
        world = World(stage, None, settings=("", ""))
        target = Rivals(stage, world).mwtun("mwtun", (options.build / "mwtun").resolve(), 0, options.cipher,
                                            options.links)
        load = Iperf(stage, world.vps, world.home, target.address, seconds=options.seconds + 2)
        data = stage.folder / "perf.data"
        pids = ",".join(str(process.pid) for process in target.processes)
        # The clock of the CPU's own events is missing in many virtual machines.
        done = subprocess.run([perf, "record", "-q", "-e", "cpu-clock", "-F", "1999", "-g", "-o", data,
                               "-p", pids, "--", "sleep", str(options.seconds)],
                              check=False, capture_output=True, text=True)
        told = load.result()
        if done.returncode != 0:
            print(f"./dev profile: perf cannot record here: {done.stderr.strip()}", file=sys.stderr)
            return 71
        text = subprocess.run([perf, "script", "-i", data, "-F", "comm,pid,ip,sym,dso"], check=True,
                              capture_output=True, text=True).stdout
    root = flame_graph.read(text)
    if root.count == 0:
        print("./dev profile: perf has no samples", file=sys.stderr)
        return 71
    options.svg.parent.mkdir(parents=True, exist_ok=True)
    options.svg.write_text(flame_graph.svg(root, f"mwtun, {options.cipher}, {told['bps'] / 1e9:.2f} Gbit/s"))
    print(f"{told['bps'] / 1e9:.2f} Gbit/s; {options.svg}; at work themselves, of both ends:")
    for share, name in flame_graph.hottest(root):
        print(f"  {100 * share:5.1f} %  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
