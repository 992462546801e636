// Runs the page's tests with node's own test runner and closes with "e2e: N passed, N failed".
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { folder } from "./fixtures.mjs";

const report = join(folder, "report.tap");
const specs = fileURLToPath(new URL("specs.mjs", import.meta.url));
const reporters = ["--test-reporter=spec", "--test-reporter-destination=stdout", "--test-reporter=tap", `--test-reporter-destination=${report}`];
const { status } = spawnSync(process.execPath, [...reporters, ...process.argv.slice(2), specs], { stdio: ["ignore", "inherit", "inherit"] });
const tap = readFileSync(report, "utf8");
const count = (what) => Number(tap.match(new RegExp(`^# ${what} (\\d+)`, "m"))?.[1] ?? 0);
const failed = count("fail") + count("cancelled");
console.log(`e2e: ${count("pass")} passed, ${failed} failed, ${count("skipped")} skipped`);
process.exitCode = status === 0 && failed === 0 ? 0 : 1;
