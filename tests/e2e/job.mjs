// The main job: a file in, methods compared, a smaller file out, and the native program agrees on every byte.
import assert from "node:assert/strict";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { folder, other, small } from "./fixtures.mjs";
import { native, number, pageTest, real } from "./harness.mjs";
import { COLUMNS, S } from "./selectors.mjs";

const sources = [
  ["a generated file", small()],
  ["LeNet", real("lenet/lenet.safetensors")],
  ["ResNet-32, a legacy pickle", real("resnet32/resnet32-d509ac18.th")],
];
// A method on a grid has one coder.
const recipes = [["kmeans", 16, "rans"], ["uniform", 0.25, "context"], ["trellis", 0.4, null]];

for (const [title, source] of sources) {
  pageTest(`${title}: dropped, compressed, and decoded natively to the same bytes`, { skip: !source }, async (page) => {
    await page.drop(source);
    await page.opened(source);
    for (const [method, value, coder] of recipes) {
      await page.recipe(method, value);
      if (coder) await page.page.selectOption(S.coder, coder);
      await page.settled();
      const line = page.recipeLine();
      assert.equal(await page.page.isDisabled(S.coder), !coder);
      await page.compress();
      const hash = (await page.text(S.verdictHash)).match(/[0-9a-f]{32}/)?.[0];
      assert.ok(hash, "the page shows the hash of what it decoded");

      const archive = await page.download(S.downloadCompressed, `${method}.qsz`);
      const decoded = await page.download(S.downloadSafetensors, `${method}.page.safetensors`);
      const size = statSync(archive).size;
      assert.equal(number(await page.text(S.ledgerBits)), size * 8, "the ledger's sum is the file");
      assert.ok(size < statSync(source).size, "the file is smaller");

      const ours = join(folder, `${method}.native`);
      await native("decode", archive, "-o", `${ours}.safetensors`);
      assert.ok(readFileSync(`${ours}.safetensors`).equals(readFileSync(decoded)), `${line}: decoded bytes differ`);
      await native("compress", source, "--recipe", line, "-o", `${ours}.qsz`);
      assert.ok(readFileSync(`${ours}.qsz`).equals(readFileSync(archive)), `${line}: compressed bytes differ`);
      const report = await native("verify", archive, "--source", source, "--json");
      assert.ok(report.includes(hash), `${line}: verified hashes differ`);
    }
  });
}

pageTest("chart, table and CSV say the same", {}, async (page) => {
  await page.open(small());
  const table = await page.table();
  const csv = readFileSync(await page.download(S.csv, "curves.csv"), "utf8").trimEnd().split("\n");
  const names = csv.shift().split(",");
  assert.equal(table.length, csv.length, "one row per line");
  for (const [i, line] of csv.entries()) {
    const cells = line.split(",");
    for (const { cell, csv: name, tolerance } of COLUMNS) {
      const text = cells[names.indexOf(name)];
      const [shown, given] = [number(table[i][cell]), text === "" ? NaN : Number(text)];
      assert.ok(Math.abs(shown - given) <= tolerance || Object.is(shown, given), `row ${i}: ${name} ${shown} against ${given}`);
    }
  }

  await page.page.selectOption("#chart-rate", "entropy");
  await page.page.focus(S.chart);
  for (const key of ["ArrowRight", "ArrowLeft", "ArrowUp", "ArrowDown", "ArrowLeft"]) {
    await page.page.keyboard.press(key);
    const said = await page.text(S.chartSaid);
    const [bits, decibels] = [/([\d.]+) bits/, /([\u2212\d.]+) dB/].map((pattern) => said.match(pattern)?.[1]);
    const row = table.find((row) => said.startsWith(row[0]) && row[3] === bits && row[7] === decibels);
    assert.ok(row, `the table has no row for "${said}"`);
  }
});

pageTest("charts download as SVG with their titles", {}, async (page) => {
  await page.open(small());
  const table = await page.table();
  const svg = readFileSync(await page.download(S.svg, "chart.svg"), "utf8");
  assert.match(svg, /^<svg [^>]*xmlns="http:\/\/www\.w3\.org\/2000\/svg"/);
  assert.match(svg, /<title id="title">.+<\/title>/);
  for (const title of new Set(table.map((row) => row[0]))) assert.ok(svg.includes(title), `${title} is missing`);
  assert.match(readFileSync(await page.download(S.overlaySvg, "overlay.svg"), "utf8"), /<title id="title">.+<\/title>/);
});

pageTest("a link restores the recipe, and says when the file is another", {}, async (page) => {
  await page.open(small());
  await page.recipe("kmeans", 7);
  const figures = [await page.text(S.bits), await page.text(S.ratio)];
  const fragment = new URL(page.page.url()).hash;

  const second = await page.sibling(fragment);
  await second.open(small());
  await second.settled();
  assert.equal(await second.page.inputValue(S.method), "kmeans");
  assert.equal(await second.page.inputValue(S.firstParameter), "7");
  assert.deepEqual([await second.text(S.bits), await second.text(S.ratio)], figures);
  assert.equal(await second.page.isVisible(S.linkNotice), false);
  second.assertSilent();
  await second.page.close();

  const third = await page.sibling(fragment);
  await third.open(other());
  await third.page.waitForSelector(S.linkNotice, { state: "visible" });
  assert.match(await third.text(S.linkNoticeText), /another file/);
  assert.equal(await third.page.inputValue(S.firstParameter), "7");
  third.assertSilent();
});
