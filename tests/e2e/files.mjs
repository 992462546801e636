// What is dropped is told apart: files that belong together, recipes, folders, importance that does not fit.
import assert from "node:assert/strict";
import { readFileSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { folder, other, raw, sharded, small } from "./fixtures.mjs";
import { native, pageTest, repository } from "./harness.mjs";
import { S } from "./selectors.mjs";

pageTest("D11: files that an ONNX model does not refer to are not taken for its data", {}, async (page) => {
  const model = repository("www/samples/lstm.onnx");
  await page.choose([small(), model, other()]);
  await page.opened(model);
  await page.page.waitForSelector(S.linkNotice, { state: "visible" });
  assert.match(await page.text(S.linkNoticeText), /lstm\.onnx does not refer to them: small\.safetensors and other\.safetensors/);
  const shown = await page.text("#file-facts");
  await page.choose(model);
  await page.page.waitForSelector(S.linkNotice, { state: "hidden" });
  assert.equal(await page.text("#file-facts"), shown, "sizes are those of the model alone");
  assert.ok(statSync(model).size < 100_000 && /kB/.test(shown), shown);
});

pageTest("D19: the page reads the recipe file that it writes", {}, async (page) => {
  await page.open(small());
  await page.recipe("kmeans", 7);
  await page.compress();
  const made = await page.download(S.downloadRecipe, "made.recipe.json");
  await page.recipe("uniform", 0.5);
  await page.choose(made);
  await page.page.waitForFunction(() => document.querySelector("#method").value === "kmeans");
  await page.page.waitForFunction(() => new URLSearchParams(location.hash.slice(1)).get("k") === "7");
  assert.equal(await page.text(S.fileName), "small.safetensors", "the file stays open");
  assert.equal(await page.page.isVisible(S.linkNotice), false, "it was made for this file");
  assert.match(await native("compress", small(), "-o", made.replace(".json", ".qsz"), "--recipe", made, "-q", "--json"), /"k(=|":)7|k=7/);
  // And the one that the program writes.
  await page.choose(raw("program.recipe.json", [await native("recipe", "--method", "lloyd", "--k", "9", "--json")]));
  await page.page.waitForFunction(() => new URLSearchParams(location.hash.slice(1)).get("k") === "9");
  assert.equal(await page.page.inputValue(S.method), "lloyd");
  // Made for another file, it is applied all the same, and that is said.
  await page.open(other());
  await page.choose(made);
  await page.page.waitForSelector(S.linkNotice, { state: "visible" });
  assert.match(await page.text(S.linkNoticeText), /made for another file/);
  await page.choose(raw("broken.recipe.json", [JSON.stringify({ recipe: "method=kmeans&k=0" })]));
  await page.page.waitForSelector(S.notice, { state: "visible" });
  assert.match(await page.text(S.noticeText), /broken\.recipe\.json: k: expected a whole number/);
});

pageTest("D19: a recipe that comes before its file waits for it", {}, async (page) => {
  await page.choose(raw("first.recipe.json", [JSON.stringify({ recipe: "method=kmeans&k=6", source_hash: "0".repeat(32) })]));
  await page.page.waitForSelector(S.linkNotice, { state: "visible" });
  assert.match(await page.text(S.linkNoticeText), /Open the weight file it was made for/);
  await page.open(small());
  assert.equal(await page.page.inputValue(S.method), "kmeans");
  await page.page.waitForFunction(() => new URLSearchParams(location.hash.slice(1)).get("k") === "6");
});

/// Drops a folder; a script cannot make one, so the browser's entries are stood in for.
async function dropFolder(page, tree) {
  await page.page.evaluate(([tree, zone]) => {
    const entry = (name, content) => typeof content === "string"
      ? { name, isDirectory: false, file: (done) => done(new File([Uint8Array.from(atob(content), (c) => c.charCodeAt(0))], name)) }
      : { name, isDirectory: true, createReader: () => {
          // As browsers do: some at a time, and none at the end.
          const left = Object.entries(content).map(([name, content]) => entry(name, content));
          return { readEntries: (done) => done(left.splice(0, 2)) };
        } };
    const original = DataTransferItem.prototype.webkitGetAsEntry;
    DataTransferItem.prototype.webkitGetAsEntry = () => entry("model", tree);
    const transfer = new DataTransfer();
    transfer.items.add(new File([], "model"));
    document.querySelector(zone).dispatchEvent(new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer: transfer }));
    DataTransferItem.prototype.webkitGetAsEntry = original;
  }, [tree, S.dropZone]);
}

pageTest("a model in shards is opened from its files, with or without their index, and from its folder", {}, async (page) => {
  const [index, one, two] = sharded();
  await page.choose([two, index, one]);
  await page.opened(index);
  assert.match(await page.text("#file-facts"), /^sharded safetensors or PyTorch · 13,824 weights in 2 tensors/);
  await page.choose([two, one]);
  await page.opened(one);
  assert.match(await page.text("#file-facts"), /^sharded safetensors or PyTorch · 13,824 weights in 2 tensors/);
  const base64 = (path) => readFileSync(path).toString("base64");
  const shards = Object.fromEntries([index, one, two].map((path) => [basename(path), base64(path)]));
  await page.open(small());
  await dropFolder(page, { ...shards, "README.md": btoa("words"), ".git": { hidden: btoa("x") }, more: { "config.json": btoa("{}") } });
  await page.opened(index);
  await page.recipe("kmeans", 5);
  await page.compress();
  await page.page.waitForSelector(S.linkNotice, { state: "visible" });
  assert.match(await page.text(S.linkNoticeText), /does not refer to them: config\.json and README\.md\.$/);
});

pageTest("shards that are missing are named", {}, async (page) => {
  const [index, one] = sharded();
  await page.open(small());
  for (const files of [[index], [index, one]]) {
    await page.choose(files);
    await page.page.waitForSelector(S.notice, { state: "visible" });
    await page.page.waitForSelector(S.job, { state: "hidden" });
    assert.match(await page.text(S.noticeText), /needs .*part-00002-of-00002\.safetensors as well/);
    assert.equal(await page.text(S.fileName), "small.safetensors", "what was open stays open");
  }
  // One alone is a weight file, and says what it is a part of.
  await page.choose(one);
  await page.opened(one);
  await page.page.waitForFunction(() => /part 1 of 2 of a model, which is whole with part-00002-of-00002\.safetensors/.test(document.body.textContent));
});

pageTest("D20: an empty folder and one of several models are called that", {}, async (page) => {
  await page.open(small());
  for (const [tree, sentence] of [
    [{ empty: {} }, /^There is no file in that folder\.$/],
    [{ "a.safetensors": btoa("x"), "b.npz": btoa("y") }, /^Open one model at a time/],
  ]) {
    await dropFolder(page, tree);
    await page.page.waitForFunction((text) => new RegExp(text).test(document.querySelector("#notice-text").textContent), sentence.source);
    assert.equal(await page.text(S.fileName), "small.safetensors");
  }
});

pageTest("D26: importance that does not fit is named when compressing, with what to do", {}, async (page) => {
  await page.open(small());
  await page.recipe("kmeans", 5);
  await page.page.selectOption("#importance", "file");
  await page.page.setInputFiles("#importance-input", other());
  await page.page.waitForSelector(S.notice, { state: "visible" });
  await page.page.click("#notice-close");
  await page.page.click(S.compress);
  await page.page.waitForSelector(S.notice, { state: "visible" });
  const sentence = await page.text(S.noticeText);
  assert.match(sentence, /^other\.safetensors cannot weigh the errors of this model: .+ Choose another file, or weigh by nothing\.$/);
  assert.equal(await page.page.isVisible(S.result), false);
  await page.page.selectOption("#importance", "none");
  await page.compress();
});

const beside = { fetches: ["accuracy.js", "accuracy_bg.wasm"] };
const lstm = repository("www/samples/lstm.onnx");

pageTest("D12: samples that are dropped beside an open model are run, and do not take its place", beside, async (page) => {
  await page.open(lstm);
  await page.drop(repository("www/samples/digits-8.npz"));
  await page.page.waitForFunction(() => /600 samples, with labels/.test(document.querySelector("#accuracy-data-name").textContent));
  assert.equal(await page.text(S.fileName), "lstm.onnx");
  // MNIST's images and labels, dropped together.
  const images = raw("images-idx3-ubyte", [[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 8, 0, 0, 0, 8, ...Array(128).fill(7)]]);
  const labels = raw("labels-idx1-ubyte", [[0, 0, 8, 1, 0, 0, 0, 2, 3, 4]]);
  await page.choose([images, labels]);
  await page.page.waitForFunction(() => /MNIST idx, 2 samples, with labels/.test(document.querySelector("#accuracy-data-name").textContent));
  assert.equal(await page.text(S.fileName), "lstm.onnx");
});

pageTest("D12: importance that is dropped beside its model weighs the errors", {}, async (page) => {
  await page.open(lstm);
  await page.drop(repository("www/samples/lstm.curvature.safetensors"));
  await page.page.waitForFunction(() => location.hash.includes("ihash="));
  assert.equal(await page.text(S.fileName), "lstm.onnx");
  assert.equal(await page.page.inputValue("#importance"), "file");
  await page.page.waitForSelector(S.linkNotice, { state: "visible" });
  assert.match(await page.text(S.linkNoticeText), /lstm\.curvature\.safetensors was taken for importance/);
  // Another model is still opened in its place.
  await page.drop(small());
  await page.opened(small());
});

pageTest("D12: arrays that may be anything are asked about", { viewport: { width: 360, height: 740 }, colorScheme: "dark" }, async (page) => {
  const [packed, arrays] = ["arrays.qsz", "arrays.npz"].map((name) => join(folder, name));
  await native("compress", small(), "-o", packed, "-q");
  await native("decode", packed, "-o", arrays, "-q");
  await page.open(lstm);
  await page.drop(arrays);
  await page.page.waitForSelector("#purpose[open]");
  assert.equal(await page.text("#purpose-title"), "What are the arrays of arrays.npz?");
  assert.deepEqual(await page.violations(), []);
  await page.page.keyboard.press("Escape");
  await page.page.waitForSelector("#purpose:not([open])", { state: "attached" });
  assert.equal(await page.text(S.fileName), "lstm.onnx");
  await page.drop(arrays);
  await page.page.click('#purpose button[value="model"]');
  await page.opened(arrays);
});
