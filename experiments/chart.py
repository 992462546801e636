"""Charts as SVG: points or lines over a linear or logarithmic x axis, and a linear y axis or rows with names."""

import math
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

COLOURS = ["#0a67c2", "#c2410c", "#2f7d32", "#7b3fb5", "#a16207", "#0f766e", "#be185d", "#475569", "#64748b", "#1e293b"]
FONT = 'font-family="system-ui, sans-serif" font-size="12"'
INK, GRID = "#1f2933", "#e2e6eb"
WIDTH = 900


@dataclass
class Series:
    """Points of one colour; `labels` stand beside them, `line` joins them."""

    title: str
    points: list
    line: bool = False
    labels: list = field(default_factory=list)


@dataclass
class Axis:
    """A title, the range, and either a scale or the names of rows."""

    title: str
    low: float
    high: float
    log: bool = False
    rows: list = field(default_factory=list)

    def share(self, value):
        """Where a value lies between the ends, 0 to 1."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self):
        """Values to label, with their labels."""
        if self.rows:
            return [(float(row), name) for row, name in enumerate(self.rows)]
        if self.log:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            values = [digit * 10.0**decade for decade in decades for digit in (1, 3)]
        else:
            step = self.step()
            values = [step * i for i in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]
        inside = [value for value in values if self.low <= value <= self.high * (1 + 1e-9)]
        return [(value, f"{value:g}") for value in inside]

    def step(self):
        """A round distance that gives five to ten ticks."""
        rough = (self.high - self.low) / 7
        scale = 10.0 ** math.floor(math.log10(rough))
        return min((factor * scale for factor in (1, 2, 5, 10)), key=lambda step: abs(math.log(step / rough)))


def spanning(values, title, log=False, margin=0.06):
    """An axis that holds all of the values with some room."""
    low, high = min(values), max(values)
    if log:
        room = (high / low) ** margin
        return Axis(title, low / room, high * room, log=True)
    room = (high - low) * margin or 1.0
    return Axis(title, low - room, high + room)


def legend(series, left, right):
    """Where the names of several series go, row by row; nothing for one."""
    places, at, row = [], left, 40
    for one in series if len(series) > 1 else []:
        width = 34 + 6.8 * len(one.title)
        if at + width > right and at > left:
            at, row = left, row + 20
        places.append((at, row))
        at += width
    return places


def draw(path, title, x, y, series, height=460):
    """Writes the chart; a description in words goes with it for those who cannot see it."""
    left = 30 + (7 * max(len(name) for name in y.rows) if y.rows else 40)
    right, bottom = WIDTH - 24, height - 52
    names = legend(series, left, right)
    top = 64 + (names[-1][1] - 40 if names else 0)
    across = lambda value: left + x.share(value) * (right - left)
    down = lambda value: bottom - y.share(value) * (bottom - top)
    text = lambda at, words, anchor="middle", more="": (
        f'<text x="{at[0]:.1f}" y="{at[1]:.1f}" text-anchor="{anchor}" fill="{INK}" {FONT}{more}>{escape(words)}</text>')
    rule = lambda a, b: f'<line x1="{a[0]:.1f}" y1="{a[1]:.1f}" x2="{b[0]:.1f}" y2="{b[1]:.1f}" stroke="{GRID}"/>'

    parts = []
    for value, label in x.ticks():
        parts += [rule((across(value), top), (across(value), bottom)), text((across(value), bottom + 18), label)]
    for value, label in y.ticks():
        parts += [rule((left, down(value)), (right, down(value))), text((left - 8, down(value) + 4), label, "end")]
    parts.append(text(((left + right) / 2, height - 12), x.title))
    if not y.rows:
        middle = (top + bottom) / 2
        parts.append(text((16, middle), y.title, more=f' transform="rotate(-90 16 {middle:.1f})"'))
    parts.append(text((left, 20), title, "start", ' font-weight="600"'))

    for index, one in enumerate(series):
        colour = COLOURS[index % len(COLOURS)]
        places = [(across(a), down(b)) for a, b in one.points]
        if one.line:
            joined = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
            parts.append(f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="2"/>')
        size = 2.5 if one.line else 5
        parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="{size}" fill="{colour}"/>' for a, b in places]
        parts += [text((a + 8, b + 4), label, "start") for (a, b), label in zip(places, one.labels)]
        if names:
            (a, b) = names[index]
            parts.append(f'<circle cx="{a + 5:.1f}" cy="{b}" r="5" fill="{colour}"/>')
            parts.append(text((a + 15, b + 4), one.title, "start"))

    spans = [f"{one.title}: {len(one.points)} points, x from {min(a for a, _ in one.points):.4g} to "
             f"{max(a for a, _ in one.points):.4g}." for one in series if one.points]
    words = escape(f"{x.title} against {y.title}. {' '.join(spans)}")
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'role="img" aria-labelledby="title description">\n<title id="title">{escape(title)}</title>\n'
        f'<desc id="description">{words}</desc>\n<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>\n'
        + "\n".join(parts) + "\n</svg>\n")
