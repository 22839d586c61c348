// @ts-check
/** Shows a text that is being written. What is finished of it is never touched again. */

import { element, setAttributes } from "../core/dom.js";
import { Blocks } from "./blocks.js";
import { colourWhenNear } from "./code.js";
import { Lines } from "./lines.js";
import { contentOf, emptyNodeOf, isCode, isContainer, listAttributes, placeOf } from "./nodes.js";
import { patchChildren, patchText } from "./patch.js";
import { completed, isUndecided, mayBeHeader } from "./unfinished.js";

/** @typedef {import("./blocks.js").Block} Block */

/** Characters of a paragraph for which there is a frame; longer ones are made again less often. */
const FRAME = 16_384;

export class GrowingText {
  node = element("div", { class: "text" });
  #text = "";
  #added = "";
  #lines = new Lines();
  /** @type {string[]} */
  #header = [];
  #blocks = new Blocks();
  /** @type {WeakMap<Block, Element>} */
  #nodes = new WeakMap();
  /** @type {WeakMap<Element, string>} */
  #shapes = new WeakMap();
  /**
   * How many children of a block, or characters of code, are final.
   *
   * @type {WeakMap<Block, number>}
   */
  #final = new WeakMap();
  /**
   * The block that is being written.
   *
   * @type {Block | null}
   */
  #unfinished = null;
  #frame = 0;
  #framesToWait = 0;
  #isFinished = false;

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
   * Show another text. What it has in common with this one stays, if it only goes on.
   *
   * @param {string} text
   */
  replace(text) {
    if (this.#isFinished || !text.startsWith(this.#text)) this.#reset();
    this.append(text.slice(this.#text.length));
    this.flush();
  }

  /** Show all that came: it is the whole text. */
  finish() {
    this.#isFinished = true;
    this.flush();
    colourWhenNear(this.node);
  }

  /** Show all that came, without waiting for a frame. */
  flush() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#addLines(this.#lines.add(this.#added));
    this.#added = "";
    const back = this.#blocks.mark();
    this.#addRest();
    this.#updateChildren(this.#blocks.document, this.node);
    back();
    this.#settle();
  }

  /**
   * Add lines; the first one of what may be a table waits for the second.
   *
   * @param {string[]} lines
   */
  #addLines(lines) {
    const all = [...this.#header, ...lines];
    const last = all[all.length - 1] ?? "";
    const mayWait = !this.#isFinished && mayBeHeader(last) && isUndecided(this.#lines.rest);
    for (const line of mayWait ? all.slice(0, -1) : all) this.#blocks.add(line);
    const { kind } = this.#blocks.tip;
    const isText = kind === "fence" || kind === "indented" || kind === "table";
    if (mayWait && isText) this.#blocks.add(last);
    this.#header = mayWait && !isText ? [last] : [];
  }

  /** Add the line that has not ended, as far as it can be shown. */
  #addRest() {
    const { rest } = this.#lines;
    const isShown = rest !== "" && (this.#isFinished || !isUndecided(rest));
    if (isShown) this.#blocks.add(rest.replace(/\r$/, ""));
    const last = isShown ? lastOf(this.#blocks.document) : this.#blocks.tip;
    this.#unfinished = this.#isFinished ? null : last;
  }

  #onFrame() {
    this.#frame = 0;
    if (this.#framesToWait-- > 0) {
      this.#frame = requestAnimationFrame(() => this.#onFrame());
      return;
    }
    this.flush();
    const last = this.#blocks.tip;
    const length = isCode(last) ? 0 : last.text.length + this.#lines.rest.length;
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

  /** Note what no later line can change: all blocks but those that are open. */
  #settle() {
    const { open } = this.#blocks;
    open.forEach((block, depth) => {
      if (isCode(block)) {
        this.#final.set(block, block.text.length);
        return;
      }
      const before = this.#final.get(block) ?? 0;
      const final = block.children.length - (depth === open.length - 1 ? 0 : 1);
      this.#final.set(block, final);
      for (const child of block.children.slice(before, final)) {
        const node = this.#nodes.get(child);
        if (node !== undefined) colourWhenNear(node);
      }
    });
  }

  /**
   * @param {Block} block
   * @param {Element} node
   */
  #update(block, node) {
    if (block.kind === "list") setAttributes(node, listAttributes(block));
    const place = placeOf(node);
    if (isContainer(block)) this.#updateChildren(block, place);
    else if (isCode(block)) patchText(place, block.text, this.#final.get(block) ?? 0);
    else {patchChildren(
        place,
        contentOf(block === this.#unfinished ? completedBlock(block) : block),
      );}
  }

  /**
   * Make the elements of a block's children, but for those that are final.
   *
   * @param {Block} block
   * @param {Element} place
   */
  #updateChildren(block, place) {
    const { children } = block;
    const first = this.#final.get(block) ?? 0;
    let node = first > 0 ? nodeAfter(this.#nodes.get(children[first - 1])) : place.firstChild;
    for (const child of children.slice(first)) {
      const following = nodeAfter(node);
      const shown = this.#showAt(child, place, node);
      this.#nodes.set(child, shown);
      node = following;
    }
    while (node !== null) {
      const following = nodeAfter(node);
      node.remove();
      node = following;
    }
  }

  /**
   * Show a block where another may be shown; its element is kept if it is of the same shape.
   *
   * @param {Block} block
   * @param {Element} place
   * @param {ChildNode | null} node
   * @returns {Element}
   */
  #showAt(block, place, node) {
    const shape = shapeOf(block);
    if (isElement(node) && this.#shapes.get(node) === shape) {
      this.#update(block, node);
      return node;
    }
    const made = emptyNodeOf(block);
    this.#shapes.set(made, shape);
    this.#update(block, made);
    if (node === null) place.append(made);
    else node.replaceWith(made);
    return made;
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

/**
 * @param {Block} block
 * @returns {Block}
 */
function completedBlock(block) {
  const last = block.cells.length - 1;
  const cells = block.cells.map((cell, index) => index === last ? completed(cell) : cell);
  return { ...block, text: completed(block.text), cells };
}

/**
 * What cannot be changed about the element of a block.
 *
 * @param {Block} block
 */
function shapeOf({ kind, level, isOrdered, info, cells, alignments }) {
  switch (kind) {
    case "list":
      return `${kind} ${isOrdered}`;
    case "heading":
      return `${kind} ${level}`;
    case "fence":
    case "indented":
      return `code ${info}`;
    case "table":
      return JSON.stringify([cells, alignments]);
    default:
      return kind;
  }
}

/** @param {ChildNode | null | undefined} node */
function nodeAfter(node) {
  return node?.nextSibling ?? null;
}

/**
 * @param {ChildNode | null} node
 * @returns {node is Element & ChildNode}
 */
function isElement(node) {
  return node?.nodeType === 1;
}
