// @ts-check
/** Filters as chips: what there is to choose, and what is chosen. */

import { call } from "../../core/api.js";
import { element } from "../../core/dom.js";
import * as format from "../../core/format.js";
import { notice } from "../announce.js";
import { field, formDialog } from "../form.js";
import { openMenu } from "../menu.js";
import { problemNotice } from "../problem.js";
import {
  apiQuery,
  changed,
  dayAfter,
  dayOf,
  daysAgo,
  hrefOf,
  named,
  without,
  wordOf,
} from "./filters.js";

/** @typedef {import("../menu.js").Item} Item */
/** @typedef {(filters: URLSearchParams) => void} Choose */

/** What stats group by, for each chip. @type {[string, string, string][]} */
const GROUPS = [
  ["model", "Model", "model"],
  ["status", "State", "status"],
  ["tag", "Tag", "tag"],
  ["source", "Came through", "source"],
  ["key", "API key", "api_key"],
];
/** @type {[string, number][]} */
const PERIODS = [["Today", 0], ["Last 7 days", 6], ["Last 30 days", 29], ["Last 365 days", 364]];

/**
 * Return the names of API keys by their ids.
 *
 * @returns {Promise<Map<string, string>>}
 */
export async function keyNames() {
  const { keys } = await call("GET", "keys/").catch(() => ({ keys: [] }));
  return new Map(keys.map((/** @type {any} */ { id, name }) => [id, name]));
}

/**
 * Return chips: those that are on, each with what takes it away, and those that add one.
 *
 * @param {URLSearchParams} filters
 * @param {Map<string, string>} names Of API keys.
 * @param {Choose} choose
 */
export function filterChips(filters, names, choose) {
  const on = named(filters, names).filter(({ name }) => name !== "q");
  const chosen = new Set(on.map(({ name }) => (name === "until" ? "since" : name)));
  const add = GROUPS.filter(([name]) => name === "tag" || !chosen.has(name)).map((group) =>
    adding(group[1], (button) => choices(button, group, filters, names, choose))
  );
  if (!chosen.has("since")) add.push(adding("Time", (button) => times(button, filters, choose)));
  return element(
    "div",
    { class: "chips", role: "group", "aria-label": "Filters" },
    ...on.map((one) => chosenChip(one, filters)),
    ...add,
  );
}

/**
 * @param {{name: string, value: string, label: string}} one
 * @param {URLSearchParams} filters
 */
function chosenChip({ name, value, label }, filters) {
  return element(
    "a",
    {
      class: "button chip on",
      href: hrefOf("find", without(filters, name, value)),
      "aria-label": `${label}. Remove this filter`,
    },
    label,
    element("span", { "aria-hidden": "true" }, " ×"),
  );
}

/**
 * @param {string} label
 * @param {(button: HTMLElement) => void} open
 */
function adding(label, open) {
  const button = element("button", {
    type: "button",
    class: "chip",
    "aria-haspopup": "menu",
    "aria-expanded": "false",
    on: { click: () => open(button) },
  }, `${label} ▾`);
  return button;
}

/**
 * @param {HTMLElement} button
 * @param {[string, string, string]} group
 * @param {URLSearchParams} filters
 * @param {Map<string, string>} names
 * @param {Choose} choose
 */
async function choices(button, [name, label, by], filters, names, choose) {
  const query = apiQuery(filters);
  query.set("by", by);
  try {
    const { stats } = await call("GET", "history/stats", { query });
    const known = stats.filter((/** @type {any} */ { group }) => group !== null);
    /** @type {Item[]} */
    const items = known.map((/** @type {any} */ { group, runs }) => ({
      label: wordOf(name, group, names),
      note: format.counted(runs, "run"),
      run: () => choose(changed(filters, { [name]: group })),
    }));
    if (items.length) openMenu(button, items);
    else notice(`There is nothing to choose: no run here has another ${label.toLowerCase()}.`);
  } catch (error) {
    problemNotice(error);
  }
}

/**
 * @param {HTMLElement} button
 * @param {URLSearchParams} filters
 * @param {Choose} choose
 */
function times(button, filters, choose) {
  const items = PERIODS.map(([label, days]) => ({
    label,
    run: () => choose(changed(filters, { since: daysAgo(days), until: "" })),
  }));
  openMenu(button, [...items, { label: "Between…", run: () => void between(filters, choose) }]);
}

/**
 * @param {URLSearchParams} filters
 * @param {Choose} choose
 */
async function between(filters, choose) {
  const day = (/** @type {string} */ name, /** @type {string} */ value) => {
    const input = element("input", { type: "date", name, required: true, max: dayOf(Date.now()) });
    input.value = value;
    return input;
  };
  const [first, last] = [day("first", daysAgo(6)), day("last", daysAgo(0))];
  const days = await formDialog("Between two days", {
    fields: [
      field("First day", first),
      field("Last day", last),
      element("p", {}, "Days are those of UTC."),
    ],
    action: "Filter",
    send: () => [first.value, last.value].sort(),
  });
  if (days === null) return;
  const [since, until] = days;
  choose(changed(filters, { since, until: dayAfter(until) }));
}
