"""./dev demo: makes two lines one with the real program, measures it and judges it. See --help."""

import argparse
import json
import pathlib
import sys
import time

from demo_runs import Demo
from demo_verdict import criteria, table
from lab.stage import LabError, Stage, run
from lab.tunnel import HOME_INNER, VPS_INNER


def arguments():
    parser = argparse.ArgumentParser(
        prog="./dev demo", description="Joins a router and a VPS, both namespaces of this machine, "
        "over two emulated lines of 100 Mbit/s, measures what the tunnel makes of them and gives a "
        "verdict. Exit code 0 only when every point of it is met. Nothing is left behind.")
    parser.add_argument("--json", action="store_true", help="result as JSON on stdout, progress on stderr")
    parser.add_argument("--quick", action="store_true", help="about a minute: fewer and shorter runs")
    parser.add_argument("--keep", action="store_true", help="leave it running afterwards, to play with")
    parser.add_argument("--play", action="store_true", help="no measuring: only set it up and leave it running")
    parser.add_argument("--build", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--linkem", type=pathlib.Path, help=argparse.SUPPRESS)
    return parser.parse_args()


PICTURE = """
   router                                           VPS
   +------+      100 Mbit/s, 10 ms each way      +------+
   |      |  wan1 ========================= wan1 |      |
   | mwt0 |                                      | mwt0 |   {a} <- mwt0, one cable -> {b}
   |      |  wan2 ========================= wan2 |      |
   +------+      100 Mbit/s, 10 ms each way      +------+
   {home:<44} {vps}
"""


def hold(demo, out):
    """Leaves everything up until Enter or Ctrl-C."""
    tunnel, folder = demo.tunnel, demo.stage.folder
    for line in (
            "", "It is up, and yours to play with:",
            f"  ip netns exec {tunnel.home} ping {VPS_INNER}",
            f"  ip netns exec {tunnel.vps} iperf3 -s -D; "
            f"ip netns exec {tunnel.home} iperf3 -c {VPS_INNER} -C cubic",
            f"  {tunnel.program} status --socket {folder}/client.sock",
            f"  {demo.world.lines.program} ctl {demo.world.lines.socket} set wan1 loss=5%",
            f"  {demo.world.lines.program} ctl {demo.world.lines.socket} down wan1      (and: up wan1)",
            f"  the files: {folder}/client.toml, {folder}/server.toml", ""):
        print(line, file=out)
    if sys.stdin.isatty():
        print("Enter or Ctrl-C ends it.", file=out, flush=True)
        sys.stdin.readline()
    else:
        print("SIGINT or SIGTERM ends it.", file=out, flush=True)
        while True:
            time.sleep(3600)


def main():
    options = arguments()
    out = sys.stderr if options.json else sys.stdout
    program = (options.build / "mwtun").resolve()
    linkem = (options.linkem or options.build / "linkem").resolve()
    started = time.monotonic()
    result = {"version": run([program, "--version"], check=False).stdout.strip(), "quick": options.quick}
    with Stage() as stage:
        try:
            demo = Demo(stage, program, linkem, options.quick, out)
            print(PICTURE.format(home=demo.world.home, vps=demo.world.vps, a=HOME_INNER, b=VPS_INNER),
                  file=out, flush=True)
            if options.play:
                demo.start()
            else:
                demo.measure(result)
        except LabError as error:
            result["error"] = str(error)
            print(f"\n\nIt stopped: {error}", file=out)
        if (options.keep or options.play) and "error" not in result:
            hold(demo, out)
    if options.play:
        return 1 if "error" in result else 0
    result["criteria"] = criteria(result)
    result["ok"] = "error" not in result and all(point["ok"] for point in result["criteria"])
    result["seconds"] = round(time.monotonic() - started, 1)
    print(table(result), file=out, flush=True)
    if options.json:
        json.dump(result, sys.stdout, indent=2)
        print()
    return 0 if result["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
