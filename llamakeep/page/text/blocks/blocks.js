// @ts-check
/** Cuts a text into blocks, a line at a time, by the rules of CommonMark and GitHub's tables. */

import { isCode, lastLineOf, newBlock } from "./block.js";
import { addLine, continues } from "./continue.js";
import { Cursor } from "./cursor.js";
import { closesFence, fenceAt, headingAt, itemAt, quoteAt, ruleAt, underlineAt } from "./starts.js";
import { tableAt } from "./tables.js";

/** @typedef {import("./block.js").Block} Block */
/** @typedef {import("./block.js").Kind} Kind */
/** @typedef {import("./starts.js").Start} Start */

/** Lists and quotes in one another; deeper ones are text. */
const DEEPEST = 12;

const CONTAINERS = new Set(["document", "quote", "item"]);

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
      if (cursor.indent > 3) {
        this.#startIndented(cursor);
        return false;
      }
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
    if (this.tip.kind === "paragraph") return;
    cursor.skipColumns(4);
    this.#begin({ kind: "indented" });
  }

  /**
   * @param {Cursor} cursor
   * @returns {Start | null}
   */
  #startAt(cursor) {
    const sign = cursor.text[cursor.next];
    if (sign === "#") return headingAt(cursor);
    if (sign === "`" || sign === "~") return fenceAt(cursor);
    const rule = "-*_".includes(sign) ? ruleAt(cursor) : null;
    if (rule !== null || !">-*+0123456789".includes(sign) || this.#isDeep()) return rule;
    return sign === ">" ? quoteAt(cursor) : itemAt(cursor, this.#container.kind === "paragraph");
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
    const last = this.#line;
    const table = tableAt(paragraph, cursor);
    if (table === null) {
      const level = underlineAt(cursor);
      if (level === 0) return false;
      Object.assign(paragraph, { kind: "heading", level, last });
      this.#closeLast();
    } else if (paragraph.text === paragraph.line) {
      Object.assign(paragraph, table, { last });
    } else {
      paragraph.text = paragraph.text.slice(0, -1 - paragraph.line.length);
      this.#closeLast();
      this.#begin(table);
    }
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
      addLine(this.tip, cursor, this.#line);
      return;
    }
    this.#close();
    const isAdded = addLine(this.#container, cursor, this.#line);
    if (!isAdded && !cursor.isBlank) {
      addLine(this.#begin({ kind: "paragraph" }), cursor, this.#line);
    }
  }
}
