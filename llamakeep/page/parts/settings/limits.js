// @ts-check
/** Limits: their names, their fields, and how much of them is used. */

import { element, svg } from "../../core/dom.js";
import * as format from "../../core/format.js";
import { field } from "../form.js";
import { timeOf } from "../problem.js";
import { table } from "../table.js";

/** @typedef {Record<string, number | null>} Limits */
/**
 * @typedef {{name: string, whose: string, subject?: string | null, limit: number, used: number,
 *   reserved: number, left: number, resets_at: string | null}} Quota
 */

/** @type {[string, string][]} */
const NAMES = [
  ["concurrent_runs", "Runs at the same time"],
  ["tokens_per_day", "Tokens a day"],
  ["tokens_per_month", "Tokens a month"],
  ["dollars_per_day", "Dollars a day"],
  ["dollars_per_month", "Dollars a month"],
  ["end_user_prompts_per_day", "Prompts a day of each end user"],
];
/** @type {Record<string, string>} */
const OWNERS = { user: "yours", api_key: "the API key's", server: "shared by all users" };
const WIDTH = 120;

/** @param {string} name */
const isMoney = (name) => name.startsWith("dollars");

/** @param {string} name */
const limitName = (name) => new Map(NAMES).get(name) ?? name.replaceAll("_", " ");

/**
 * @param {string} name
 * @param {number} value
 */
function amount(name, value) {
  if (!isMoney(name)) return format.number(value);
  return value === 0 ? "$0" : format.money(value);
}

/**
 * Return limits in a line.
 *
 * @param {Limits | null} limits
 */
export function limitsInWords(limits) {
  const given = NAMES.filter(([name]) => (limits?.[name] ?? null) !== null);
  if (given.length === 0) return "none";
  return given.map(([name, label]) => `${label}: ${amount(name, Number(limits?.[name]))}`)
    .join(" · ");
}

/**
 * Return fields for limits, and what reads them.
 *
 * @param {Limits | null} limits
 */
export function limitFields(limits) {
  const inputs = NAMES.map(([name]) => {
    const step = isMoney(name) ? "any" : "1";
    const input = element("input", { type: "number", name, min: "0", step, inputmode: "decimal" });
    input.value = `${limits?.[name] ?? ""}`;
    return input;
  });
  const fields = NAMES.map(([, label], index) => field(label, inputs[index]));
  /** @returns {Limits} */
  const value = () =>
    Object.fromEntries(
      inputs.filter((input) => input.value !== "").map((input) => [
        input.name,
        Number(input.value),
      ]),
    );
  return { node: element("div", { class: "halves" }, ...fields), value };
}

/**
 * Return a table of limits with what is used of them.
 *
 * @param {string} caption
 * @param {Quota[]} quotas
 */
export function quotaTable(caption, quotas) {
  const columns = [
    { label: "Limit" },
    { label: "Used and reserved", isHidden: true },
    { label: "Used", isNumber: true },
    { label: "Reserved", isNumber: true },
    { label: "Left", isNumber: true },
    { label: "Resets" },
  ];
  const rows = quotas.map((quota) => {
    const { name, whose, subject, limit, used, reserved, left, resets_at } = quota;
    const owners = OWNERS[whose] ?? (subject ? `${whose} ${subject}` : whose);
    const owner = element("small", {}, `${amount(name, limit)}, ${owners}`);
    return [
      element("span", { class: "two" }, limitName(name), owner),
      gauge(quota),
      amount(name, used),
      amount(name, reserved),
      amount(name, left),
      resets_at ? timeOf(resets_at) : "as runs end",
    ];
  });
  return table({ caption, columns, rows });
}

/** @param {Quota} quota */
function gauge({ name, limit, used, reserved }) {
  const part = (/** @type {number} */ value) =>
    limit > 0 ? Math.min(1, value / limit) : Number(value > 0 || limit === 0);
  const [full, aside] = [part(used), Math.min(part(reserved), 1 - part(used))];
  const bar = (/** @type {string} */ look, /** @type {number} */ x, /** @type {number} */ width) =>
    svg("rect", { class: look, x: x * WIDTH, y: 0, width: width * WIDTH, height: 8, rx: 2 });
  const label = `${amount(name, used)} of ${amount(name, limit)} used, ` +
    `${amount(name, reserved)} reserved`;
  return svg(
    "svg",
    { class: "gauge", viewBox: `0 0 ${WIDTH} 8`, role: "img", "aria-label": label },
    bar("bar rest", 0, 1),
    bar("bar accent", 0, full),
    bar("bar info", full, aside),
  );
}
