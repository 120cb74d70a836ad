"""./dev bench raw: one TCP flow through mwtun and, in the same run, through wireguard-go, over a bare veth
pair between two namespaces: the raw speed of the programs, with nothing else in the way.

The three are measured in turn, several rounds, and the medians are told: what else the machine does then
meets all of them."""

import argparse
import json
import os
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "scripts"))

from lab.stage import LabError, Stage, ip, run
from lab.traffic import iperf, wait_for_answer
from lab.tunnel import VPS_INNER
from lab.world import World

WG_HOME, WG_VPS = "10.91.0.2", "10.91.0.1"
WG_PORT = 51820


def arguments():
    parser = argparse.ArgumentParser(prog="./dev bench raw", description=__doc__.split("\n\n")[0])
    parser.add_argument("--json", action="store_true", help="the result as JSON on stdout")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5, help="of one measurement")
    parser.add_argument("--cipher", default="aes-256-gcm")
    parser.add_argument("--wireguard-go", default="wireguard-go", help="another build of it")
    parser.add_argument("--build", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    return parser.parse_args()


def start_wireguard(stage, world, program):
    """wireguard-go on both sides, over the same veth pair."""
    sides = {}
    for side, netns in (("home", world.home), ("vps", world.vps)):
        # Its control socket is named after the interface, for all namespaces alike.
        name = f"wg{os.getpid()}{side[0]}"
        key = stage.folder / f"wg-{side}.key"
        key.touch(mode=0o600)
        key.write_text(run(["wg", "genkey"]).stdout)
        process = stage.start(f"wireguard-{side}", [program, "-f", name], netns)
        socket = pathlib.Path(f"/var/run/wireguard/{name}.sock")
        stage.remember("path", socket)
        deadline = time.monotonic() + 5
        while not socket.exists():
            if time.monotonic() > deadline or not process.alive():
                raise LabError(f"{program} does not start\n{process.tail()}")
            time.sleep(0.05)
        sides[side] = (netns, name, key, run(["wg", "pubkey"], input=key.read_text()).stdout.strip())
    for side, other, own, peer_endpoint in (("home", "vps", WG_HOME, f"{world.far(1)}:{WG_PORT}"),
                                            ("vps", "home", WG_VPS, f"{world.near(1)}:{WG_PORT}")):
        netns, name, key, _ = sides[side]
        run(["wg", "set", name, "listen-port", WG_PORT, "private-key", key, "peer", sides[other][3],
             "endpoint", peer_endpoint, "allowed-ips", "0.0.0.0/0"])
        ip(netns, f"address add {own}/24 dev {name}")
        ip(netns, f"link set {name} up")


def processor():
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as text:
        names = [line.split(":", 1)[1].strip() for line in text if line.startswith("model name")]
    return names[0] if names else "unknown"


def main():
    options = arguments()
    program = (options.build / "mwtun").resolve()
    with Stage() as stage:
        world = World(stage, None, settings=("",))
        tunnel = world.tunnel(program)
        tunnel.client_peer["cipher"] = tunnel.server_peer["cipher"] = options.cipher
        tunnel.start_server()
        tunnel.start_client()
        tunnel.wait_up()
        start_wireguard(stage, world, options.wireguard_go)
        if wait_for_answer(stage, world.home, WG_VPS, 10) is None:
            print("wireguard-go does not answer", file=sys.stderr)
            return 1
        targets = {"veth": world.far(1), "mwtun": VPS_INNER, "wireguard-go": WG_VPS}
        rounds = []
        for number in range(options.rounds):
            rounds.append({name: iperf(stage, world.vps, world.home, address, seconds=options.seconds,
                                       omit=1)["bps"] for name, address in targets.items()})
            print(f"round {number + 1}: " + ", ".join(f"{name} {bps / 1e9:.2f} Gbit/s"
                                                      for name, bps in rounds[-1].items()),
                  file=sys.stderr, flush=True)
        used = tunnel.status()["peers"][0]["cipher"]
    median = {name: statistics.median(one[name] for one in rounds) for name in targets}
    result = {
        "processor": processor(), "cores": len(os.sched_getaffinity(0)), "kernel": os.uname().release,
        "cipher": used, "seconds": options.seconds, "rounds_bps": rounds, "median_bps": median,
        "mwtun_of_wireguard_go": median["mwtun"] / median["wireguard-go"],
        "mwtun_of_veth": median["mwtun"] / median["veth"],
    }
    if options.json:
        json.dump(result, sys.stdout, indent=2)
        print()
    else:
        print(f"\nOne TCP flow (CUBIC), medians of {options.rounds}, {result['cores']} cores of "
              f"{result['processor']}:")
        for name, bps in median.items():
            print(f"  {name:<14} {bps / 1e9:6.2f} Gbit/s")
        print(f"  mwtun ({used}) is {result['mwtun_of_wireguard_go']:.2f} times wireguard-go")
    return 0


if __name__ == "__main__":
    sys.exit(main())
