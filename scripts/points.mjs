// Reads sweeps (CSV of `quantscope sweep`) and prints, as Markdown, each method's weighted SQNR at whole bits per weight, with
// fixed-length and with Huffman codes: the best point that fits for fixed length, linear interpolation for Huffman.
import { readFileSync } from "node:fs";
import { basename } from "node:path";

const TITLES = { "kmeans:plain": "k-means, importance ignored", kmeans: "k-means by importance", uniform: "uniform", ecsq: "iterative ECSQ" };

function rows(path) {
  const [header, ...lines] = readFileSync(path, "utf8").trim().split("\n").map((line) => line.split(","));
  return lines.map((cells) => Object.fromEntries(cells.map((cell, i) => [header[i], Number.isNaN(Number(cell)) ? cell : Number(cell)])));
}

/// The best quality among points of at most `bits` (codebook left out of the fixed-length rate, as in the papers' figures).
const best = (points, bits) => Math.max(...points.filter((p) => Math.ceil(Math.log2(p.levels)) <= bits).map((p) => p.weighted_sqnr_db));

/// Quality at exactly `bits`, between neighbours.
function between(points, bits) {
  const sorted = [...points].sort((a, b) => a.huffman_bits - b.huffman_bits);
  const above = sorted.findIndex((p) => p.huffman_bits >= bits);
  if (above <= 0) return NaN;
  const [a, b] = [sorted[above - 1], sorted[above]];
  return a.weighted_sqnr_db + ((bits - a.huffman_bits) / (b.huffman_bits - a.huffman_bits)) * (b.weighted_sqnr_db - a.weighted_sqnr_db);
}

const cell = (x) => (Number.isFinite(x) ? x.toFixed(2) : "–");
for (const path of process.argv.slice(2)) {
  const all = rows(path);
  console.log(`\n**${basename(path, ".csv")}**, importance-weighted SQNR in dB\n`);
  console.log("| method | fixed 2 | 3 | 4 | 5 | Huffman 1.5 | 2 | 2.5 | 3 | 4 |\n|---|---|---|---|---|---|---|---|---|---|");
  for (const method of Object.keys(TITLES)) {
    const points = all.filter((p) => p.method === method);
    const fixed = [2, 3, 4, 5].map((bits) => best(points, bits));
    const huffman = [1.5, 2, 2.5, 3, 4].map((bits) => between(points, bits));
    console.log(`| ${TITLES[method]} | ${[...fixed, ...huffman].map(cell).join(" | ")} |`);
  }
}
