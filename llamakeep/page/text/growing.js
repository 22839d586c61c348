// @ts-check
/** Shows a text that is being written. What is finished of it is never touched again. */

import { element } from "../core/dom.js";
import { isCode } from "./blocks/block.js";
import { Blocks } from "./blocks/blocks.js";
import { colourWhenNear } from "./code/code.js";
import { Lines } from "./lines.js";
import { ShownBlocks } from "./shown.js";
import { isUndecided, mayBeHeader } from "./unfinished.js";

/** @typedef {import("./blocks/block.js").Block} Block */

/** Characters of a paragraph for which there is a frame; longer ones are made again less often. */
const FRAME = 4096;
/** Characters that are shown in a frame at most, when very many come at once. */
const MOST = 65_536;

export class GrowingText {
  #text = "";
  #added = "";
  #lines = new Lines();
  /** @type {string[]} */
  #header = [];
  #blocks = new Blocks();
  #shown = new ShownBlocks();
  #frame = 0;
  #framesToWait = 0;
  #isFinished = false;

  /** @param {HTMLElement} [node] Where it is shown. */
  constructor(node = element("div", { class: "text" })) {
    this.node = node;
  }

  /** What was written so far. */
  get text() {
    return this.#text;
  }

  /** @param {string} delta */
  append(delta) {
    this.#text += delta;
    this.#added += delta;
    if (this.#frame === 0) this.#frame = requestAnimationFrame(() => this.#onFrame());
  }

  /**
   * Show another text. What it has in common with this one stays, if it only adds to it.
   *
   * @param {string} text
   */
  replace(text) {
    if (this.#isFinished || !text.startsWith(this.#text)) this.#reset();
    this.append(text.slice(this.#text.length));
    this.flush();
  }

  /** Show all that came: it is the whole text. A very long one is shown over some frames. */
  finish() {
    this.#isFinished = true;
    if (this.#added.length <= MOST) this.flush();
    else this.append("");
  }

  /** Show all that came, without waiting for a frame. */
  flush() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    do this.#draw(); while (this.#added !== "");
  }

  #draw() {
    const part = this.#added.slice(0, MOST);
    this.#added = this.#added.slice(MOST);
    const isWhole = this.#isFinished && this.#added === "";
    this.#addLines(this.#lines.add(part), isWhole);
    const back = this.#blocks.mark();
    const unfinished = this.#addRest(isWhole);
    this.#shown.update(this.#blocks.document, this.node, unfinished);
    back();
    this.#shown.settle(this.#blocks.open);
    if (isWhole) colourWhenNear(this.node);
  }

  /**
   * Add lines; the first one of what may be a table waits for the second.
   *
   * @param {string[]} lines
   * @param {boolean} isWhole whether nothing follows
   */
  #addLines(lines, isWhole) {
    const all = [...this.#header, ...lines];
    const last = all[all.length - 1] ?? "";
    const mayWait = !isWhole && mayBeHeader(last) && isUndecided(this.#lines.rest);
    for (const line of mayWait ? all.slice(0, -1) : all) this.#blocks.add(line);
    const { tip } = this.#blocks;
    const isText = isCode(tip) || tip.kind === "table";
    if (mayWait && isText) this.#blocks.add(last);
    this.#header = mayWait && !isText ? [last] : [];
  }

  /**
   * Add the line that has not ended, as far as it can be shown.
   *
   * @param {boolean} isWhole whether nothing follows
   * @returns {Block | null} the block that is being written
   */
  #addRest(isWhole) {
    const { rest } = this.#lines;
    const isShown = rest !== "" && (isWhole || !isUndecided(rest));
    if (isShown) this.#blocks.add(rest.replace(/\r$/, ""));
    if (isWhole) return null;
    return isShown ? lastOf(this.#blocks.document) : this.#blocks.tip;
  }

  #onFrame() {
    this.#frame = 0;
    if (this.#framesToWait-- > 0) {
      this.#frame = requestAnimationFrame(() => this.#onFrame());
      return;
    }
    this.#draw();
    if (this.#added !== "") {
      this.append("");
      return;
    }
    const last = this.#blocks.tip;
    const length = this.#lines.rest.length + (isCode(last) ? 0 : last.text.length);
    this.#framesToWait = Math.floor(length / FRAME);
  }

  #reset() {
    this.#text = this.#added = "";
    this.#header = [];
    this.#isFinished = false;
    this.#lines = new Lines();
    this.#blocks = new Blocks();
    this.node.replaceChildren();
  }
}

/**
 * @param {Block} block
 * @returns {Block}
 */
function lastOf(block) {
  const last = block.children[block.children.length - 1];
  return last === undefined ? block : lastOf(last);
}
