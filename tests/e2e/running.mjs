// Does the network still run? The page says so after compressing, as the program does, and settles on the same file.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { folder, rough } from "./fixtures.mjs";
import { native, pageTest, repository } from "./harness.mjs";
import { S } from "./selectors.mjs";

const model = (name) => repository(`www/samples/${name}.onnx`);

for (const name of ["lstm", "resnet", "transformer"]) {
  pageTest(`${name}: the default is run, and is the program's file`, {}, async (page) => {
    await page.open(model(name));
    await page.compress();
    const said = await page.text(S.runVerdict);
    assert.match(said, /^The network runs: finite outputs, output SQNR \d+\.\d dB, .* on \d inputs made up from its shapes\.$/);
    assert.equal(await page.page.getAttribute(S.runVerdict, "class"), "verdict good");
    const made = await page.download(S.downloadCompressed, `${name}.qsz`);
    const expected = join(folder, `${name}.run.native.qsz`);
    const told = JSON.parse(await native("compress", model(name), "-o", expected, "--json", "-q"));
    assert.ok(readFileSync(made).equals(readFileSync(expected)), `${told.outcome.recipe}, ${await page.text("#result-facts")}`);
    // Nobody asked for the panel that measures accuracy.
    assert.equal(await page.page.getAttribute("body", "data-accuracy"), null);
    assert.deepEqual(await page.violations(), []);
  });
}

pageTest("where the step is left open and the network answers otherwise, a finer one is settled on, as in the program", {}, async (page) => {
  const path = rough();
  await page.open(path);
  await page.settled();
  const before = await page.page.inputValue(S.firstParameter);
  await page.compress();
  const made = await page.download(S.downloadCompressed, "rough.qsz");
  const expected = join(folder, "rough.native.qsz");
  await native("compress", path, "-o", expected, "-q");
  assert.ok(readFileSync(made).equals(readFileSync(expected)), await page.text("#result-facts"));
  const after = await page.page.inputValue(S.firstParameter);
  assert.ok(Number(after) < Number(before), `${before} to ${after}`);
  assert.equal(await page.page.isVisible("#result-stale"), false);
  await page.page.waitForFunction((step) => new URLSearchParams(location.hash.slice(1)).get("step") === step, after);
});

pageTest("a network that answers otherwise is warned of", { viewport: { width: 360, height: 740 }, colorScheme: "dark" }, async (page) => {
  await page.open(model("lstm"));
  await page.recipe("uniform", 2);
  await page.compress();
  assert.match(await page.text(S.runVerdict), /^Warning: with these weights the network answers differently/);
  assert.equal(await page.page.getAttribute(S.runVerdict, "class"), "verdict bad");
  assert.deepEqual(await page.violations(), []);
});

pageTest("a network that cannot be run is compressed all the same, and the reason is said", {}, async (page) => {
  const bytes = Buffer.from(readFileSync(model("lstm")));
  const at = bytes.indexOf("\x22\x04LSTM", 0, "latin1") + 2; // field 4 of a node, its operator
  assert.ok(at > 2);
  bytes.write("LSTX", at, "latin1");
  const path = join(folder, "unknown.onnx");
  writeFileSync(path, bytes);
  await page.open(path);
  await page.compress();
  assert.match(await page.text(S.runVerdict), /^The network could not be run to check it: .*LSTX/);
});

pageTest("a run is cancelled at once, and the file stays", {}, async (page) => {
  await page.open(model("lstm"));
  // Escape comes in the very moment when the run is wanted.
  await page.page.evaluate(() => {
    const stop = () => document.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape" }));
    document.addEventListener("run-wanted", () => setTimeout(stop), { once: true });
  });
  await page.page.click(S.compress);
  await page.page.waitForSelector(S.result, { state: "visible" });
  await page.page.waitForSelector(S.job, { state: "hidden" });
  assert.equal(await page.text(S.runVerdict), "");
  await page.compress();
  assert.match(await page.text(S.runVerdict), /^The network runs/);
});
