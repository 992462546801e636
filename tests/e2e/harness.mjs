// One browser and one server for all tests; every test gets a fresh page that must stay silent.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, join, resolve } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { chromium } from "playwright-core";
import { serve } from "../../scripts/serve.mjs";
import { folder } from "./fixtures.mjs";
import { S } from "./selectors.mjs";

const root = fileURLToPath(new URL("../../", import.meta.url));
const dist = resolve(root, process.env.QUANTSCOPE_DIST ?? "dist");
const data = resolve(root, process.env.QUANTSCOPE_DATA ?? "../shared/data");
const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

// The page must not mind where it lies.
const PREFIX = "/some/sub-folder/";
const FLAGS = ["--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const TIMEOUT_MILLIS = 180_000;

let browser;
let server;

before(async () => {
  assert.ok(existsSync(join(dist, "index.html")), `${dist} holds no page: run make dist`);
  server = await serve(dist, { prefix: PREFIX });
  const executablePath = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
  const asRoot = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
  browser = await chromium.launch({ executablePath, headless: true, args: [...FLAGS, ...asRoot] });
});

after(async () => {
  await browser?.close();
  await server?.close();
});

/// A test with a page of its own: loaded, and checked for silence at the end.
export function pageTest(name, options, body) {
  const { viewport = { width: 1280, height: 900 }, colorScheme = "light", skip = false, fragment = "", fetches = [] } = options;
  test(name, { timeout: TIMEOUT_MILLIS, skip }, async () => {
    const context = await browser.newContext({ viewport, colorScheme, acceptDownloads: true });
    try {
      const page = new Page(await context.newPage());
      page.fetches = fetches;
      await page.load(fragment);
      await body(page).catch((error) => page.explain(error));
      page.assertSilent();
    } finally {
      await context.close();
    }
  });
}

/// The page with what the tests do to it.
export class Page {
  constructor(page) {
    this.page = page;
    this.problems = [];
    this.foreign = [];
    this.loadedWith = null;
    /// Parts of addresses that the test makes the page fetch after loading.
    this.fetches = [];
    page.setDefaultTimeout(30_000);
    page.on("console", (message) => this.problems.push(`console ${message.type()}: ${message.text()}`));
    page.on("pageerror", (error) => this.problems.push(`page error: ${error.message}`));
    page.on("requestfailed", (request) => this.problems.push(`request failed: ${request.url()}`));
    page.on("request", (request) => {
      const url = request.url();
      if (this.loadedWith !== null && /^(https?|wss?):/.test(url)) this.foreign.push(url);
    });
  }

  /// Opens the page and waits until it has started; from here on it may ask the network for nothing.
  async load(fragment = "") {
    this.loadedFrom = server.requests.length;
    await this.page.goto(server.url + fragment, { waitUntil: "load" });
    await this.page.waitForSelector(S.started, { state: "attached" });
    await this.page.waitForLoadState("networkidle");
    this.loadedWith = server.requests.length;
  }

  /// Fails with `error` and with what the page said meanwhile.
  async explain(error) {
    const notice = (await this.page.isVisible(S.notice).catch(() => false)) ? [`notice: ${await this.text(S.noticeText)}`] : [];
    throw new Error([error.message, ...notice, ...this.problems].join("\n  "), { cause: error });
  }

  /// What loading asked the server for: address and content, each once.
  loaded() {
    const paths = [...new Set(server.requests.slice(this.loadedFrom, this.loadedWith))];
    return Promise.all(paths.map(async (path) => {
      const file = path.slice(PREFIX.length).split("?")[0] || "index.html";
      return [path, await readFile(join(dist, decodeURIComponent(file)))];
    }));
  }

  /// Another page in the same browser context; its loading is not held against this one.
  async sibling(fragment = "") {
    this.assertSilent();
    const other = new Page(await this.page.context().newPage());
    await other.load(fragment);
    this.loadedWith = server.requests.length;
    return other;
  }

  /// Fails on any console message, page error, or request since the page was loaded.
  assertSilent() {
    assert.deepEqual(this.problems, [], "the page is silent");
    // What runs networks is fetched when one is first compressed.
    const unasked = (url) => ![...this.fetches, "accuracy.js", "accuracy_bg.wasm"].some((part) => url.includes(part));
    assert.deepEqual(this.foreign.filter(unasked), [], "the page asks the network for nothing else after loading");
    assert.deepEqual(server.requests.slice(this.loadedWith).filter(unasked), [], "the server hears nothing else after loading");
  }

  /// Chooses a file as the file dialog does.
  async choose(path) {
    await this.page.setInputFiles(S.fileInput, path);
  }

  /// Drops a file as the desktop does.
  async drop(path) {
    const bytes = readFileSync(path).toString("base64");
    const transfer = await this.page.evaluateHandle(
      ([base64, name]) => {
        const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
        const transfer = new DataTransfer();
        transfer.items.add(new File([bytes], name));
        return transfer;
      },
      [bytes, basename(path)],
    );
    for (const event of ["dragenter", "dragover", "drop"]) {
      await this.page.dispatchEvent(S.dropZone, event, { dataTransfer: transfer });
    }
  }

  /// Waits until a file is open and its operating point is solved.
  async opened(path) {
    await this.page.waitForFunction(
      ([name, view, bits, fileName]) =>
        document.querySelector(view) &&
        document.querySelector(fileName)?.textContent === name &&
        /\d/.test(document.querySelector(bits)?.textContent ?? ""),
      [basename(path), S.view("bench"), S.bits, S.fileName],
    );
  }

  async open(path) {
    await this.choose(path);
    await this.opened(path);
  }

  /// Chooses a method and its first parameter, and waits for the address to say so.
  async recipe(method, value) {
    await this.page.selectOption(S.method, method);
    if (value !== undefined) {
      await this.page.fill(S.firstParameter, String(value));
      await this.page.press(S.firstParameter, "Tab");
    }
    await this.page.waitForFunction(
      ([method, value]) => {
        const given = new URLSearchParams(location.hash.slice(1));
        return given.get("method") === method && (value === null || [...given.values()].includes(value));
      },
      [method, value === undefined ? null : String(value)],
    );
    await this.settled();
  }

  /// Waits until the figures answer the recipe that is shown and stop changing, for longer than the address may lag.
  async settled() {
    let last;
    for (let same = 0; same < 6; ) {
      const isStale = await this.page.getAttribute(S.figures, "data-stale");
      const now = `${await this.text(S.bits)} ${await this.text(S.ratio)} ${this.page.url()}`;
      same = now === last && /\d/.test(now) && isStale === "false" ? same + 1 : 0;
      last = now;
      await this.page.waitForTimeout(80);
    }
  }

  /// The recipe's line, without the file's hash.
  recipeLine() {
    const pairs = new URL(this.page.url()).hash.slice(1).split("&");
    return pairs.filter((pair) => !pair.startsWith("hash=")).join("&");
  }

  async text(selector) {
    return ((await this.page.textContent(selector)) ?? "").trim();
  }

  /// Opens the chart's table once every drawn method has its curve; rows as arrays of cell texts.
  async table() {
    await this.page.evaluate((table) => (document.querySelector(table).open = true), S.table);
    await this.page.waitForFunction(
      ([toggles, rows]) => {
        const drawn = [...document.querySelectorAll(toggles)].filter((toggle) => toggle.checked).length;
        const titles = [...document.querySelectorAll(rows)].map((row) => row.cells[0].textContent);
        return drawn > 0 && new Set(titles).size === drawn;
      },
      [S.toggles, S.tableRows],
    );
    return this.page.$$eval(S.tableRows, (rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent)));
  }

  /// Compresses and waits for the verdict.
  async compress() {
    // The verdict of a former file would be taken for this one's, and a small file is done before anyone looks.
    await this.page.evaluate((verdict) => (document.querySelector(verdict).textContent = ""), S.verdict);
    await this.page.click(S.compress);
    await this.page.waitForFunction(
      ([job, verdict, notice]) =>
        document.querySelector(job).hidden &&
        (/\S/.test(document.querySelector(verdict).textContent) || !document.querySelector(notice).hidden),
      [S.job, S.verdict, S.notice],
      { timeout: 120_000 },
    );
    assert.equal(await this.page.isVisible(S.notice), false, await this.text(S.noticeText));
  }

  /// Clicks a download button and returns where the file was saved.
  async download(selector, name) {
    const [download] = await Promise.all([this.page.waitForEvent("download"), this.page.click(selector)]);
    const path = join(folder, name);
    await download.saveAs(path);
    return path;
  }

  /// What axe finds, one line each.
  async violations() {
    await this.page.evaluate(axeSource);
    const found = await this.page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
    return found.violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => n.target.join(" ")).join(", ")}`);
  }

  /// By how many pixels the page is wider than the window.
  overflow() {
    return this.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  }
}

/// A file of the repository.
export const repository = (path) => resolve(root, path);

/// A file of the shared data, or null with a printed line if it is not there.
export function real(path) {
  const full = join(data, path);
  if (existsSync(full)) return full;
  console.log(`skipped: ${path} is not in ${data}`);
  return null;
}

/// A number as the page writes it: a true minus sign, commas between thousands.
export const number = (text) => Number(text.replaceAll("\u2212", "-").replaceAll(",", "").replace("\u00d7", ""));

/// Runs the native program; resolves to what it printed.
export async function native(...args) {
  const target = resolve(root, process.env.CARGO_TARGET_DIR ?? "target");
  const { stdout } = await promisify(execFile)(join(target, "debug", "quantscope"), args, { maxBuffer: 1 << 26 });
  return stdout;
}
