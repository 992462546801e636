// Searching number formats in the page: the program's choice, cancelling, what is typed wrongly, what is stale, keyboard, downloads.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { native, pageTest, repository } from "./harness.mjs";

const P = (id) => `#precision-${id}`;
const fetches = ["accuracy.js", "accuracy_bg.wasm", "samples/"];
const samples = JSON.parse(readFileSync(repository("www/samples/index.json"), "utf8"));
const files = (id) => {
  const { model, data } = samples.find((sample) => sample.id === id);
  return [model, data].map((name) => repository(`www/samples/${name}`));
};

/// Opens a sample with its data, and waits until nothing runs.
async function ready(page, id) {
  await page.page.click(`[data-sample=${id}]`);
  await page.opened(`${id}.onnx`);
  await page.page.click("#accuracy-button");
  // What is measured at once is not what these tests are about.
  await page.page.waitForFunction(() => /Measuring/.test(document.querySelector("#accuracy-job-title").textContent));
  await page.page.keyboard.press("Escape");
  await page.page.waitForSelector("#accuracy-job", { state: "hidden" });
}

/// Fills in what is asked for.
async function ask(page, { formats, search = "both", samples = "" }) {
  if (formats) await page.page.fill(P("formats"), formats);
  await page.page.selectOption(P("search"), search);
  await page.page.fill(P("samples"), samples);
}

/// Searches to the end; milliseconds.
async function search(page, wish) {
  await ask(page, wish);
  const start = Date.now();
  await page.page.click(P("start"));
  await page.page.waitForSelector(P("job"), { state: "visible" });
  await page.page.waitForSelector(P("job"), { state: "hidden", timeout: 150_000 });
  const millis = Date.now() - start;
  assert.equal(await page.text("#accuracy-error"), "");
  return millis;
}

const said = (page) => page.page.$$eval(`${P("said")} li`, (items) => items.map((item) => item.textContent));

async function rows(page) {
  await page.page.evaluate((id) => (document.querySelector(id).open = true), P("details"));
  await page.page.waitForSelector(`${P("rows")} tr`);
  return page.page.$$eval(`${P("rows")} tr`, (rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent)));
}

pageTest("of the paper's 340 formats the page chooses the one that the program chooses", { fetches }, async (page) => {
  await ready(page, "lenet");
  const millis = await search(page, { search: "exhaustive" });
  console.log(`340 formats on LeNet's 600 images, exhaustively: ${millis} ms`);
  assert.ok(millis < 60_000, `${millis} ms`);
  const [network, data] = files("lenet");
  const given = JSON.parse(await native("precision", network, "--data", data, "--search", "exhaustive", "--json"));
  const choice = given.searches[0].choice;
  const lines = await said(page);
  assert.match(lines[0], new RegExp(`^Float32 answers ${given.float.right} of 600 right; .* answers ${given.target.right}\\.$`));
  assert.ok(lines[1].startsWith(`Exhaustive: ${choice}, `), `${lines[1]}: the program chose ${choice}`);
  const table = await rows(page);
  assert.equal(table.length, 340);
  assert.equal(table.find((row) => row[8] === "reaches the target")[0], choice, "the cheapest that holds");
  const quick = await search(page, { search: "efficient" });
  console.log(`the efficient search of them: ${quick} ms`);
  assert.ok((await said(page))[1].startsWith(`Efficient: ${choice}, `), "the same format");
});

pageTest("both searches, their map, its details, its table and its files", { fetches }, async (page) => {
  await ready(page, "lstm");
  await page.page.selectOption(P("preset"), "e2..5m1..10");
  await search(page, {});
  const lines = await said(page);
  assert.equal(lines.length, 3);
  assert.match(lines[1], /^Exhaustive: \w+, \d+ bits, [\d.]+ % right, after [\d,]+ runs of a sample \([\d.]+ % of all\) in [\d.]+ s\.$/);
  assert.match(lines[2], /^Efficient: \w+, .*; it foretold [\d.]+ % of float32’s accuracy for \w+, measured are [\d.]+ %, and went by \w+/);
  // By keyboard: the first arrow goes to the choice, Enter takes it.
  await page.page.focus(P("map"));
  await page.page.keyboard.press("ArrowRight");
  const choice = lines[1].match(/: (\w+),/)[1];
  assert.ok((await page.text(P("live"))).startsWith(`${choice}, `));
  await page.page.keyboard.press("Enter");
  assert.match(await page.text(P("command")), new RegExp(`^quantscope accuracy lstm.onnx --data \\S+ --weights-as ${choice} --activations-as ${choice}$`));
  await page.page.keyboard.press("ArrowUp");
  assert.ok(!(await page.text(P("live"))).startsWith(`${choice}, `));
  const byCost = await rows(page);
  const bits = (rows) => rows.map((row) => Number(row[1]));
  assert.equal(byCost.length, 40);
  assert.deepEqual(bits(byCost), bits(byCost).toSorted((a, b) => a - b));
  await page.page.click(`${P("heading")} [data-sort=right] button`);
  const byShare = (await rows(page)).map((row) => Number(row[3]));
  assert.deepEqual(byShare, byShare.toSorted((a, b) => b - a));
  const csv = readFileSync(await page.download(P("csv"), "formats.csv"), "utf8").trim().split("\n");
  assert.equal(csv.length, 41);
  assert.ok(csv.some((line) => line.startsWith(`${choice},`) && line.includes(",Holds,")));
  const svg = readFileSync(await page.download(P("svg"), "formats.svg"), "utf8");
  assert.ok(svg.includes("floating point eNmN") && svg.includes(`Exhaustive: ${choice}`));
  // What was found answers what was asked: another question makes it stale, and the same one again does not.
  await page.page.fill(P("keep"), "95 %");
  assert.equal(await page.page.getAttribute("#precision", "data-stale"), "true");
  await page.page.fill(P("keep"), "99 %");
  assert.equal(await page.page.getAttribute("#precision", "data-stale"), "false");
});

pageTest("blocks of integers have a map of their own, and a format of it becomes the recipe", { fetches }, async (page) => {
  await ready(page, "lstm");
  await page.page.selectOption(P("preset"), "int2..8-g16..256");
  await page.page.selectOption(P("rounded"), "operation");
  assert.equal(await page.text(P("formats-error")), "data: the accumulator: expected a format of single numbers, since sums share no scales, found int2-g16");
  await page.page.selectOption(P("rounded"), "operator");
  await search(page, { samples: "100" });
  const [network, data] = files("lstm");
  const given = JSON.parse(await native("precision", network, "--data", data, "--family", "int2..8-g16..256", "--samples", "100", "--json"));
  const lines = await said(page);
  const choice = given.searches[0].choice;
  assert.ok(lines[1].startsWith(`Exhaustive: ${choice}, `), `${lines[1]}: the program chose ${choice}`);
  const table = await rows(page);
  assert.equal(table.length, 35);
  assert.deepEqual(table[0].slice(0, 2), ["int2-g256", "2.0625"]);
  const svg = readFileSync(await page.download(P("svg"), "formats.svg"), "utf8");
  assert.ok(svg.includes("integers intN-gN, scales f16") && svg.includes("numbers to a scale"));
  await page.page.focus(P("map"));
  await page.page.keyboard.press("ArrowRight");
  await page.page.keyboard.press("Enter");
  assert.match(await page.text(P("facts")), /blocks\d+, [\d.]+ % of their places empty/);
  await page.page.click(P("quantize"));
  const [, bits, block] = choice.match(/^int(\d)-g(\d+)$/);
  await page.page.waitForFunction((end) => location.hash.includes(end), `method=scaled&block=${block}&format=int${bits}&scale=f16`);
});

pageTest("a search stops at once, and what it found stays", { fetches }, async (page) => {
  await ready(page, "lenet");
  await ask(page, { search: "exhaustive" });
  await page.page.selectOption(P("rounded"), "operation");
  await page.page.click(P("start"));
  await page.page.waitForFunction((id) => /^[1-9]\d* of 340/.test(document.querySelector(id).textContent), P("job-title"));
  const start = Date.now();
  await page.page.click(P("cancel"));
  await page.page.waitForSelector(P("job"), { state: "hidden" });
  assert.ok(Date.now() - start < 1000, `cancelled after ${Date.now() - start} ms`);
  assert.equal(await page.page.isVisible(P("partial")), true);
  assert.ok((await rows(page)).some((row) => row[2] !== "0"), "measured formats stay");
  await page.page.selectOption(P("rounded"), "operator");
  await search(page, { formats: "int4..8", search: "efficient" });
  assert.equal((await rows(page)).length, 5);
  assert.equal(await page.page.isVisible(P("partial")), false);
});

pageTest("what is typed wrongly is said under its field", { fetches }, async (page) => {
  await ready(page, "lstm");
  for (const [field, text, sentence] of [
    ["formats", "m8..2e4", "data: a range of formats: expected two numbers that ascend, such as 2..8, found 8..2"],
    ["keep", "99", "the share to keep: expected one such as 99 % or 0.99, found 99"],
    ["samples", "none", "samples: expected a whole number from 1, or nothing for all, found none"],
  ]) {
    const before = await page.page.inputValue(P(field));
    await page.page.fill(P(field), text);
    assert.equal(await page.text(P(`${field}-error`)), sentence);
    await page.page.click(P("start"));
    assert.equal(await page.page.isVisible(P("job")), false);
    await page.page.fill(P(field), before);
    assert.equal(await page.page.isVisible(P(`${field}-error`)), false);
  }
});

for (const [colorScheme, width] of [["light", 1280], ["dark", 360]]) {
  pageTest(`axe finds nothing where formats were searched, ${colorScheme}, ${width} pixels`, { colorScheme, viewport: { width, height: 800 }, fetches }, async (page) => {
    await ready(page, "transformer");
    await search(page, { formats: "e3..5m1..6,int4..8", samples: "100" });
    await rows(page);
    assert.deepEqual(await page.violations(), []);
    assert.ok((await page.overflow()) <= 0);
  });
}
