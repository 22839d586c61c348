// @ts-check
/** What stands where there is nothing yet. */

import { element } from "../core/dom.js";

/**
 * @param {string} title
 * @param {string | Node} text What it is for, or what to do.
 * @param {...Node} actions
 */
export function empty(title, text, ...actions) {
  const buttons = actions.length ? element("div", { class: "buttons" }, ...actions) : null;
  return element(
    "div",
    { class: "empty" },
    element("p", {}, element("b", {}, title)),
    element("p", {}, text),
    buttons,
  );
}
