// @ts-check
/** Secrets that are shown once. */

import { button, element } from "../core/dom.js";
import { copy } from "./copy.js";

/**
 * @param {{label: string, secret: string, example?: string}} content The example is a command
 *   that works with it.
 */
export function secretBox({ label, secret, example }) {
  const line = (/** @type {string} */ what, /** @type {string} */ text) =>
    element(
      "div",
      { class: "secret" },
      element("pre", { tabindex: "0", "aria-label": what }, element("code", {}, text)),
      button("Copy", () => copy(text), { class: "edge", "aria-label": `Copy: ${what}` }),
    );
  return element(
    "div",
    { class: "note" },
    element("p", {}, element("b", {}, label), " It is shown this once: keep it now."),
    line(label, secret),
    example ? line("An example", example) : null,
  );
}
