"""Experiment `coders`: entropy coders on the same symbols, the indices of a k-means codebook of a real tensor."""

import heapq
import json
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

PACKAGES = ["constriction", "zstandard", "brotli", "numpy"]
# File of models.FILES, levels: the largest tensor of each.
CASES = [("LeNet", 64), ("ResNet-32", 64), ("silero", 256)]
RUNS = 5


def entropy_bits(counts):
    """Order-0 entropy of all symbols together."""
    counts = counts[counts > 0].astype(numpy.float64)
    return float(-(counts * numpy.log2(counts / counts.sum())).sum())


def huffman_bits(counts):
    """Bits of an optimal prefix code: the sum of the weights of the tree's inner nodes (Huffman 1952)."""
    heap = [int(count) for count in counts if count > 0]
    heapq.heapify(heap)
    total = 0
    while len(heap) > 1:
        merged = heapq.heappop(heap) + heapq.heappop(heap)
        total += merged
        heapq.heappush(heap, merged)
    return total


def byte_coders():
    """Byte compressors at their strongest usual setting: name, encode, decode."""
    found = [("xz -9e", lambda data: lzma.compress(data, preset=9 | lzma.PRESET_EXTREME), lzma.decompress)]
    if machine.version("zstandard"):
        import zstandard

        packer, unpacker = zstandard.ZstdCompressor(level=19), zstandard.ZstdDecompressor()
        found.append(("zstd -19", packer.compress, unpacker.decompress))
    if machine.version("brotli"):
        import brotli

        found.append(("brotli -11", lambda data: brotli.compress(data, quality=11, lgwin=24), brotli.decompress))
    return found


def model_coders(counts):
    """constriction's coders with the counts as model, which the decoder is given for nothing: name, encode, decode."""
    if not machine.version("constriction"):
        return []
    import constriction

    stream = constriction.stream
    model = stream.model.Categorical(counts / counts.sum(), perfect=False)

    def range_encode(symbols):
        coder = stream.queue.RangeEncoder()
        coder.encode(symbols, model)
        return coder.get_compressed()

    def ans_encode(symbols):
        coder = stream.stack.AnsCoder()
        coder.encode_reverse(symbols, model)
        return coder.get_compressed()

    return [
        ("constriction range", range_encode, lambda words, n: stream.queue.RangeDecoder(words).decode(model, n)),
        ("constriction ANS", ans_encode, lambda words, n: stream.stack.AnsCoder(words).decode(model, n)),
    ]


def timed(encode, decode, source):
    """What is encoded, and the median seconds of either way; checked by decoding."""
    encoding, decoding = [], []
    for _ in range(RUNS):
        start = time.process_time()
        coded = encode(source)
        middle = time.process_time()
        back = decode(coded)
        encoding.append(middle - start)
        decoding.append(time.process_time() - middle)
        same = back == source if isinstance(source, bytes) else numpy.array_equal(back, source)
        if not same:
            raise ValueError("expected what was encoded, found something else")
    return coded, process.median(encoding), process.median(decoding)


def quantized(tensor, k):
    """Our four files of one tensor, and the symbols that they hold."""
    source, decoded = place.WORK / "coders.safetensors", place.WORK / "coders.npz"
    models.write_safetensors(source, {"weight": tensor})
    files = {}
    for coder in ours.CODERS:
        files[coder] = place.WORK / f"coders-{coder}.qsz"
        process.run(ours.compress(source, files[coder], [*ours.kmeans(k, None, False), "--coder", coder]))
    process.run(ours.decode(files[ours.CODERS[0]], decoded))
    levels, symbols = numpy.unique(models.arrays(decoded)["weight"], return_inverse=True)
    return files, symbols.ravel().astype(numpy.uint8), len(levels)


def compare(name, path, k):
    """One tensor: its title, and a line per coder: name, bits of payload, bits of tables, seconds of either way."""
    tensors = models.tensors(path)
    title, tensor = max(tensors.items(), key=lambda item: item[1].size)
    files, symbols, levels = quantized(tensor, k)
    counts = numpy.bincount(symbols, minlength=levels).astype(numpy.float64)
    lines = [("order-0 entropy", entropy_bits(counts), None, None, None),
             ("Huffman, ideal", huffman_bits(counts), None, None, None)]
    data = symbols.tobytes()
    for coder, encode, decode in byte_coders():
        coded, encoding, decoding = timed(encode, decode, data)
        lines.append((coder, 8 * len(coded), 0, encoding, decoding))
    words = symbols.astype(numpy.int32)
    for coder, encode, decode in model_coders(counts):
        coded, encoding, decoding = timed(encode, lambda coded, decode=decode: decode(coded, len(words)), words)
        lines.append((coder, 8 * coded.nbytes, None, encoding, decoding))
    for coder, file in files.items():
        found = json.loads(process.run([place.CODERS_BENCH, file, RUNS]))
        seconds = found["encode_seconds"], found["decode_seconds"]
        lines.append((f"ours, {coder}", found["value_bits"], found["table_bits"], *seconds))
    shape = " × ".join(str(size) for size in tensor.shape)
    for line in lines:
        report.say(f"  {line[0]}: {line[1] / len(symbols):.4f} bits")
    return f"{name} `{title}`, {shape}, k = {k}", len(symbols), lines


def row(count, line):
    """A coder's line of a table."""
    coder, bits, tables, encoding, decoding = line
    rate = lambda seconds: report.significant(count / seconds / 1e6) if seconds else "–"
    held = "–" if tables is None else report.grouped(tables / 8)
    total = f"{(bits + (tables or 0)) / count:.4f}"
    return [coder, report.grouped(bits / 8), held, total, rate(encoding), rate(decoding)]


def draw(results):
    """Bytes of every coder against the order-0 entropy of the symbols."""
    rows = [line[0] for line in reversed(results[0][2]) if line[0] != "order-0 entropy"]
    series = []
    for title, _, lines in results:
        entropy = lines[0][1]
        points = [(100 * ((line[1] + (line[2] or 0)) / entropy - 1), rows.index(line[0])) for line in lines[1:]]
        series.append(chart.Series(title.split(",")[0].replace("`", ""), points))
    across = chart.spanning([a for one in series for a, _ in one.points], "bytes against the order-0 entropy, %")
    chart.draw(place.FIGURES / "peers-coders.svg", "Entropy coders on the same symbols, tables included", across,
               chart.Axis("coder", -0.6, len(rows) - 0.4, rows=rows), series)


def run():
    """Runs both tensors; returns the section of docs/benchmarks.md."""
    files = dict(models.present())
    results = [compare(name, files[name], k) for name, k in CASES if name in files]
    if not results:
        return None
    draw(results)
    head = ["", "payload bytes", "table bytes", "bits per symbol", "encode, M/s", "decode, M/s"]
    parts = []
    for title, count, some in results:
        total = {line[0]: line[1] + (line[2] or 0) for line in some}
        bounds = ("order-0 entropy", "Huffman, ideal")
        least = min((name for name in total if name not in bounds and not name.startswith("ours")), key=total.get)
        against = lambda name: f"{100 * (total['ours, context'] / total[name] - 1):+.1f} %"
        parts += [f"**{title}**", report.table(head, [row(count, line) for line in some]),
                  f"Ours in context: {against(least)} in bytes against {least}, the best of the others, and "
                  f"{against(bounds[0])} against the order-0 entropy."]
    return "\n\n".join([
        "![bytes of every coder against the order-0 entropy](figures/peers-coders.svg)",
        *parts,
        f"xz is Python's lzma. {machine.provenance(PACKAGES)}",
    ])
