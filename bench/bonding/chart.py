"""SVG charts of a run's course, by hand: throughput above, ping below. Pure: figures in, text out."""

from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT = 900, 64, 190
TOP, PLOT_HEIGHT, PING_HEIGHT, BETWEEN, BOTTOM = 58, 230, 110, 46, 40
TICK_S = 0.1
LINE_COLOURS = ("#2a78d6", "#d97706", "#2f9e63", "#a14fb8")
TOGETHER = "#111827"
GRID, TEXT, FAINT = "#e3e6ea", "#30363d", "#6b7280"


class Series:
    def __init__(self, name, values, colour, width=1.4, dash=""):
        self.name, self.values, self.colour, self.width, self.dash = name, values, colour, width, dash


def nice_steps(top):
    """(step, end) of an axis from 0 that holds `top` with four to eight steps."""
    step = 1.0
    while step * 8 < top:
        step *= 10
    for factor in (0.1, 0.2, 0.5, 1):
        if top <= step * factor * 8:
            step *= factor
            break
    return step, step * max(1, -(-top // step))


class Plot:
    """One panel: seconds along, a figure up."""

    def __init__(self, y, height, seconds, series, title, unit):
        self.y, self.height, self.seconds, self.series = y, height, seconds, series
        known = [value for one in series for value in one.values if value is not None]
        self.step, self.end = nice_steps(max(known, default=1) or 1)
        self.title, self.unit = title, unit

    def x_of(self, second):
        return LEFT + (WIDTH - LEFT - RIGHT) * second / self.seconds

    def y_of(self, value):
        return self.y + self.height * (1 - value / self.end)

    def parts(self):
        yield (f'<text x="{LEFT}" y="{self.y - 10}" fill="{TEXT}" font-weight="600">{escape(self.title)}'
               f'<tspan fill="{FAINT}" font-weight="400">, {escape(self.unit)}</tspan></text>')
        for index in range(round(self.end / self.step) + 1):
            value = index * self.step
            y = self.y_of(value)
            yield f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="{GRID}"/>'
            yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" fill="{FAINT}">{value:g}</text>'
        for one in self.series:
            dash = f' stroke-dasharray="{one.dash}"' if one.dash else ""
            yield (f'<path d="{self._path(one.values)}" fill="none" stroke="{one.colour}" '
                   f'stroke-width="{one.width}" stroke-linejoin="round"{dash}/>')

    def _path(self, values):
        words, pen_down = [], False
        for index, value in enumerate(values):
            if value is None:
                pen_down = False
                continue
            words.append(f"{'L' if pen_down else 'M'}{self.x_of((index + 0.5) * TICK_S):.1f} {self.y_of(value):.1f}")
            pen_down = True
        return "".join(words)


def legend(series, y):
    for index, one in enumerate(series):
        at = y + 18 * index
        dash = f' stroke-dasharray="{one.dash}"' if one.dash else ""
        yield (f'<path d="M{WIDTH - RIGHT + 14} {at - 4}h22" stroke="{one.colour}" '
               f'stroke-width="{max(one.width, 1.8)}"{dash}/>')
        yield f'<text x="{WIDTH - RIGHT + 42}" y="{at}" fill="{TEXT}">{escape(one.name)}</text>'


def smooth(values, over=3):
    """A moving mean, since a tenth of a second of TCP is ragged."""
    known = [0.0 if value is None else value for value in values]
    return [sum(known[max(0, i - over // 2):i + over // 2 + 1]) / len(known[max(0, i - over // 2):i + over // 2 + 1])
            for i in range(len(known))]


def chart(title, about, throughput, ping, events=()):
    """`events`: (second, words). The text of an SVG file."""
    seconds = max((len(one.values) for one in throughput + ping), default=10) * TICK_S
    upper = Plot(TOP + 20, PLOT_HEIGHT, seconds, throughput, "Throughput", "Mbit/s, each 100 ms")
    plots, end_y = [upper], upper.y + PLOT_HEIGHT
    if ping:
        plots.append(Plot(end_y + BETWEEN, PING_HEIGHT, seconds, ping, "Ping beside it",
                          "ms, the worst of each 100 ms"))
        end_y += BETWEEN + PING_HEIGHT
    height = end_y + BOTTOM
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
             f'height="{height}" font-family="system-ui,sans-serif" font-size="12">',
             f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
             f'<text x="{LEFT}" y="26" font-size="17" font-weight="600" fill="{TEXT}">{escape(title)}</text>',
             f'<text x="{LEFT}" y="45" fill="{FAINT}">{escape(about)}</text>']
    for second, words in events:
        x = upper.x_of(second)
        parts.append(f'<path d="M{x:.1f} {upper.y}V{end_y}" stroke="#b42318" stroke-dasharray="3 3"/>')
        parts.append(f'<text x="{x + 4:.1f}" y="{upper.y + 12}" fill="#b42318">{escape(words)}</text>')
    for plot in plots:
        parts += plot.parts()
        parts += legend(plot.series, plot.y + 10)
    step, _ = nice_steps(seconds)
    for index in range(int(seconds / step) + 1):
        second = index * step
        parts.append(f'<text x="{upper.x_of(second):.1f}" y="{end_y + 18}" text-anchor="middle" '
                     f'fill="{FAINT}">{second:g} s</text>')
    return "\n".join(parts) + "\n</svg>\n"


def pair_chart(scenario, found):
    """Of one run of a pair of lines, or None where it kept no courses."""
    together = (found.get("bond") or [{}])[0]
    if "mbit_series" not in together:
        return None
    throughput = [Series("mwtun, all lines", smooth(together["mbit_series"]), TOGETHER, 2.4)]
    ping = [Series("mwtun, all lines", together["ping_series"], TOGETHER, 1.8)]
    for kind, words, dash in (("single", "mwtun, line {} alone", ""), ("bare", "line {} bare", "5 4")):
        for index, one in enumerate(found.get(kind) or []):
            if "mbit_series" in one:
                colour = LINE_COLOURS[index % len(LINE_COLOURS)]
                throughput.append(Series(words.format(index + 1), smooth(one["mbit_series"]), colour, 1.3, dash))
                if kind == "single":
                    ping.append(Series(words.format(index + 1), one["ping_series"], colour, 1.1))
    return chart(scenario.name, f"{scenario}; one CUBIC flow down", throughput, ping)


def fault_chart(fault, found):
    """Of one run of a fault: of its part that kept courses, or None."""
    parts = [found, found.get("bbr") or {}, *(found.get("cases") or [])]
    kept = next((part for part in parts if isinstance(part, dict) and part.get("series")), None)
    if kept is None:
        return None
    colours = (TOGETHER, *LINE_COLOURS)
    throughput = [Series(name, values if name == "capacity" else smooth(values), colours[index], 2.0 - 0.4 * index)
                  for index, (name, values) in enumerate(kept["series"].items())]
    ping = [Series("ping", kept["ping_series"], TOGETHER, 1.4)] if kept.get("ping_series") else []
    return chart(fault.name, str(fault), throughput, ping, kept.get("events", ()))
