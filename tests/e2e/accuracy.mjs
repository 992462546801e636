// Running networks in the page: samples, real networks, importance, retraining, cancelling, and data that do not fit.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { folder, raw } from "./fixtures.mjs";
import { native, pageTest, real, repository } from "./harness.mjs";
import { S } from "./selectors.mjs";

const A = (id) => `#accuracy-${id}`;
// What the page fetches when accuracy or a sample is asked for, and nothing else.
const fetches = ["accuracy.js", "accuracy_bg.wasm", "samples/"];
const samples = JSON.parse(readFileSync(repository("www/samples/index.json"), "utf8"));

const mnist = ["mnist_test/t10k-images-idx3-ubyte.gz", "mnist_test/t10k-labels-idx1-ubyte.gz"].map(real);
const cifar = real("resnet32/cifar10_test1000.npz");
const lenet = real("lenet/lenet.onnx");
const resnet = real("resnet32/resnet32.onnx");
const silero = real("silero/silero_vad_16k_op15.onnx");
const has = (...files) => !files.flat().every(Boolean);

/// Waits until nothing runs; returns what the panel complained of.
async function idle(page) {
  await page.page.waitForSelector(A("job"), { state: "hidden", timeout: 300_000 });
  return page.text(A("error"));
}

/// Starts something and waits for its end; returns milliseconds.
async function timed(page, action, what) {
  const start = Date.now();
  await action();
  await page.page.waitForSelector(A("job"), { state: "visible", timeout: 5000 }).catch(() => {});
  const error = await idle(page);
  const millis = Date.now() - start;
  assert.equal(error, "", what);
  console.log(`${what}: ${millis} ms`);
  return millis;
}

const click = (page, id) => () => page.page.click(A(id));

async function load(page) {
  await page.page.click(A("button"));
  await page.page.waitForSelector('body[data-accuracy="ready"]');
}

/// Opens a sample and has it run on its digits.
async function sample(page, id) {
  await page.page.click(`[data-sample=${id}]`);
  await page.opened(`${id}.onnx`);
  await page.page.click(A("button"));
}

async function prepared(page, network, data) {
  await page.open(network);
  await load(page);
  await timed(page, () => page.page.setInputFiles(A("data-input"), data), "reading data");
}

const facts = (page) =>
  page.page.$$eval(`${A("facts")} div`, (groups) => Object.fromEntries(groups.map((g) => [g.querySelector("dt").textContent, g.querySelector("dd").textContent])));

/// The table's rows as arrays of texts; it is filled while it is closed too.
const rows = (page) => page.page.$$eval(`${A("rows")} tr`, (rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent)));

/// The float32 array of an uncompressed .npz of one array.
function floats(path) {
  const bytes = readFileSync(path);
  const at = bytes.indexOf("\x93NUMPY", 0, "latin1");
  const header = bytes.readUInt16LE(at + 8);
  const shape = bytes.subarray(at + 10, at + 10 + header).toString().match(/'shape': \(([^)]*)\)/)[1];
  const count = shape.split(",").filter((n) => n.trim()).reduce((product, n) => product * Number(n), 1);
  return Array.from({ length: count }, (_, i) => bytes.readFloatLE(at + 10 + header + 4 * i));
}

for (const { id, model, accuracy } of samples) {
  pageTest(`the sample ${id} opens with one click, and runs with another`, { fetches }, async (page) => {
    const start = Date.now();
    await sample(page, id);
    await page.page.waitForSelector(`${A("rows")} tr:nth-child(10)`, { state: "attached", timeout: 60_000 });
    console.log(`${id}: ten measured points after ${Date.now() - start} ms`);
    assert.equal(await idle(page), "");
    assert.equal(await page.text(S.fileName), model);
    const measured = await rows(page);
    assert.ok(measured.length >= 30, `${measured.length} points`);
    assert.ok(new Set(measured.map((row) => row[0])).size === 8, "eight methods");
    assert.equal(await page.page.locator(`${A("pictures")} canvas`).count(), 10);
    // D8: what was measured ranks the methods.
    assert.match(await page.text(A("ranking")), /^Measured at \d+\.\d\d bits per weight, best first: .+ %(, .+ %){7}\.$/);
    if (id === "lstm" || id === "resnet") assert.match(await page.text(A("parting")), /^Prediction and measurement part: \d+ of \d+ points/);
    await timed(page, click(page, "this"), `${id}, one recipe`);
    const said = await facts(page);
    assert.ok(said["float weights"].startsWith(`${accuracy.toFixed(2)} %`), said["float weights"]);
    assert.match(said["predicted, ½ Σ h δ²"], /\d/);
    assert.equal(said.samples, "600");
    assert.equal(await page.page.isVisible(A("prediction")), true);
  });
}

pageTest("LeNet on 10,000 images: accuracy, curvature, retraining", { fetches, skip: has(lenet, mnist) }, async (page) => {
  await prepared(page, lenet, mnist);
  await page.page.selectOption(S.scope, "all");
  await page.page.selectOption(S.roles, "trained");
  await page.recipe("kmeans", 32);
  await timed(page, click(page, "this"), "LeNet, the first point of 10,000 images with all its preparation");
  const said = await facts(page);
  assert.ok(said["float weights"].startsWith("99.41 % (99.24–99.54)"), said["float weights"]);
  assert.equal(said.samples, "10000");
  await page.recipe("kmeans", 4);
  await timed(page, click(page, "this"), "LeNet, one point of 10,000 images");
  const before = parseFloat((await facts(page))["top-1"]);
  assert.ok(before > 85 && before < 95, `${before}`);
  // Curvature computed here weighs the same recipe's errors better.
  await page.page.selectOption(A("kind"), "exact");
  await timed(page, click(page, "compute"), "curvature of LeNet over 1,000 samples");
  await page.page.waitForFunction(() => /lenet\.exact\.safetensors/.test(document.querySelector("#importance-name").textContent));
  await page.settled();
  await page.page.waitForSelector(S.job, { state: "hidden" });
  const weighted = await page.download(A("save"), "lenet.exact.safetensors");
  assert.ok(readFileSync(weighted).subarray(0, 4096).includes("cross-entropy"), "the file says what it was computed from");
  await timed(page, click(page, "this"), "LeNet, one point weighted by its own curvature");
  const after = parseFloat((await facts(page))["top-1"]);
  assert.ok(after > before + 3, `${before} % without, ${after} % with curvature`);
  await timed(page, click(page, "tune"), "retraining LeNet's codebook");
  const said2 = await page.text(A("done"));
  const [, from, to] = said2.match(/loss from ([\d.]+) to ([\d.]+)/).map(Number);
  assert.ok(to < from, said2);
  // D9: the point is compared with the float weights on the 5,000 images that it was examined on, not on all of them.
  const examined = await facts(page);
  assert.equal(examined.samples, "5000");
  const [float, top1] = [examined["float weights on the same samples"], examined["top-1"]].map(parseFloat);
  const [lost, won] = examined["answers lost, won"].match(/\d+/g).map(Number);
  assert.ok(Math.abs(float - (top1 + (100 * (lost - won)) / 5000)) < 0.011, JSON.stringify(examined));
  const archive = await page.download(A("save"), "lenet.retrained.qsz");
  await native("verify", archive, "--source", lenet, "--importance-file", weighted);
});

pageTest("ResNet-32 on 1,000 images", { fetches, skip: has(resnet, cifar) }, async (page) => {
  await prepared(page, resnet, [cifar]);
  await page.recipe("uniform", 0.01);
  await timed(page, click(page, "this"), "ResNet-32, the first point of 1,000 images with all its preparation");
  assert.ok((await facts(page))["float weights"].startsWith("92.80 %"), "float");
  await page.recipe("uniform", 0.02);
  await timed(page, click(page, "this"), "ResNet-32, one point of 1,000 images");
  assert.equal((await facts(page)).samples, "1000");
});

pageTest("silero's answers are ONNX Runtime's", { fetches, skip: has(silero) }, async (page) => {
  await prepared(page, silero, [repository("tests/data/silero_frames.npz")]);
  const download = page.page.waitForEvent("download");
  await timed(page, click(page, "answers"), "silero, 16 frames");
  const path = join(folder, "answers.npz");
  await (await download).saveAs(path);
  const [found, expected] = [path, repository("tests/data/silero_outputs.npz")].map(floats);
  assert.equal(found.length, 16);
  const largest = Math.max(...found.map((x, i) => Math.abs(x - expected[i])));
  console.log(`silero: largest difference ${largest}`);
  assert.ok(largest < 1e-4, `${largest}`);
});

pageTest("running stops at once, and runs again", { fetches, skip: has(lenet, mnist) }, async (page) => {
  await prepared(page, lenet, mnist);
  await page.page.click(A("measure"));
  await page.page.waitForSelector(`${A("rows")} tr`, { state: "attached" });
  const start = Date.now();
  await page.page.keyboard.press("Escape");
  await page.page.waitForSelector(A("job"), { state: "hidden" });
  assert.ok(Date.now() - start < 1000, `cancelled after ${Date.now() - start} ms`);
  const kept = (await rows(page)).length;
  assert.ok(kept > 0, "what was measured stays");
  await timed(page, click(page, "this"), "one point after cancelling");
  assert.ok((await rows(page)).length > kept);
});

pageTest("data that do not fit get one sentence, and what was measured stays", { fetches }, async (page) => {
  await sample(page, "lstm");
  await page.page.waitForSelector(`${A("rows")} tr:nth-child(5)`, { state: "attached", timeout: 60_000 });
  assert.equal(await idle(page), "");
  const before = await rows(page);
  const npz = repository("www/samples/digits-28.npz");
  for (const [input, path] of [
    ["data-input", npz],
    ["data-input", raw("noise.npz", [Buffer.from("not an archive")])],
    ["data-input", raw("labels-idx1-ubyte", [Buffer.from([0, 0, 8, 1, 0, 0, 0, 2, 1, 2])])],
    ["network-input", raw("cut.onnx", [Buffer.from([8, 8, 58, 200])])],
    ["network-input", repository("www/samples/transformer.onnx")],
  ]) {
    await page.page.setInputFiles(A(input), path);
    await page.page.waitForSelector(A("error"), { state: "visible" });
    const sentence = await idle(page);
    assert.ok(sentence.length > 15 && sentence.length < 400 && !sentence.includes("\n"), `${basename(path)}: "${sentence}"`);
    assert.doesNotMatch(sentence, /panick|unreachable|undefined|RuntimeError|\[object|defect/, basename(path));
    assert.deepEqual(await rows(page), before, `${basename(path)}: what was measured stays`);
    assert.equal(await page.text(S.fileName), "lstm.onnx");
  }
  await timed(page, click(page, "this"), "one point after all that");
});

pageTest("an ONNX model comes back as one, byte for byte as the program writes it", { fetches }, async (page) => {
  const source = repository("www/samples/resnet.onnx");
  await page.open(source);
  await page.recipe("kmeans", 16);
  await page.compress();
  const archive = await page.download(S.downloadCompressed, "resnet.qsz");
  const decoded = await page.download("#download-file", "resnet.page.onnx");
  await native("decode", archive, "-o", join(folder, "resnet.native.onnx"));
  assert.ok(readFileSync(decoded).equals(readFileSync(join(folder, "resnet.native.onnx"))));
  assert.equal(readFileSync(decoded).length, readFileSync(source).length);
  const sha256 = createHash("sha256").update(readFileSync(decoded)).digest("hex");
  assert.match(await page.text(S.verdictHash), new RegExp(`resnet.onnx, SHA-256 ${sha256}`));
  await page.choose(archive);
  await page.page.waitForSelector("#archive-file", { state: "visible" });
  const again = await page.download("#archive-file", "resnet.again.onnx");
  assert.ok(readFileSync(again).equals(readFileSync(decoded)));
});

pageTest("what is not quantized at all comes back byte for byte", { fetches }, async (page) => {
  const source = repository("www/samples/lstm.onnx");
  await page.open(source);
  await page.page.fill("#exclude", "*");
  await page.compress();
  const decoded = await page.download("#download-file", "lstm.page.onnx");
  assert.ok(readFileSync(decoded).equals(readFileSync(source)));
});

const external = real("onnx_external/mnist-external");
pageTest("a model with external data opens together with it, and not alone", { skip: !external }, async (page) => {
  const { readdirSync } = await import("node:fs");
  const files = readdirSync(external).filter((name) => /\.(onnx|data|bin|weights?)$/.test(name) || !name.includes(".")).map((name) => join(external, name));
  const model = files.find((path) => path.endsWith(".onnx"));
  await page.choose(model);
  await page.page.waitForSelector(S.notice, { state: "visible" });
  assert.match(await page.text(S.noticeText), /external|together|beside/i);
  await page.choose(files);
  await page.opened(model);
  assert.ok((await page.page.locator(S.tensorRows).count()) > 1);
});

for (const colorScheme of ["light", "dark"]) {
  pageTest(`axe finds nothing where a network has run, ${colorScheme}`, { colorScheme, fetches }, async (page) => {
    await sample(page, "transformer");
    await page.page.waitForSelector(`${A("rows")} tr`, { state: "attached", timeout: 60_000 });
    assert.equal(await idle(page), "");
    assert.deepEqual(await page.violations(), []);
  });
}

pageTest("360 pixels are wide enough for accuracy", { viewport: { width: 360, height: 740 }, fetches }, async (page) => {
  await sample(page, "lstm");
  await page.page.waitForSelector(`${A("rows")} tr`, { state: "attached", timeout: 60_000 });
  assert.equal(await idle(page), "");
  assert.ok((await page.overflow()) <= 0);
});

pageTest("the chart of measured points is walked by keyboard, and Enter takes a point's recipe", { fetches }, async (page) => {
  await sample(page, "lstm");
  await page.page.waitForSelector(`${A("rows")} tr`, { state: "attached", timeout: 60_000 });
  assert.equal(await idle(page), "");
  await page.page.focus(A("chart"));
  for (const key of ["ArrowRight", "ArrowRight", "ArrowDown"]) await page.page.keyboard.press(key);
  const said = await page.text(A("live"));
  assert.match(said, /bits per weight, ratio [\d.]+, top-1 [\d.]+ %/);
  await page.page.keyboard.press("Enter");
  const method = said.match(/method=([\w-]+)/)[1];
  await page.page.waitForFunction((method) => document.querySelector("#method").value === method, method);
});
