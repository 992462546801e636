// Which layer hurts, and how far curves are from what is possible: panel, table, downloads, words.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { folder, small } from "./fixtures.mjs";
import { native, number, pageTest, real } from "./harness.mjs";
import { S } from "./selectors.mjs";

/// Opens the panel's table once it tells of `tensors` tensors; rows as arrays of cell texts.
async function sensitivityTable(page, tensors) {
  await page.page.evaluate((details) => (document.querySelector(details).open = true), S.sensitivityDetails);
  await page.page.waitForFunction(([rows, count]) => document.querySelectorAll(rows).length === count, [S.sensitivityRows, tensors]);
  return page.page.$$eval(S.sensitivityRows, (rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent)));
}

/// Tensors of the small model that are weights.
const WEIGHTS = 2;

/// Whether anything is drawn on a canvas.
const isDrawn = (page, selector) =>
  page.page.$eval(selector, (canvas) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return new Set(new Uint32Array(data.buffer)).size > 2;
  });

pageTest("which layer hurts: table, CSV and the native program say the same", {}, async (page) => {
  await page.open(small());
  await page.recipe("uniform", 0.4);
  const before = (await sensitivityTable(page, WEIGHTS)).map((row) => row.join());
  await page.recipe("uniform", 1.5);
  await page.page.waitForFunction(
    ([rows, old, count]) => document.querySelectorAll(rows).length === count && [...document.querySelectorAll(rows)[0].cells].map((c) => c.textContent).join() !== old,
    [S.sensitivityRows, before[0], WEIGHTS],
  );
  const table = await sensitivityTable(page, WEIGHTS);
  const csv = readFileSync(await page.download(S.sensitivityCsv, "sensitivity.csv"), "utf8");
  const ours = join(folder, "sensitivity.native.csv");
  await native("sensitivity", small(), "--recipe", page.recipeLine(), "-o", ours);
  assert.equal(csv, readFileSync(ours, "utf8"), "page and program write the same");
  const lines = csv.trimEnd().split("\n");
  const names = lines.shift().split(",");
  for (const [i, line] of lines.entries()) {
    const cells = line.split(",");
    assert.equal(cells[0], `"${table[i][0]}"`);
    const given = (name) => Number(cells[names.indexOf(name)]);
    assert.ok(Math.abs(number(table[i][4]) - given("bits_per_weight")) < 0.0006);
    assert.ok(Math.abs(number(table[i][5]) - given("sqnr_db")) < 0.006);
    const share = table[i][1].startsWith("<") ? 0 : Number.parseFloat(table[i][1]);
    assert.ok(Math.abs(share - 100 * given("error_share")) < 0.11, `${table[i][1]} against ${given("error_share")}`);
  }
  const caption = await page.text(S.sensitivityCaption);
  assert.ok(caption.startsWith(table[0][0]) && /% of the distortion with/.test(caption), caption);
});

pageTest("which layer hurts: both charts are drawn and named", {}, async (page) => {
  await page.open(small());
  await sensitivityTable(page, WEIGHTS);
  const pixels = () => page.page.$eval(S.sensitivityCanvas, (canvas) => canvas.toDataURL());
  const shares = await pixels();
  await page.page.selectOption(S.sensitivityShow, "slope");
  assert.deepEqual(
    await page.page.$$eval(S.sensitivityKeys, (keys) => keys.filter((key) => key.offsetParent !== null).map((key) => key.textContent)),
    ["deserves a finer step", "could be coarser"],
  );
  await page.page.waitForFunction(([canvas, old]) => document.querySelector(canvas).toDataURL() !== old, [S.sensitivityCanvas, shares]);
});

pageTest("which layer hurts on LeNet: with importance the small layers do", { skip: !real("lenet/lenet_hessian_diag_ggn.safetensors") }, async (page) => {
  await page.open(real("lenet/lenet.safetensors"));
  await page.page.selectOption(S.scope, "all");
  await page.recipe("uniform", 0.5);
  assert.equal((await sensitivityTable(page, 4))[0][0], "fc1.weight");
  await page.page.selectOption("#importance", "file");
  await page.page.setInputFiles("#importance-input", real("lenet/lenet_hessian_diag_ggn.safetensors"));
  await page.page.waitForFunction((rows) => document.querySelector(rows)?.cells[0].textContent === "conv1.weight", S.sensitivityRows);
});

pageTest("every curve says how far it is from what is possible", {}, async (page) => {
  await page.open(small());
  await page.page.selectOption(S.scope, "all");
  await page.recipe("uniform", 1);
  const table = await page.table();
  const curves = new Set(table.map((row) => row[0]));
  await page.page.waitForFunction(([gaps, count]) => document.querySelectorAll(gaps).length === count, [S.gaps, curves.size]);
  const said = await page.page.$$eval(S.gaps, (gaps) => gaps.map((gap) => gap.textContent));
  const bound = /^[^:]+: \d\.\d\d bit above the Shannon bound at \d\.\d\d bits/;
  const optimum = /, \d\.\d\d dB from the exact optimum$/;
  for (const line of said) {
    assert.match(line, bound);
    // No exact optimum is known of quantizers with memory, nor of those whose blocks have scales.
    assert.equal(optimum.test(line), !/^(Trellis|Block-scaled)/.test(line), line);
  }
  assert.deepEqual(new Set(said.map((line) => line.split(": ")[0])), curves);
  const lloyd = table.filter((row) => row[0] === "k-means (Lloyd)").map((row) => number(row[10]));
  assert.ok(lloyd.length > 10 && lloyd.every((gap) => gap >= 0) && lloyd.some((gap) => gap > 0), "Lloyd is never better than exact");

  await page.page.focus(S.chart);
  await page.page.keyboard.press("ArrowRight");
  assert.match(await page.text(S.chartSaid), /bit above the Shannon bound, .* dB from the exact optimum/);
  await page.page.selectOption("#chart-quality", "weighted");
  await page.page.waitForFunction((gaps) => ![...document.querySelectorAll(gaps)].some((gap) => gap.textContent.includes("Shannon")), S.gaps);
});

for (const colorScheme of ["light", "dark"]) {
  pageTest(`axe finds nothing in the panel of sensitivities, ${colorScheme}`, { colorScheme }, async (page) => {
    await page.open(small());
    await page.table();
    await sensitivityTable(page, WEIGHTS);
    assert.deepEqual(await page.violations(), []);
  });
}

pageTest("the panel of sensitivities fits 360 pixels", { viewport: { width: 360, height: 740 } }, async (page) => {
  await page.open(small());
  await page.table();
  await sensitivityTable(page, WEIGHTS);
  assert.ok((await page.overflow()) <= 0);
  assert.ok(await isDrawn(page, S.sensitivityCanvas));
});
