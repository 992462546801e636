// A target: the page finds the setting, and the native program finds the same one.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { folder, large, small } from "./fixtures.mjs";
import { native, number, pageTest } from "./harness.mjs";
import { S } from "./selectors.mjs";

/// Asks for a target and waits for the sentence that ends the search.
async function find(page, kind, amount) {
  await page.page.selectOption(S.targetKind, kind);
  await page.page.fill(S.targetAmount, amount);
  await page.page.press(S.targetAmount, "Enter");
  await page.page.waitForFunction(
    ([job, said]) => document.querySelector(job).hidden && /\S/.test(document.querySelector(said).textContent),
    [S.job, S.targetSaid],
    { timeout: 120_000 },
  );
  assert.equal(await page.page.isVisible(S.notice), false, await page.text(S.noticeText));
  return page.text(S.targetSaid);
}

pageTest("a file of a given size: found, set, compressed, and the native program finds the same", {}, async (page) => {
  const source = small();
  await page.open(source);
  await page.recipe("uniform", 0.5);
  const said = await find(page, "max-bytes", "8 kB");
  assert.match(said, /^at most 8000 bytes: \d+ bytes, \d\d\.\d\d % of it; \d+ trials$/);
  const size = Number(said.match(/: (\d+) bytes/)[1]);
  assert.ok(size <= 8000 && size > 7500, said);

  await page.page.waitForFunction(() => !new URLSearchParams(location.hash.slice(1)).get("step").startsWith("0.5"));
  const step = new URLSearchParams(new URL(page.page.url()).hash.slice(1)).get("step");
  assert.equal(await page.page.inputValue(S.firstParameter), step, "the field shows the setting in full");
  await page.compress();
  assert.equal(number(await page.text(S.ledgerBits)), size * 8, "compressing gives the file that was promised");

  const archive = await page.download(S.downloadCompressed, "target.qsz");
  const ours = join(folder, "target.native.qsz");
  const report = JSON.parse(await native("compress", source, "-o", ours, "--method", "uniform", "--max-bytes", "8 kB", "--json", "-q"));
  assert.ok(readFileSync(ours).equals(readFileSync(archive)), report.outcome.recipe);
  assert.equal(report.target.trials.length, Number(said.match(/(\d+) trials/)[1]));

  await page.recipe("uniform", 0.5);
  assert.equal(await page.text(S.targetSaid), "", "another recipe is not what was found");
});

pageTest("a quality: all methods compete, and the smallest file wins", {}, async (page) => {
  await page.open(small());
  await page.page.selectOption(S.targetKind, "min-sqnr");
  await page.page.check(S.targetAll);
  const said = await find(page, "min-sqnr", "20");
  assert.match(said, /^at least 20 dB: 20\.\d+ dB \(worst tensor \d+\.\d\d dB\), 0\.\d+ dB above; \d+ trials$/);
  assert.deepEqual(await page.violations(), []);
});

pageTest("what cannot be met says what can, and what is no target is refused", { viewport: { width: 360, height: 740 }, colorScheme: "dark" }, async (page) => {
  await page.open(small());
  await page.recipe("uniform", 0.5);
  const said = await find(page, "max-bytes", "300");
  assert.match(said, /^at most 300 bytes cannot be met: the smallest file this recipe can make is \d+ bytes, at [\d.]+ dB \(uniform, step 8\)$/);
  assert.equal(await page.page.inputValue(S.firstParameter), "0.5", "the recipe is left as it was");
  assert.ok((await page.overflow()) <= 0);
  assert.deepEqual(await page.violations(), []);
  assert.equal(await find(page, "max-bits", "many"), "max-bits: expected a number of bits above 0, up to 64, found many");
  assert.match(await find(page, "min-weighted-sqnr", "10"), /expected a recipe with importance/);
});

pageTest("a search is cancelled at once", {}, async (page) => {
  await page.open(large());
  await page.page.selectOption(S.targetKind, "max-bytes");
  await page.page.fill(S.targetAmount, "3 MB");
  await page.page.click(S.targetFind);
  await page.page.waitForSelector(S.cancel, { state: "visible" });
  await page.page.click(S.cancel);
  await page.page.waitForSelector(S.job, { state: "hidden" });
  assert.equal(await page.text(S.targetSaid), "");
  await page.compress();
});
