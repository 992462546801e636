"""Experiment `lossless`: trained float32 weights kept as they are, ours against general compressors."""

import lzma
import time

import numpy

import chart
import machine
import models
import ours
import place
import process
import report

PACKAGES = ["zstandard", "brotli", "numpy"]
RUNS = 3


def compressors():
    """Name, compress, decompress."""
    found = []
    if machine.version("zstandard"):
        import zstandard

        for level in (3, 19):
            packer, unpacker = zstandard.ZstdCompressor(level=level), zstandard.ZstdDecompressor()
            found.append((f"zstd -{level}", packer.compress, unpacker.decompress))
    found.append(("xz -9e", lambda data: lzma.compress(data, preset=9 | lzma.PRESET_EXTREME), lzma.decompress))
    if machine.version("brotli"):
        import brotli

        found.append(("brotli -11", lambda data: brotli.compress(data, quality=11, lgwin=24), brotli.decompress))
    return found


def planes(data):
    """The first bytes of all elements, then the second ones, and so on."""
    return numpy.frombuffer(data, numpy.uint8).reshape(-1, 4).T.tobytes()


def elements(data):
    """The inverse of `planes`."""
    return numpy.frombuffer(data, numpy.uint8).reshape(4, -1).T.tobytes()


def timed(compress, decompress, data):
    """Bytes, and the median processor seconds of either way; checked by decoding."""
    packing, unpacking = [], []
    for _ in range(RUNS):
        start = time.process_time()
        packed = compress(data)
        middle = time.process_time()
        back = decompress(packed)
        packing.append(middle - start)
        unpacking.append(time.process_time() - middle)
        if back != data:
            raise ValueError("expected what was compressed, found something else")
    return len(packed), process.median(packing), process.median(unpacking)


def own(path):
    """Our whole program from file to file: bytes of the whole container, processor seconds of either way."""
    kept, decoded = place.WORK / "lossless.qsz", place.WORK / "lossless.safetensors"
    packing = [process.measured(ours.compress(path, kept, ours.KEEP))["cpu_seconds"] for _ in range(RUNS)]
    unpacking = [process.measured(ours.decode(kept, decoded))["cpu_seconds"] for _ in range(RUNS)]
    return kept.stat().st_size, process.median(packing), process.median(unpacking)


def measure(path, data):
    """Name of the method to bytes and seconds, on one file."""
    found = {}
    for name, compress, decompress in compressors():
        found[name] = timed(compress, decompress, data)
        split = lambda data, compress=compress: compress(planes(data))
        joined = lambda packed, decompress=decompress: elements(decompress(packed))
        found[f"{name}, byte planes"] = timed(split, joined, data)
    try:
        found["ours"] = own(path)
    except process.Failed as error:
        report.say(f"  ours: {error}; skipped")
    for name, (size, packing, _) in found.items():
        report.say(f"  {name}: ratio {len(data) / size:.4f}, {packing:.3f} s")
    return found


def draw(results, methods):
    """Bytes of every method on every file."""
    series = []
    for name, (size, found) in results.items():
        points = [(100 * found[method][0] / size, row) for row, method in enumerate(methods)]
        series.append(chart.Series(name, points))
    across = chart.spanning([a for one in series for a, _ in one.points], "bytes left, % of the raw float32 elements")
    chart.draw(place.FIGURES / "peers-lossless.svg", "Float32 weights without loss", across,
               chart.Axis("method", -0.6, len(methods) - 0.4, rows=methods), series)


def run():
    """Runs every file; returns the section of docs/benchmarks.md."""
    results = {}
    for name, path in models.present():
        report.say(f" {name}")
        data = b"".join(array.astype("<f4").tobytes() for array in models.tensors(path).values())
        results[name] = len(data), measure(path, data)
    if not results:
        return None
    methods = list(dict.fromkeys(method for _, found in results.values() for method in found))
    total = sum(size for size, _ in results.values())
    lines, ratios = [], {}
    for method in methods:
        of = [(size, found[method]) for size, found in results.values() if method in found]
        if len(of) < len(results):
            continue
        speed = lambda which: report.significant(total / sum(one[which] for _, one in of) / 1e6)
        ratios[method] = total / sum(one[0] for _, one in of)
        lines.append([method, *(f"{size / one[0]:.3f}" for size, one in of), f"{ratios[method]:.3f}", speed(1), speed(2)])
    draw(results, list(reversed(ratios)))
    parts = ["![bytes left by every method](figures/peers-lossless.svg)",
             report.table(["", *results, "all", "compress, MB/s", "decompress, MB/s"], lines)]
    theirs = [name for name in ratios if name != "ours"]
    if "ours" in ratios:
        best = max(theirs, key=ratios.get)
        parts.append(f"- Over all files ours is {100 * (ratios[best] / ratios['ours'] - 1):+.1f} % in bytes against {best}, the "
                     "best of the others.")
    else:
        parts.append("The program of this run refuses a file with nothing to quantize: ours is missing from the table.")
    parts.append(f"xz is Python's lzma. {machine.provenance(PACKAGES)}")
    return "\n\n".join(parts)
