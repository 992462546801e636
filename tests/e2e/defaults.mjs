// What the page starts from, and that nothing changes a recipe behind its owner's back.
import assert from "node:assert/strict";
import { join } from "node:path";
import { folder, small } from "./fixtures.mjs";
import { native, pageTest } from "./harness.mjs";
import { S } from "./selectors.mjs";

pageTest("the page starts from the recipe that the program takes when nothing is said", {}, async (page) => {
  await page.open(small());
  await page.settled();
  await page.page.waitForFunction(() => new URLSearchParams(location.hash.slice(1)).has("step"));
  const report = JSON.parse(await native("compress", small(), "-o", join(folder, "default.qsz"), "--json", "-q"));
  assert.equal(page.recipeLine(), report.outcome.recipe);
  assert.equal(await page.page.inputValue(S.roles), "weight");
  // A sweep leaves it as it is.
  await page.table();
  assert.equal(page.recipeLine(), report.outcome.recipe);
});

pageTest("a field keeps its user while the file chooses what it shows", {}, async (page) => {
  await page.open(small());
  await page.recipe("kmeans");
  await page.page.selectOption(S.method, "trellis");
  const field = await page.page.waitForSelector(S.step);
  await field.focus();
  await page.page.waitForFunction(() => new URLSearchParams(location.hash.slice(1)).has("step"));
  assert.ok(await field.evaluate((field) => field === document.activeElement), "the field was built anew under its user");
  await page.page.keyboard.press("Tab");
  const step = () => new URLSearchParams(page.recipeLine()).get("step");
  assert.equal(await page.page.inputValue(S.step), step(), "once left, it shows the step chosen");
  await page.page.fill(S.step, "0.41");
  await page.page.waitForFunction(() => new URLSearchParams(location.hash.slice(1)).get("step") === "0.41");
});

pageTest("what was typed wrong into a field goes with the field", {}, async (page) => {
  await page.open(small());
  await page.recipe("trellis", 0.4);
  await page.page.fill("#finer", "a*");
  await page.page.waitForFunction(() => /PATTERN:BITS/.test(document.querySelector("#recipe-error").textContent));
  assert.ok(await page.page.isDisabled(S.compress));
  await page.page.selectOption(S.method, "kmeans");
  await page.settled();
  assert.equal(await page.page.isVisible(S.recipeError), false);
  assert.equal(await page.page.isDisabled(S.compress), false);
});

pageTest("roles are shown with their reasons, and what a choice of them comes to", {}, async (page) => {
  await page.open(small());
  const roles = await page.page.$$eval("#tensor-rows .role", (cells) => cells.map((cell) => [cell.textContent, cell.title]));
  assert.deepEqual(roles.map(([role]) => role), ["weight", "weight", "bias", "counter"]);
  assert.ok(roles.every(([, reason]) => reason.length > 3), JSON.stringify(roles));
  assert.match(await page.text("#tensor-count"), /2 of 4 quantized · weight 2\/2 · bias 0\/1 · counter 0\/1/);
  await page.page.selectOption(S.roles, "trained");
  await page.page.waitForFunction(() => /3 of 4 quantized/.test(document.querySelector("#tensor-count").textContent));
  await page.page.waitForFunction(() => location.hash.includes("roles=trained"));
});

pageTest("a link's recipe wins over a sample's", { fragment: "#method=kmeans&k=5", fetches: ["accuracy.js", "accuracy_bg.wasm", "samples/"] }, async (page) => {
  await page.page.click("[data-sample=lstm]");
  await page.opened("lstm.onnx");
  await page.settled();
  assert.equal(await page.page.inputValue(S.method), "kmeans");
  assert.match(page.recipeLine(), /^method=kmeans&k=5$/);
});

pageTest("a result starts with what the file holds, and judges every tensor", {}, async (page) => {
  await page.open(small());
  await page.compress();
  const facts = await page.text("#result-facts");
  for (const fact of ["compressed file", "smaller than what it holds", "worst tensor", "median tensor"]) {
    assert.ok(facts.includes(fact), facts);
  }
});
