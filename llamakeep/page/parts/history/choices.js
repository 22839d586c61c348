// @ts-check
/** Links that choose of which time and which measure a view shows sums. */

import { element } from "../../core/dom.js";
import { hrefOf } from "./filters.js";
import { MEASURES } from "./usage.js";

/** Times, and on which day before today they begin. @type {[string, number][]} */
export const PERIODS = [["7 days", 6], ["30 days", 29], ["90 days", 89], ["A year", 364]];
/** On which day before today sums begin where the address says nothing. */
export const USUAL = 29;

/**
 * Return the name of the measure that an address asks for.
 *
 * @param {URLSearchParams} query
 */
export function measureOf(query) {
  const show = query.get("show") ?? "";
  return Object.hasOwn(MEASURES, show) ? show : "runs";
}

/**
 * Return an address with another choice.
 *
 * @param {string} path
 * @param {URLSearchParams} query
 * @param {string} name
 * @param {string} value
 */
export function choose(path, query, name, value) {
  const changes = new URLSearchParams(query);
  changes.set(name, value);
  if (name === "since") changes.delete("until");
  return hrefOf(path, changes);
}

/**
 * Return a link to a choice.
 *
 * @param {string} label
 * @param {string} href
 * @param {boolean} isHere Whether it is what the view shows.
 */
export function choice(label, href, isHere) {
  const look = isHere ? "button chip on" : "button chip";
  return element("a", { class: look, href, "aria-current": isHere ? "true" : null }, label);
}

/**
 * Return choices of one thing, with its name.
 *
 * @param {string} label
 * @param {Node[]} links
 */
export function group(label, links) {
  return element(
    "div",
    { class: "chips", role: "group", "aria-label": label },
    element("span", { class: "chips-label", "aria-hidden": "true" }, label),
    ...links,
  );
}
