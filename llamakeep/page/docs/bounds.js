// @ts-check
/** Says what values a schema permits. */

import { resolved } from "./document.js";

/** @typedef {import("./document.js").Schema} Schema */

const BOUNDS = /** @type {const} */ ([
  ["minimum", "At least"],
  ["ge", "At least"],
  ["exclusiveMinimum", "More than"],
  ["gt", "More than"],
  ["maximum", "At most"],
  ["le", "At most"],
  ["exclusiveMaximum", "Less than"],
  ["minLength", "Characters, at least"],
  ["maxLength", "Characters, at most"],
  ["minItems", "Items, at least"],
  ["maxItems", "Items, at most"],
  ["maxProperties", "Fields, at most"],
  ["pattern", "Pattern"],
  ["default", "Default"],
]);

/**
 * Return a line for each bound of a value, and for its default.
 *
 * @param {Schema} schema
 * @param {Schema} document
 * @returns {string[]}
 */
export function boundsOf(schema, document) {
  const found = resolved(schema, document);
  const kinds = [found, ...(found.anyOf ?? [])].map((each) => resolved(each, document));
  const lines = kinds.flatMap((kind) =>
    BOUNDS.filter(([name]) => kind[name] !== undefined && kind[name] !== null)
      .map(([name, label]) => `${label}: ${written(kind[name])}`)
  );
  return [...new Set(lines)];
}

/** @param {unknown} value */
const written = (value) => typeof value === "string" ? value : JSON.stringify(value);
