// @ts-check
/** Cuts a text into blocks, a line at a time, by the rules of CommonMark and GitHub's tables. */

import { Cursor } from "./cursor.js";
import { closesFence, fenceAt, headingAt, itemAt, quoteAt, ruleAt, underlineAt } from "./starts.js";
import { alignmentsOf, cellsOf } from "./tables.js";

/** @typedef {import("./starts.js").Start} Start */
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

/** Lists and quotes in one another; deeper ones are text. */
const DEEPEST = 12;
/** Cells that rows lack: a few short rows must not make a million of them. */
const MOST_LACKING = 0x10000;

const CONTAINERS = new Set(["document", "quote", "item"]);

/** @returns {Block} */
function newBlock() {
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

export class Blocks {
  document = newBlock();
  /** The blocks that the next line may add to, each in the one before it. */
  open = [this.document];
  #line = 0;
  #matched = 1;

  /** @param {string} text a line, without its end */
  add(text) {
    this.#line++;
    const cursor = new Cursor(text);
    const isDone = this.#continue(cursor) || this.#start(cursor);
    if (!isDone) this.#addRest(cursor);
  }

  /** Remember this state, and return what leads back to it. */
  mark() {
    const open = [...this.open];
    const states = open.map((block) => ({ ...block }));
    const counts = open.map((block) => block.children.length);
    const line = this.#line;
    return () => {
      open.forEach((block, index) => {
        Object.assign(block, states[index]);
        block.children.length = counts[index];
      });
      this.open = open;
      this.#line = line;
    };
  }

  /**
   * Find out how many of the open blocks this line belongs to.
   *
   * @param {Cursor} cursor
   * @returns {boolean} whether that is all there is to the line
   */
  #continue(cursor) {
    this.#matched = 1;
    for (const block of this.open.slice(1)) {
      if (block.kind === "fence" && closesFence(cursor, block)) {
        block.last = this.#line;
        this.open.length = this.#matched;
        return true;
      }
      if (!continues(block, cursor)) break;
      if (block.kind === "quote") block.last = this.#line;
      this.#matched++;
    }
    return false;
  }

  /**
   * Begin what the line begins: any number of containers, and then perhaps a leaf.
   *
   * @param {Cursor} cursor
   * @returns {boolean} whether that is all there is to the line
   */
  #start(cursor) {
    while (!cursor.isBlank && !isCode(this.#container)) {
      if (cursor.indent > 3) return this.#startIndented(cursor);
      if (this.#container.kind === "paragraph" && this.#convert(this.#container, cursor)) {
        return true;
      }
      const start = this.#startAt(cursor);
      if (start === null) return false;
      if (start.kind === "item") this.#beginList(start);
      this.#begin(start);
      if (start.kind === "heading" || start.kind === "rule") this.open.pop();
      if (start.kind !== "quote" && start.kind !== "item") return true;
    }
    return false;
  }

  /** The innermost block that is open. */
  get tip() {
    return this.open[this.open.length - 1];
  }

  /** The innermost block that the line belongs to. */
  get #container() {
    return this.open[this.#matched - 1];
  }

  /** @param {Cursor} cursor */
  #startIndented(cursor) {
    if (this.tip.kind !== "paragraph") {
      cursor.skipColumns(4);
      this.#begin({ kind: "indented" });
    }
    return false;
  }

  /**
   * @param {Cursor} cursor
   * @returns {Start | null}
   */
  #startAt(cursor) {
    const code = cursor.text[cursor.next];
    if (code === "#") return headingAt(cursor);
    if (code === "`" || code === "~") return fenceAt(cursor);
    const rule = "-*_".includes(code) ? ruleAt(cursor) : null;
    if (rule !== null || !">-*+0123456789".includes(code) || this.#isDeep()) return rule;
    return code === ">" ? quoteAt(cursor) : itemAt(cursor, this.#container.kind === "paragraph");
  }

  #isDeep() {
    const around = this.open.slice(0, this.#matched);
    return around.filter(({ kind }) => kind === "quote" || kind === "item").length >= DEEPEST;
  }

  /**
   * Make a paragraph a heading, or its last line a table, if the line below it says so.
   *
   * @param {Block} paragraph
   * @param {Cursor} cursor
   */
  #convert(paragraph, cursor) {
    if (!"-=|:".includes(cursor.text[cursor.next])) return false;
    const table = tableAt(paragraph, cursor);
    const level = underlineAt(cursor);
    if (table === null && level === 0) return false;
    if (table === null) {
      Object.assign(paragraph, { kind: "heading", level });
    } else if (paragraph.text === paragraph.line) {
      Object.assign(paragraph, table);
    } else {
      paragraph.text = paragraph.text.slice(0, -1 - paragraph.line.length);
    }
    if (paragraph.kind !== "paragraph") paragraph.last = this.#line;
    if (paragraph.kind !== "table") this.#closeLast();
    if (table !== null && paragraph.kind !== "table") this.#begin(table);
    return true;
  }

  /** @param {Start} item */
  #beginList({ sign, isOrdered, level }) {
    this.#close();
    if (this.#container.kind === "paragraph" || this.#container.kind === "table") this.#closeLast();
    const list = this.#container;
    if (list.kind === "list" && list.sign === sign && list.isOrdered === isOrdered) return;
    if (list.kind === "list") this.#closeLast();
    this.#begin({ kind: "list", sign, isOrdered, level });
  }

  #closeLast() {
    this.open.pop();
    this.#matched = this.open.length;
  }

  /** Close the blocks that the line does not belong to. */
  #close() {
    this.open.length = this.#matched;
  }

  /** @param {Start} start */
  #begin(start) {
    this.#close();
    while (!this.#canContain(start.kind)) this.#closeLast();
    const parent = this.#container;
    const before = parent.children[parent.children.length - 1];
    if (before !== undefined && lastLineOf(before) < this.#line - 1) this.#loosen();
    const isFirst = parent.kind === "item" && before === undefined;
    const block = { ...newBlock(), last: this.#line, isFirst, ...start };
    parent.children.push(block);
    this.open.push(block);
    this.#matched = this.open.length;
    return block;
  }

  /** @param {Kind} kind */
  #canContain(kind) {
    const parent = this.#container.kind;
    return parent === "list" ? kind === "item" : CONTAINERS.has(parent) && kind !== "item";
  }

  /** Blank lines between items, or between blocks in an item, make all of a list loose. */
  #loosen() {
    const list = this.#container.kind === "item" ? this.open[this.#matched - 2] : this.#container;
    list.isLoose = true;
  }

  /**
   * Give what is left of a line to the block that it belongs to.
   *
   * @param {Cursor} cursor
   */
  #addRest(cursor) {
    const isWhole = this.#matched === this.open.length;
    if (!isWhole && !cursor.isBlank && this.tip.kind === "paragraph") {
      this.#addText(this.tip, cursor);
      return;
    }
    this.#close();
    const block = this.#container;
    if (block.kind === "fence") this.#addToFence(block, cursor);
    else if (block.kind === "indented") this.#addIndented(block, cursor);
    else if (block.kind === "table") this.#addRow(block, cursor);
    else if (block.kind === "paragraph") this.#addText(block, cursor);
    else if (!cursor.isBlank) this.#addText(this.#begin({ kind: "paragraph" }), cursor);
  }

  /**
   * @param {Block} paragraph
   * @param {Cursor} cursor
   */
  #addText(paragraph, cursor) {
    paragraph.line = cursor.text.slice(cursor.next);
    paragraph.text += (paragraph.text && "\n") + paragraph.line;
    paragraph.indent = cursor.indent;
    paragraph.last = this.#line;
  }

  /**
   * @param {Block} code
   * @param {Cursor} cursor
   */
  #addToFence(code, cursor) {
    cursor.skipColumns(code.indent);
    code.text += cursor.rest() + "\n";
    code.last = this.#line;
  }

  /**
   * @param {Block} code
   * @param {Cursor} cursor
   */
  #addIndented(code, cursor) {
    code.line += cursor.rest() + "\n";
    if (cursor.isBlank) return;
    code.text += code.line;
    code.line = "";
    code.last = this.#line;
  }

  /**
   * @param {Block} table
   * @param {Cursor} cursor
   */
  #addRow(table, cursor) {
    const cells = cellsOf(cursor.text.slice(cursor.next));
    table.width += Math.max(table.cells.length - cells.length, 0);
    if (table.width > MOST_LACKING) {
      this.#addText(this.#begin({ kind: "paragraph" }), cursor);
      return;
    }
    const { alignments } = table;
    table.children.push({ ...newBlock(), kind: "row", last: this.#line, cells, alignments });
    table.last = this.#line;
  }
}

/** @param {Block} block */
function isCode({ kind }) {
  return kind === "fence" || kind === "indented";
}

/**
 * Read a line below a paragraph as the second one of a table.
 *
 * @param {Block} paragraph
 * @param {Cursor} cursor
 * @returns {Start | null}
 */
function tableAt(paragraph, cursor) {
  const alignments = alignmentsOf(cursor.text.slice(cursor.next));
  if (alignments === null || paragraph.indent > 3 || !paragraph.line.includes("|")) return null;
  const cells = cellsOf(paragraph.line);
  if (cells.length !== alignments.length) return null;
  return { kind: "table", cells, alignments, width: 0 };
}

/**
 * Whether a line belongs to a block that is open; it takes what leads into the block.
 *
 * @param {Block} block
 * @param {Cursor} cursor
 */
function continues(block, cursor) {
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
 * Blank lines at the end of an item are not its own.
 *
 * @param {Block} block
 * @returns {number}
 */
function lastLineOf(block) {
  const child = block.children[block.children.length - 1];
  return child === undefined ? block.last : Math.max(block.last, lastLineOf(child));
}
