"""Stacks, as perf script tells them, as a flame graph: an SVG file that any browser shows."""

import html
import re
import zlib

WIDTH, ROW, FONT = 1400, 17, 12
SHARE_MIN = 0.001


class Node:
    def __init__(self):
        self.count, self.children = 0, {}

    def add(self, stack):
        self.count += 1
        if stack:
            self.children.setdefault(stack[0], Node()).add(stack[1:])

    def depth(self):
        return 1 + max((child.depth() for child in self.children.values()), default=0)


def read(text):
    """The tree of all stacks in perf script's output, the outermost function first."""
    root, stack, comm = Node(), [], None
    for line in [*text.splitlines(), ""]:
        if not line.strip():
            if comm:
                root.add([comm, *reversed(stack)])
            stack, comm = [], None
        elif not line[0].isspace():
            comm = line.split()[0]
        else:
            found = re.match(r"\s+[0-9a-f]+ (.*?)(?:\+0x[0-9a-f]+)? \((.*)\)$", line)
            name = found.group(1) if found else "?"
            stack.append(re.sub(r"\(.*", "", name.replace("(anonymous namespace)::", "")) or "?")
    return root


def svg(root, title):
    height = (root.depth() + 2) * ROW
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
             f'font-family="monospace" font-size="{FONT}">',
             f'<text x="4" y="{FONT + 2}">{html.escape(title)}: {root.count} samples</text>']

    def draw(node, x, level):
        for name, child in sorted(node.children.items()):
            width = WIDTH * child.count / root.count
            if width >= WIDTH * SHARE_MIN:
                # The same function has the same colour in every graph.
                hue = zlib.crc32(name.encode()) % 60
                share = f"{name} ({100 * child.count / root.count:.1f} %)"
                y = height - (level + 1) * ROW
                parts.append(f'<g><title>{html.escape(share)}</title><rect x="{x:.1f}" y="{y}" '
                             f'width="{width:.1f}" height="{ROW - 1}" fill="hsl({hue},80%,62%)"/>')
                room = int(width / (FONT * 0.62))
                if room > 3:
                    said = name if len(name) <= room else name[:room - 1] + "…"
                    parts.append(f'<text x="{x + 2:.1f}" y="{y + FONT}">{html.escape(said)}</text>')
                parts.append("</g>")
                draw(child, x, level + 1)
            x += width

    draw(root, 0, 0)
    return "\n".join([*parts, "</svg>", ""])


def hottest(root, count=25):
    """(share, function) of what was itself at work, not what it called."""
    own = {}

    def walk(node, name):
        rest = node.count - sum(child.count for child in node.children.values())
        own[name] = own.get(name, 0) + rest
        for child_name, child in node.children.items():
            walk(child, child_name)

    walk(root, "")
    return sorted(((value / root.count, name) for name, value in own.items()), reverse=True)[:count]
