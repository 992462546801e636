// Weight files made on the spot, the same every time.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const folder = mkdtempSync(join(tmpdir(), "quantscope-e2e-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

/// Uniform numbers in (0, 1) from a 32-bit xorshift (Marsaglia 2003).
function uniform(seed) {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return ((state >>> 0) + 0.5) / 2 ** 32;
  };
}

/// Writes a safetensors file of { name: { shape, dtype?, scale? } } with Laplacian weights.
export function safetensors(name, tensors, seed = 1) {
  const random = uniform(seed);
  const header = {};
  const parts = [];
  let end = 0;
  for (const [tensor, { shape, dtype = "F32", scale = 0.1 }] of Object.entries(tensors)) {
    const count = shape.reduce((product, dimension) => product * dimension, 1);
    const values = dtype === "I64" ? new BigInt64Array(count).fill(7n) : new Float32Array(count);
    if (dtype === "F32") {
      for (let i = 0; i < count; i++) {
        const u = random() - 0.5;
        values[i] = -scale * Math.sign(u) * Math.log(1 - 2 * Math.abs(u));
      }
    }
    header[tensor] = { dtype, shape, data_offsets: [end, end + values.byteLength] };
    end += values.byteLength;
    parts.push(Buffer.from(values.buffer));
  }
  return raw(name, [frame(JSON.stringify(header)), ...parts]);
}

/// The header of a safetensors file: its length, then its text padded to 8 bytes.
function frame(text) {
  const padded = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  return Buffer.concat([length, padded]);
}

/// Writes the parts as one file and returns its path.
export function raw(name, parts) {
  const path = join(folder, name);
  writeFileSync(path, Buffer.concat(parts.map((part) => Buffer.from(part))));
  return path;
}

export const small = () =>
  safetensors("small.safetensors", {
    "conv.weight": { shape: [16, 8, 3, 3], scale: 0.08 },
    "fc.weight": { shape: [64, 256], scale: 0.03 },
    "fc.bias": { shape: [64], scale: 0.01 },
    steps: { shape: [], dtype: "I64" },
  });

export const other = () => safetensors("other.safetensors", { "layer.weight": { shape: [96, 96], scale: 0.2 } }, 5);

/// A model in two shards: the index, and each of them.
export function sharded() {
  const shapes = { "conv.weight": [64, 8, 3, 3], "fc.weight": [96, 96] };
  const names = [1, 2].map((number) => `part-0000${number}-of-00002.safetensors`);
  const paths = Object.entries(shapes).map(([tensor, shape], i) => safetensors(names[i], { [tensor]: { shape } }, i + 1));
  const map = Object.fromEntries(Object.keys(shapes).map((tensor, i) => [tensor, names[i]]));
  return [raw("part.safetensors.index.json", [JSON.stringify({ metadata: { total_size: 55296 }, weight_map: map })]), ...paths];
}

export const large = () => safetensors("large.safetensors", { "layer.weight": { shape: [12288, 1024], scale: 0.02 } }, 9);

/// Files that lie, each in one way; the page must answer each with one sentence.
export function hostile() {
  const length = (n) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(n);
    return bytes;
  };
  const outside = JSON.stringify({ w: { dtype: "F32", shape: [1 << 20], data_offsets: [0, 4 << 20] } });
  const product = JSON.stringify({ w: { dtype: "F32", shape: [2 ** 40, 2 ** 40], data_offsets: [0, 16] } });
  return [
    raw("empty.safetensors", []),
    raw("endless-header.safetensors", [length(2n ** 62n), "{}"]),
    raw("not-json.safetensors", [frame("{]"), Buffer.alloc(16)]),
    raw("outside.safetensors", [frame(outside), Buffer.alloc(16)]),
    raw("overflow.safetensors", [frame(product), Buffer.alloc(16)]),
    raw("text.pt", ["these are no weights\n"]),
    raw("cut.npz", ["PK\u0003\u0004", Buffer.alloc(40)]),
  ];
}

/// An ONNX network of matrices w0, w1 … of 64 × 64 weights on these scales, from input v0 to the last node's output.
function ofMatrices(file, scales, nodes) {
  const varint = (value) => (value < 128 ? [value] : [(value & 127) | 128, ...varint(value >> 7)]);
  const number = (field, value) => [...varint(field << 3), ...varint(value)];
  const bytes = (field, content) => [...varint((field << 3) | 2), ...varint(content.length), ...content];
  const text = (field, content) => bytes(field, Buffer.from(content));
  const value = (name) => {
    const shape = [64, 64].flatMap((extent) => bytes(1, number(1, extent)));
    return [...text(1, name), ...bytes(2, bytes(1, [...number(1, 1), ...bytes(2, shape)]))];
  };
  const random = uniform(3);
  const matrix = (scale, i) => {
    const weights = Float32Array.from({ length: 4096 }, () => scale * (random() + random() + random() - 1.5) / 4);
    return [...number(1, 64), ...number(1, 64), ...number(2, 1), ...text(8, `w${i}`), ...bytes(9, Buffer.from(weights.buffer))];
  };
  const node = ([operator, inputs, output], i) =>
    [...inputs.flatMap((input) => text(1, input)), ...text(2, output), ...text(3, `n${i}`), ...text(4, operator)];
  const graph = [
    ...nodes.flatMap((one, i) => bytes(1, node(one, i))),
    ...text(2, "rough"),
    ...scales.flatMap((scale, i) => bytes(5, matrix(scale, i))),
    ...bytes(11, value("v0")),
    ...bytes(12, value(nodes.at(-1)[2])),
  ];
  return raw(file, [[...number(1, 8), ...bytes(7, graph), ...bytes(8, number(2, 13))]]);
}

/// Matrices one behind the other, whose answers lie close together: the default step is too rough for them.
export const rough = () =>
  ofMatrices("rough.onnx", [1, 1, 1], [0, 1, 2].map((i) => ["MatMul", [`v${i}`, `w${i}`], `v${i + 1}`]));
