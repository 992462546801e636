"""Experiment `kmeans`: one-dimensional k-means on seeded Laplace weights, ours and six libraries."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy

import chart
import machine
import models
import ours
import place
import process
import report

CPU_SECONDS = 150
MIB = 1 << 20

PACKAGES = ["scikit-learn", "kmeans1d", "ckwrap", "flash1dkmeans", "faiss-cpu", "coremltools", "numpy", "numba"]
# Tool, package, whether it claims the optimum of what it is given, whether it takes importance or only goes without.
PEERS = [
    ("scikit-learn", "scikit-learn", False, (False, True)),
    ("kmeans1d", "kmeans1d", True, (False,)),
    ("ckwrap", "ckwrap", True, (False, True)),
    ("flash1dkmeans", "flash1dkmeans", False, (False, True)),
    ("faiss-cpu", "faiss-cpu", False, (False, True)),
    ("coremltools fp16", "coremltools", False, (False,)),
    ("coremltools weighted", "coremltools", True, (True,)),
]
CELLS, CERTIFIED = "ours, cells", "ours, certified"
PROGRAM, PROGRAM_CERTIFIED = "ours, whole program", "ours, whole program, certified"


@dataclass(frozen=True)
class Case:
    """A problem: number of weights, number of levels, with importance or without."""

    count: int
    k: int
    weighted: bool

    @property
    def title(self):
        exponent = len(str(self.count)) - 1
        return f"n = 10^{exponent}, k = {self.k}" + (", weighted" if self.weighted else "")


CASES = [
    Case(10**6, 16, False),
    Case(10**6, 16, True),
    Case(10**6, 256, False),
    Case(10**6, 256, True),
    Case(10**7, 16, True),
]


@dataclass
class Result:
    """Medians over the runs of one tool on one case."""

    tool: str
    exact: bool
    runs: int
    seconds: float
    peak_bytes: float
    error: float = None
    note: str = None


@dataclass
class Data:
    """The same weights in the forms that the tools read."""

    values: numpy.ndarray
    importance: numpy.ndarray
    files: tuple


def generate(count):
    """Laplace weights of scale 0.02 and gamma importance of shape 1/2, float32, from seed 0."""
    random = numpy.random.default_rng(0)
    values = random.laplace(0.0, 0.02, count).astype(numpy.float32)
    importance = random.gamma(0.5, 1.0, count).astype(numpy.float32)
    names = [f"laplace-{count}.f32", f"gamma-{count}.f32", f"laplace-{count}.safetensors", f"gamma-{count}.safetensors"]
    files = tuple(place.WORK / name for name in names)
    values.tofile(files[0])
    importance.tofile(files[1])
    models.write_safetensors(files[2], {"weight": values})
    models.write_safetensors(files[3], {"weight": importance})
    return Data(values, importance, files)


def squared_error(values, importance, centres):
    """Σ h·(w − c(w))² in float64, c(w) being the nearest centre: the one judge of all."""
    centres = numpy.unique(numpy.asarray(centres, dtype=numpy.float64))
    middles = (centres[1:] + centres[:-1]) / 2
    total = 0.0
    for start in range(0, len(values), 1 << 20):
        part = values[start : start + (1 << 20)].astype(numpy.float64)
        error = (part - centres[numpy.searchsorted(middles, part)]) ** 2
        total += float(error.sum() if importance is None else
                       (error * importance[start : start + (1 << 20)].astype(numpy.float64)).sum())
    return total


def peer(tool, case, data):
    """One run of a peer: seconds of solving, peak memory, centres."""
    centres = place.WORK / "centres.npy"
    centres.unlink(missing_ok=True)
    importance = data.files[1] if case.weighted else "-"
    script = Path(__file__).with_name("kmeans_peer.py")
    command = [sys.executable, script, tool, case.k, data.files[0], importance, centres, CPU_SECONDS]
    run = process.measured(command, CPU_SECONDS)
    if run["stopped"]:
        return run["stopped"], run["peak_bytes"], None
    return json.loads(run["out"])["seconds"], run["peak_bytes"], numpy.load(centres)


def solver(precision, case, data):
    """One run of the library by itself: seconds of histogram and solution, peak memory, centres."""
    importance = data.files[1] if case.weighted else "-"
    run = process.measured([place.KMEANS_BENCH, data.files[0], importance, case.k, precision])
    found = json.loads(run["out"])
    return found["seconds"]["all"], run["peak_bytes"], numpy.array(found["centres"])


def program(certified, case, data):
    """One run of the native program from file to file: reading, importance, solving, coding, writing."""
    compressed, decoded = place.WORK / "kmeans.qsz", place.WORK / "kmeans.npz"
    flags = ours.kmeans(case.k, data.files[3] if case.weighted else None, certified)
    run = process.measured(ours.compress(data.files[2], compressed, flags))
    process.run(ours.decode(compressed, decoded))
    return run["cpu_seconds"], run["peak_bytes"], numpy.unique(models.arrays(decoded)["weight"])


def result(tool, exact, once, case, data):
    """Medians of several runs, judged by one function."""
    try:
        runs = process.repeated(once, lambda run: CPU_SECONDS if isinstance(run[0], str) else run[0])
    except process.Failed as error:
        report.say(f"  {tool}: {error}")
        return None
    peak = process.median([run[1] for run in runs])
    if isinstance(runs[0][0], str):
        limit = f"over {CPU_SECONDS} s" if runs[0][0] == "time" else "over 8 GB"
        report.say(f"  {tool}: {limit}")
        return Result(tool, exact, len(runs), None, peak, note=limit)
    error = squared_error(data.values, data.importance if case.weighted else None, runs[-1][2])
    seconds = process.median([run[0] for run in runs])
    report.say(f"  {tool}: {seconds:.4g} s, {peak / MIB:.0f} MiB, SSE {error:.6g}, {len(runs)} runs")
    return Result(tool, exact, len(runs), seconds, peak, error)


def compare(case, data):
    """Every tool that can do a case."""
    report.say(f" {case.title}")
    tried = [
        (CELLS, True, lambda: solver("cells", case, data)),
        (CERTIFIED, True, lambda: solver("certified", case, data)),
        (PROGRAM, True, lambda: program(False, case, data)),
        (PROGRAM_CERTIFIED, True, lambda: program(True, case, data)),
    ]
    for tool, package, exact, kinds in PEERS:
        if case.weighted not in kinds:
            continue
        if machine.version(package) is None:
            report.say(f"  {tool}: not installed, skipped")
            continue
        tried.append((tool, exact, lambda tool=tool: peer(tool, case, data)))
    results = [result(tool, exact, once, case, data) for tool, exact, once in tried]
    return [one for one in results if one]


def rows(results):
    """The lines of a case's table; our solver on cells is the unit of time."""
    least = min(one.error for one in results if one.error is not None)
    unit = next(one.seconds for one in results if one.tool == CELLS)
    for one in results:
        measured = one.error is not None
        excess = 100 * (one.error / least - 1) if measured else 0.0
        yield [
            one.tool + (", exact" if one.exact and not one.tool.startswith("ours") else ""),
            report.significant(one.seconds) if measured else one.note,
            f"{report.significant(one.seconds / unit)} ×" if measured else "–",
            report.grouped(one.peak_bytes / MIB),
            report.significant(one.error, 6) if measured else "–",
            f"{excess:.{4 if excess < 1 else 1}f} %" if measured else "–",
            one.runs,
        ]


def verdict(results):
    """The comparison with the fastest peer that claims the optimum, in one sentence."""
    exact = [one for one in results if one.exact and one.seconds and not one.tool.startswith("ours")]
    if not exact:
        return None
    best = min(exact, key=lambda one: one.seconds)
    mine = {one.tool: one for one in results}
    told = []
    for name, words in ((CELLS, "the solver on cells"), (CERTIFIED, "certified"), (PROGRAM, "the whole program")):
        if name not in mine:
            continue
        times, less = best.seconds / mine[name].seconds, best.peak_bytes / mine[name].peak_bytes
        told.append(f"{words} {report.significant(times)} × faster in 1/{report.significant(less)} of the memory at "
                    f"{100 * (mine[name].error / best.error - 1):+.4f} % error")
    return f"Against {best.tool}, the fastest exact peer: {'; '.join(told)}."


def draw(everything):
    """Seconds of every tool on every case."""
    tools = list(reversed(list(dict.fromkeys(one.tool for _, results in everything for one in results))))
    series = []
    for case, results in everything:
        timed = [one for one in results if one.seconds]
        series.append(chart.Series(case.title, [(one.seconds, tools.index(one.tool)) for one in timed]))
    seconds = [a for one in series for a, _ in one.points]
    rows_axis = chart.Axis("tool", -0.6, len(tools) - 0.4, rows=tools)
    chart.draw(place.FIGURES / "peers-kmeans.svg", "One-dimensional k-means: processor seconds, one thread",
               chart.spanning(seconds, "seconds (logarithmic)", log=True), rows_axis, series, height=480)


def section(everything):
    """What docs/benchmarks.md says of all cases."""
    head = ["", "seconds", "against ours", "peak MiB", "SSE", "above the least", "runs"]
    parts = ["![seconds of every tool on every case](figures/peers-kmeans.svg)"]
    for case, results in everything:
        parts += [f"**{case.title}**", report.table(head, rows(results)), verdict(results)]
    return "\n\n".join([part for part in parts if part] + [machine.provenance(PACKAGES)])


def run():
    """Runs every case; returns the section of docs/benchmarks.md."""
    everything, data = [], None
    for case in CASES:
        if data is None or len(data.values) != case.count:
            data = None
            data = generate(case.count)
        everything.append((case, compare(case, data)))
    draw(everything)
    return section(everything)
