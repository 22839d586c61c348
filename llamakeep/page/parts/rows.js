// @ts-check
/** The keys that go through a list. */

import { bind } from "../core/keys.js";

/**
 * Let `j` and `k` go to the next and the previous link of a list; return what ends that.
 *
 * @param {HTMLElement} list
 * @param {string} selector What can have the focus, once a row.
 */
export function rowKeys(list, selector) {
  const group = "In a list";
  const step = (/** @type {number} */ by) => () => {
    const rows = /** @type {HTMLElement[]} */ ([...list.querySelectorAll(selector)]);
    const at = rows.findIndex((row) => row === document.activeElement);
    const next = rows[at < 0 ? 0 : at + by];
    next?.focus();
    next?.scrollIntoView({ block: "nearest" });
  };
  return bind(
    { keys: "j", label: "Next row", group, run: step(1) },
    { keys: "k", label: "Previous row", group, run: step(-1) },
    { keys: "enter", label: "Open the row", group },
  );
}
