// @ts-check
/** What a line adds to the blocks that are open. */

import { newBlock } from "./block.js";
import { quoteAt } from "./starts.js";
import { cellsOf } from "./tables.js";

/** @typedef {import("./block.js").Block} Block */
/** @typedef {import("./cursor.js").Cursor} Cursor */

/** Cells that rows lack: a few short rows must not make a million of them. */
const MOST_LACKING = 0x10000;

/**
 * Whether a line belongs to a block that is open; it takes what leads into the block.
 *
 * @param {Block} block
 * @param {Cursor} cursor
 */
export function continues(block, cursor) {
  switch (block.kind) {
    case "quote":
      return cursor.indent < 4 && quoteAt(cursor) !== null;
    case "item":
      if (cursor.isBlank ? block.children.length === 0 : cursor.indent < block.indent) return false;
      cursor.skipColumns(block.indent);
      return true;
    case "indented":
      if (cursor.indent < 4 && !cursor.isBlank) return false;
      cursor.skipColumns(4);
      return true;
    case "list":
    case "fence":
      return true;
    default:
      return !cursor.isBlank;
  }
}

/**
 * Add what is left of a line to a block.
 *
 * @param {Block} block
 * @param {Cursor} cursor
 * @param {number} number the line's
 * @returns {boolean} whether the block takes it
 */
export function addLine(block, cursor, number) {
  switch (block.kind) {
    case "paragraph":
      addText(block, cursor);
      break;
    case "fence":
      cursor.skipColumns(block.indent);
      block.text += cursor.rest() + "\n";
      break;
    case "indented":
      block.line += cursor.rest() + "\n";
      // Blank lines are code if more follows.
      if (cursor.isBlank) return true;
      block.text += block.line;
      block.line = "";
      break;
    case "table":
      if (!addRow(block, cursor)) return false;
      break;
    default:
      return false;
  }
  block.last = number;
  return true;
}

/**
 * @param {Block} paragraph
 * @param {Cursor} cursor
 */
function addText(paragraph, cursor) {
  paragraph.line = cursor.text.slice(cursor.next);
  paragraph.text += (paragraph.text && "\n") + paragraph.line;
  paragraph.indent = cursor.indent;
}

/**
 * @param {Block} table
 * @param {Cursor} cursor
 */
function addRow(table, cursor) {
  const cells = cellsOf(cursor.text.slice(cursor.next));
  table.width += Math.max(table.cells.length - cells.length, 0);
  if (table.width > MOST_LACKING) return false;
  table.children.push({ ...newBlock(), kind: "row", cells, alignments: table.alignments });
  return true;
}
