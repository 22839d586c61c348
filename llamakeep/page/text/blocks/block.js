// @ts-check
/** A block of a text: a paragraph, a list, code, … */

/** @typedef {import("./tables.js").Alignment} Alignment */
/**
 * @typedef {"document" | "quote" | "list" | "item" | "paragraph" | "heading" | "rule" | "fence" |
 *   "indented" | "table" | "row"} Kind
 */
/**
 * @typedef {object} Block
 * @property {Kind} kind
 * @property {Block[]} children of a table, its rows below the first
 * @property {string} text what a paragraph, a heading or code says
 * @property {number} last the number of its last line
 * @property {number} level of a heading; of a list or an item, its number
 * @property {string} sign of a fence, a list or an item
 * @property {number} width of a fence; of a table, how many cells its rows lack
 * @property {number} indent of a fence, and of what an item contains; of a paragraph's last line
 * @property {string} info of a fence
 * @property {string} line of a paragraph, its last; of indented code, lines that are blank
 * @property {boolean} isOrdered
 * @property {boolean} isLoose
 * @property {boolean} isFirst whether it is the first in an item
 * @property {string[]} cells
 * @property {Alignment[]} alignments
 */

/** @returns {Block} */
export function newBlock() {
  return {
    kind: "document",
    children: [],
    text: "",
    last: 0,
    level: 0,
    sign: "",
    width: 0,
    indent: 0,
    info: "",
    line: "",
    isOrdered: false,
    isLoose: false,
    isFirst: false,
    cells: [],
    alignments: [],
  };
}

/** @param {Block} block */
export function isCode({ kind }) {
  return kind === "fence" || kind === "indented";
}

/**
 * Blank lines at the end of an item are not its own.
 *
 * @param {Block} block
 * @returns {number}
 */
export function lastLineOf(block) {
  const child = block.children[block.children.length - 1];
  return child === undefined ? block.last : Math.max(block.last, lastLineOf(child));
}
