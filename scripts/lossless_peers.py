#!/usr/bin/env python3
"""General compressors on a safetensors file's weights, beside a .qsz; the table of docs/lossless.md.

    lossless_peers.py MODEL.safetensors FILE.qsz     one row of ratios: weights' bytes over compressed bytes
    lossless_peers.py --cast F16|BF16|I8 IN OUT      float32 weights rounded to another type (I8: largest magnitude of a tensor is 127)

Byte planes are taken over all tensors of a file at once, which is kindest to the peers. Needs numpy, zstandard, brotli.
"""
import json
import lzma
import struct
import sys
from pathlib import Path

import brotli
import numpy as np
import zstandard

SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}


def tensors(path):
    data = Path(path).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    body = data[8 + length :]
    found = {}
    for name, t in header.items():
        # Tied tensors once.
        found.setdefault((t["dtype"], body[slice(*t["data_offsets"])]), (name, t["shape"]))
    return [(name, dtype, shape, data) for (dtype, data), (name, shape) in found.items()]


def planes(all_tensors):
    """Byte i of every element, then byte i + 1; types of different sizes apart."""
    out = b""
    for size in sorted({SIZES[dtype] for _, dtype, _, _ in all_tensors}):
        data = b"".join(body for _, dtype, _, body in all_tensors if SIZES[dtype] == size)
        out += b"".join(data[i::size] for i in range(size))
    return out


def cast(values, dtype):
    if dtype == "F16":
        return values.astype("<f2").tobytes()
    if dtype == "I8":
        largest = max(float(np.abs(values).max(initial=0)), 1e-30)
        return np.round(values / largest * 127).astype("i1").tobytes()
    bits = values.view("<u4").astype("u8")
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()


def write_cast(dtype, source, target):
    header, body = {}, b""
    for name, _, shape, data in tensors(source):
        data = cast(np.frombuffer(data, "<f4"), dtype)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    Path(target).write_bytes(struct.pack("<Q", len(text)) + text + body)


def main(arguments):
    if arguments[0] == "--cast":
        return write_cast(*arguments[1:])
    model, compressed = arguments
    found = tensors(model)
    raw, split = b"".join(body for *_, body in found), planes(found)
    peers = [
        lambda data: zstandard.ZstdCompressor(level=3).compress(data),
        lambda data: zstandard.ZstdCompressor(level=19).compress(data),
        lambda data: lzma.compress(data, preset=9),
        lambda data: brotli.compress(data, quality=11, lgwin=24),
    ]
    sizes = [len(peer(data)) for data in (raw, split) for peer in peers]
    cells = [f"{len(raw) / size:.3f}" for size in [*sizes, Path(compressed).stat().st_size]]
    print("|", " | ".join([Path(model).name, str(len(raw)), *cells]), "|")


main(sys.argv[1:])
