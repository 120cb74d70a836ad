"""The table at the end, for people and as Markdown. Pure: results in, text out."""

import statistics

from .acceptance import best_plus_half, best_single, get, ratio, total
from .arena import settings_text
from .scenarios import SCENARIOS


def median(values):
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def mbit(values):
    value = median(values)
    return "-" if value is None else f"{value / 1e6:.1f}"


def share(values):
    value = median(values)
    return "-" if value is None else f"{value:.3f}"


def ms(values):
    value = median(values)
    return "-" if value is None else f"{value:.0f}"


def each(founds, cell):
    """The medians of every line's rate, as "96.3 + 96.2"."""
    count = max((len(found.get(cell) or []) for found in founds), default=0)
    return " + ".join(mbit([get(found, cell, i, "bps") for found in founds]) for i in range(count)) or "-"


PAIR_HEADERS = ("pair", "lines", "bare, 1 CUBIC", "through mwtun, alone", "all lines", "of the bare sum",
                "of the singles' sum", "of the best alone", "of best + ½ other", "ping idle p99",
                "ping loaded p50 / p99", "retransmitted", "runs")


def pair_rows(runs):
    """One row a pair of lines: one CUBIC flow down; Mbit/s, ms."""
    rows = []
    for scenario in SCENARIOS:
        founds = [found for found in runs.get(scenario.name, []) if get(found, "bond", 0, "bps")]
        if not founds:
            continue
        bond = [get(found, "bond", 0, "bps") for found in founds]

        def of(base, founds=founds):
            return share([ratio(get(found, "bond", 0, "bps"), base(found)) for found in founds])
        rows.append((
            scenario.name, str(scenario), each(founds, "bare"), each(founds, "single"), mbit(bond),
            of(lambda found: total(found.get("bare"))), of(lambda found: total(found.get("single"))),
            of(best_single), of(best_plus_half),
            ms([get(found, "bond_idle", 0, "p99_ms") for found in founds]),
            ms([get(found, "bond", 0, "ping", "p50_ms") for found in founds]) + " / " +
            ms([get(found, "bond", 0, "ping", "p99_ms") for found in founds]),
            f"{median([get(found, 'bond', 0, 'retransmits') for found in founds]):.0f}", str(len(founds))))
    return rows


ACCEPTANCE_HEADERS = ("", "what", "measured", "asked", "", "runs")


def acceptance_rows(rows):
    return [(row.group, row.what, row.value if row.value is not None else "not measured", row.bound, row.verdict(),
             str(row.runs) + (f"; {row.note}" if row.note else "")) for row in rows]


def plain_table(headers, rows):
    widths = [max(len(str(row[i])) for row in [headers, *rows]) for i in range(len(headers))]
    return "\n".join("  ".join(str(cell).ljust(width) for cell, width in zip(row, widths)).rstrip()
                     for row in [headers, *rows])


def markdown_table(headers, rows):
    lines = ["| " + " | ".join(headers) + " |", "|" + "---|" * len(headers)]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows])


def counts_text(rows):
    passed, short = (sum(row.ok is verdict for row in rows) for verdict in (True, False))
    words = f"{passed} of {passed + short} points are met"
    if short:
        words += f", {short} fall short"
    missing = sum(row.ok is None for row in rows)
    return words + (f", {missing} not measured" if missing else "")


def text_report(rows, runs, errors):
    parts = []
    pairs = pair_rows(runs)
    if pairs:
        parts.append("One CUBIC flow down (Mbit/s, ms, medians):\n\n" + plain_table(PAIR_HEADERS, pairs))
    if rows:
        parts.append(plain_table(ACCEPTANCE_HEADERS, acceptance_rows(rows)))
    parts += [f"{name}, run {run}, stopped: {text}" for name, run, text in errors]
    parts.append(counts_text(rows))
    return "\n\n".join(parts)


def markdown_report(result, rows, runs, errors, charts):
    machine = result["machine"]
    lines = [
        "## Bonding", "",
        f"`./dev bench bonding{' --full' if result['depth'] == 'full' else ''}`: emulated lines (`bench/linkem`), "
        "each bare, each alone through mwtun, and all of them through mwtun, in one world and in turn. "
        f"{machine['date']}, {machine['cores']} cores of {machine['processor']}, Linux {machine['kernel']}; "
        f"medians of {result['runs']} runs. Rates are of IP packets, delays one-way, buffers 200 ms. "
        f"Bare and inner TCP alike, CUBIC unless BBR is named: {settings_text()}.", ""]
    pairs = pair_rows(runs)
    if pairs:
        lines += ["One CUBIC flow down, in Mbit/s; pings 100 a second beside it, in ms:", "",
                  markdown_table(PAIR_HEADERS, pairs), ""]
    if rows:
        lines += [counts_text(rows) + ":", "", markdown_table(ACCEPTANCE_HEADERS, acceptance_rows(rows)), ""]
    if errors:
        lines += ["Runs that stopped:", ""] + [f"- {name}, run {run}: {text.splitlines()[0]}"
                                               for name, run, text in errors] + [""]
    if charts:
        lines += ["Charts of the first runs: " + ", ".join(f"[{name}]({path})" for name, path in charts) + ".", ""]
    return "\n".join(lines)
