// @ts-check
import assert from "node:assert/strict";

import { roundUp } from "../../llamakeep/page/parts/bars.js";
import { chartOf, costOf, csvOf, periods } from "../../llamakeep/page/parts/history/usage.js";

const sums = (/** @type {Record<string, any>} */ facts) => ({
  group: null,
  groups: {},
  runs: 1,
  succeeded: 1,
  failed: 0,
  input_tokens: 0,
  output_tokens: 0,
  cost_usd: 0,
  unpriced: 0,
  ...facts,
});

Deno.test("a cost that is not known is not 0", () => {
  assert.equal(costOf(sums({ unpriced: 1 })), "price not known");
  assert.equal(costOf(sums({ runs: 3, unpriced: 1 })), "price not known of some");
  assert.equal(costOf(sums({ cost_usd: 2, unpriced: 1 })), "$2.00 and 1 not known");
  assert.equal(costOf(sums({})), "no cost");
});

Deno.test("bars are days, weeks from Monday, or months", () => {
  assert.deepEqual(periods("2026-02-27", "2026-03-01"), [
    "2026-02-27",
    "2026-02-28",
    "2026-03-01",
    "2026-03-02",
  ]);
  const weeks = periods("2026-01-01", "2026-06-30");
  assert.deepEqual([weeks[0], weeks[1]], ["2025-12-29", "2026-01-05"]);
  const months = periods("2024-11-20", "2026-11-28");
  assert.deepEqual([months[0], months[2], months.at(-1)], [
    "2024-11-01",
    "2025-01-01",
    "2026-12-01",
  ]);
});

Deno.test("a chart has a bar for each day, and the smallest parts together", () => {
  const stats = [..."abcdefg"].map((model, index) =>
    sums({ groups: { day: "2026-03-02", model }, runs: 10 - index })
  );
  const { groups, names } = chartOf(stats, {
    part: "model",
    measure: "runs",
    days: ["2026-03-01", "2026-03-02"],
    keyNames: new Map(),
    hrefOf: (since, until) => `${since}/${until}`,
  });
  assert.deepEqual(names, ["a", "b", "c", "d", "e", "Others"]);
  assert.deepEqual(groups.map(({ href }) => href), [
    "2026-03-01/2026-03-02",
    "2026-03-02/2026-03-03",
  ]);
  assert.deepEqual(groups[1].parts.map(({ value }) => value), [10, 9, 8, 7, 6, 9]);
});

Deno.test("a scale ends above its highest bar", () => {
  assert.deepEqual([0, 1, 7, 24, 1001, 0.03].map(roundUp), [1, 1, 8, 30, 2000, 0.03]);
});

Deno.test("in CSV, nothing stands for a cost that is not known, and no cell is a formula", () => {
  const [, line] = csvOf([sums({ groups: { day: "d", model: "=a,b" }, unpriced: 1 })], "model")
    .split("\r\n");
  assert.equal(line, `d,"'=a,b",1,1,0,0,0,,1,,,`);
});
