"""Tables, and the places in docs/benchmarks.md where they belong."""

import re
import sys

import place


def say(text):
    print(f"experiments: {text}", file=sys.stderr, flush=True)


def table(head, rows):
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def significant(value, digits=3):
    """A number with this many significant digits and no exponent."""
    if value == 0:
        return "0"
    exponent = int(f"{value:.{digits - 1}e}".split("e")[1])
    return f"{value:.{max(0, digits - 1 - exponent)}f}"


def grouped(value):
    """A whole number in groups of three digits."""
    return f"{round(value):,}".replace(",", " ")


def write_section(name, text):
    """Replaces what stands between the markers of an experiment."""
    page = place.BENCHMARKS.read_text()
    start, end = f"<!-- experiments:{name} -->", f"<!-- /experiments:{name} -->"
    pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
    if len(pattern.findall(page)) != 1:
        sys.exit(f"experiments: {place.BENCHMARKS}: expected one pair of {start} and {end}")
    place.BENCHMARKS.write_text(pattern.sub(lambda _: f"{start}\n\n{text.strip()}\n\n{end}", page))
    say(f"{name}: written into {place.BENCHMARKS.relative_to(place.ROOT)}")
