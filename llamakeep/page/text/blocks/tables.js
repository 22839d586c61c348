// @ts-check
/** Rows of tables: their cells, and how a table's second line aligns them. */

import { trimmed } from "../characters.js";

/** @typedef {import("./block.js").Block} Block */
/** @typedef {import("./cursor.js").Cursor} Cursor */
/** @typedef {import("./starts.js").Start} Start */
/** @typedef {"" | "left" | "center" | "right"} Alignment */

/**
 * Cut a row at its `|`; `\|` is a `|` in a cell.
 *
 * @param {string} line
 * @returns {string[]}
 */
export function cellsOf(line) {
  const row = trimmed(line);
  /** @type {string[]} */
  const cells = [];
  let cell = "";
  let from = 0;
  for (let at = row.indexOf("|"); at >= 0; at = row.indexOf("|", at + 1)) {
    if (row[at - 1] === "\\") {
      cell += row.slice(from, at - 1);
      from = at;
    } else {
      cells.push(trimmed(cell + row.slice(from, at)));
      cell = "";
      from = at + 1;
    }
  }
  cells.push(trimmed(cell + row.slice(from)));
  if (row.startsWith("|")) cells.shift();
  if (cells.at(-1) === "" && from === row.length) cells.pop();
  return cells;
}

/**
 * Read a table's second line, such as `|---|:-:|`.
 *
 * @param {string} line
 * @returns {Alignment[] | null} `null` if it is none
 */
export function alignmentsOf(line) {
  // `- a` is an item of a list.
  if (!/^[-:|][-:| \t]/.test(line) || /^-[ \t]/.test(line) || /[^-:| \t]/.test(line)) return null;
  const columns = line.split("|").map(trimmed);
  if (columns[0] === "") columns.shift();
  if (columns.at(-1) === "") columns.pop();
  const isWhole = columns.length > 0 && columns.every((column) => /^:?-+:?$/.test(column));
  return isWhole ? columns.map(alignmentOf) : null;
}

/**
 * @param {string} column
 * @returns {Alignment}
 */
function alignmentOf(column) {
  if (column.endsWith(":")) return column.startsWith(":") ? "center" : "right";
  return column.startsWith(":") ? "left" : "";
}

/**
 * Read a line below a paragraph as the second one of a table.
 *
 * @param {Block} paragraph
 * @param {Cursor} cursor
 * @returns {Start | null}
 */
export function tableAt(paragraph, cursor) {
  const alignments = alignmentsOf(cursor.text.slice(cursor.next));
  if (alignments === null || paragraph.indent > 3 || !paragraph.line.includes("|")) return null;
  const cells = cellsOf(paragraph.line);
  if (cells.length !== alignments.length) return null;
  return { kind: "table", cells, alignments, width: 0 };
}
