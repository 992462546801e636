// What is on screen is true: a changed setting is in the figures, the file and the link, or is shown as pending.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { folder, small } from "./fixtures.mjs";
import { native, number, pageTest, real, repository } from "./harness.mjs";
import { COLUMNS, S } from "./selectors.mjs";

const sample = { fetches: ["samples/"] };
const curvature = repository("www/samples/lstm.curvature.safetensors");
const model = repository("www/samples/lstm.onnx");

/// Opens a sample's files by hand, with its curvature as importance, and waits for the curves.
async function weighed(page, method, value) {
  await page.open(model);
  await page.recipe(method, value);
  await page.page.selectOption("#importance", "file");
  await page.page.setInputFiles("#importance-input", curvature);
  await page.page.waitForFunction(() => location.hash.includes("ihash="));
  await page.settled();
}

const stale = (page) => page.page.getAttribute("#figures-panel", "data-stale");

pageTest("D1: Compress right after a change of importance makes the file that the field asks for", {}, async (page) => {
  await weighed(page, "kmeans", 8);
  await page.page.fill("#alpha", "0.5");
  await page.compress();
  assert.equal(await page.page.inputValue("#alpha"), "0.5");
  assert.equal(await page.page.isVisible("#result-stale"), false, "the result is of the recipe on screen");
  const facts = await page.text("#result-facts");
  assert.match(facts, /alpha=0\.5/);
  await page.page.waitForFunction(() => new URLSearchParams(location.hash.slice(1)).get("alpha") === "0.5");
  const made = await page.download(S.downloadCompressed, "alpha.qsz");
  const expected = join(folder, "alpha.native.qsz");
  await native("compress", model, "-o", expected, "--recipe", page.recipeLine(), "--importance-file", curvature, "-q", "--no-check");
  assert.ok(readFileSync(made).equals(readFileSync(expected)), "the program writes the same bytes for the link's recipe");
});

pageTest("D1: importance whose reading is cancelled goes back in its field", {}, async (page) => {
  await weighed(page, "kmeans", 8);
  // The change and the key in one turn, so that nothing is read between them.
  await page.page.evaluate(() => {
    const field = document.querySelector("#alpha");
    field.value = "0.5";
    field.dispatchEvent(new Event("input", { bubbles: true }));
    document.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape" }));
  });
  await page.page.waitForFunction(() => document.querySelector("#alpha").value === "1");
  await page.settled();
  assert.equal(await stale(page), "false");
  assert.match(page.recipeLine(), /alpha=1\b/);
});

pageTest("D2: while importance is read the figures say so, and are those of the new setting afterwards", {}, async (page) => {
  await weighed(page, "kmeans", 8);
  const before = await page.text("#figure-sqnr");
  const seen = await page.page.evaluate(() => {
    const field = document.querySelector("#alpha");
    field.value = "0.5";
    field.dispatchEvent(new Event("input", { bubbles: true }));
    return [document.querySelector("#figures-panel").dataset.stale, document.querySelector("#figure-note").textContent];
  });
  assert.deepEqual(seen, ["true", "reading importance…"]);
  await page.page.waitForFunction(() => document.querySelector("#figures-panel").dataset.stale === "false");
  assert.notEqual(await page.text("#figure-sqnr"), before);
  await page.table();
  assert.equal(await page.page.getAttribute("#chart", "data-stale"), "false");
});

pageTest("D3: an answer to an old question is never drawn as current", {}, async (page) => {
  await page.open(model);
  // Importance arrives while the plain curves are being solved.
  await page.page.selectOption("#importance", "file");
  await page.page.setInputFiles("#importance-input", curvature);
  await page.page.waitForFunction(() => location.hash.includes("ihash="));
  await page.page.evaluate((table) => (document.querySelector(table).open = true), S.table);
  const rows = await page.table();
  const csv = join(folder, "weighed.csv");
  await native("sweep", model, "--recipe", page.recipeLine(), "--importance-file", curvature, "--points", "20", "-o", csv, "-q");
  const [head, ...lines] = readFileSync(csv, "utf8").trim().split("\n").map((line) => line.split(","));
  assert.equal(rows.length, lines.length);
  const { cell, tolerance } = COLUMNS.find((column) => column.csv === "weighted_sqnr_db");
  rows.forEach((row, at) => {
    const expected = Number(lines[at][head.indexOf("weighted_sqnr_db")]);
    assert.ok(Math.abs(Number(row[cell].replace("−", "-")) - expected) <= tolerance, `row ${at}: ${row} against ${lines[at]}`);
  });
});

pageTest("D4: curves of an earlier scope are drawn as such, and go", {}, async (page) => {
  await page.open(small());
  await page.table();
  const seen = await page.page.evaluate(async () => {
    const scope = document.querySelector("#scope");
    scope.value = "all";
    scope.dispatchEvent(new Event("input", { bubbles: true }));
    await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
    const key = document.querySelector("#chart-earlier");
    return [document.querySelector("#chart").dataset.stale, key.hidden, document.querySelector("#figures-panel").dataset.stale];
  });
  assert.deepEqual(seen.slice(0, 2), ["true", false]);
  await page.page.waitForFunction(() => document.querySelector("#chart").dataset.stale === "false");
  assert.equal(await page.page.isVisible("#chart-earlier"), false);
  // With an error in a field they stay what they are: earlier.
  await page.page.fill(S.firstParameter, "-3");
  await page.page.selectOption(S.scope, "tensor");
  await page.page.waitForFunction(() => document.querySelector("#chart").dataset.stale === "true");
  assert.equal(await stale(page), "true");
});

pageTest("D6: once a file is made, the strip shows what it has, and a prediction after a change says that it is one", {}, async (page) => {
  await page.open(small());
  await page.recipe("uniform", 0.5);
  assert.equal(await page.text("#figure-ratio-label"), "ratio, predicted");
  await page.compress();
  assert.equal(await page.text("#figure-ratio-label"), "ratio, measured");
  assert.match(await page.text("#figure-note"), /measured on the file/);
  const facts = await page.page.$$eval("#result-facts > div", (all) => Object.fromEntries(all.map((one) => [one.querySelector("dt").textContent, one.querySelector("dd").textContent])));
  assert.equal(await page.text(S.ratio), facts["against 32-bit floats"]);
  assert.equal(await page.text(S.bits), facts["bits per weight"]);
  await page.recipe("uniform", 0.4);
  assert.equal(await page.text("#figure-ratio-label"), "ratio, predicted");
  assert.doesNotMatch(await page.text("#figure-note"), /measured/);
});

pageTest("D6: the strip predicts what the context coder takes", {}, async (page) => {
  await page.open(model);
  for (const [method, value] of [["trellis", 0.3], ["uniform", 0.5], ["kmeans", 12]]) {
    await page.recipe(method, value);
    const predicted = number(await page.text(S.bits));
    await page.compress();
    const made = number(await page.text(S.bits));
    assert.ok(Math.abs(predicted / made - 1) < 0.03, `${method}: ${predicted} bits predicted, ${made} made`);
  }
});

pageTest("D14: a sample is drawn once, weighed, and fetches its network and curvature alone", sample, async (page) => {
  await page.page.evaluate(() => {
    window.seen = { titles: [], recipes: new Set() };
    new MutationObserver(() => window.seen.titles.push(document.querySelector("#job-title").textContent)).observe(document.querySelector("#job-title"), { childList: true });
    addEventListener("hashchange", () => window.seen.recipes.add(location.hash));
  });
  await page.page.click("[data-sample=lstm]");
  await page.opened("lstm.onnx");
  assert.equal(await page.page.inputValue("#chart-quality"), "weighted");
  const recipe = await page.page.inputValue(S.firstParameter);
  await page.table();
  const seen = await page.page.evaluate(() => ({ titles: window.seen.titles }));
  assert.equal(seen.titles.filter((title) => title === "Reading lstm.onnx").length, 1, JSON.stringify(seen));
  assert.equal(await page.page.inputValue(S.firstParameter), recipe, "the recipe stays");
  assert.equal(await page.page.getAttribute("body", "data-accuracy"), null, "what runs networks is not fetched");
  assert.match(await page.text("#accuracy-button"), /digits/);
});

pageTest("steps that are finer for some tensors are in the file, the link and the figures, and go with the method", {}, async (page) => {
  await page.open(model);
  await page.settled();
  await page.page.fill("#finer", "lstm.W:");
  await page.page.waitForFunction(() => /PATTERN:BITS/.test(document.querySelector("#recipe-error").textContent));
  const name = (await page.page.textContent("#tensor-rows th")).trim();
  await page.page.fill("#finer", `${name}:1.5`);
  await page.settled();
  await page.page.waitForFunction(() => /:1\.5$/.test(new URLSearchParams(location.hash.slice(1)).get("finer")));
  await page.compress();
  const made = await page.download(S.downloadCompressed, "lstm.qsz");
  const expected = join(folder, "finer.native.qsz");
  const step = new URLSearchParams((await page.page.evaluate(() => location.hash)).slice(1)).get("step");
  await native("compress", model, "-o", expected, "--finer", `${name}:1.5`, "--step", step, "-q");
  assert.ok(readFileSync(made).equals(readFileSync(expected)), await page.text("#result-facts"));
  await page.recipe("uniform", 2);
  await page.page.waitForFunction(() => !location.hash.includes("finer"));
  assert.equal(await page.page.isVisible("#finer"), false);
  assert.deepEqual(await page.violations(), []);
});

pageTest("a file of which everything is kept has no figures of what was quantized", {}, async (page) => {
  await page.open(small());
  await page.page.fill("#exclude", "*");
  await page.compress();
  const facts = await page.text("#result-facts");
  assert.match(facts, /none, every tensor is kept as it was/);
  assert.doesNotMatch(facts, /∞|NaN|−0|bits per weight|ratio by formula/);
  assert.match(await page.text(S.verdict), /bit-identical to the quantizer’s output; no error in any weight/);
});

pageTest("D16: a setting out of range is said at its field, and nothing can be made of it", {}, async (page) => {
  await page.open(small());
  await page.recipe("uniform", 0.5);
  await page.page.fill(S.firstParameter, "-3");
  await page.page.waitForSelector("#recipe-error", { state: "visible" });
  const placed = await page.page.evaluate((field) => {
    const input = document.querySelector(field);
    const error = document.querySelector("#recipe-error");
    return {
      described: input.getAttribute("aria-describedby"),
      invalid: input.getAttribute("aria-invalid"),
      gap: error.getBoundingClientRect().top - input.closest(".field").getBoundingClientRect().bottom,
      disabled: document.querySelector("#compress-button").disabled,
      note: document.querySelector("#figure-note").textContent,
    };
  }, S.firstParameter);
  assert.deepEqual([placed.described, placed.invalid, placed.disabled], ["recipe-error", "true", true]);
  assert.ok(placed.gap >= -1 && placed.gap < 24, `the sentence is ${placed.gap} px below its field`);
  assert.match(placed.note, /error/);
  assert.equal(await stale(page), "true");
  // The keyboard's way to compress leads to the field.
  await page.page.focus("#theme-button");
  await page.page.keyboard.press("Control+Enter");
  assert.equal(await page.page.evaluate((field) => document.activeElement === document.querySelector(field), S.firstParameter), true);
  await page.page.fill(S.firstParameter, "0.4");
  await page.page.waitForSelector("#recipe-error", { state: "hidden" });
  assert.equal(await page.page.getAttribute(S.firstParameter, "aria-describedby"), null);
  await page.compress();
});

pageTest("D28: workers that vanish without a word are noticed and replaced", {}, async (page) => {
  await page.open(small());
  await page.recipe("uniform", 0.5);
  await page.table();
  for (const worker of page.page.workers()) await worker.evaluate(() => self.close()).catch(() => {});
  await page.page.waitForSelector(S.notice, { state: "visible" });
  assert.match(await page.text(S.noticeText), /replaced/);
  await page.page.waitForSelector(S.job, { state: "hidden" });
  await page.page.evaluate((notice) => (document.querySelector(notice).hidden = true), S.notice);
  await page.recipe("uniform", 0.4);
  await page.compress();
  assert.match(await page.text(S.verdict), /bit-identical/);
});

const lenet = real("lenet/lenet.onnx");
pageTest("D28: a worker that vanishes in the middle of its work does not hold it up", { skip: !lenet }, async (page) => {
  await page.open(lenet);
  await page.recipe("kmeans", 64);
  await page.page.click(S.compress);
  const all = page.page.workers();
  await Promise.all(all.map((worker) => worker.evaluate(() => self.close()).catch(() => {})));
  await page.page.waitForSelector(S.job, { state: "hidden", timeout: 60_000 });
  await page.page.evaluate((notice) => (document.querySelector(notice).hidden = true), S.notice);
  await page.compress();
  assert.match(await page.text(S.verdict), /bit-identical/);
});
