"""How a test in namespaces is run and told: `ok`/`FAIL` lines, exit code 0, 1, or 77 when it cannot run."""

import os
import pathlib
import shutil
import sys

from .stage import LabError, Stage, Unavailable, run


class Checks:
    def __init__(self):
        self.failed = 0

    def check(self, claim, ok, detail=""):
        """One claim and whether it holds."""
        self.failed += not ok
        print(f"{'ok  ' if ok else 'FAIL'} {claim}" + (f" ({detail})" if detail != "" else ""), flush=True)
        return ok

    def at_most(self, claim, value, bound, unit=""):
        said = "never" if value is None else f"{round(value, 3)}{unit}"
        return self.check(claim, value is not None and value <= bound, f"{said}, at most {bound}{unit}")


class Lab:
    """What a test is given."""

    def __init__(self, stage, folder):
        self.stage = stage
        self.program = folder / "mwtun"
        # Sanitized and static builds have no emulator of their own.
        self.linkem = next((path for path in (folder / "linkem", folder.parent / "release" / "linkem",
                                              pathlib.Path(os.environ.get("LINKEM", "/nonexistent")))
                            if path.exists()), None)
        # Workers of the server, where a test can be run with several.
        self.workers = int(_asked("workers", 0)) or None
        self.checks = Checks()
        self.check = self.checks.check
        self.at_most = self.checks.at_most


def _skip(why):
    print(f"skip: {why}")
    sys.exit(77)


def _asked(name, default):
    """Of the arguments behind the first, NAME=VALUE."""
    return dict(word.split("=", 1) for word in sys.argv[2:]).get(name, default)


def main(test):
    """Runs `test(lab)`; the folder of the programs is the first argument. workers=N and event_loop=NAME may
    follow."""
    folder = pathlib.Path(sys.argv[1]).resolve()
    if os.geteuid() != 0:
        _skip("needs root: it makes network namespaces")
    if not os.path.exists("/dev/net/tun"):
        _skip("there is no /dev/net/tun")
    with Stage() as stage:
        if run(["ip", "netns", "add", f"{stage.tag}-try"], check=False).returncode != 0:
            _skip("network namespaces cannot be made here")
        run(["ip", "netns", "del", f"{stage.tag}-try"])
        stage.event_loop = _asked("event_loop", None)
        lab = Lab(stage, folder)
        if not lab.program.exists() or lab.linkem is None:
            print(f"FAIL there is no mwtun or no linkem in {folder}: build them first")
            sys.exit(1)
        missing = [name for name in ("ping", "iperf3", "ethtool") if shutil.which(name) is None]
        if missing:
            print(f"FAIL there is no {' and no '.join(missing)} here: \"./dev test\" installs what the tests need")
            sys.exit(1)
        try:
            test(lab)
        except Unavailable as error:
            _skip(error)
        except LabError as error:
            lab.check("it runs to its end", False, error)
    sys.exit(1 if lab.checks.failed else 0)
