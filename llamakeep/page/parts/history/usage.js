// @ts-check
/** Sums of runs: for charts, for tables, and as CSV. */

import { button, element } from "../../core/dom.js";
import * as format from "../../core/format.js";
import { shortName } from "../../core/models.js";
import { table } from "../table.js";
import { shortStatus, sourceName } from "./facts.js";
import { dayAfter, dayOf, utcDay } from "./filters.js";

/**
 * Sums of a group, as `GET /history/stats` has them.
 *
 * @typedef {object} Sums
 * @property {string | null} group
 * @property {Record<string, string | null>} groups
 * @property {number} runs
 * @property {number} succeeded
 * @property {number} failed
 * @property {number} input_tokens
 * @property {number} output_tokens
 * @property {number} cost_usd
 * @property {number} [unpriced] Runs whose cost is not known.
 * @property {{p50: number | null, p90: number | null, p99: number | null}} [latency]
 */

/** What bars show. @type {Record<string, {label: string, of: (sums: Sums) => number, write: (value: number) => string}>} */
export const MEASURES = {
  runs: { label: "Runs", of: ({ runs }) => runs, write: format.rate },
  tokens: {
    label: "Tokens",
    of: ({ input_tokens: read, output_tokens: wrote }) => read + wrote,
    write: format.number,
  },
  cost: { label: "Cost", of: ({ cost_usd: cost }) => cost, write: format.money },
};
/** What bars are made of. @type {Record<string, string>} */
export const PARTS = { model: "model", api_key: "API key", status: "state", source: "source" };
const OTHERS = "Others";
const COLOURS = 5;
/** Beyond so many days a bar is a week, and beyond so many weeks a month. */
const [MOST_DAYS, MOST_WEEKS] = [62, 80];

/**
 * Return the cost of runs; what is not known is said, and is never $0.
 *
 * @param {Sums} sums
 */
export function costOf({ cost_usd: cost, unpriced = 0, runs }) {
  if (unpriced === 0) return format.money(cost);
  if (cost === 0) return unpriced === runs ? "price not known" : "price not known of some";
  return `${format.money(cost)} and ${format.number(unpriced)} not known`;
}

/**
 * Return sums of everything.
 *
 * @param {Sums[]} stats
 * @returns {Sums}
 */
export function total(stats) {
  const add = (/** @type {(sums: Sums) => number} */ of) =>
    stats.reduce((sum, each) => sum + of(each), 0);
  return {
    group: null,
    groups: {},
    runs: add(({ runs }) => runs),
    succeeded: add(({ succeeded }) => succeeded),
    failed: add(({ failed }) => failed),
    input_tokens: add(({ input_tokens: count }) => count),
    output_tokens: add(({ output_tokens: count }) => count),
    cost_usd: add(({ cost_usd: cost }) => cost),
    unpriced: add(({ unpriced = 0 }) => unpriced),
  };
}

/**
 * Return a table of sums.
 *
 * @param {string} caption
 * @param {string} what The heading of its first column.
 * @param {Sums[]} stats
 * @param {(sums: Sums) => Node | string} nameOf
 */
export function sumsTable(caption, what, stats, nameOf) {
  const columns = [
    "Runs",
    "Answered",
    "Failed",
    "Tokens read",
    "written",
    "Cost",
    "p50",
    "p90",
    "p99",
  ]
    .map((label) => ({ label, isNumber: true }));
  const seconds = (/** @type {number | null | undefined} */ value) =>
    value === null || value === undefined ? "–" : format.duration(value);
  return table({
    caption,
    columns: [{ label: what }, ...columns],
    rows: stats.map((sums) => [
      nameOf(sums),
      format.number(sums.runs),
      format.number(sums.succeeded),
      format.number(sums.failed),
      format.number(sums.input_tokens),
      format.number(sums.output_tokens),
      costOf(sums),
      ...[sums.latency?.p50, sums.latency?.p90, sums.latency?.p99].map(seconds),
    ]),
  });
}

/**
 * Return a name of a part for people.
 *
 * @param {string} part
 * @param {string | null | undefined} value
 * @param {Map<string, string>} keyNames
 */
export function partName(part, value, keyNames) {
  if (value === null || value === undefined) return part === "api_key" ? "Logged in" : "None";
  if (part === "status") return shortStatus(value);
  if (part === "source") return sourceName(value);
  if (part === "api_key") return keyNames.get(value) ?? value;
  return part === "model" ? shortName(value) : value;
}

/**
 * Return the first days of the bars between two days, and the day after the last one.
 *
 * @param {string} first
 * @param {string} last
 */
export function periods(first, last) {
  const days = Math.round((Date.parse(last) - Date.parse(first)) / 86_400_000) + 1;
  const begins = [beginOf(first, days)];
  while (begins[begins.length - 1] <= last) begins.push(nextOf(begins[begins.length - 1], days));
  return begins;
}

/** @param {string} day @param {number} days */
function beginOf(day, days) {
  if (days > MOST_WEEKS * 7) return `${day.slice(0, 7)}-01`;
  return days > MOST_DAYS ? dayAfter(day, -((new Date(day).getUTCDay() + 6) % 7)) : day;
}

/** @param {string} day @param {number} days */
function nextOf(day, days) {
  if (days <= MOST_DAYS) return dayAfter(day);
  if (days <= MOST_WEEKS * 7) return dayAfter(day, 7);
  const [year, month] = day.split("-").map(Number);
  return dayOf(Date.UTC(year, month, 1));
}

/**
 * Return what bars show of sums by day and a part.
 *
 * @param {Sums[]} stats
 * @param {object} how
 * @param {string} how.part
 * @param {string} how.measure
 * @param {[string, string]} how.days The first and the last one.
 * @param {Map<string, string>} how.keyNames
 * @param {(since: string, until: string) => string} how.hrefOf
 * @returns {import("../bars.js").Chart}
 */
export function chartOf(stats, { part, measure, days, keyNames, hrefOf }) {
  const { of, write } = MEASURES[measure];
  /** @type {Map<string, number>} */
  const totals = new Map();
  const named = stats.map((sums) => ({
    day: sums.groups.day ?? "",
    name: partName(part, sums.groups[part], keyNames),
    value: of(sums),
  }));
  for (const { name, value } of named) totals.set(name, (totals.get(name) ?? 0) + value);
  const sorted = [...totals].sort((one, other) => other[1] - one[1]).map(([name]) => name);
  const shown = sorted.slice(0, COLOURS);
  const names = sorted.length > COLOURS ? [...shown, OTHERS] : shown;
  const begins = periods(...days);
  const groups = begins.slice(0, -1).map((since, index) => {
    const until = begins[index + 1];
    const inside = named.filter(({ day }) => day >= since && day < until);
    const parts = names.map((name) => ({
      name,
      value: inside.filter((one) =>
        one.name === name || (name === OTHERS && !shown.includes(one.name))
      )
        .reduce((sum, { value }) => sum + value, 0),
    }));
    const isDay = until === dayAfter(since);
    const title = isDay ? utcDay(since) : `${utcDay(since)} to ${utcDay(dayAfter(until, -1))}`;
    return {
      label: utcDay(since).replace(/ \d{4}$/, ""),
      title,
      href: hrefOf(since, until),
      parts,
    };
  });
  return { groups, names, write };
}

/**
 * Return sums as CSV.
 *
 * @param {Sums[]} stats
 * @param {string} part
 */
export function csvOf(stats, part) {
  const heads = ["day", part, "runs", "succeeded", "failed", "input_tokens", "output_tokens"];
  const rows = stats.map((sums) => [
    sums.groups.day,
    sums.groups[part],
    sums.runs,
    sums.succeeded,
    sums.failed,
    sums.input_tokens,
    sums.output_tokens,
    // Nothing stands for what is not known.
    sums.unpriced && !sums.cost_usd ? null : sums.cost_usd,
    sums.unpriced ?? 0,
    sums.latency?.p50,
    sums.latency?.p90,
    sums.latency?.p99,
  ]);
  const all = [[...heads, "cost_usd", "runs_with_unknown_cost", "p50", "p90", "p99"], ...rows];
  return all.map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}

/** @param {unknown} value */
function cell(value) {
  if (value === null || value === undefined) return "";
  const text = String(value);
  // A spreadsheet would take these for formulas.
  const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/**
 * Return a button that saves a text as a file.
 *
 * @param {string} label
 * @param {string} name
 * @param {string} type
 * @param {() => string} textOf
 */
export function saveButton(label, name, type, textOf) {
  function save() {
    const href = URL.createObjectURL(new Blob([textOf()], { type }));
    element("a", { href, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(href), 60_000);
  }
  return button(label, save, { class: "edge" });
}
