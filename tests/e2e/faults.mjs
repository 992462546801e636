// What goes wrong: work cancelled, files that lie, settings out of range. Nothing is lost, and one sentence says why.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { hostile, large, raw, small } from "./fixtures.mjs";
import { pageTest, real } from "./harness.mjs";
import { S } from "./selectors.mjs";

const CANCEL_LIMIT_MILLIS = 500;

/// Chooses a file that must be refused; returns the sentence.
async function refused(page, path) {
  await page.choose(path);
  await page.page.waitForSelector(S.notice, { state: "visible" });
  await page.page.waitForSelector(S.job, { state: "hidden" });
  const sentence = await page.text(S.noticeText);
  assert.ok(sentence.length > 15 && sentence.length < 400 && !sentence.includes("\n"), `${basename(path)}: "${sentence}"`);
  assert.doesNotMatch(sentence, /panick|unreachable|undefined|RuntimeError|\[object/, basename(path));
  return sentence;
}

pageTest("files that lie get one sentence each, and the open file stays", {}, async (page) => {
  await page.open(small());
  const found = [
    "hostile/picklescan/tests/data/malicious1_v4.pkl",
    "hostile/picklescan/tests/data/bad_pytorch.pt",
    "hostile/numpy/py3-objarr.npy",
    "hostile/gguf_handcrafted/bad_HEADER_BAD_MAGIC.gguf",
  ].map(real).filter(Boolean);
  for (const path of [...hostile(), ...found]) {
    await refused(page, path);
    assert.equal(await page.text(S.fileName), "small.safetensors", basename(path));
  }
  await page.recipe("kmeans", 5);
  await page.compress();
});

pageTest("a damaged compressed file is refused", {}, async (page) => {
  await page.open(small());
  await page.recipe("kmeans", 5);
  await page.compress();
  const bytes = readFileSync(await page.download(S.downloadCompressed, "whole.qsz"));
  await refused(page, raw("cut.qsz", [bytes.subarray(0, bytes.length / 2)]));
  assert.equal(await page.text(S.fileName), "small.safetensors");
});

pageTest("cancelling stops the work at once, and the next job runs", {}, async (page) => {
  await page.open(large());
  await page.recipe("kmeans", 64);
  await page.page.click(S.compress);
  await page.page.waitForSelector(S.cancel, { state: "visible" });
  const started = Date.now();
  await page.page.click(S.cancel);
  await page.page.waitForSelector(S.job, { state: "hidden" });
  const elapsedMillis = Date.now() - started;
  assert.ok(elapsedMillis < CANCEL_LIMIT_MILLIS, `cancelling took ${elapsedMillis} ms`);
  assert.equal(await page.page.isVisible(S.result), false, "a cancelled job has no result");
  await page.compress();
  assert.equal(await page.page.isVisible(S.result), true);
});
