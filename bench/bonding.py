"""./dev bench bonding: what several unequal lines give through mwtun, beside the same lines bare and alone,
over emulated lines between two namespaces. See --help and bonding/scenarios.py."""

import argparse
import os
import pathlib
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from bonding.chart import fault_chart, pair_chart
from bonding.crew import Crew, machine, work
from bonding.plan import TIMINGS, all_units, choose
from bonding.report import markdown_report, text_report
from bonding.results import Results, ResultsError
from lab.stage import run as run_command

CONTROL_MAX = 0.01
MINUTES = {"default": 60}


def arguments():
    parser = argparse.ArgumentParser(
        prog="./dev bench bonding", description=__doc__.split("\n\n")[0],
        epilog="--sim runs the same scenarios in the simulator, in about three minutes, and takes no other option.")
    depth = parser.add_mutually_exclusive_group()
    depth.add_argument("--full", action="store_const", const="full", dest="depth",
                       help="every cell, as long as it takes: hours; see --resume")
    depth.add_argument("--quick", action="store_const", const="quick", dest="depth",
                       help="one short run of each, to see that all works; figures are rough")
    depth.add_argument("--depth", choices=list(TIMINGS), help=argparse.SUPPRESS)
    parser.add_argument("--runs", type=int, help="of each, in turn; figures are medians (3; with --quick 1)")
    parser.add_argument("--only", metavar="PATTERN", help="the scenarios whose name this regular expression finds")
    parser.add_argument("--list", action="store_true", help="names what there is and how long it takes; runs nothing")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE",
                        help="where the results go, after every run (build/bench/bonding.json)")
    parser.add_argument("--resume", type=pathlib.Path, metavar="FILE", help="takes up such a file and adds to it")
    parser.add_argument("--markdown", type=pathlib.Path, metavar="FILE", help="the tables for docs/BENCHMARKS.md")
    parser.add_argument("--charts", type=pathlib.Path, metavar="FOLDER",
                        help="an SVG file a scenario (build/bench/bonding)")
    parser.add_argument("--minutes", type=float,
                        help="starts nothing that would end later (60; with --full or --quick no limit)")
    parser.add_argument("--beside", choices=("auto", "always", "never"), default="auto",
                        help="two small scenarios at once: when a control run differs by at most 1 %% (auto)")
    parser.add_argument("--traces", type=pathlib.Path, action="append", metavar="FOLDER",
                        help="where recorded traces lie (bench/traces, ../shared/traces)")
    parser.add_argument("--build", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--run", type=int, default=1, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.depth = options.depth or "default"
    options.runs = options.runs or (1 if options.depth == "quick" else 3)
    options.traces = options.traces or [ROOT / "bench/traces", ROOT.parent / "shared/traces"]
    return options


def say(words):
    print(words, file=sys.stderr, flush=True)


def jobs_of(units, timing, wanted, results):
    """(unit, run, of how many), round by round; what is in the results already is left out."""
    return [(unit, run, unit.runs(timing, wanted)) for run in range(1, wanted + 1) for unit in units
            if run <= unit.runs(timing, wanted) and not results.has(unit, run)]


def list_units(units, timing, wanted):
    total = 0
    for unit in units:
        seconds, runs = unit.estimate_s(timing), unit.runs(timing, wanted)
        total += seconds * runs
        cells = " ".join(unit.cells(timing)) if unit.group == "pair" else ""
        print(f"{unit.group:<13}{unit.name:<22}{seconds:5.0f} s × {runs}  {unit.what}" +
              (f"  [{cells}]" if cells else ""))
    print(f"about {total / 60:.0f} minutes one after the other; small ones may run side by side")


def control(crew):
    """How far two runs at once differ from one alone: the largest share, or None."""
    unit = all_units()["baseline"]
    say("control: one pair alone, then the same twice at once")

    def figures(found):
        return [sum(one["bps"] for one in found[cell]) for cell in ("bare", "bond")]
    alone, = crew.together([unit])
    pair = crew.together([unit, unit])
    try:
        return max(abs(beside / before - 1) for found in pair
                   for before, beside in zip(figures(alone), figures(found)))
    except (KeyError, ZeroDivisionError):
        return None


def decide_side_by_side(crew, options, jobs):
    """(whether, the difference that was found)."""
    small = sum(not unit.alone for unit, _, _ in jobs)
    if options.beside != "auto" or small < 6:
        return options.beside == "always", None
    difference = control(crew)
    yes = difference is not None and difference <= CONTROL_MAX
    words = "no result" if difference is None else f"{difference:.2%} apart"
    say(f"control: {words}; small scenarios run {'two at once' if yes else 'one after the other'}")
    return yes, difference


def draw_charts(results, folder):
    """[(name, path)] of those that were written."""
    written = []
    for name, founds in results.runs().items():
        unit = all_units().get(name)
        if unit is None or not founds:
            continue
        text = (pair_chart if unit.group == "pair" else fault_chart)(unit.what, founds[0])
        if text:
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"{name}.svg"
            path.write_text(text, encoding="utf-8")
            written.append((name, path))
    return written


def report(results, options):
    rows = results.judge()
    runs, errors = results.runs(), results.errors()
    charts = draw_charts(results, options.charts or ROOT / "build/bench/bonding")
    print("\n" + text_report(rows, runs, errors))
    if options.markdown:
        options.markdown.parent.mkdir(parents=True, exist_ok=True)
        named = [(name, os.path.relpath(path, options.markdown.parent)) for name, path in charts]
        options.markdown.write_text(markdown_report(results.data, rows, runs, errors, named), encoding="utf-8")
        say(f"tables: {options.markdown}")
    say(f"results: {results.path}" + (f", charts: {charts[0][1].parent}" if charts else ""))
    return 0 if not errors and all(row.ok is not False for row in rows) else 1


def measure(options, timing, units):
    programs = options.build.resolve()
    head = {"machine": machine(), "depth": timing.name, "runs": options.runs,
            "version": run_command([programs / "mwtun", "--version"], check=False).stdout.strip()}
    path = options.resume or options.json or ROOT / "build/bench/bonding.json"
    results = Results.resume(path, head) if options.resume else Results(path, head)
    if options.resume and options.json:
        results.path = options.json
    for unit in units[:]:
        missing = unit.missing_trace(options.traces)
        if missing:
            say(f"{unit.name}: skipped, there is no trace {missing}* in {', '.join(map(str, options.traces))}")
            units.remove(unit)
    jobs = jobs_of(units, timing, options.runs, results)
    minutes = options.minutes if options.minutes is not None else MINUTES.get(timing.name)
    total = sum(unit.estimate_s(timing) for unit, _, _ in jobs) / 60
    if total > 2:
        say(f"{len(jobs)} runs, about {total:.0f} minutes one after the other" +
            (f"; none is begun that would not end within {minutes:g}" if minutes else ""))
    started = time.monotonic()
    skipped = []
    try:
        with Crew(timing, programs, options.traces, say) as crew:
            beside, results.data["control_difference"] = decide_side_by_side(crew, options, jobs)
            skipped = crew.run_all(jobs, beside, minutes and started + minutes * 60,
                                   lambda unit, run, found: keep(results, unit, run, found), results.undecided)
    except KeyboardInterrupt:
        say("\ninterrupted; what is done is kept")
        report(results, options)
        say(f"go on with: --resume {results.path}")
        return 130
    for unit, run in skipped:
        say(f"{unit.name}, run {run}: left out, no time for it in {minutes:g} minutes")
    say(f"{(time.monotonic() - started) / 60:.1f} minutes")
    return report(results, options)


def keep(results, unit, run, found):
    results.keep(unit, run, found)
    if "error" in found:
        say(f"    {unit.name} #{run}: STOPPED: {found['error']}")


def main():
    options = arguments()
    timing = TIMINGS[options.depth]
    if options.worker:
        work(options.worker, options.depth, options.run, options.build.resolve(), options.traces)
        return 0
    units = choose(options.only, timing)
    if not units:
        print(f"nothing is named like {options.only!r}; see --list", file=sys.stderr)
        return 64
    if options.list:
        list_units(units, timing, options.runs)
        return 0
    try:
        return measure(options, timing, units)
    except ResultsError as error:
        print(f"./dev bench bonding: {error}", file=sys.stderr)
        return 64


if __name__ == "__main__":
    sys.exit(main())
