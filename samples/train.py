"""Trains the sample networks and writes them, with their data, into www/samples.

    python -m venv .venv && .venv/bin/pip install -r samples/requirements.txt
    .venv/bin/python samples/train.py            # everything anew, a few minutes on two cores
    .venv/bin/python samples/train.py --check    # only run the files that are there and compare with index.json

Four networks learn the handwritten digits that ship inside scikit-learn (UCI optical digits): the LeNet of Choi, El-Khamy
and Lee, a residual network with batch normalisation, an LSTM and a transformer. Training is plain JAX with Adam and fixed
seeds; graphs are written node by node in ONNX's terms and checked with ONNX Runtime.
"""

import argparse
import json
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits

OUT = pathlib.Path(__file__).resolve().parent.parent / "www" / "samples"
SEED = 20170423
TEST = 600


# Data -----------------------------------------------------------------------------------------------------------------


def digits():
    """The images as bytes, shuffled with a fixed seed: 1197 to train on, 600 to test with."""
    source = load_digits()
    images = np.round(source.images * 255 / 16).astype(np.uint8)[:, None]
    order = np.random.default_rng(SEED).permutation(len(images))
    images, labels = images[order], source.target[order].astype(np.uint8)
    return (images[TEST:], labels[TEST:]), (images[:TEST], labels[:TEST])


def enlarged(images):
    """8 x 8 images as 28 x 28 ones: three times as large, bilinear, with a border of two."""
    def weights(n, m):
        at = (np.arange(m) + 0.5) * n / m - 0.5
        low = np.clip(np.floor(at).astype(int), 0, n - 1)
        high = np.clip(low + 1, 0, n - 1)
        part = np.clip(at - low, 0, 1)
        matrix = np.zeros((m, n))
        matrix[np.arange(m), low] += 1 - part
        matrix[np.arange(m), high] += part
        return matrix
    w = weights(8, 24)
    large = np.round(w @ images[:, 0].astype(float) @ w.T)
    return np.pad(large, ((0, 0), (2, 2), (2, 2))).astype(np.uint8)[:, None]


# Layers, in JAX ---------------------------------------------------------------------------------------------------------


def jax_parts():
    import jax
    import jax.numpy as jnp

    def conv(x, w, b=None, stride=1, pad=0):
        y = jax.lax.conv_general_dilated(
            x, w, (stride, stride), [(pad, pad)] * 2, dimension_numbers=("NCHW", "OIHW", "NCHW"))
        return y if b is None else y + b[None, :, None, None]

    def max_pool(x):
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")

    def layer_norm(x, p, name):
        mean = x.mean(-1, keepdims=True)
        var = ((x - mean) ** 2).mean(-1, keepdims=True)
        return (x - mean) / jnp.sqrt(var + 1e-5) * p[name + ".weight"] + p[name + ".bias"]

    return jax, jnp, conv, max_pool, layer_norm


def uniform(rng, shape, fan_in):
    bound = 1 / np.sqrt(fan_in)
    return rng.uniform(-bound, bound, shape).astype(np.float32)


# Networks: parameters, forward pass, ONNX graph ------------------------------------------------------------------------


class LeNet:
    id, title = "lenet", "LeNet, the paper's"
    summary = "Two convolutions and two full layers, 431 080 weights: the network of the paper's first table."
    size, epochs, decay, rate = 28, 30, 1e-3, 1e-3

    def init(self, rng):
        shapes = {"conv1": (20, 1, 5, 5), "conv2": (50, 20, 5, 5), "fc1": (500, 800), "fc2": (10, 500)}
        p = {}
        for name, shape in shapes.items():
            fan = int(np.prod(shape[1:]))
            p[name + ".weight"], p[name + ".bias"] = uniform(rng, shape, fan), uniform(rng, shape[:1], fan)
        return p

    def forward(self, p, x, train):
        jax, jnp, conv, max_pool, _ = jax_parts()
        x = max_pool(conv(x, p["conv1.weight"], p["conv1.bias"]))
        x = max_pool(conv(x, p["conv2.weight"], p["conv2.bias"]))
        x = x.reshape(x.shape[0], -1)
        x = jax.nn.relu(x @ p["fc1.weight"].T + p["fc1.bias"])
        return x @ p["fc2.weight"].T + p["fc2.bias"], {}

    def graph(self, g):
        x = g("Conv", "x", "conv1.weight", "conv1.bias", kernel_shape=[5, 5], name="/conv1/Conv")
        x = g("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2], name="/pool1/MaxPool")
        x = g("Conv", x, "conv2.weight", "conv2.bias", kernel_shape=[5, 5], name="/conv2/Conv")
        x = g("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2], name="/pool2/MaxPool")
        x = g("Flatten", x, axis=1, name="/Flatten")
        x = g("Relu", g("Gemm", x, "fc1.weight", "fc1.bias", transB=1, name="/fc1/Gemm"), name="/Relu")
        g("Gemm", x, "fc2.weight", "fc2.bias", transB=1, name="/fc2/Gemm", out="logits")


class ResNet:
    id, title = "resnet", "Residual network"
    summary = "Convolutions with batch normalisation and shortcuts; the normalisation's few numbers matter most."
    size, epochs, decay, rate = 8, 60, 5e-4, 3e-3
    widths = (16, 24, 32)

    def blocks(self):
        before = self.widths[0]
        for stage, width in enumerate(self.widths):
            for block in range(2):
                stride = 2 if stage and not block else 1
                yield f"layer{stage + 1}.{block}", before, width, stride
                before = width

    def init(self, rng):
        p = {}

        def conv(name, shape):
            fan = int(np.prod(shape[1:]))
            p[name + ".weight"] = rng.normal(0, np.sqrt(2 / fan), shape).astype(np.float32)

        def norm(name, n):
            p[name + ".weight"], p[name + ".bias"] = np.ones(n, np.float32), np.zeros(n, np.float32)
            p[name + ".running_mean"], p[name + ".running_var"] = np.zeros(n, np.float32), np.ones(n, np.float32)

        conv("conv1", (16, 1, 3, 3)), norm("bn1", 16)
        for name, before, width, stride in self.blocks():
            conv(name + ".conv1", (width, before, 3, 3)), norm(name + ".bn1", width)
            conv(name + ".conv2", (width, width, 3, 3)), norm(name + ".bn2", width)
            if stride > 1:
                conv(name + ".shortcut.0", (width, before, 1, 1)), norm(name + ".shortcut.1", width)
        p["fc.weight"], p["fc.bias"] = uniform(rng, (10, 32), 32), np.zeros(10, np.float32)
        return p

    def forward(self, p, x, train):
        jax, jnp, conv, _, _ = jax_parts()
        running = {}

        def norm(x, name):
            if train:
                mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3))
                running[name + ".running_mean"] = 0.9 * p[name + ".running_mean"] + 0.1 * mean
                running[name + ".running_var"] = 0.9 * p[name + ".running_var"] + 0.1 * var
            else:
                mean, var = p[name + ".running_mean"], p[name + ".running_var"]
            shape = (1, -1, 1, 1)
            scale = p[name + ".weight"] / jnp.sqrt(var + 1e-5)
            return (x - mean.reshape(shape)) * scale.reshape(shape) + p[name + ".bias"].reshape(shape)

        x = jax.nn.relu(norm(conv(x, p["conv1.weight"], pad=1), "bn1"))
        for name, _, _, stride in self.blocks():
            y = jax.nn.relu(norm(conv(x, p[name + ".conv1.weight"], stride=stride, pad=1), name + ".bn1"))
            y = norm(conv(y, p[name + ".conv2.weight"], pad=1), name + ".bn2")
            if stride > 1:
                x = norm(conv(x, p[name + ".shortcut.0.weight"], stride=stride), name + ".shortcut.1")
            x = jax.nn.relu(x + y)
        return x.mean((2, 3)) @ p["fc.weight"].T + p["fc.bias"], running

    def graph(self, g):
        def conv(x, name, kernel, stride=1, norm=None):
            pad = [kernel // 2] * 4
            x = g("Conv", x, name + ".weight", kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=pad,
                  name=f"/{name}/Conv")
            parts = [norm + end for end in (".weight", ".bias", ".running_mean", ".running_var")]
            return g("BatchNormalization", x, *parts, epsilon=1e-5, name=f"/{norm}/BatchNormalization")

        x = g("Relu", conv("x", "conv1", 3, norm="bn1"), name="/Relu")
        for name, _, _, stride in self.blocks():
            y = g("Relu", conv(x, name + ".conv1", 3, stride, name + ".bn1"), name=f"/{name}/Relu")
            y = conv(y, name + ".conv2", 3, norm=name + ".bn2")
            if stride > 1:
                x = conv(x, name + ".shortcut.0", 1, stride, name + ".shortcut.1")
            x = g("Relu", g("Add", y, x, name=f"/{name}/Add"), name=f"/{name}/Relu_1")
        x = g("Flatten", g("GlobalAveragePool", x, name="/GlobalAveragePool"), axis=1, name="/Flatten")
        g("Gemm", x, "fc.weight", "fc.bias", transB=1, name="/fc/Gemm", out="logits")


class Lstm:
    id, title = "lstm", "LSTM"
    summary = "Reads an image row by row and remembers; one recurrent layer of 64 cells."
    size, epochs, decay, rate = 8, 80, 1e-4, 4e-3
    hidden = 64

    def init(self, rng):
        h = self.hidden
        p = {"lstm.W": uniform(rng, (1, 4 * h, 8), h), "lstm.R": uniform(rng, (1, 4 * h, h), h),
             "lstm.B": np.zeros((1, 8 * h), np.float32)}
        p["lstm.B"][0, 2 * h:3 * h] = 1
        p["fc.weight"], p["fc.bias"] = uniform(rng, (10, h), h), np.zeros(10, np.float32)
        return p

    def forward(self, p, x, train):
        jax, jnp, *_ = jax_parts()
        h, w, r = self.hidden, p["lstm.W"][0], p["lstm.R"][0]
        bias = p["lstm.B"][0, :4 * h] + p["lstm.B"][0, 4 * h:]
        state = cell = jnp.zeros((x.shape[0], h))
        for t in range(8):
            z = x[:, 0, t] @ w.T + state @ r.T + bias
            i, o, f = (jax.nn.sigmoid(z[:, k * h:(k + 1) * h]) for k in range(3))
            cell = f * cell + i * jnp.tanh(z[:, 3 * h:])
            state = o * jnp.tanh(cell)
        return state @ p["fc.weight"].T + p["fc.bias"], {}

    def graph(self, g):
        x = g("Squeeze", "x", g.integers("axis_1", [1]), name="/Squeeze")
        x = g("Transpose", x, perm=[1, 0, 2], name="/Transpose")
        x = g("LSTM", x, "lstm.W", "lstm.R", "lstm.B", hidden_size=self.hidden, outs=["", "/lstm/Y_h"], name="/lstm/LSTM")
        x = g("Squeeze", x, g.integers("axis_0", [0]), name="/Squeeze_1")
        g("Gemm", x, "fc.weight", "fc.bias", transB=1, name="/fc/Gemm", out="logits")


class Transformer:
    id, title = "transformer", "Transformer"
    summary = "Sixteen patches of 2 x 2 pixels that attend to each other through two blocks of four heads."
    size, epochs, decay, rate = 8, 120, 1e-3, 2e-3
    width, heads, inner, blocks = 32, 4, 64, 2

    def init(self, rng):
        w, p = self.width, {}

        def linear(name, n, m):
            p[name + ".weight"], p[name + ".bias"] = uniform(rng, (n, m), n), np.zeros(m, np.float32)

        def norm(name):
            p[name + ".weight"], p[name + ".bias"] = np.ones(w, np.float32), np.zeros(w, np.float32)

        linear("embed", 4, w)
        p["positions"] = (0.1 * rng.normal(size=(1, 16, w))).astype(np.float32)
        for b in range(self.blocks):
            norm(f"blocks.{b}.norm1"), norm(f"blocks.{b}.norm2")
            for part in ("query", "key", "value", "out"):
                linear(f"blocks.{b}.{part}", w, w)
            linear(f"blocks.{b}.mlp1", w, self.inner), linear(f"blocks.{b}.mlp2", self.inner, w)
        norm("norm"), linear("head", w, 10)
        return p

    def forward(self, p, x, train):
        jax, jnp, _, _, layer_norm = jax_parts()
        n, w, heads = x.shape[0], self.width, self.heads

        def linear(x, name):
            return x @ p[name + ".weight"] + p[name + ".bias"]

        def split(x):
            return x.reshape(n, 16, heads, w // heads).transpose(0, 2, 1, 3)

        x = x.reshape(n, 4, 2, 4, 2).transpose(0, 1, 3, 2, 4).reshape(n, 16, 4)
        x = linear(x, "embed") + p["positions"]
        for b in range(self.blocks):
            y = layer_norm(x, p, f"blocks.{b}.norm1")
            q, k, v = (split(linear(y, f"blocks.{b}.{part}")) for part in ("query", "key", "value"))
            a = jax.nn.softmax(q @ k.transpose(0, 1, 3, 2) / np.float32(np.sqrt(w // heads)), -1)
            y = (a @ v).transpose(0, 2, 1, 3).reshape(n, 16, w)
            x = x + linear(y, f"blocks.{b}.out")
            y = linear(layer_norm(x, p, f"blocks.{b}.norm2"), f"blocks.{b}.mlp1")
            x = x + linear(jax.nn.gelu(y, approximate=False), f"blocks.{b}.mlp2")
        return linear(layer_norm(x.mean(1), p, "norm"), "head"), {}

    def graph(self, g):
        w, heads = self.width, self.heads
        shapes = {"patches": [0, 4, 2, 4, 2], "tokens": [0, 16, 4], "heads": [0, 16, heads, w // heads], "joined": [0, 16, w]}
        shapes = {name: g.integers("shape_" + name, shape) for name, shape in shapes.items()}
        numbers = {name: g.floats(name, value) for name, value in
                   {"root": np.sqrt(w // heads), "root_2": np.sqrt(2), "one": 1, "half": 0.5}.items()}

        def linear(x, name):
            x = g("MatMul", x, name + ".weight", name=f"/{name}/MatMul")
            return g("Add", x, name + ".bias", name=f"/{name}/Add")

        def norm(x, name):
            return g("LayerNormalization", x, name + ".weight", name + ".bias", axis=-1, epsilon=1e-5,
                     name=f"/{name}/LayerNormalization")

        x = g("Reshape", "x", shapes["patches"], name="/Reshape")
        x = g("Transpose", x, perm=[0, 1, 3, 2, 4], name="/Transpose")
        x = linear(g("Reshape", x, shapes["tokens"], name="/Reshape_1"), "embed")
        x = g("Add", x, "positions", name="/Add")
        for b in range(self.blocks):
            at = f"/blocks.{b}"
            y = norm(x, f"blocks.{b}.norm1")

            def split(part, perm):
                z = g("Reshape", linear(y, f"blocks.{b}.{part}"), shapes["heads"], name=f"{at}/{part}/Reshape")
                return g("Transpose", z, perm=perm, name=f"{at}/{part}/Transpose")

            q, k, v = split("query", [0, 2, 1, 3]), split("key", [0, 2, 3, 1]), split("value", [0, 2, 1, 3])
            a = g("Div", g("MatMul", q, k, name=at + "/MatMul"), numbers["root"], name=at + "/Div")
            a = g("Softmax", a, axis=-1, name=at + "/Softmax")
            y = g("Transpose", g("MatMul", a, v, name=at + "/MatMul_1"), perm=[0, 2, 1, 3], name=at + "/Transpose")
            y = linear(g("Reshape", y, shapes["joined"], name=at + "/Reshape"), f"blocks.{b}.out")
            x = g("Add", x, y, name=at + "/Add")
            y = linear(norm(x, f"blocks.{b}.norm2"), f"blocks.{b}.mlp1")
            e = g("Erf", g("Div", y, numbers["root_2"], name=at + "/gelu/Div"), name=at + "/gelu/Erf")
            y = g("Mul", y, g("Add", e, numbers["one"], name=at + "/gelu/Add"), name=at + "/gelu/Mul")
            y = g("Mul", y, numbers["half"], name=at + "/gelu/Mul_1")
            x = g("Add", x, linear(y, f"blocks.{b}.mlp2"), name=at + "/Add_1")
        x = norm(g("ReduceMean", x, axes=[1], keepdims=0, name="/ReduceMean"), "norm")
        x = g("MatMul", x, "head.weight", name="/head/MatMul")
        g("Add", x, "head.bias", name="/head/Add", out="logits")


# Training ---------------------------------------------------------------------------------------------------------------


def shifted(rng, images, most):
    """Each image moved by up to `most` pixels each way."""
    out = np.zeros_like(images)
    size = images.shape[-1]
    for n, (dy, dx) in enumerate(rng.integers(-most, most + 1, (len(images), 2))):
        to_y, to_x = slice(max(dy, 0), size + min(dy, 0)), slice(max(dx, 0), size + min(dx, 0))
        from_y, from_x = slice(max(-dy, 0), size + min(-dy, 0)), slice(max(-dx, 0), size + min(-dx, 0))
        out[n, :, to_y, to_x] = images[n, :, from_y, from_x]
    return out


def train(network, images, labels):
    jax, jnp, *_ = jax_parts()
    rng = np.random.default_rng(SEED)
    p = network.init(rng)
    learnt = [name for name in p if "running" not in name]
    m = {name: np.zeros_like(p[name]) for name in learnt}
    v = {name: np.zeros_like(p[name]) for name in learnt}
    batch, steps = 64, network.epochs * (len(images) // 64)

    def loss(learnt_p, rest, x, y):
        logits, running = network.forward({**rest, **learnt_p}, x, True)
        logs = jax.nn.log_softmax(logits)
        return -jnp.take_along_axis(logs, y[:, None], 1).mean(), running

    @jax.jit
    def step(p, m, v, x, y, t):
        rest = {name: value for name, value in p.items() if name not in learnt}
        grads, running = jax.grad(loss, has_aux=True)({name: p[name] for name in learnt}, rest, x, y)
        rate = network.rate * 0.5 * (1 + jnp.cos(jnp.pi * t / steps))
        new = {**rest, **running}
        for name in learnt:
            m[name] = 0.9 * m[name] + 0.1 * grads[name]
            v[name] = 0.999 * v[name] + 0.001 * grads[name] ** 2
            move = (m[name] / (1 - 0.9 ** (t + 1))) / (jnp.sqrt(v[name] / (1 - 0.999 ** (t + 1))) + 1e-8)
            shrink = network.decay if p[name].ndim > 1 else 0
            new[name] = p[name] - rate * (move + shrink * p[name])
        return new, m, v

    t = 0
    for _ in range(network.epochs):
        order = rng.permutation(len(images))
        moved = shifted(rng, images, 2 if network.size == 28 else 1)
        # Half of the images stay where they are: at 8 x 8 pixels a shift may push a stroke out.
        keep = rng.random(len(images)) < 0.5
        moved[keep] = images[keep]
        for at in range(0, len(order) - batch + 1, batch):
            chosen = order[at:at + batch]
            p, m, v = step(p, m, v, moved[chosen].astype(np.float32) / 255, labels[chosen].astype(np.int32), t)
            t += 1
    return {name: np.asarray(value, np.float32) for name, value in p.items()}


# Files ------------------------------------------------------------------------------------------------------------------


class GraphWriter:
    """Collects nodes; called with an operator, its inputs and attributes, gives the name of the output."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def __call__(self, operator, *inputs, name, out=None, outs=None, **attributes):
        outs = outs or [out or name + "_output_0"]
        self.nodes.append(helper.make_node(operator, list(inputs), outs, name=name, **attributes))
        return [o for o in outs if o][0]

    def integers(self, name, values):
        self.constants.append(numpy_helper.from_array(np.array(values, np.int64), name))
        return name

    def floats(self, name, value):
        self.constants.append(numpy_helper.from_array(np.array(value, np.float32), name))
        return name


def write(network, p):
    g = GraphWriter()
    network.graph(g)
    weights = [numpy_helper.from_array(value, name) for name, value in p.items()]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 1, network.size, network.size])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])
    graph = helper.make_graph(g.nodes, network.id, [x], [logits], weights + g.constants)
    model = helper.make_model(graph, producer_name="quantscope-samples", ir_version=8,
                              opset_imports=[helper.make_opsetid("", 17)])
    onnx.checker.check_model(model)
    onnx.save(model, OUT / f"{network.id}.onnx")


def run(id, images):
    session = onnxruntime.InferenceSession(OUT / f"{id}.onnx", providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"x": images.astype(np.float32) / 255})[0]


def accuracy(id, data):
    sets = np.load(OUT / data)
    return 100 * float((run(id, sets["x"]).argmax(1) == sets["y"]).mean())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    if parser.parse_args().check:
        wrong = 0
        for entry in json.loads((OUT / "index.json").read_text()):
            found = accuracy(entry["id"], entry["data"])
            print(f"{entry['id']:12} {entry['accuracy']:6.2f} %  found {found:6.2f} %")
            wrong += abs(found - entry["accuracy"]) > 1e-6
        sys.exit(1 if wrong else 0)
    OUT.mkdir(parents=True, exist_ok=True)
    (train_x, train_y), (test_x, test_y) = digits()
    for size, change in ((8, lambda x: x), (28, enlarged)):
        np.savez_compressed(OUT / f"digits-{size}.npz", x=change(test_x), y=test_y)
        np.savez_compressed(OUT / f"digits-{size}-train.npz", x=change(train_x[:600]), y=train_y[:600])
    index = []
    for network in (LeNet(), ResNet(), Lstm(), Transformer()):
        images = enlarged(train_x) if network.size == 28 else train_x
        p = train(network, images, train_y)
        write(network, p)
        test = enlarged(test_x) if network.size == 28 else test_x
        ours = np.asarray(network.forward(p, test.astype(np.float32) / 255, False)[0])
        gap = np.abs(ours - run(network.id, test)).max()
        assert gap < 1e-3, f"{network.id}: ONNX Runtime differs by {gap}"
        entry = {
            "id": network.id, "title": network.title, "summary": network.summary,
            "model": f"{network.id}.onnx", "data": f"digits-{network.size}.npz",
            "train": f"digits-{network.size}-train.npz", "curvature": f"{network.id}.curvature.safetensors",
            "parameters": int(sum(value.size for value in p.values())),
            "accuracy": accuracy(network.id, f"digits-{network.size}.npz"),
        }
        index.append(entry)
        print(f"{network.id:12} {entry['parameters']:8} parameters  {entry['accuracy']:6.2f} %  gap {gap:.1e}")
    (OUT / "index.json").write_text(json.dumps(index, indent=2) + "\n")


if __name__ == "__main__":
    main()
