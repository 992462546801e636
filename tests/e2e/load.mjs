// The page as it is found: from any folder, silent, small, readable by everyone.
import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { small } from "./fixtures.mjs";
import { pageTest } from "./harness.mjs";
import { S } from "./selectors.mjs";

// Of these, compensation, which the page encodes with, has 18 kB; number formats and the hardware model stay within what they may add.
const WASM_LIMIT_BYTES = 554 * 1024;
const REST_LIMIT_BYTES = 60 * 1024;

pageTest("the page loads from a sub-folder and stays silent", {}, async ({ page }) => {
  assert.match(await page.title(), /Quantscope/);
  assert.equal(await page.isVisible(S.dropZone), true);
});

pageTest("what is loaded before a file is opened fits its budget", {}, async (page) => {
  const sizes = { wasm: 0, rest: 0 };
  for (const [url, body] of await page.loaded()) {
    sizes[url.endsWith(".wasm") ? "wasm" : "rest"] += gzipSync(body, { level: 9 }).length;
  }
  console.log(`gzipped: wasm ${sizes.wasm} bytes, everything else ${sizes.rest} bytes`);
  assert.ok(sizes.wasm > 0 && sizes.wasm <= WASM_LIMIT_BYTES, `wasm is ${sizes.wasm} bytes`);
  assert.ok(sizes.rest > 0 && sizes.rest <= REST_LIMIT_BYTES, `the rest is ${sizes.rest} bytes`);
});

for (const colorScheme of ["light", "dark"]) {
  pageTest(`axe finds nothing, ${colorScheme}`, { colorScheme }, async (page) => {
    assert.deepEqual(await page.violations(), [], "before a file is opened");
    await page.open(small());
    await page.table();
    assert.deepEqual(await page.violations(), [], "with a file open");
    await page.recipe("kmeans", 4);
    await page.compress();
    assert.deepEqual(await page.violations(), [], "with a result");
  });
}

pageTest("360 pixels are wide enough", { viewport: { width: 360, height: 740 } }, async (page) => {
  assert.ok((await page.overflow()) <= 0, "before a file is opened");
  await page.open(small());
  await page.table();
  assert.ok((await page.overflow()) <= 0, "with a file open");
});
