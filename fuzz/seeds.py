#!/usr/bin/env python3
"""Makes the seeds of the fuzz targets: small whole files of every kind that is read, by the standard library alone.

    fuzz/seeds.py QUANTSCOPE CORPUS [MORE]

QUANTSCOPE is the native program, which makes the compressed ones; CORPUS/<target>/ is filled. Files below 32 KiB of the folder MORE are
taken as well, each for the targets that its name's ending speaks for.
"""

import collections
import gzip
import io
import json
import pickle
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

FLOATS = [((i * 7919) % 101 - 50) / 64 for i in range(64)]


def floats(count, form="<f"):
    return b"".join(struct.pack(form, FLOATS[i % 64]) for i in range(count))


# safetensors


def safetensors(tensors, metadata=None):
    header, at = ({"__metadata__": metadata} if metadata else {}), 0
    for name, dtype, shape, data in tensors:
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(data for *_, data in tensors)


def some_safetensors():
    plain = [
        ("conv.weight", "F32", [4, 2, 3, 3], floats(72)),
        ("bn.running_var", "F32", [4], floats(4)),
        ("fc.weight", "F16", [8, 8], floats(64, "<e")),
        ("fc.weight_scale", "F32", [8], floats(8)),
        ("steps", "I64", [], struct.pack("<q", 5)),
    ]
    small = [(f"x.{name}", name, [4], b"\x3c" * (4 * size)) for name, size in
             [("BF16", 2), ("F8_E4M3", 1), ("F8_E5M2", 1), ("F64", 8), ("BOOL", 1), ("U8", 1), ("I8", 1), ("U16", 2), ("I32", 4)]]
    gptq = [("l.qweight", "I32", [1, 8], bytes(32)), ("l.qzeros", "I32", [1, 1], bytes(4)), ("l.scales", "F16", [1, 8], bytes(16))]
    yield "plain.safetensors", safetensors(plain, {"format": "pt"})
    yield "small.safetensors", safetensors(small)
    yield "gptq.safetensors", safetensors(gptq)


# NumPy


def npy(descr, shape, data, fortran=False, version=(1, 0)):
    text = repr({"descr": descr, "fortran_order": fortran, "shape": shape}).encode()
    size = 2 if version == (1, 0) else 4
    text += b" " * (-(len(text) + 9 + size) % 64) + b"\n"
    return b"\x93NUMPY" + bytes(version) + len(text).to_bytes(size, "little") + text + data


def some_numpy():
    arrays = {
        "w.npy": npy("<f4", (4, 8), floats(32)),
        "fortran.npy": npy(">f8", (3, 2), floats(6, ">d"), fortran=True),
        "half.npy": npy("<f2", (8,), floats(8, "<e"), version=(2, 0)),
        "bytes.npy": npy("|u1", (5,), bytes(5)),
        "bools.npy": npy("|b1", (5,), bytes(5)),
        "text.npy": npy("<U3", (2,), bytes(24)),
        "objects.npy": npy("|O", (1,), pickle.dumps([1.0], 3)),
        "record.npy": npy([("a", "<f4"), ("b", "<i4")], (2,), bytes(16)),
    }
    yield from arrays.items()
    for name, method in [("stored.npz", zipfile.ZIP_STORED), ("deflated.npz", zipfile.ZIP_DEFLATED)]:
        yield name, zipped(arrays, method)
    pixels = npy("|u1", (6, 4, 4), bytes(range(96)))
    yield "samples.npz", zipped({"x.npy": pixels, "y.npy": npy("<i8", (6,), bytes(48))}, zipfile.ZIP_DEFLATED)


def zipped(members, method):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, compress_type=method)
    return file.getvalue()


# PyTorch


class Global:
    """A name of another library, which a pickle may call without its being here."""

    def __init__(self, module, name, *arguments):
        self.module, self.name, self.arguments = module, name, arguments


class Storage:
    def __init__(self, dtype, key, count):
        self.reference = ("storage", dtype, key, "cpu", count)


def dumps(value, protocol):
    """Pickles where `Global` stands for a call, and `Storage` for a persistent reference."""

    class Pickler(pickle._Pickler):  # the one in Python: calls can be written by hand
        def persistent_id(self, item):
            if not isinstance(item, Storage):
                return None
            kind, dtype, *rest = item.reference
            return (kind, Name("torch", dtype), *rest)

        def save(self, item, save_persistent_id=True):
            if isinstance(item, Name):
                self.write(b"c" + f"{item.module}\n{item.name}\n".encode())
            elif isinstance(item, Global):
                self.write(b"c" + f"{item.module}\n{item.name}\n".encode())
                self.save(item.arguments)
                self.write(b"R")
            else:
                super().save(item, save_persistent_id)

    file = io.BytesIO()
    Pickler(file, protocol).dump(value)
    return file.getvalue()


Name = collections.namedtuple("Name", ["module", "name"])


def tensor(key, shape, dtype="FloatStorage", offset=0, stride=None, function="_rebuild_tensor_v2"):
    strides, step = [], 1
    for extent in reversed(shape):
        strides.insert(0, step)
        step *= extent
    storage = Storage(dtype, key, offset + step)
    hooks = Global("collections", "OrderedDict")
    return Global("torch._utils", function, storage, offset, tuple(shape), tuple(stride or strides), False, hooks)


def some_torch():
    parameter = Global("torch._utils", "_rebuild_parameter", tensor("1", [4]), True, Global("collections", "OrderedDict"))
    state = {"fc.weight": tensor("0", [4, 8]), "fc.bias": parameter, "t": tensor("0", [8, 4], stride=[1, 8])}
    half = {"h": tensor("2", [4], "HalfStorage"), "n": tensor("3", [2], "LongStorage")}
    moments = {0: {"step": 1, "exp_avg": tensor("0", [4, 8]), "exp_avg_sq": tensor("0", [4, 8])}}
    averaged = {"model": state, "ema": {"fc.weight": tensor("0", [4, 8])}, "optimizer": {"state": moments, "param_groups": [{"lr": 0.1, "params": [0]}]}}
    quantized = {
        "q": Global("torch._utils", "_rebuild_qtensor", Storage("QInt8Storage", "4", 8), 0, (2, 4), (4, 1),
                    (Name("torch", "per_tensor_affine"), 0.1, 3), False, Global("collections", "OrderedDict"))
    }
    numpy = {"a": Global("numpy.core.multiarray", "_reconstruct", Name("numpy", "ndarray"), (0,), b"b")}
    sparse = {"s": Global("torch._utils", "_rebuild_sparse_tensor", Name("torch", "sparse_coo"), (tensor("3", [1, 2], "LongStorage"), tensor("1", [2]), (9,)))}
    data = {"0": floats(32), "1": floats(4), "2": floats(4, "<e"), "3": struct.pack("<qq", 1, 7), "4": bytes(range(8))}
    kinds = {"state": state, "half": half, "averaged": averaged, "quantized": quantized, "numpy": numpy, "sparse": sparse}
    for name, value in kinds.items():
        members = {f"{name}/data.pkl": dumps(value, 2), f"{name}/byteorder": b"little", f"{name}/version": b"3\n"}
        yield f"{name}.pt", zipped(members | {f"{name}/data/{key}": data[key] for key in data}, zipfile.ZIP_STORED)
    yield "plain.pkl", dumps(state, 4)
    magic = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({"little_endian": True}, 2)
    body = dumps({"w": tensor("7", [4])}, 2) + pickle.dumps(["7"], 2)
    yield "legacy.pt", magic + body + struct.pack("<q", 4) + floats(4)


# ONNX


def varint(number):
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out) + bytes([number])


def field(number, value):
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def message(*fields):
    return b"".join(field(number, value) for number, value in fields)


def initializer(name, dims, raw=None, kind=1, **other):
    fields = [(1, dim) for dim in dims] + [(2, kind), (8, name)]
    fields += [(9, raw)] if raw is not None else []
    fields += [(4, other["floats"])] if "floats" in other else []
    fields += [(5, other["ints"])] if "ints" in other else []
    for key, value in other.get("external", {}).items():
        fields.append((13, message((1, key), (2, value))))
    fields += [(14, 1)] if "external" in other else []
    return message(*fields)


def node(operator, inputs, outputs, name="", attributes=(), domain=""):
    fields = [(1, x) for x in inputs] + [(2, x) for x in outputs] + [(3, name), (4, operator)]
    fields += [(5, attribute) for attribute in attributes] + ([(7, domain)] if domain else [])
    return message(*fields)


def attribute(name, value):
    number, kind = {float: (2, 1), int: (3, 2), str: (4, 3)}.get(type(value), (0, 0))
    if isinstance(value, list):
        return message((1, name), *[(8, item) for item in value], (20, 7))
    if isinstance(value, tuple):  # a tensor or a graph
        return message((1, name), ({"t": 5, "g": 6}[value[0]], value[1]), (20, {"t": 4, "g": 5}[value[0]]))
    return message((1, name), (number, value), (20, kind))


def value_info(name, shape, kind=1):
    dims = b"".join(field(1, message((2, d) if isinstance(d, str) else (1, d))) for d in shape)
    return message((1, name), (2, message((1, message((1, kind), (2, dims))))))


def onnx(nodes, initializers, inputs, outputs, functions=()):
    graph = [(1, n) for n in nodes] + [(2, "g")] + [(5, t) for t in initializers]
    graph += [(11, i) for i in inputs] + [(12, o) for o in outputs]
    fields = [(1, 8), (2, "seeds"), (7, message(*graph)), (8, message((1, ""), (2, 17)))]
    return message(*fields, *[(25, f) for f in functions])


def some_onnx():
    x, y = value_info("x", ["N", 1, 8, 8]), value_info("y", ["N", 4])
    kernel = initializer("k", [2, 1, 3, 3], floats(18))
    norm = [initializer(name, [2], struct.pack("<ff", 1.0, 0.5)) for name in ["scale", "shift", "mean", "var"]]
    shape = initializer("shape", [2], struct.pack("<qq", 0, -1), kind=7)
    matrix = initializer("m", [4, 128], floats(512))
    yield "conv.onnx", onnx(
        [
            node("Conv", ["x", "k"], ["c"], "conv", [attribute("pads", [1, 1, 1, 1])]),
            node("BatchNormalization", ["c", "scale", "shift", "mean", "var"], ["b"], "bn", [attribute("epsilon", 1e-5)]),
            node("Relu", ["b"], ["r"]),
            node("Reshape", ["r", "shape"], ["f"]),
            node("Gemm", ["f", "m"], ["y"], "fc", [attribute("transB", 1)]),
        ],
        [kernel, *norm, shape, matrix],
        [x],
        [y],
    )
    typed = initializer("w", [2, 2], floats=struct.pack("<4f", 1, 2, 3, 4))
    half = initializer("h", [2, 2], ints=b"".join(varint(n) for n in (15360, 0, 1, 2)), kind=10)
    steps = initializer("steps", [1], struct.pack("<q", 1), kind=7)
    scale = initializer("s", [], struct.pack("<f", 0.1))
    eights = initializer("e", [2, 2], bytes([1, 2, 255, 4]), kind=3)
    branch = message((1, node("MatMul", ["x", "w"], ["b"])), (2, "then"), (12, value_info("b", [2, 2])))
    other = message((1, node("Constant", [], ["b2"], "", [attribute("value", ("t", initializer("", [2, 2], floats(4))))])), (2, "else"), (12, value_info("b2", [2, 2])))
    yield "branches.onnx", onnx(
        [
            node("If", ["cond"], ["i"], "if", [attribute("then_branch", ("g", branch)), attribute("else_branch", ("g", other))]),
            node("Cast", ["h"], ["h32"], "", [attribute("to", 1)]),
            node("DequantizeLinear", ["e", "s"], ["e32"]),
            node("Slice", ["i", "steps", "steps", "steps", "steps"], ["v"]),
            node("Clip", ["v", "s"], ["cl"]),
            node("Add", ["cl", "h32"], ["a"]),
            node("MatMul", ["a", "e32"], ["y"]),
        ],
        [typed, half, steps, scale, eights, initializer("cond", [1], b"\1", kind=9)],
        [value_info("x", [2, 2])],
        [value_info("y", [2, 2])],
    )
    function = message((1, "f"), (4, "a"), (5, "b"), (7, node("Relu", ["a"], ["b"])), (10, "own"))
    yield "function.onnx", onnx([node("MatMul", ["x", "w"], ["z"]), node("f", ["z"], ["y"], "", [], "own")], [typed], [value_info("x", [2, 2])], [value_info("y", [2, 2])], [function])
    lstm = [initializer(n, s, floats(c)) for n, s, c in [("W", [1, 16, 3], 48), ("R", [1, 16, 4], 64), ("B", [1, 32], 32)]]
    yield "lstm.onnx", onnx([node("LSTM", ["x", "W", "R", "B"], ["y"], "l", [attribute("hidden_size", 4)])], lstm, [value_info("x", ["T", 1, 3])], [value_info("y", ["T", 1, 1, 4])])


def external():
    data = {"location": "data.bin", "offset": "0", "length": "16"}
    return onnx([node("MatMul", ["x", "w"], ["y"])], [initializer("w", [2, 2], external=data)], [value_info("x", [2, 2])], [value_info("y", [2, 2])])


# Samples


def idx(shape):
    count = 1
    for extent in shape:
        count *= extent
    return bytes([0, 0, 8, len(shape)]) + b"".join(struct.pack(">I", n) for n in shape) + bytes(i % 7 for i in range(count))


def some_samples():
    yield "images.idx", idx([5, 4, 4])
    yield "images.idx.gz", gzip.compress(idx([5, 4, 4]), mtime=0)
    yield "cifar.bin", (b"\3" + bytes(i % 251 for i in range(3072))) * 2


# GGUF

# Number, elements and bytes of a block of every type of ggml.
GGML_TYPES = [
    (0, 1, 4), (1, 1, 2), (2, 32, 18), (3, 32, 20), (6, 32, 22), (7, 32, 24), (8, 32, 34), (9, 32, 36), (10, 256, 84), (11, 256, 110),
    (12, 256, 144), (13, 256, 176), (14, 256, 210), (15, 256, 292), (16, 256, 66), (17, 256, 74), (18, 256, 98), (19, 256, 50),
    (20, 32, 18), (21, 256, 110), (22, 256, 82), (23, 256, 136), (24, 1, 1), (27, 1, 8), (28, 1, 8), (29, 256, 56), (30, 1, 2),
    (31, 32, 18), (34, 256, 54), (35, 256, 66), (39, 32, 17), (40, 64, 36), (41, 128, 18), (42, 64, 18),
]


def gguf(keys, tensors, order="<"):
    text = lambda text: struct.pack(order + "Q", len(text)) + text.encode()
    out = b"GGUF" + struct.pack(order + "IQQ", 3, len(tensors), len(keys))
    out += b"".join(text(key) + struct.pack(order + "I", kind) + value for key, kind, value in keys)
    data = b""
    for name, kind, shape, content in tensors:
        out += text(name) + struct.pack(order + "I", len(shape)) + struct.pack(f"{order}{len(shape)}Q", *shape)
        out += struct.pack(order + "IQ", kind, len(data))
        data += content + b"\0" * (-len(content) % 32)
    return out + b"\0" * (-len(out) % 32) + data


def some_gguf():
    text = struct.pack("<Q", 5) + b"llama"
    numbers = [(f"k{kind}", kind, bytes(range(1, size + 1))) for kind, size in enumerate([1, 1, 2, 2, 4, 4, 4, 1])]
    array = struct.pack("<IQ", 8, 2) + text * 2
    keys = [("general.architecture", 8, text), *numbers, ("tokens", 9, array), ("general.alignment", 4, struct.pack("<I", 32))]
    blocks = [(f"blk.{kind}.w", kind, [elements, 2], bytes(range(1, size + 1)) * 2 if size < 256 else bytes(2 * size)) for kind, elements, size in GGML_TYPES]
    yield "every-type.gguf", gguf(keys, blocks)
    swapped = [blocks[0], *(block for block in blocks if block[1] in (2, 8, 12, 14, 39, 40))]
    yield "big-endian.gguf", gguf([("split.count", 2, b"\0\1")], swapped, ">")
    yield "part.gguf", gguf([("split.no", 2, b"\0\0"), ("split.count", 2, b"\2\0")], blocks[:1])


# Recipes

RECIPES = [
    "method=kmeans&k=16&scope=tensor",
    "method=ecsq&lambda=0.02&scope=channel&roles=weight,bias&exclude=*norm*&prune=threshold:0.01&coder=huffman&positions=gaps",
    "method=uniform&step=0.5&include=a*,b%2C&prune=fraction:0.5&coder=rans",
    "method=trellis&step=0.4&lambda=0.8&importance=file&alpha=0.5&floor=0.1&ihash=0011",
    "method=rdo&step=0.4&hash=0011223344556677",
    "method=ecsq-exact&importance=adam",
    "method=trellis&finer=a*:1.5,b%5C%2Cc:-2",
    "scale=255&mean=0.1,0.2&std=1&layout=chw",
    '{"method":"kmeans","k":4,"scope":"tensor","prune":"fraction:0.5"}',
    '{"recipe":"method=uniform&step=0.5","source_hash":"00112233445566778899aabbccddeeff"}',
]

COMPRESSED = [
    ["--method", "kmeans", "--k", "9", "--coder", "huffman", "--scope", "all"],
    ["--method", "uniform", "--coder", "rans", "--scope", "channel", "--prune", "threshold:0.2"],
    ["--method", "ecsq", "--coder", "huffman", "--positions", "gaps", "--prune", "fraction:0.7"],
    ["--method", "uniform", "--coder", "fixed"],
    ["--method", "uniform", "--coder", "context"],
    ["--method", "trellis"],
    ["--exclude", "*"],
]


def some_archives():
    """Weight files in archives: one in a zip, and those of an exported program."""
    file = safetensors([("w", "F32", [2, 3], floats(6))])
    view = {"path_name": "weight_0", "is_param": True, "use_pickle": False, "tensor_meta": {
        "dtype": 7, "sizes": [{"as_int": 2}, {"as_int": 3}], "strides": [{"as_int": 1}, {"as_int": 2}], "storage_offset": {"as_int": 0}}}
    config = json.dumps({"config": {"w": view, "v": view}}).encode()
    program = {"p/data/weights/model_weights_config.json": config, "p/data/weights/weight_0": floats(6)}
    made = {}
    for method, how in [(zipfile.ZIP_STORED, "stored"), (zipfile.ZIP_DEFLATED, "deflated")]:
        made[f"zip-{how}"] = zipped({"m/w.safetensors": file, "m/config.json": b"{}"}, method)
        made[f"pt2-{how}"] = zipped(program, method)
    return made


def pair(first, second):
    return struct.pack("<I", len(first)) + first + second


def main(program, corpus, more=None):
    made = {target: {} for target in ["weights", "pair", "container", "recipe", "network"]}
    for files in [some_safetensors(), some_numpy(), some_torch(), some_samples(), some_onnx(), some_archives(), some_gguf()]:
        made["weights"].update(files)
    made["network"].update(some_onnx())
    made["pair"]["external"] = pair(external(), floats(4))
    made["pair"]["images-and-labels"] = pair(idx([5, 4, 4]), idx([5]))
    made["pair"]["batches"] = pair(*[bytes(3073)] * 2)
    made["pair"]["archives"] = pair(*[zipped({name: npy("<i8", (2,), bytes(16))}, zipfile.ZIP_STORED) for name in ["x.npy", "y.npy"]])
    index = {"metadata": {"total_size": 24}, "weight_map": {"w": "data.bin"}}
    made["pair"]["shards"] = pair(json.dumps(index).encode(), safetensors([("w", "F32", [2, 3], floats(6))]))
    made["recipe"].update({f"recipe-{i}": text.encode() for i, text in enumerate(RECIPES)})
    if more:
        kinds = {".onnx": ["weights", "network"], ".qsz": ["container"]}
        for path in sorted(path for path in Path(more).rglob("*") if path.is_file() and path.stat().st_size < 32 << 10):
            for target in kinds.get(path.suffix, ["weights"]):
                made[target]["-".join(path.relative_to(more).parts)] = path.read_bytes()
    corpus = Path(corpus)
    for target, files in made.items():
        (corpus / target).mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (corpus / target / name).write_bytes(data)
    source = corpus / "weights" / "plain.safetensors"
    for number, flags in enumerate(COMPRESSED):
        output = corpus / "container" / f"compressed-{number}.qsz"
        subprocess.run([program, "compress", source, "-o", output, "--quiet", *flags], check=True)
    for target in made:
        print(f"{target}: {len(list((corpus / target).iterdir()))} seeds")


if __name__ == "__main__":
    main(*sys.argv[1:])
