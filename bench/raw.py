"""./dev bench raw: how fast the programs are with nothing else in the way. mwtun with each cipher and
with none, and its rivals, over a bare veth pair between two namespaces of this machine.

All are measured in turn, several rounds, and the medians are told: what else the machine does then meets
all of them. See raw/cells.py for what is measured, raw/report.py for what is asked."""

import argparse
import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "scripts"))

from lab.stage import Stage, Unavailable
from lab.world import World
from raw import cells, report
from raw.rivals import Rivals, Target, missing

RIVALS = ("wireguard-go", "fastd", "openvpn", "tinc")
PROGRAMS = {"wireguard-go": ("wireguard-go", "wg"), "fastd": ("fastd",), "openvpn": ("openvpn", "openssl"),
            "tinc": ("tincd",)}


def arguments():
    parser = argparse.ArgumentParser(prog="./dev bench raw", description=__doc__.split("\n\n")[0])
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="where the results go")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5, help="of one TCP measurement")
    parser.add_argument("--cells", default=",".join(cells.NAMES), help="of " + ", ".join(cells.NAMES))
    parser.add_argument("--targets", metavar="PATTERN,…", help="those whose name begins so; all if not given")
    parser.add_argument("--build", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    return parser.parse_args()


def processor():
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as text:
        names = [line.split(":", 1)[1].strip() for line in text if line.startswith("model name")]
    return names[0] if names else "unknown"


def start(stage, world, build, wanted):
    """The targets, all running at once: idle ones cost next to nothing."""
    program, null = (build / "mwtun").resolve(), (build / "mwtun_null").resolve()
    rivals = Rivals(stage, world)
    makers = {
        "veth": lambda _: Target("veth", world.far(1)),
        "mwtun aes-256-gcm": lambda n: rivals.mwtun("mwtun aes-256-gcm", program, n, "aes-256-gcm"),
        "mwtun chacha20-poly1305": lambda n: rivals.mwtun("mwtun chacha20-poly1305", program, n,
                                                          "chacha20-poly1305"),
        "mwtun_epoll": lambda n: rivals.mwtun("mwtun_epoll", program, n, "aes-256-gcm", loop="epoll"),
        "mwtun_uring": lambda n: rivals.mwtun("mwtun_uring", program, n, "aes-256-gcm", loop="io_uring"),
        "mwtun null": lambda n: rivals.mwtun("mwtun null", null, n, "chacha20-poly1305"),
        "mwtun, 2 lines": lambda n: rivals.mwtun("mwtun, 2 lines", program, n, "aes-256-gcm", 2),
        "wireguard-go": rivals.wireguard_go, "fastd": rivals.fastd, "openvpn": rivals.openvpn,
        "tinc": rivals.tinc,
    }
    targets = []
    for number, (name, make) in enumerate(makers.items()):
        if wanted and not any(name.startswith(pattern) for pattern in wanted):
            continue
        absent = missing(PROGRAMS.get(name, ()))
        if absent:
            print(f"{name} is left out: {', '.join(absent)} not installed", file=sys.stderr)
            continue
        try:
            targets.append(make(number))
        except Unavailable as why:
            print(f"{name} is left out: {why}", file=sys.stderr)
    return targets


def main():
    options = arguments()
    wanted = options.targets.split(",") if options.targets else None
    names = options.cells.split(",")
    unknown = [name for name in names if name not in cells.NAMES]
    if unknown:
        print(f"./dev bench raw: no cell {', '.join(unknown)}; there are {', '.join(cells.NAMES)}",
              file=sys.stderr)
        return 64
    rounds = []
    result = {"processor": processor(), "cores": len(os.sched_getaffinity(0)),
              "kernel": os.uname().release, "seconds": options.seconds, "rounds": rounds}
    with Stage() as stage:
        world = World(stage, None, settings=("", ""))
        targets = start(stage, world, options.build, wanted)
        measure = cells.Cells(stage, world, (options.build / "udpload").resolve(), options.seconds)
        for number in range(options.rounds):
            rounds.append({target.name: {} for target in targets})
            for name in names:
                for target in targets:
                    told = rounds[-1][target.name][name] = getattr(measure, name)(target)
                    words = ", ".join(f"{field} {value:.4g}" for field, value in told.items()
                                      if value is not None)
                    print(f"round {number + 1}: {name:<13} {target.name:<24} {words}", file=sys.stderr,
                          flush=True)
            if options.json:
                options.json.write_text(json.dumps(result, indent=1) + "\n")
    print(f"\nMedians of {options.rounds}, {result['cores']} cores of {result['processor']}, Linux "
          f"{result['kernel']}; Gbit/s:\n")
    print(report.table(rounds, [target.name for target in targets]))
    told = report.promises(rounds)
    if told:
        print()
    for text, value, bound, met in told:
        print(f"{'met  ' if met else 'SHORT'} {text}: {value:.2f} ({bound})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
