"""Experiment `runtime`: what networks compute after compression with no flag, in ONNX Runtime, which shares no code with ours."""

import gzip
import json
import math
import os
from pathlib import Path

import numpy

import machine
import ours
import place
import process
import report

PACKAGES = ["onnxruntime", "numpy"]
SAMPLES = 256
# Extents tried where a graph leaves them open, until the network runs: pictures, texts, sounds.
SIZES = [64, 32, 224, 96, 16, 512, 640]
# Of a side of a picture in colours.
SIDE = 320
# At least this much of the answer is what it was, in decibels, or this share of the decisions, or shares moved by no more than this.
GOOD_DB, GOOD_AGREEMENT, GOOD_MOVE = 20, 0.99, 0.02


def digits(name):
    with numpy.load(place.ROOT / "www" / "samples" / name) as file:
        return file["x"][:SAMPLES].astype("<f4") / 255


def mnist(scale):
    path = place.DATA / "mnist_test" / "t10k-images-idx3-ubyte.gz"
    pixels = numpy.frombuffer(gzip.decompress(path.read_bytes()), numpy.uint8, offset=16)
    return pixels.reshape(-1, 1, 28, 28)[:SAMPLES].astype("<f4") / scale


def cifar():
    with numpy.load(place.DATA / "resnet32" / "cifar10_test1000.npz") as file:
        pixels = file["x"][:SAMPLES].astype("<f4") / 255
    mean, deviation = numpy.float32([0.485, 0.456, 0.406]), numpy.float32([0.229, 0.224, 0.225])
    return ((pixels - mean) / deviation).transpose(0, 3, 1, 2)


def networks():
    """Name, file, and real samples where there are some."""
    samples = place.ROOT / "www" / "samples"
    for name, data in [("lenet", "digits-28.npz"), ("resnet", "digits-8.npz"), ("lstm", "digits-8.npz"), ("transformer", "digits-8.npz")]:
        yield f"sample {name}", samples / f"{name}.onnx", lambda data=data: digits(data)
    yield "LeNet", place.DATA / "lenet" / "lenet.onnx", lambda: mnist(256)
    yield "ResNet-32", place.DATA / "resnet32" / "resnet32.onnx", cifar
    yield "silero", place.DATA / "silero" / "silero_vad_16k_op15.onnx", None
    yield "mnist-external", place.DATA / "onnx_external" / "mnist-external" / "mnist.onnx", lambda: mnist(255)
    more = os.environ.get("QUANTSCOPE_NETWORKS")
    for path in sorted(Path(more).glob("**/*.onnx")) if more else []:
        yield f"{path.parent.name}/{path.stem}", path, None


def session(path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def strokes(shape, random):
    """Pages with rows of dark strokes as letters have them, normalised as networks for pictures mostly want it: samples × 3 × height × width."""
    count, _, height, width = shape
    pages = numpy.full((count, height, width), 0.9, numpy.float32)
    for page in pages:
        for top in range(8, height - 28, 34):
            left = int(random.integers(4, width // 4 + 5))
            while left < width - 16:
                for _ in range(3):
                    x, y = left + int(random.integers(0, 9)), top + int(random.integers(0, 12))
                    page[y : y + (12 if random.random() < 0.6 else 2), x : x + (2 if random.random() < 0.6 else 8)] = 0.1
                left += 13 if random.random() < 0.85 else 24
    return numpy.repeat(((pages - 0.5) / 0.5)[:, None], 3, axis=1)


def made_up(inputs, size, seed):
    """Inputs of the types and shapes that the graph declares, from a fixed seed; what is open is `size`, of what counts samples 4."""
    random = numpy.random.default_rng(seed)
    found = {}
    for one in inputs:
        is_picture = len(one.shape) == 4 and one.shape[1] == 3
        extent = SIDE if is_picture and size == SIZES[0] else size
        shape = [d if isinstance(d, int) and d > 0 else (4 if at == 0 or d == "batch" else extent) for at, d in enumerate(one.shape)]
        if is_picture and min(shape[2:]) >= 48:
            found[one.name] = strokes(shape, random)
        elif "state" in one.name:
            found[one.name] = numpy.zeros(shape, numpy.float32)
        elif "float" in one.type:
            kind = numpy.float16 if "16" in one.type else numpy.float32
            found[one.name] = (0.5 * random.standard_normal(shape)).astype(kind)
        elif not shape:
            found[one.name] = numpy.array(16000, numpy.int64)
        elif "mask" in one.name:
            found[one.name] = numpy.ones(shape, numpy.int64)
        else:
            kind = {"tensor(int32)": numpy.int32, "tensor(bool)": bool}.get(one.type, numpy.int64)
            found[one.name] = random.integers(0, 2 if "type" in one.name else 100, shape).astype(kind)
    return found


def sets(float_session, samples):
    """Sets of inputs that the float network runs on."""
    inputs = float_session.get_inputs()
    if samples is not None:
        single = inputs[0].shape[0] == 1
        data = samples()
        batches = numpy.split(data, len(data)) if single else [data]
        return "real", [{inputs[0].name: batch} for batch in batches]
    for size in SIZES:
        try:
            tried = [made_up(inputs, size, seed) for seed in range(4)]
            for one in tried:
                float_session.run(None, one)
            return "made up", tried
        except Exception:  # what ONNX Runtime says of a shape that does not fit has no type of its own
            continue
    raise process.Failed("no inputs could be made up for it")


def decided(answers):
    """What answers decide: the largest score, or the side of one half of a single share; pictures bear scores along the second axis."""
    scores = numpy.moveaxis(answers, 1, -1) if answers.ndim > 3 else answers
    if scores.shape[-1] > 1:
        return scores.argmax(-1).ravel()
    return (scores > 0.5).ravel() if is_share(answers) else numpy.zeros(0, int)


def is_share(answers):
    return bool(((answers >= 0) & (answers <= 1)).all())


def compare(float_session, decoded_session, inputs):
    """Of the first output, which is the answer: its SQNR in decibels, how many decisions stay, how far a share moved; and whether all
    numbers of all outputs are finite. Decisions that are all the same, and shares of other outputs, tell nothing."""
    finite, then, now = True, [], []
    for one in inputs:
        before, after = float_session.run(None, one), decoded_session.run(None, one)
        for a, b in zip(before, after):
            if a.dtype.kind == "f":
                finite &= bool(numpy.isfinite(b[numpy.isfinite(a)]).all())
        first = next(at for at, answer in enumerate(before) if answer.dtype.kind == "f")
        then.append(before[first].astype("f8"))
        now.append(after[first].astype("f8"))
    values = numpy.concatenate([a.ravel() for a in then])
    known = numpy.isfinite(values)
    error = (values - numpy.concatenate([b.ravel() for b in now]))[known]
    sqnr = 10 * math.log10((values[known] ** 2).sum() / (error**2).sum()) if error.any() else math.inf
    before, after = (numpy.concatenate([decided(one) for one in side]) for side in [then, now])
    agreement = (before == after).mean() if len(set(before.tolist())) > 1 else None
    return sqnr, agreement, abs(error).max() if is_share(values[known]) else None, finite


def files_of(path):
    """A network and what lies beside it for it."""
    beside = sorted(path.parent.glob(path.name + "*data*"))
    return [path, *beside]


def measure(name, path, samples):
    """A row of the table."""
    folder = place.WORK / "runtime"
    folder.mkdir(exist_ok=True)
    packed, decoded = folder / f"{path.stem}.qsz", folder / f"{path.stem}.onnx"
    for old in [packed, decoded]:
        old.unlink(missing_ok=True)
    told = json.loads(process.run([place.QUANTSCOPE, "compress", path, "-o", packed, "--quiet", "--json"]))
    process.run([place.QUANTSCOPE, "decode", packed, "-o", decoded, "--template", path, "--quiet"])
    before = session(path)
    kind, inputs = sets(before, samples)
    sqnr, agreement, moved, finite = compare(before, session(decoded), inputs)
    bytes_before, bytes_after = sum(file.stat().st_size for file in files_of(path)), packed.stat().st_size
    is_close = agreement is None and moved is not None and moved <= GOOD_MOVE
    good = finite and (sqnr >= GOOD_DB or (agreement or 0) >= GOOD_AGREEMENT or is_close)
    # Where most of a file is in no .qsz, what is held is what became smaller.
    held = told["outcome"]["covered_bytes"]
    whole = bytes_before if held > bytes_before / 2 else held
    row = [name, report.grouped(bytes_before), report.grouped(held), report.grouped(bytes_after), f"{whole / bytes_after:.2f}", kind,
           "yes" if finite else "**no**", f"{sqnr:.1f} dB", "" if agreement is None else f"{100 * agreement:.2f} %", "" if moved is None else f"{moved:.3f}",
           "yes" if good else "**no**"]
    report.say("  " + ", ".join(row))
    return row


def run():
    """Runs every network; returns the section of docs/benchmarks.md."""
    if not machine.version("onnxruntime"):
        report.say("onnxruntime is not installed: skipped")
        return None
    rows = []
    for name, path, samples in networks():
        if not path.exists():
            report.say(f"{name}: no {path}, skipped")
            continue
        report.say(f" {name}")
        try:
            rows.append(measure(name, path, samples))
        except process.Failed as error:
            report.say(f"  {error}")
            rows.append([name, *["—"] * 9, f"**no**: {error}"])
    head = ["network", "file, bytes", "held of it", ".qsz, bytes", "times smaller", "inputs", "finite", "SQNR of the answer", "same decision", "a share moved by", "works"]
    return "\n\n".join([report.table(head, rows), machine.provenance(PACKAGES)])
