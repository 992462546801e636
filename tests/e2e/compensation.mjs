// Second moments in the page: errors that are compensated, by the same bytes as the program's.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { folder } from "./fixtures.mjs";
import { native, pageTest, repository } from "./harness.mjs";
import { S } from "./selectors.mjs";

// The recurrent network's units follow one another in its weights, the transformer's lie side by side.
for (const id of ["lstm", "transformer"]) {
  pageTest(`the ${id} sample's weights repair each other's errors, as the program has them`, {}, async (page) => {
    const model = repository(`www/samples/${id}.onnx`);
    const moments = join(folder, `${id}.moments.safetensors`);
    await native("calibrate", model, "--data", repository("www/samples/digits-8-train.npz"), "--samples", "200", "-o", moments, "-q");
    await page.open(model);
    await page.recipe("trellis", 0.5);
    await page.page.selectOption("#importance", "moments");
    await page.page.setInputFiles("#importance-input", moments);
    await page.page.waitForFunction(() => location.hash.includes("ihash="));
    await page.page.selectOption("#compensate", "obs");
    await page.page.fill("#damping", "0.05");
    await page.page.waitForFunction(() => location.hash.includes("damping=0.05"));
    await page.settled();
    await page.compress();
    assert.match(await page.text("#result-facts"), /compensate=obs/);
    const made = await page.download(S.downloadCompressed, `${id}.obs.qsz`);
    const expected = join(folder, `${id}.obs.native.qsz`);
    await native("compress", model, "-o", expected, "--recipe", page.recipeLine(), "--importance-file", moments, "-q", "--no-check");
    assert.ok(readFileSync(made).equals(readFileSync(expected)), "the same bytes");
    // Nothing of it where importance has no second moments.
    await page.page.selectOption("#importance", "none");
    assert.equal(await page.page.isVisible("#compensate"), false);
  });
}
