// @ts-check
/** A place in a line; tabs reach to the next multiple of four columns. */

import { isSpaceOrTab, TAB } from "../characters.js";

export class Cursor {
  offset = 0;
  column = 0;
  /** Where the next character is that is neither a space nor a tab. */
  next = 0;
  /** Columns from here to there. */
  indent = 0;
  #nextColumn = 0;
  #isInTab = false;

  /** @param {string} text a line, without its end */
  constructor(text) {
    this.text = text;
    this.#look();
  }

  get isBlank() {
    return this.next >= this.text.length;
  }

  /** The next character that is neither a space nor a tab; NaN at the end. */
  get code() {
    return this.text.charCodeAt(this.next);
  }

  get isAtSpace() {
    return isSpaceOrTab(this.text.charCodeAt(this.offset));
  }

  /** @param {number} count characters, none of which is a tab */
  skip(count) {
    this.offset += count;
    this.column += count;
    this.#look();
  }

  skipSpace() {
    this.offset = this.next;
    this.column = this.#nextColumn;
    this.#isInTab = false;
    this.#look();
  }

  /** @param {number} count columns at most, as far as there are spaces and tabs */
  skipColumns(count) {
    for (let left = count; left > 0 && this.isAtSpace;) {
      const isTab = this.text.charCodeAt(this.offset) === TAB;
      const width = isTab ? 4 - this.column % 4 : 1;
      const taken = Math.min(width, left);
      this.#isInTab = taken < width;
      if (!this.#isInTab) this.offset++;
      this.column += taken;
      left -= taken;
    }
    this.#look();
  }

  /** What is left; of a tab that was taken in part, spaces. */
  rest() {
    if (!this.#isInTab) return this.text.slice(this.offset);
    return " ".repeat(4 - this.column % 4) + this.text.slice(this.offset + 1);
  }

  /** Remember this place, and return what leads back to it. */
  mark() {
    const { offset, column } = this;
    const isInTab = this.#isInTab;
    return () => {
      Object.assign(this, { offset, column });
      this.#isInTab = isInTab;
      this.#look();
    };
  }

  #look() {
    let { offset, column } = this;
    for (let code; isSpaceOrTab(code = this.text.charCodeAt(offset)); offset++) {
      column += code === TAB ? 4 - column % 4 : 1;
    }
    this.next = offset;
    this.#nextColumn = column;
    this.indent = column - this.column;
  }
}
