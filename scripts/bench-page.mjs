// Times the page in Chromium on a weight file of any size: opening (parse, sketch, first solution), compressing with exact k-means,
// verifying, a slider's redraw, and the memory of each worker.
//
//   node scripts/bench-page.mjs FILE [K]        after make dist; Playwright comes from tests/e2e
//
// Every figure is taken inside the page, from the event to the element that shows its result.
import { existsSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { serve } from "./serve.mjs";
import { S } from "../tests/e2e/selectors.mjs";

const root = fileURLToPath(new URL("../", import.meta.url));
const { chromium } = createRequire(resolve(root, "tests/e2e/package.json"))("playwright-core");
const [file, k = "256"] = process.argv.slice(2);
if (!file || !existsSync(file)) {
  console.error("usage: node scripts/bench-page.mjs FILE [K]");
  process.exit(2);
}
const megabytes = statSync(file).size / 1e6;
const server = await serve(resolve(root, "dist"), { prefix: "/" });
const args = ["--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
if (process.getuid?.() === 0) args.push("--no-sandbox");
const executablePath = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
const browser = await chromium.launch({ executablePath, headless: true, args });
const page = await (await browser.newContext({ viewport: { width: 1280, height: 900 } })).newPage();
page.setDefaultTimeout(600_000);
page.on("console", (message) => console.error("console:", message.text()));
await page.goto(server.url);
await page.waitForSelector(S.started, { state: "attached" });

const seconds = (millis) => `${(millis / 1000).toFixed(2)} s`;
/// Milliseconds until `selector` has text (any, or other than `before`).
const until = (selector, before = null) =>
  page.evaluate(
    ([selector, before]) =>
      new Promise((done) => {
        const started = performance.now();
        const look = () => {
          const text = document.querySelector(selector)?.textContent?.trim();
          const shown = document.querySelector(selector)?.closest("[hidden]") === null;
          if (shown && text && /\d/.test(text) && text !== before) done(performance.now() - started);
          else requestAnimationFrame(look);
        };
        look();
      }),
    [selector, before],
  );
/// The largest memory of the workers, in megabytes.
const memories = async () => {
  const sizes = await Promise.all(page.workers().map((worker) => worker.evaluate(() => self.memory?.buffer.byteLength ?? 0)));
  return sizes.map((size) => Math.round(size / 1e6)).sort((a, b) => b - a);
};

const opening = until(S.bits);
await page.setInputFiles(S.fileInput, file);
const opened = await opening;
console.log(`open and sketch      ${seconds(opened)}, ${(megabytes / (opened / 1000)).toFixed(0)} MB/s of ${megabytes.toFixed(0)} MB`);
console.log(`worker memories      ${(await memories()).join(", ")} MB`);

// A slider's step: from the input event to the figure that it moves.
await page.selectOption(S.method, "uniform");
await page.waitForTimeout(1500);
const steps = await page.evaluate(async ([input, figure]) => {
  const field = document.querySelector(input);
  const times = [];
  for (let i = 0; i < 21; i++) {
    const before = document.querySelector(figure).textContent;
    const started = performance.now();
    field.value = String(0.3 + i * 0.01);
    field.dispatchEvent(new Event("input", { bubbles: true }));
    field.dispatchEvent(new Event("change", { bubbles: true }));
    await new Promise((done) => {
      // A file whose figure does not move with the step has nothing to time.
      const given_up = started + 2000;
      const moved = () => document.querySelector(figure).textContent !== before || performance.now() > given_up;
      const look = () => (moved() ? done() : setTimeout(look, 1));
      look();
    });
    await new Promise((done) => requestAnimationFrame(() => done()));
    times.push(performance.now() - started);
    await new Promise((done) => setTimeout(done, 60));
  }
  return times.sort((a, b) => a - b);
}, [S.firstParameter, S.bits]);
console.log(`slider step to frame ${steps[10].toFixed(0)} ms median, ${steps[20].toFixed(0)} ms largest of 21 (uniform)`);

const millions = megabytes / 4;
/// Compresses with a method: seconds to the file, and on to its verification.
async function compress(title, method, value) {
  await page.selectOption(S.method, method);
  await page.fill(S.firstParameter, value);
  await page.waitForTimeout(2000);
  const [before, bits] = [await page.textContent(S.verdictHash), await page.textContent(S.ledgerBits)];
  const started = await page.evaluate(() => performance.now());
  const elapsed = async () => (await page.evaluate(() => performance.now())) - started;
  await page.click(S.compress);
  await page.waitForFunction(
    ([result, sum, bits]) => document.querySelector(result)?.hidden === false && document.querySelector(sum).textContent !== bits,
    [S.result, S.ledgerBits, bits],
    { polling: 20 },
  );
  const compressed = await elapsed();
  const rate = (millions / (compressed / 1000)).toFixed(1);
  console.log(`compress, ${title.padEnd(12)} ${seconds(compressed)}, ${rate} M weights/s`);
  await page.waitForFunction(
    ([hash, before]) => /[0-9a-f]{32}/.test(document.querySelector(hash)?.textContent ?? "") && document.querySelector(hash).textContent !== before,
    [S.verdictHash, before],
    { polling: 20 },
  );
  console.log(`and verified           ${seconds(await elapsed())}`);
}
await compress(`k = ${k}`, "kmeans", k);
await compress("trellis", "trellis", "0.5");
const decoding = await page.evaluate(() => performance.now());
const download = page.waitForEvent("download");
await page.click(S.downloadSafetensors);
await download;
const decoded = (await page.evaluate(() => performance.now())) - decoding;
console.log(`decode, trellis        ${seconds(decoded)}, ${(millions / (decoded / 1000)).toFixed(1)} M weights/s, for a download`);
console.log(`worker memories      ${(await memories()).join(", ")} MB`);
await browser.close();
await server.close();
