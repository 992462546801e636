// The hardware model and measured times in the page: the program's figures, constants in the link, what is typed wrongly, timing.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { folder, small } from "./fixtures.mjs";
import { native, number, pageTest, repository } from "./harness.mjs";
import { S } from "./selectors.mjs";

const C = (id) => `#cost-${id}`;
const T = (id) => `#timing-${id}`;
const fetches = ["accuracy.js", "accuracy_bg.wasm"];
const network = (id) => repository(`www/samples/${id}.onnx`);
const cells = (page, rows) => page.page.$$eval(`${rows} tr`, (rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent)));

/// Opens a file and what runs networks.
async function load(page, file) {
  await page.open(file);
  await page.page.click("#accuracy-button");
  await page.page.waitForSelector('body[data-accuracy="ready"]');
}

/// Counts the open network's operations, by keyboard.
async function count(page) {
  await page.page.focus(C("count"));
  await page.page.keyboard.press("Enter");
  await page.page.waitForSelector(C("results"), { state: "visible" });
}

/// What the program writes of a network.
async function program(file, ...flags) {
  const path = join(folder, "program.csv");
  await native("cost", file, "--csv", path, ...flags);
  return readFileSync(path, "utf8");
}

const csv = async (page) => readFileSync(await page.download(C("csv"), "page.csv"), "utf8");

pageTest("a network takes in the page what it takes in the program, compressed or not", { fetches }, async (page) => {
  const file = network("lenet");
  await load(page, file);
  assert.equal(await page.page.isVisible(C("results")), false);
  await count(page);
  assert.match(await page.text(C("title")), /a model, not a measurement/);
  assert.match(await page.text(C("said")), /2,293,000 multiply-adds, .* 431,080 weights/);
  assert.equal(await csv(page), await program(file, "--recipe", "cost.format=m7e6"));
  let rows = await cells(page, C("rows"));
  assert.deepEqual(rows.map((row) => row[0]), ["fp32", "fp16", "int8", "m7e6"]);
  assert.equal(rows[3][11], "off-chip memory");
  // Every layer of the format that is chosen, and all of them; closed before it is asked for.
  assert.equal(await page.page.isVisible(C("layers-rows")), false);
  const layers = await cells(page, C("layers-rows"));
  assert.equal((await cells(page, C("layers-total")))[0][8], rows[3][5]);
  assert.ok(layers.length > 5);
  // The compressed file stands beside, with its decoding.
  await page.recipe("uniform", 0.5);
  await page.page.selectOption(S.coder, "rans");
  await page.compress();
  await page.page.waitForFunction((id) => document.querySelector(id).rows.length === 5, C("rows"));
  rows = await cells(page, C("rows"));
  assert.equal(rows[4][0], "m7e6, lenet.qsz");
  const made = await page.download("#download-qsz", "lenet.qsz");
  assert.equal(await csv(page), await program(file, "--recipe", "cost.format=m7e6", "--qsz", made));
  assert.equal(await page.text(C("command")), "quantscope cost lenet.onnx --recipe 'cost.format=m7e6' --qsz lenet.qsz");
  const layer = (await cells(page, C("layers-rows"))).find((row) => row[5] !== "0 pJ");
  assert.notEqual(layer[7], "0 pJ", "weights are decoded");
  // What moves it most, as the program has it.
  await page.page.selectOption(C("of"), { label: "m7e6, lenet.qsz" });
  const told = JSON.parse(await native("cost", file, "--recipe", "cost.format=m7e6", "--qsz", made, "--tornado", "energy", "--json"));
  assert.equal((await cells(page, C("tornado-rows"))).length, told.tornado.swings.length);
  assert.match(await page.text(C("tornado-title")), /Energy of an inference, m7e6, lenet.qsz: [\d.]+ µJ\.$/);
  for (const [button, name, text] of [["parts-svg", "cost-energy.svg", "decode"], ["tornado-svg", "cost-constants.svg", "with half the constant"]]) {
    assert.ok(readFileSync(await page.download(C(button), name), "utf8").includes(text));
  }
});

pageTest("formats, batch and constants travel in the link, and the program reads it", { fetches }, async (page) => {
  const file = network("lstm");
  await load(page, file);
  await count(page);
  for (const [field, text] of [["format", "int4"], ["activations", "fp16"], ["batch", "8"]]) await page.page.fill(C(field), text);
  await page.page.selectOption(C("storage"), "padded");
  await page.page.selectOption(C("technology"), "45");
  await page.page.click(C("constants-summary"));
  assert.equal(await page.page.inputValue(C("mul_fp32")), "3.7", "what stands at 45 nm");
  await page.page.fill(C("dram"), "640");
  assert.match(await page.text(C("constants-summary")), /, 1 changed$/);
  const line = "cost.format=int4&cost.activations=fp16&cost.batch=8&cost.storage=padded&cost.technology=45&cost.dram=640";
  await page.page.waitForFunction((line) => location.hash.includes(line), line);
  assert.equal(await csv(page), await program(file, "--recipe", await page.page.evaluate(() => location.href)));
  // The link says it to another page, which goes on with it.
  const other = await page.sibling(new URL(page.page.url()).hash);
  other.fetches = fetches;
  await load(other, file);
  await count(other);
  for (const [field, text] of [["format", "int4"], ["activations", "fp16"], ["batch", "8"], ["dram", "640"], ["technology", "45"], ["storage", "padded"]]) {
    assert.equal(await other.page.inputValue(C(field)), text);
  }
  assert.equal(await csv(other), await csv(page));
  // Neither another recipe nor what it is compressed to changes it, and the compressed file knows nothing of it.
  await other.recipe("uniform", 0.5);
  await other.compress();
  assert.ok((await other.page.evaluate(() => location.hash)).includes(line));
  const made = await other.download("#download-qsz", "lstm.qsz");
  assert.ok(!(await native("recipe", made)).includes("cost."));
  const recipe = JSON.parse(readFileSync(await other.download("#download-recipe", "lstm.recipe.json"), "utf8"));
  assert.ok(recipe.recipe.endsWith(line), recipe.recipe);
  // Everything back to what is published.
  await other.page.click(C("constants-summary"));
  await other.page.click(C("reset"));
  assert.equal(await other.page.inputValue(C("dram")), "1300");
  await other.page.waitForFunction(() => !location.hash.includes("cost.dram"));
  other.assertSilent();
});

pageTest("what is typed wrongly is said under its field, and the figures stay those of before", { fetches }, async (page) => {
  await load(page, network("transformer"));
  await count(page);
  const before = await cells(page, C("rows"));
  await page.page.click(C("constants-summary"));
  for (const [field, text, sentence] of [
    ["dram", "0", "dram: expected a number from 0.000001 to 1000000000, found 0"],
    ["dram", "-1", "dram: expected a number from 0.000001 to 1000000000, found -1"],
    ["clock", "", "clock: expected a number from 0.000001 to 1000000000, found nothing"],
    ["reuse", "many", "reuse: expected a number from 1 to 1000000000, found many"],
    ["batch", "0", "batch: expected a whole number from 1 to 1048576, found 0"],
    ["format", "m30e4", "format: mantissa bits: expected 0 to 23, found 30"],
  ]) {
    const was = await page.page.inputValue(C(field));
    await page.page.fill(C(field), text);
    assert.equal(await page.text(C(`${field}-error`)), sentence);
    assert.equal(await page.page.getAttribute(C(field), "aria-invalid"), "true");
    assert.equal(await page.page.isVisible(C("stale")), true);
    assert.deepEqual(await cells(page, C("rows")), before);
    await page.page.fill(C(field), was);
    assert.equal(await page.page.isVisible(C(`${field}-error`)), false);
    assert.equal(await page.page.isVisible(C("stale")), false);
  }
});

pageTest("a constant of a link that cannot be is said under its field", { fragment: "#method=uniform&cost.dram=0&cost.clock=2", fetches }, async (page) => {
  await load(page, network("lstm"));
  assert.equal(await page.text(C("dram-error")), "dram: expected a number from 0.000001 to 1000000000, found 0");
  assert.equal(await page.page.inputValue(C("dram")), "0");
  assert.equal(await page.page.inputValue(C("clock")), "2");
});

pageTest("every method and coder is timed, on files that are the program's", { fetches }, async (page) => {
  const file = small();
  await load(page, file);
  assert.equal(await page.page.isVisible("#cost"), false, "no network, no model of one");
  await page.page.click(T("start"));
  await page.page.waitForSelector(`${T("rows")} tr`);
  const start = Date.now();
  await page.page.click("#accuracy-cancel");
  await page.page.waitForSelector("#accuracy-job", { state: "hidden" });
  assert.ok(Date.now() - start < 1000, `cancelled after ${Date.now() - start} ms`);
  assert.ok((await cells(page, T("rows"))).length > 0, "what was measured stays");
  await page.page.click(T("start"));
  await page.page.waitForSelector("#accuracy-job", { state: "visible" });
  await page.page.waitForSelector("#accuracy-job", { state: "hidden", timeout: 150_000 });
  const rows = await cells(page, T("rows"));
  const line = (await page.page.evaluate(() => location.hash)).slice(1).replace(/&hash=.*/, "");
  const told = JSON.parse(await native("sweep", file, "--timings", "--recipe", line, "--json"));
  assert.deepEqual(
    rows.map((row) => [row[0], row[1], number(row[2])]),
    told.timings.map((timing) => [timing.method, timing.coder, timing.file_bytes]),
  );
  for (const row of rows) assert.ok(number(row[3]) > 0 && number(row[4]) > 0 && number(row[5]) > 0 && number(row[6]) > 1, row.join(" "));
  assert.match(await page.text(T("said")), /^Sketching 17,600 weights took .* Measured in Mozilla.* cores/);
  const lines = readFileSync(await page.download(T("csv"), "timings.csv"), "utf8").trim().split("\n");
  assert.ok(lines[0].startsWith("# Mozilla") && lines.length === rows.length + 2, lines[0]);
});

for (const [colorScheme, width] of [["light", 1280], ["dark", 360]]) {
  pageTest(`axe finds nothing where hardware is reckoned, ${colorScheme}, ${width} pixels`, { colorScheme, viewport: { width, height: 800 }, fetches }, async (page) => {
    await load(page, network("resnet"));
    await page.recipe("uniform", 0.5);
    await page.compress();
    await count(page);
    await page.page.waitForFunction((id) => document.querySelector(id).rows.length === 5, C("rows"));
    await page.page.evaluate(() => document.querySelectorAll("#cost details").forEach((details) => (details.open = true)));
    await page.page.fill(C("dram"), "-1");
    await page.page.click(T("start"));
    await page.page.waitForSelector(`${T("rows")} tr`);
    await page.page.click("#accuracy-cancel");
    assert.deepEqual(await page.violations(), []);
    assert.ok((await page.overflow()) <= 0);
  });
}
