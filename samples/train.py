"""Makes the sample networks and their data: everything in www/samples, from nothing.

    python3.11 -m venv .venv && .venv/bin/pip install -r samples/requirements.txt
    .venv/bin/python samples/train.py            # trains and writes all files: a few minutes on two cores
    .venv/bin/python samples/train.py --check    # only runs the written files and compares with index.json

Four networks learn the handwritten digits that come with scikit-learn: LeNet, a residual network with batch
normalisation, an LSTM and a transformer. Layers, Adam and training are written out in JAX; graphs are written node by
node with ONNX's helper and run by ONNX Runtime, which must give what JAX gives. Seeds are fixed: one machine makes the
same files again.
"""

import argparse
import json
import os
import pathlib
import sys
import time

# Threads share out sums, and a sum of floats depends on how it is shared: one thread, so that any number of cores gives
# the same weights. XLA reads this when it is loaded.
os.environ["NPROC"] = "1"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
from jax.scipy.ndimage import map_coordinates
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits

OUT = pathlib.Path(__file__).resolve().parent.parent / "www" / "samples"
SEED = 1998
TEST_IMAGES = 600
# Of the training images only so many are written: enough to measure curvature with, and small.
TRAIN_IMAGES_WRITTEN = 600
BATCH = 64
EPSILON = 1e-5

LICENCE = """\
The files digits-8.npz, digits-8-train.npz, digits-28.npz and digits-28-train.npz hold images of handwritten digits from

    E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998,
    https://doi.org/10.24432/C50P49

licensed under the Creative Commons Attribution 4.0 International licence (CC BY 4.0),
https://creativecommons.org/licenses/by/4.0/

Changes: the 1797 images distributed with scikit-learn were shuffled and split; their values 0 to 16 were scaled to
0 to 255; for digits-28 they were enlarged from 8 x 8 to 28 x 28 pixels by bicubic interpolation. The networks beside
them were trained on these images.
"""


# Data -----------------------------------------------------------------------------------------------------------------


def digits():
    """Images (bytes, N x 1 x 8 x 8) and labels to train on, then those to test with; each digit has its share."""
    source = load_digits()
    images = np.round(source.images * 255 / 16).astype(np.uint8)[:, None]
    labels = source.target.astype(np.uint8)
    rng = np.random.default_rng(SEED)
    # Each image's place in its class, from 0 to 1, at random: the lowest 600 are then the same share of every class.
    place = np.empty(len(labels))
    for digit in range(10):
        members = np.flatnonzero(labels == digit)
        place[rng.permutation(members)] = (np.arange(len(members)) + 0.5) / len(members)
    order = np.argsort(place, kind="stable")
    test, train = rng.permutation(order[:TEST_IMAGES]), rng.permutation(order[TEST_IMAGES:])
    return (images[train], labels[train]), (images[test], labels[test])


def enlarged(images):
    """8 x 8 images as 28 x 28: 2.5 times as large, so 20 x 20 in the middle as in MNIST, by Keys' cubic convolution."""
    at = (np.arange(28) + 0.5 - 14) / 2.5 + 4 - 0.5
    d = np.abs(at[:, None] - np.arange(8))
    near, far = 1.5 * d**3 - 2.5 * d**2 + 1, -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
    w = np.where(d < 1, near, np.where(d < 2, far, 0))
    return np.clip(np.round(w @ images.astype(np.float64) @ w.T), 0, 255).astype(np.uint8)


def as_input(images):
    return images.astype(np.float32) / 255


# Layers ---------------------------------------------------------------------------------------------------------------


def conv(x, weight, bias=None, stride=1, pad=0):
    y = jax.lax.conv_general_dilated(
        x, weight, (stride, stride), [(pad, pad)] * 2, dimension_numbers=("NCHW", "OIHW", "NCHW"))
    return y if bias is None else y + bias[:, None, None]


def max_pool(x):
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")


def layer_norm(x, weight, bias):
    mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / jnp.sqrt(var + EPSILON) * weight + bias


def batch_norm(x, p, name, running):
    """With the batch's own statistics while training, which `running` then averages; with the averages afterwards."""
    mean, var = p[name + ".running_mean"], p[name + ".running_var"]
    if running is not None:
        new_mean, new_var = x.mean((0, 2, 3)), x.var((0, 2, 3))
        running[name + ".running_mean"] = 0.9 * mean + 0.1 * new_mean
        running[name + ".running_var"] = 0.9 * var + 0.1 * new_var
        mean, var = new_mean, new_var
    scale = p[name + ".weight"] / jnp.sqrt(var + EPSILON)
    return (x - mean[:, None, None]) * scale[:, None, None] + p[name + ".bias"][:, None, None]


def uniform(rng, shape, fan_in):
    """PyTorch's start for linear and convolutional layers."""
    bound = 1 / np.sqrt(fan_in)
    return rng.uniform(-bound, bound, shape).astype(np.float32)


# Networks: the start, the forward pass in JAX, the same in ONNX -------------------------------------------------------


class LeNet:
    """Caffe's LeNet, as in Y. Choi, M. El-Khamy, J. Lee, "Towards the limit of network quantization", ICLR 2017."""

    id, title = "lenet", "LeNet"
    summary = "Two convolutions and two full layers read digits of 28 x 28 pixels; one layer holds nearly all weights."
    size, epochs, rate, decay = 28, 40, 1e-3, 0.05
    layers = {"conv1": (20, 1, 5, 5), "conv2": (50, 20, 5, 5), "fc1": (500, 800), "fc2": (10, 500)}

    def start(self, rng):
        p = {}
        for name, shape in self.layers.items():
            fan_in = int(np.prod(shape[1:]))
            p[name + ".weight"], p[name + ".bias"] = uniform(rng, shape, fan_in), uniform(rng, shape[:1], fan_in)
        return p

    def forward(self, p, x, running=None):
        x = max_pool(conv(x, p["conv1.weight"], p["conv1.bias"]))
        x = max_pool(conv(x, p["conv2.weight"], p["conv2.bias"]))
        x = x.reshape(len(x), -1)
        x = jax.nn.relu(x @ p["fc1.weight"].T + p["fc1.bias"])
        return x @ p["fc2.weight"].T + p["fc2.bias"]

    def graph(self, g):
        x = "x"
        for i in "12":
            x = g("Conv", f"/conv{i}/Conv", x, f"conv{i}.weight", f"conv{i}.bias", kernel_shape=[5, 5])
            x = g("MaxPool", f"/pool{i}/MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
        x = g("Flatten", "/Flatten", x, axis=1)
        x = g("Relu", "/Relu", g("Gemm", "/fc1/Gemm", x, "fc1.weight", "fc1.bias", transB=1))
        return g("Gemm", "/fc2/Gemm", x, "fc2.weight", "fc2.bias", transB=1)


class ResNet:
    """A residual network: 2, 2 and 1 blocks of two 3 x 3 convolutions, 16, 24 and 32 channels."""

    id, title = "resnet", "Residual network"
    summary = "Convolutions with batch normalisation, and a shortcut around every two, read 8 x 8 pixels."
    size, epochs, rate, decay = 8, 60, 4e-3, 0.05
    stages = ((16, 2), (24, 2), (32, 1))

    def blocks(self):
        """Name, channels in, channels out and stride of each block."""
        before = self.stages[0][0]
        for stage, (width, count) in enumerate(self.stages, 1):
            for block in range(count):
                yield f"layer{stage}.{block}", before, width, 1 if width == before else 2
                before = width

    def start(self, rng):
        p = {}

        def conv_and_norm(conv, norm, shape):
            p[conv + ".weight"] = rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape).astype(np.float32)
            p[norm + ".weight"], p[norm + ".bias"] = np.ones(shape[0], np.float32), np.zeros(shape[0], np.float32)
            p[norm + ".running_mean"] = np.zeros(shape[0], np.float32)
            p[norm + ".running_var"] = np.ones(shape[0], np.float32)

        conv_and_norm("conv1", "bn1", (16, 1, 3, 3))
        for name, before, width, stride in self.blocks():
            conv_and_norm(name + ".conv1", name + ".bn1", (width, before, 3, 3))
            conv_and_norm(name + ".conv2", name + ".bn2", (width, width, 3, 3))
            if stride == 2:
                conv_and_norm(name + ".shortcut.0", name + ".shortcut.1", (width, before, 1, 1))
        p["fc.weight"], p["fc.bias"] = uniform(rng, (10, 32), 32), np.zeros(10, np.float32)
        return p

    def forward(self, p, x, running=None):
        def conv_and_norm(x, conv_name, norm, stride=1):
            weight = p[conv_name + ".weight"]
            return batch_norm(conv(x, weight, stride=stride, pad=weight.shape[-1] // 2), p, norm, running)

        x = jax.nn.relu(conv_and_norm(x, "conv1", "bn1"))
        for name, _, _, stride in self.blocks():
            y = jax.nn.relu(conv_and_norm(x, name + ".conv1", name + ".bn1", stride))
            y = conv_and_norm(y, name + ".conv2", name + ".bn2")
            if stride == 2:
                x = conv_and_norm(x, name + ".shortcut.0", name + ".shortcut.1", stride)
            x = jax.nn.relu(y + x)
        return x.mean((2, 3)) @ p["fc.weight"].T + p["fc.bias"]

    def graph(self, g):
        def path(name):
            return "/" + name.replace(".", "/")

        def conv_and_norm(x, conv, norm, kernel=3, stride=1):
            x = g("Conv", path(conv) + "/Conv", x, conv + ".weight", kernel_shape=[kernel] * 2, strides=[stride] * 2,
                  pads=[kernel // 2] * 4)
            parts = [norm + "." + part for part in ("weight", "bias", "running_mean", "running_var")]
            return g("BatchNormalization", path(norm) + "/BatchNormalization", x, *parts, epsilon=EPSILON)

        x = g("Relu", "/Relu", conv_and_norm("x", "conv1", "bn1"))
        for name, _, _, stride in self.blocks():
            y = g("Relu", path(name) + "/Relu", conv_and_norm(x, name + ".conv1", name + ".bn1", 3, stride))
            y = conv_and_norm(y, name + ".conv2", name + ".bn2")
            if stride == 2:
                x = conv_and_norm(x, name + ".shortcut.0", name + ".shortcut.1", 1, stride)
            x = g("Relu", path(name) + "/Relu_1", g("Add", path(name) + "/Add", y, x))
        x = g("Flatten", "/Flatten", g("GlobalAveragePool", "/GlobalAveragePool", x), axis=1)
        return g("Gemm", "/fc/Gemm", x, "fc.weight", "fc.bias", transB=1)


class Lstm:
    """One LSTM layer over the rows of an image. Weights are stored as ONNX has them: gates in the order i, o, f, c."""

    id, title = "lstm", "LSTM"
    summary = "A layer of 64 cells reads 8 x 8 pixels row by row and names the digit from what it remembers."
    size, epochs, rate, decay = 8, 120, 4e-3, 0.05
    hidden = 64

    def start(self, rng):
        h = self.hidden
        p = {"lstm.weight_ih_l0": uniform(rng, (1, 4 * h, 8), h), "lstm.weight_hh_l0": uniform(rng, (1, 4 * h, h), h),
             "lstm.bias_l0": np.zeros((1, 8 * h), np.float32)}
        # Forget gates start open, so that the first rows are still felt at the last.
        p["lstm.bias_l0"][0, 2 * h:3 * h] = 1
        p["fc.weight"], p["fc.bias"] = uniform(rng, (10, h), h), np.zeros(10, np.float32)
        return p

    def forward(self, p, x, running=None):
        h, w, r = self.hidden, p["lstm.weight_ih_l0"][0], p["lstm.weight_hh_l0"][0]
        bias = p["lstm.bias_l0"][0, :4 * h] + p["lstm.bias_l0"][0, 4 * h:]
        state = cell = jnp.zeros((len(x), h))
        for t in range(8):
            i, o, f, c = jnp.split(x[:, 0, t] @ w.T + state @ r.T + bias, 4, axis=1)
            cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(c)
            state = jax.nn.sigmoid(o) * jnp.tanh(cell)
        return state @ p["fc.weight"].T + p["fc.bias"]

    def graph(self, g):
        x = g("Squeeze", "/Squeeze", "x", g.constant("/Squeeze/axes", [1], np.int64))
        x = g("Transpose", "/Transpose", x, perm=[1, 0, 2])
        x = g("LSTM", "/lstm/LSTM", x, "lstm.weight_ih_l0", "lstm.weight_hh_l0", "lstm.bias_l0",
              outputs=["", "/lstm/LSTM_output_1"], hidden_size=self.hidden)
        x = g("Squeeze", "/Squeeze_1", x, g.constant("/Squeeze_1/axes", [0], np.int64))
        return g("Gemm", "/fc/Gemm", x, "fc.weight", "fc.bias", transB=1)


class Transformer:
    """Sixteen tokens of 2 x 2 pixels, two pre-norm blocks. MatMul's weights are stored in x out, Gemm's out x in."""

    id, title = "transformer", "Transformer"
    summary = "Sixteen patches of 2 x 2 pixels attend to each other in two blocks of four heads."
    size, epochs, rate, decay = 8, 150, 3e-3, 0.05
    width, heads, inner, blocks = 32, 4, 64, 2

    def start(self, rng):
        w, p = self.width, {}

        def linear(name, n, m):
            p[name + ".weight"], p[name + ".bias"] = uniform(rng, (n, m), n), np.zeros(m, np.float32)

        def norm(name):
            p[name + ".weight"], p[name + ".bias"] = np.ones(w, np.float32), np.zeros(w, np.float32)

        linear("embed", 4, w)
        p["positions"] = rng.normal(0, 0.1, (1, 16, w)).astype(np.float32)
        for b in range(self.blocks):
            norm(f"blocks.{b}.norm1")
            for part in ("query", "key", "value", "out"):
                linear(f"blocks.{b}.attention.{part}", w, w)
            norm(f"blocks.{b}.norm2")
            linear(f"blocks.{b}.mlp.fc1", w, self.inner)
            linear(f"blocks.{b}.mlp.fc2", self.inner, w)
        norm("norm")
        p["head.weight"], p["head.bias"] = uniform(rng, (10, w), w), np.zeros(10, np.float32)
        return p

    def forward(self, p, x, running=None):
        n, w, heads = len(x), self.width, self.heads

        def linear(x, name):
            return x @ p[name + ".weight"] + p[name + ".bias"]

        def norm(x, name):
            return layer_norm(x, p[name + ".weight"], p[name + ".bias"])

        x = x.reshape(n, 4, 2, 4, 2).transpose(0, 1, 3, 2, 4).reshape(n, 16, 4)
        x = linear(x, "embed") + p["positions"]
        for b in range(self.blocks):
            at = f"blocks.{b}"
            y = norm(x, at + ".norm1")
            q, k, v = (linear(y, f"{at}.attention.{part}").reshape(n, 16, heads, w // heads).transpose(0, 2, 1, 3)
                       for part in ("query", "key", "value"))
            a = jax.nn.softmax(q @ k.transpose(0, 1, 3, 2) / np.float32(np.sqrt(w // heads)), -1)
            y = (a @ v).transpose(0, 2, 1, 3).reshape(n, 16, w)
            x = x + linear(y, at + ".attention.out")
            y = jax.nn.gelu(linear(norm(x, at + ".norm2"), at + ".mlp.fc1"), approximate=False)
            x = x + linear(y, at + ".mlp.fc2")
        return norm(x.mean(1), "norm") @ p["head.weight"].T + p["head.bias"]

    def graph(self, g):
        w, heads = self.width, self.heads
        # A zero in Reshape keeps the dimension: the batch.
        patches = g.constant("patches_shape", [0, 4, 2, 4, 2], np.int64)
        tokens = g.constant("tokens_shape", [0, 16, 4], np.int64)
        parted = g.constant("heads_shape", [0, 16, heads, w // heads], np.int64)
        joined = g.constant("joined_shape", [0, 16, w], np.int64)
        root = g.constant("attention_root", np.sqrt(w // heads), np.float32)
        root_2, one, half = (g.constant(name, value, np.float32)
                             for name, value in (("gelu_root", np.sqrt(2)), ("gelu_one", 1), ("gelu_half", 0.5)))

        def path(name):
            return "/" + name.replace(".", "/")

        def linear(x, name):
            x = g("MatMul", path(name) + "/MatMul", x, name + ".weight")
            return g("Add", path(name) + "/Add", x, name + ".bias")

        def norm(x, name):
            return g("LayerNormalization", path(name) + "/LayerNormalization", x, name + ".weight", name + ".bias",
                     axis=-1, epsilon=EPSILON)

        x = g("Reshape", "/Reshape", "x", patches)
        x = g("Transpose", "/Transpose", x, perm=[0, 1, 3, 2, 4])
        x = linear(g("Reshape", "/Reshape_1", x, tokens), "embed")
        x = g("Add", "/Add", x, "positions")
        for b in range(self.blocks):
            name = f"blocks.{b}"
            at, attention, gelu = path(name), path(name) + "/attention", path(name) + "/mlp/gelu"
            y = norm(x, name + ".norm1")

            def split(part, perm):
                z = g("Reshape", f"{attention}/{part}/Reshape", linear(y, f"{name}.attention.{part}"), parted)
                return g("Transpose", f"{attention}/{part}/Transpose", z, perm=perm)

            q, k, v = split("query", [0, 2, 1, 3]), split("key", [0, 2, 3, 1]), split("value", [0, 2, 1, 3])
            a = g("Div", attention + "/Div", g("MatMul", attention + "/MatMul", q, k), root)
            a = g("Softmax", attention + "/Softmax", a, axis=-1)
            y = g("Transpose", attention + "/Transpose", g("MatMul", attention + "/MatMul_1", a, v), perm=[0, 2, 1, 3])
            y = linear(g("Reshape", attention + "/Reshape", y, joined), name + ".attention.out")
            x = g("Add", at + "/Add", x, y)
            y = linear(norm(x, name + ".norm2"), name + ".mlp.fc1")
            e = g("Erf", gelu + "/Erf", g("Div", gelu + "/Div", y, root_2))
            y = g("Mul", gelu + "/Mul", y, g("Add", gelu + "/Add", e, one))
            y = g("Mul", gelu + "/Mul_1", y, half)
            x = g("Add", at + "/Add_1", x, linear(y, name + ".mlp.fc2"))
        x = norm(g("ReduceMean", "/ReduceMean", x, axes=[1], keepdims=0), "norm")
        return g("Gemm", "/head/Gemm", x, "head.weight", "head.bias", transB=1)


NETWORKS = (LeNet(), ResNet(), Lstm(), Transformer())


# Training -------------------------------------------------------------------------------------------------------------


def varied(key, images):
    """Half of the images as they are, half a little turned, sheared, scaled and shifted, as there are few."""
    n, size = len(images), images.shape[-1]
    turn, shear, tall, wide, down, right, some = jax.random.uniform(key, (7, n, 1, 1), minval=-1)
    turn, shear, tall, wide = 0.2 * turn, 0.15 * shear, 1 + 0.12 * tall, 1 + 0.12 * wide
    down, right = 0.08 * size * down, 0.08 * size * right
    middle = (size - 1) / 2
    y, x = jnp.meshgrid(jnp.arange(size) - middle, jnp.arange(size) - middle, indexing="ij")
    from_y = tall * (jnp.cos(turn) * y - jnp.sin(turn) * x) + middle + down
    from_x = wide * (jnp.sin(turn) * y + jnp.cos(turn) * x) + shear * y + middle + right
    moved = jax.vmap(lambda image, y, x: map_coordinates(image, [y, x], order=1))(images[:, 0], from_y, from_x)
    return jnp.where(some[..., None] > 0, moved[:, None], images)


def train(network, images, labels):
    """Adam with decoupled weight decay; the rate rises for one epoch, then falls along a cosine."""
    rng = np.random.default_rng(SEED)
    p = network.start(rng)
    learnt = [name for name in p if ".running_" not in name]
    per_epoch = len(images) // BATCH
    steps = network.epochs * per_epoch

    def loss(weights, p, x, y):
        running = {}
        logs = jax.nn.log_softmax(network.forward({**p, **weights}, x, running))
        return -jnp.take_along_axis(logs, y[:, None], 1).mean(), running

    @jax.jit
    def step(p, m, v, x, y, t):
        x = varied(jax.random.fold_in(jax.random.key(SEED), t), x)
        slopes, running = jax.grad(loss, has_aux=True)({name: p[name] for name in learnt}, p, x, y)
        rate = network.rate * jnp.minimum(1, (t + 1) / per_epoch) * 0.5 * (1 + jnp.cos(jnp.pi * t / steps))
        p, m, v = {**p, **running}, dict(m), dict(v)
        for name in learnt:
            m[name] = 0.9 * m[name] + 0.1 * slopes[name]
            v[name] = 0.999 * v[name] + 0.001 * slopes[name] ** 2
            move = m[name] / (1 - 0.9 ** (t + 1)) / (jnp.sqrt(v[name] / (1 - 0.999 ** (t + 1))) + 1e-8)
            # Biases, positions and normalisation's factors are not pulled to zero.
            decay = network.decay if "weight" in name and p[name].ndim > 1 else 0
            p[name] = p[name] - rate * (move + decay * p[name])
        return p, m, v

    m = v = {name: jnp.zeros_like(p[name]) for name in learnt}
    x, y, t = as_input(images), labels.astype(np.int32), 0
    for _ in range(network.epochs):
        for chosen in rng.permutation(len(x))[:per_epoch * BATCH].reshape(per_epoch, BATCH):
            p, m, v = step(p, m, v, x[chosen], y[chosen], t)
            t += 1
    # JAX hands dictionaries back sorted; files keep the order of the layers.
    return {name: np.asarray(p[name], np.float32) for name in network.start(np.random.default_rng(SEED))}


# Files ----------------------------------------------------------------------------------------------------------------


class Graph:
    """Collects nodes and constants. Called with an operator, the node's name and inputs; gives its output's name."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def __call__(self, operator, name, *inputs, outputs=None, **attributes):
        outputs = outputs or [name + "_output_0"]
        self.nodes.append(helper.make_node(operator, list(inputs), outputs, name=name, **attributes))
        return outputs[-1]

    def constant(self, name, value, kind):
        self.constants.append(numpy_helper.from_array(np.array(value, kind), name))
        return name


def write_network(network, p):
    g = Graph()
    last = network.graph(g)
    g.nodes[-1].output[list(g.nodes[-1].output).index(last)] = "logits"
    weights = [numpy_helper.from_array(value, name) for name, value in p.items()]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 1, network.size, network.size])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])
    model = helper.make_model(
        helper.make_graph(g.nodes, network.id, [x], [logits], weights + g.constants),
        producer_name="quantscope-samples", ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    onnx.checker.check_model(model, full_check=True)
    (OUT / f"{network.id}.onnx").write_bytes(model.SerializeToString(deterministic=True))


def run(file, images):
    """Logits by ONNX Runtime, in two batches of different sizes, as the batch is free."""
    session = onnxruntime.InferenceSession(OUT / file, providers=["CPUExecutionProvider"])
    parts = images[:1], images[1:]
    return np.concatenate([session.run(["logits"], {"x": as_input(part)})[0] for part in parts])


def per_cent(logits, labels):
    return round(100 * float((logits.argmax(1) == labels).mean()), 2)


def table_row(entry, more):
    return f"{entry['id']:12} {entry['parameters']:9,} {entry['accuracy']:9.2f} %   {more}"


def make():
    OUT.mkdir(parents=True, exist_ok=True)
    train_set, test_set = digits()
    sets = {}
    for size, change in ((8, lambda images: images), (28, enlarged)):
        sets[size] = [(change(images), labels) for images, labels in (train_set, test_set)]
        (x, y), (test_x, test_y) = sets[size]
        np.savez_compressed(OUT / f"digits-{size}.npz", x=test_x, y=test_y)
        n = TRAIN_IMAGES_WRITTEN
        np.savez_compressed(OUT / f"digits-{size}-train.npz", x=x[:n], y=y[:n])
    (OUT / "LICENCE-digits.txt").write_text(LICENCE)
    index = []
    print("network      parameters    accuracy")
    for network in NETWORKS:
        began = time.monotonic()
        (x, y), (test_x, test_y) = sets[network.size]
        p = train(network, x, y)
        write_network(network, p)
        model = f"{network.id}.onnx"
        ours, theirs = np.asarray(network.forward(p, as_input(test_x))), run(model, test_x)
        gap = np.abs(ours - theirs).max()
        if gap > 1e-4 or per_cent(ours, test_y) != per_cent(theirs, test_y):
            sys.exit(f"{model}: ONNX Runtime and JAX differ, by up to {gap:.1e}")
        entry = {
            "id": network.id, "title": network.title, "summary": network.summary, "model": model,
            "data": f"digits-{network.size}.npz", "train": f"digits-{network.size}-train.npz",
            "parameters": sum(value.size for value in p.values()), "accuracy": per_cent(theirs, test_y),
            "bytes": (OUT / model).stat().st_size,
        }
        index.append(entry)
        print(table_row(entry, f"{time.monotonic() - began:.0f} s, within {gap:.0e} of JAX"), flush=True)
    (OUT / "index.json").write_text(json.dumps(index, indent=2) + "\n")
    print(f"{sum(file.stat().st_size for file in OUT.iterdir()):,} bytes in all")


def check():
    wrong = []
    for entry in json.loads((OUT / "index.json").read_text()):
        data = np.load(OUT / entry["data"])
        found = per_cent(run(entry["model"], data["x"]), data["y"])
        print(table_row(entry, f"found {found:.2f} %"))
        if found != entry["accuracy"]:
            wrong.append(entry["id"])
    if wrong:
        sys.exit("accuracy is not index.json's: " + ", ".join(wrong))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only run the written files and compare with index.json")
    check() if parser.parse_args().check else make()
