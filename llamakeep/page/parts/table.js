// @ts-check
/** Tables, which become lists on a phone. */

import { element } from "../core/dom.js";

/** @typedef {Node | string | null} Cell */
/** @typedef {{label: string, isNumber?: boolean, isHidden?: boolean}} Column */

/**
 * Return a table. The first cell of each row is its heading.
 *
 * @param {{caption: string, columns: Column[], rows: Cell[][]}} content
 */
export function table({ caption, columns, rows }) {
  const heads = columns.map(({ label, isNumber, isHidden }) =>
    element(
      "th",
      { scope: "col", class: isNumber ? "number" : null },
      isHidden ? element("span", { class: "hidden" }, label) : label,
    )
  );
  return element(
    "div",
    { class: "grid", tabindex: "0", role: "region", "aria-label": caption },
    element(
      "table",
      {},
      element("caption", { class: "hidden" }, caption),
      element("thead", {}, element("tr", {}, ...heads)),
      element("tbody", {}, ...rows.map((cells) => row(cells, columns))),
    ),
  );
}

/**
 * @param {Cell[]} cells
 * @param {Column[]} columns
 */
function row(cells, columns) {
  return element(
    "tr",
    {},
    ...cells.map((cell, index) => {
      const { label, isNumber, isHidden } = columns[index];
      const attributes = {
        class: isNumber ? "number" : null,
        "data-label": isHidden ? null : label,
      };
      return index === 0
        ? element("th", { scope: "row", ...attributes }, cell)
        : element("td", attributes, cell);
    }),
  );
}
