#!/usr/bin/env python3
"""Random blocks of every quantized type of ggml, and what llama.cpp's own Python package makes of them.

    experiments/gguf_blocks.py            digests of the decoded blocks, as src/formats/codec/tests.rs holds them
    experiments/gguf_blocks.py grids OUT  the packed grids of the IQ types, which are src/formats/codec/grids.bin

Needs numpy and gguf (`pip install numpy==2.4.6 gguf==0.19.0`, which the held digests were made with). Types that the package cannot
decode (Q8_1, Q8_K, Q1_0, Q2_0) are decoded by the formulas of ggml-quants.c below.

The bytes of a type are those of a xorshift generator (Marsaglia, 2003; 13, 7, 17) that starts at 0x9e3779b97f4a7c15 xor the type's
number: 256 blocks, a byte a step, bits 32 to 39 of the state after it. The highest exponent bit of every floating-point scale is
then cleared, so that none is infinite or no number. A digest is the CRC-32 of the elements as little-endian float32.
"""

import sys
import zlib

import numpy as np
from gguf import quants

BLOCKS = 256
MASK = (1 << 64) - 1

# Name: number, elements, bytes, the bytes of a block that hold the exponents of scales.
TYPES = {
    "Q4_0": (2, 32, 18, [1]),
    "Q4_1": (3, 32, 20, [1, 3]),
    "Q5_0": (6, 32, 22, [1]),
    "Q5_1": (7, 32, 24, [1, 3]),
    "Q8_0": (8, 32, 34, [1]),
    "Q8_1": (9, 32, 36, [1, 3]),
    "Q2_K": (10, 256, 84, [81, 83]),
    "Q3_K": (11, 256, 110, [109]),
    "Q4_K": (12, 256, 144, [1, 3]),
    "Q5_K": (13, 256, 176, [1, 3]),
    "Q6_K": (14, 256, 210, [209]),
    "Q8_K": (15, 256, 292, [3]),
    "IQ2_XXS": (16, 256, 66, [1]),
    "IQ2_XS": (17, 256, 74, [1]),
    "IQ3_XXS": (18, 256, 98, [1]),
    "IQ1_S": (19, 256, 50, [1]),
    "IQ4_NL": (20, 32, 18, [1]),
    "IQ3_S": (21, 256, 110, [1]),
    "IQ2_S": (22, 256, 82, [1]),
    "IQ4_XS": (23, 256, 136, [1]),
    "IQ1_M": (29, 256, 56, [55]),
    "TQ1_0": (34, 256, 54, [53]),
    "TQ2_0": (35, 256, 66, [65]),
    "MXFP4": (39, 32, 17, []),
    "NVFP4": (40, 64, 36, []),
    "Q1_0": (41, 128, 18, [1]),
    "Q2_0": (42, 64, 18, [1]),
}


def random_blocks(number, size, exponents):
    state = 0x9E3779B97F4A7C15 ^ number
    out = bytearray()
    for _ in range(BLOCKS * size):
        state ^= state << 13 & MASK
        state ^= state >> 7
        state ^= state << 17 & MASK
        out.append(state >> 32 & 255)
    blocks = np.frombuffer(bytes(out), np.uint8).reshape(BLOCKS, size).copy()
    for at in exponents:
        blocks[:, at] &= 0xBF
    return blocks


def half(blocks):
    return np.ascontiguousarray(blocks[:, :2]).view(np.float16).astype(np.float32)


def fields(blocks, bits):
    """Fields of so many bits, neighbours in a byte, the lowest first."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    return (blocks[:, 2:, None] >> shifts & ((1 << bits) - 1)).reshape(len(blocks), -1).astype(np.float32)


OWN = {
    "Q8_1": lambda b: half(b) * b[:, 4:].view(np.int8).astype(np.float32),
    "Q8_K": lambda b: np.ascontiguousarray(b[:, :4]).view(np.float32) * b[:, 4:260].view(np.int8).astype(np.float32),
    "Q1_0": lambda b: half(b) * (2 * fields(b, 1) - 1),
    "Q2_0": lambda b: half(b) * (fields(b, 2) - 1),
}


def digests():
    for name, (number, elements, size, exponents) in TYPES.items():
        blocks = random_blocks(number, size, exponents)
        if name in OWN:
            decoded = OWN[name](blocks)
        else:
            decoded = quants.dequantize(blocks, quants.GGMLQuantizationType[name])
        decoded = np.ascontiguousarray(decoded, dtype="<f4")
        assert decoded.shape == (BLOCKS, elements) and np.isfinite(decoded).all() or name == "MXFP4", name
        source = "own" if name in OWN else "gguf"
        print(f"    (\"{name}\", {zlib.crc32(decoded.tobytes()):#010x}), // {source}")


def pack(grid, values):
    """Distances between neighbours of a sorted grid, less one; 255 for a step of 255 without a vector."""
    packed, last = bytearray(), -1
    for vector in grid:
        number = sum(values.index(int(value)) * len(values) ** at for at, value in enumerate(vector))
        steps, rest = divmod(number - last - 1, 255)
        packed += b"\xff" * steps + bytes([rest])
        last = number
    return bytes(packed)


def grids(out):
    packed = b""
    for name in ("IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ1_S"):
        kind = getattr(quants, name)
        kind.init_grid()
        part = pack(kind.grid.reshape(kind.grid_shape), list(kind.grid_map))
        print(f"{name}: {kind.grid_shape[0]} vectors in {len(part)} bytes")
        packed += part
    print(f"{len(packed)} bytes, {len(zlib.compress(packed, 9))} deflated")
    with open(out, "wb") as file:
        file.write(packed)


if __name__ == "__main__":
    if sys.argv[1:2] == ["grids"]:
        grids(sys.argv[2])
    else:
        digests()
