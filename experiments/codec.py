"""Experiment `codec`: whole files at equal distortion, ours against NNCodec."""

import csv
import hashlib
import json
import math
from dataclasses import dataclass

import numpy

import chart
import machine
import models
import ours
import place
import process
import report

DECIBELS = [10, 13, 16, 19, 22, 25, 28, 32]
# Beyond these nothing is compared.
RANGE = (8.0, 34.0)


def sqnr_db(weights, found):
    """10·log10(Σw² / Σ(w − ŵ)²) in float64 over the tensors of rank 2 and more: the one judge of both."""
    power = error = 0.0
    for name, array in weights.items():
        if array.ndim < 2:
            continue
        exact = array.astype(numpy.float64)
        power += float((exact**2).sum())
        error += float(((exact - found[name].astype(numpy.float64)) ** 2).sum())
    return 10 * math.log10(power / error) if error > 0 else math.inf


def peer(path, tensors):
    """NNCodec's curves; kept between runs, since the same version on the same weights gives the same bytes."""
    import nncodec_peer

    key = hashlib.sha256(path.read_bytes())
    key.update(nncodec_peer.__spec__.loader.get_data(nncodec_peer.__file__))
    key.update(machine.version("nncodec").encode())
    cache = place.WORK / f"nncodec-{key.hexdigest()[:16]}.json"
    if not cache.exists():
        cache.write_text(json.dumps(nncodec_peer.sweep(tensors, sqnr_db)))
    return json.loads(cache.read_text())


def own(path, tensors):
    """Our curves: bytes of the whole file, distortion of what comes out of it again."""
    compressed, decoded = place.WORK / "codec.qsz", place.WORK / "codec.npz"
    known = ours.methods()
    curves = []
    for setting in ours.CODEC:
        if setting.method not in known:
            report.say(f"  ours has no method {setting.method} yet, skipped")
            continue
        points = []
        for step in ours.CODEC_STEPS:
            try:
                process.run(ours.compress(path, compressed, setting.at(step)))
            except process.Failed as error:
                report.say(f"  {setting.title}, step {step:.3g}: {error}")
                continue
            process.run(ours.decode(compressed, decoded))
            with numpy.load(decoded, allow_pickle=False) as found:
                decibels = sqnr_db(tensors, found)
            points.append((decibels, compressed.stat().st_size))
            if decibels < RANGE[0]:
                break
        curves.append((setting.title, points))
    return curves


def bytes_at(curves, decibels):
    """The fewest bytes at this distortion, and whose: log-linear between neighbouring points of one curve."""
    best = None
    for title, points in curves:
        for (one, size), (other, next_size) in zip(points, points[1:]):
            low, high = min(one, other), max(one, other)
            if low <= decibels <= high and high > low:
                share = (decibels - one) / (other - one)
                found = math.exp(math.log(size) + share * math.log(next_size / size))
                best = min(best or (found, title), (found, title))
    return best


def draw_ratios(results):
    """Ours over NNCodec's bytes against distortion, a line per file."""
    series = [chart.Series(name, [(point.decibels, point.ratio) for point in points if point.ratio], line=True)
              for name, points in results.items()]
    ratios = [b for one in series for _, b in one.points]
    chart.draw(place.FIGURES / "peers-codec.svg", "Bytes of Quantscope over bytes of NNCodec at equal distortion",
               chart.Axis("SQNR, dB", RANGE[0], RANGE[1]), chart.spanning([1.0, *ratios], "ours / NNCodec"), series)


def slug_of(name):
    """A name as it stands in files' names."""
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower()).replace("--", "-")


def draw(name, count, peers, mine):
    """The lower envelopes of both, as bits per weight against decibels."""
    series = []
    for title, curves in (("Quantscope, whole file", mine), ("NNCodec, payloads alone", peers)):
        steps = [RANGE[0] + i * 0.5 for i in range(int(2 * (RANGE[1] - RANGE[0])) + 1)]
        envelope = [(bytes_at(curves, step), step) for step in steps]
        series.append(chart.Series(title, [(8 * best[0] / count, step) for best, step in envelope if best], line=True))
    path = place.FIGURES / f"peers-codec-{slug_of(name)}.svg"
    bits = [a for one in series for a, _ in one.points]
    chart.draw(path, f"{name}: size against distortion", chart.spanning(bits, "bits per weight of rank 2 and more"),
               chart.Axis("SQNR, dB", RANGE[0], RANGE[1]), series)
    return path


@dataclass
class Point:
    """Both codecs at one distortion; each side is (bytes, setting), or nothing where it does not reach."""

    file: str
    decibels: int
    count: int
    peer: tuple
    own: tuple

    @property
    def ratio(self):
        return self.own[0] / self.peer[0] if self.own and self.peer else None

    def record(self):
        """A line of the .csv."""
        sides = [(round(side[0]), round(8 * side[0] / self.count, 4), side[1]) if side else ("", "", "")
                 for side in (self.peer, self.own)]
        return [self.file, self.decibels, *sides[0], *sides[1], round(self.ratio, 4) if self.ratio else ""]


def compare(name, path, drawn=True):
    """One file: a point per distortion, and the chart if it is wanted."""
    tensors = models.tensors(path)
    count = sum(array.size for array in tensors.values() if array.ndim >= 2)
    peers, mine = peer(path, tensors), own(path, tensors)
    points = [Point(name, at, count, bytes_at(peers, at), bytes_at(mine, at)) for at in DECIBELS]
    report.say(f" {name}: ours / NNCodec " + ", ".join(f"{one.ratio:.4f}" if one.ratio else "–" for one in points))
    return points, draw(name, count, peers, mine) if drawn else None


def without_vectors(name, path):
    """The file's tensors of rank 2 and more, as a file of their own."""
    found = place.WORK / f"{slug_of(name)}-matrices.npz"
    numpy.savez(found, **{key: array for key, array in models.tensors(path).items() if array.ndim >= 2})
    return found


def run():
    """Runs every file; returns the section of docs/benchmarks.md."""
    if machine.version("nncodec") is None:
        report.say(" nncodec is not installed")
        return None
    results, alone, figures = {}, {}, []
    for name, path in models.present():
        results[name], figure = compare(name, path)
        figures.append(f"![{name}](figures/{figure.name})")
        alone[name] = compare(f"{name}, matrices and kernels alone", without_vectors(name, path), drawn=False)[0]
    every = [point for points in results.values() for point in points]
    ratios = [point.ratio for point in every if point.ratio]
    if not ratios:
        return None
    head = ["file", "dB", "NNCodec bytes", "NNCodec bits per weight", "NNCodec setting", "ours bytes", "ours bits per weight",
            "ours setting", "ours / NNCodec"]
    with open(place.FIGURES / "peers-codec.csv", "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([head, *(point.record() for point in every)])

    draw_ratios(results)
    cell = lambda point: f"{point.ratio:.3f}" if point.ratio else "–"
    lines = [[name, *map(cell, points)] for name, points in results.items()]
    mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
    smaller = sum(ratio < 1 for ratio in ratios)
    commands = [f"`{' '.join(('compress FILE', *setting.flags, '--method', setting.method, '--' + setting.swept, 'S'))}`"
                for setting in ours.CODEC if setting.method in ours.methods()]
    return "\n\n".join([
        "Bytes of ours over bytes of NNCodec at equal SQNR; below 1, ours is smaller.",
        report.table(["", *(f"{at} dB" for at in DECIBELS)], lines),
        "The same without the tensors of rank 1, in either: what is left are matrices and kernels alone.",
        report.table(["", *(f"{at} dB" for at in DECIBELS)],
                     [[name, *map(cell, points)] for name, points in alone.items()]),
        f"Ours is smaller at {smaller} of {len(ratios)} points, and {100 * (mean - 1):+.1f} % on geometric average. Ours: "
        f"{', '.join(commands)}{', the best at each distortion' if len(commands) > 1 else ''}. Bytes, bits per weight and the best "
        "setting of either: [peers-codec.csv](figures/peers-codec.csv).",
        "\n".join(["![ours over NNCodec](figures/peers-codec.svg)", *figures]),
        machine.provenance(["nncodec", "numpy"]),
    ])
