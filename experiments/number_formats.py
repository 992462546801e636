#!/usr/bin/env python3
"""Our number formats and block layouts beside independent ones: ml_dtypes (floats), gguf (ggml's blocks), softposit (posits).

    cargo build --release --example number_formats
    experiments/number_formats.py [PROGRAM [layouts]]    PROGRAM: target/release/examples/number_formats; `layouts` alone are compared then

Needs the pins of requirements-formats.txt. Every format is compared on all of its codes, and on 10^6 float32 with random bits, 10^6 of
magnitudes around the format's own, and all numbers half way between two values with their neighbours, to the last bit (NaN alike). Where ml_dtypes makes a
number beyond the largest value NaN, ours is the largest value: that is the difference that is allowed for. Layouts are packed as ggml packs them, and decoded by gguf;
their errors stand beside those of ggml's quantizers: gguf's, or those of the library in pywhispercpp, on seeded weights and on LeNet and stories260K of ../shared/data or QUANTSCOPE_DATA.
Prints a line for each, with the peers' digests of codes and of rounded numbers that src/number_format/peers.rs holds; ends with 1 if one differs.
"""

import ctypes
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import zipfile

import ml_dtypes
import numpy as np
from gguf import GGML_QUANT_SIZES
from gguf import GGMLQuantizationType as Ggml
from gguf import quants

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/release/examples/number_formats"
DATA = pathlib.Path(os.environ.get("QUANTSCOPE_DATA", ROOT / "../shared/data"))

FLOATS = {
    "e4m3": ml_dtypes.float8_e4m3fn,
    "e5m2": ml_dtypes.float8_e5m2,
    "e3m4": ml_dtypes.float8_e3m4,
    "e4m3:ieee": ml_dtypes.float8_e4m3,
    "e4m3fnuz": ml_dtypes.float8_e4m3fnuz,
    "e5m2fnuz": ml_dtypes.float8_e5m2fnuz,
    "e4m3fnuz:bias=11": ml_dtypes.float8_e4m3b11fnuz,
    "e2m3": ml_dtypes.float6_e2m3fn,
    "e3m2": ml_dtypes.float6_e3m2fn,
    "e2m1": ml_dtypes.float4_e2m1fn,
    "bf16": ml_dtypes.bfloat16,
    "fp16": np.float16,
}
BITS = {"e2m3": 6, "e3m2": 6, "e2m1": 4, "bf16": 16, "fp16": 16}


def ours(*arguments, numbers=b""):
    return subprocess.run([PROGRAM, *arguments], input=bytes(numbers), stdout=subprocess.PIPE, check=True).stdout


def floats(data):
    return np.frombuffer(data, "<f4")


def same(a, b):
    return (a.view("<u4") == b.view("<u4")) | np.isnan(a) & np.isnan(b)


def stream(count):
    """The low halves of the SplitMix64 stream of seed 0 (src/random.rs), as float32, without NaN."""
    with np.errstate(over="ignore"):
        z = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        numbers = ((z ^ z >> np.uint64(31)) & np.uint64(0xFFFFFFFF)).astype("<u4").view("<f4")
    return numbers[~np.isnan(numbers)]


def digest(numbers):
    """The start of SHA-256, every NaN being the same."""
    return hashlib.sha256(np.where(np.isnan(numbers), np.float32(np.nan), numbers).astype("<f4").tobytes()).hexdigest()[:16]


def numbers_for(values):
    """Numbers of all kinds, of the format's size, and half way between values."""
    random = np.random.Generator(np.random.PCG64(12))
    bits = random.integers(0, 1 << 32, 10**6, dtype=np.uint32).view("<f4")
    finite = np.unique(values[np.isfinite(values)]).astype(np.float64)
    largest, smallest = finite[-1], finite[finite > 0][0]
    exponents = random.uniform(np.log2(smallest) - 3, min(np.log2(largest) + 2, 127.9), 10**6)
    signs = random.choice([-1.0, 1.0], 10**6)
    near = (signs * 2**exponents).astype("<f4")
    middle = ((finite[1:] + finite[:-1]) / 2).astype("<f4")
    ties = np.concatenate([np.nextafter(middle, np.float32(-np.inf)), middle, np.nextafter(middle, np.float32(np.inf))])
    return np.concatenate([bits[~np.isnan(bits)], near, ties, values[np.isfinite(values)]]).astype("<f4")


def compare_float(name, dtype):
    bits = BITS.get(name, 8)
    codes = np.arange(1 << bits, dtype=np.uint16 if bits == 16 else np.uint8)
    theirs = codes.view(dtype).astype("<f4")
    found = floats(ours("values", name))
    wrong = np.count_nonzero(~same(found, theirs))
    numbers = numbers_for(theirs)
    with np.errstate(over="ignore", invalid="ignore"):
        expected = numbers.astype(dtype).astype("<f4")
    rounded = floats(ours("round", name, numbers=numbers.tobytes()))
    largest = np.nanmax(np.where(np.isfinite(theirs), theirs, np.nan))
    beyond = np.isnan(expected)
    expected = np.where(beyond, np.copysign(largest, numbers), expected).astype("<f4")
    differ = np.count_nonzero(~same(rounded, expected))
    numbers = stream(1 << 17)
    with np.errstate(over="ignore", invalid="ignore"):
        peer = numbers.astype(dtype).astype("<f4")
    peer = np.where(np.isnan(peer), np.copysign(largest, numbers), peer)
    print(f"{name:18} codes {len(codes):6} differ {wrong}; numbers {len(expected):8} differ {differ}, {np.count_nonzero(beyond)} saturated; {digest(theirs)} {digest(peer)}")
    return wrong + differ == 0


def posits():
    try:
        import softposit
    except ImportError:
        print("posits: softposit is not installed")
        return True
    good = True
    for name, bits, of in [("posit8-0", 8, softposit.posit8), ("posit16-1", 16, softposit.posit16)]:
        values = floats(ours("values", name))

        def theirs(number, of=of):
            return float(of(float(number)))

        codes = np.array([float(of(bits=code)) for code in range(1 << bits)], "<f4")
        wrong = np.count_nonzero(~(same(values, codes) | np.isnan(values)))
        numbers = numbers_for(values)[-200_000:]
        expected = np.array([theirs(number) for number in numbers], "<f4")
        found = floats(ours("round", name, numbers=numbers.tobytes()))
        differ = np.count_nonzero(found != expected)
        peer = np.array([theirs(number) for number in stream(1 << 17) if np.isfinite(number)], "<f4")
        print(f"{name:18} codes {1 << bits:6} differ {wrong}; numbers {len(numbers):8} differ {differ}; {digest(values)} {digest(peer)}")
        good &= wrong + differ == 0
    return good


def halves(values):
    return values.astype("<u2").tobytes()


def nibbles(symbols):
    return (symbols[:, :16] | symbols[:, 16:] << 4).astype(np.uint8)


def fifths(symbols):
    bits = (symbols >> 4 & 1).astype(np.uint32)
    words = (bits << np.arange(32, dtype=np.uint32)).sum(axis=1, dtype=np.uint32)
    return words.astype("<u4").view(np.uint8).reshape(-1, 4)


def fields(numbers, bits, run):
    """Numbers of a row each in so many bits, in runs of bytes: the lowest bits of a run are as many numbers in a row, and so on."""
    per_byte = 8 // bits
    parts = numbers.reshape(len(numbers), -1, per_byte, run).astype(np.uint8)
    packed = sum(parts[:, :, i] << (i * bits) for i in range(per_byte))
    return packed.astype(np.uint8).reshape(len(numbers), -1)


def packed_super_blocks(name, symbols, stored):
    """Super-blocks of 256 as ggml lays them out."""
    symbols, has_minima = symbols.reshape(-1, 256), name in ("q2_k", "q4_k", "q5_k")
    count, own = len(symbols), 8 if name in ("q4_k", "q5_k") else 16
    integers = stored[:count * own * (1 + has_minima)].reshape(-1, own)
    halves = np.ascontiguousarray(stored[integers.size:].reshape(2, -1).T)
    scales, minima, d, m = integers[:count], integers[count:], halves[:count], halves[count:].copy()
    m[:, 1:] ^= 0x80  # What is taken off, not added.
    if name == "q2_k":
        parts = [scales | minima << 4, fields(symbols, 2, 32), d, m]
    elif name == "q3_k":
        parts = [fields(symbols >> 2, 1, 32), fields(symbols & 3, 2, 32), fields(scales & 15, 4, 8), fields(scales >> 4, 2, 4), d]
    elif name == "q6_k":
        parts = [fields(symbols & 15, 4, 64), fields(symbols >> 4, 2, 32), scales ^ 0x80, d]
    else:
        first = [numbers[:, :4] | numbers[:, 4:] >> 4 << 6 for numbers in (scales, minima)]
        parts = [d, m, *first, scales[:, 4:] & 15 | minima[:, 4:] << 4]
        parts += [fields(symbols >> 4, 1, 32)] if name == "q5_k" else []
        parts.append(fields(symbols & 15, 4, 32))
    return np.concatenate([part.astype(np.uint8) for part in parts], axis=1)


def packed(name, symbols, scales):
    """Blocks as ggml lays them out."""
    if name.endswith("_k"):
        return packed_super_blocks(name, symbols, scales)
    symbols = symbols.reshape(-1, 32)
    count = len(symbols)
    if name == "mxfp4":
        order = np.array([15, 14, 13, 12, 11, 10, 9, 0, 1, 2, 3, 4, 5, 6, 7], np.uint16)
        return np.concatenate([scales.reshape(-1, 1), nibbles(order[symbols])], axis=1)
    stored = scales.reshape(-1, 2)
    scale, minimum = stored[:count], stored[count:]
    if name == "q8_0":
        return np.concatenate([scale, (symbols.astype(np.int16) - 127).astype(np.int8).view(np.uint8)], axis=1)
    if name in ("q4_0", "iq4_nl"):
        return np.concatenate([scale, nibbles(symbols)], axis=1)
    if name == "q4_1":
        return np.concatenate([scale, minimum, nibbles(symbols)], axis=1)
    low = nibbles(symbols & 15)
    return np.concatenate([scale, fifths(symbols), low] if name == "q5_0" else [scale, minimum, fifths(symbols), low], axis=1)


def ggml_quantized(weights, kind):
    """Weights as ggml's own library quantizes them, without an importance matrix, and gguf decodes them; none where there is no library."""
    try:
        return quants.dequantize(quants.quantize(weights.reshape(1, -1), kind), kind).reshape(-1)
    except NotImplementedError:
        pass
    try:
        import _pywhispercpp
    except ImportError:
        return None
    library = ctypes.CDLL(str(next(pathlib.Path(_pywhispercpp.__file__).parent.glob("libggml-base.so"))))
    per_block, size = GGML_QUANT_SIZES[kind]
    blocks = np.zeros((len(weights) // per_block, size), np.uint8)
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    library.ggml_quantize_chunk.argtypes = [ctypes.c_int, pointer, pointer, number, number, number, pointer]
    library.ggml_quantize_chunk(int(kind), weights.ctypes.data, blocks.ctypes.data, 0, 1, len(weights), None)
    return quants.dequantize(blocks, kind).reshape(-1)


def networks():
    """Names and weights: seeded ones, and those of trained networks in a row, as many as fill super-blocks."""
    weights = np.random.Generator(np.random.PCG64(3)).standard_normal(1 << 18).astype("<f4") * np.float32(0.05)
    weights[::977] *= 12
    yield "seeded", weights
    lenet, stories = DATA / "lenet/lenet.safetensors", DATA / "stories260K/stories260K_tied_zip.pt"
    if lenet.exists():
        data = lenet.read_bytes()
        start = 8 + int.from_bytes(data[:8], "little")
        spans = [tensor["data_offsets"] for name, tensor in json.loads(data[8:start]).items() if name.endswith("weight")]
        yield "LeNet", whole(b"".join(data[start + first:start + end] for first, end in spans))
    if stories.exists():
        with zipfile.ZipFile(stories) as archive:
            names = sorted(item.filename for item in archive.infolist() if "/data/" in item.filename and item.file_size > 4096)
            yield "stories260K", whole(b"".join(archive.read(name) for name in names))


def whole(data):
    numbers = np.frombuffer(data, "<f4")
    return numbers[:len(numbers) // 256 * 256].copy()


def compare_layout(name, kind, weights):
    good, errors = True, []
    for fit in ("largest", "squared"):
        data = ours("blocks", name, fit, numbers=weights.tobytes())
        n = len(weights)
        values, symbols = floats(data[:4 * n]), np.frombuffer(data[4 * n:6 * n], "<u2")
        blocks = packed(name, symbols, np.frombuffer(data[6 * n:], np.uint8))
        decoded = quants.dequantize(blocks, kind).reshape(-1).astype("<f4")
        good &= bool(np.all(values == decoded))
        errors.append(float(np.sum((values.astype(np.float64) - weights) ** 2)))
    theirs = ggml_quantized(weights, kind)
    if theirs is None:
        shown = f"error squared over largest {errors[1] / errors[0]:.5f}; nothing of ggml that quantizes it"
    else:
        peer = float(np.sum((theirs.astype(np.float64) - weights) ** 2))
        signal = float(np.sum(weights.astype(np.float64) ** 2))
        db = [f"{10 * np.log10(signal / error):.2f}" for error in (peer, *errors)]
        shown = f"error over ggml's: largest {errors[0] / peer:.5f}, squared {errors[1] / peer:.5f}; SQNR of ggml, largest, squared {' '.join(db)} dB"
    print(f"{name:18} decoded by gguf: {'the same' if good else 'DIFFERENT'}; {shown}")
    return good


def main():
    good = True
    if sys.argv[2:] != ["layouts"]:
        good = all([compare_float(name, dtype) for name, dtype in FLOATS.items()])
        good &= posits()
    names = ["q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl", "mxfp4", "q6_k", "q5_k", "q4_k", "q3_k", "q2_k"]
    for network, weights in networks():
        print(f"{network}, {len(weights)} weights")
        good &= all([compare_layout(name, Ggml[name.upper()], weights) for name in names])
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
