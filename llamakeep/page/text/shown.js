// @ts-check
/** Keeps the elements of blocks as the blocks are, and what is final of them as it is. */

import { setAttributes } from "../core/dom.js";
import { isCode } from "./blocks/block.js";
import { colourWhenNear } from "./code/code.js";
import { contentOf, emptyNodeOf, isContainer, listAttributes, placeOf } from "./nodes.js";
import { isElement, patchChildren, patchText } from "./patch.js";
import { completed } from "./unfinished.js";

/** @typedef {import("./blocks/block.js").Block} Block */

export class ShownBlocks {
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
  /** @type {Block | null} */
  #unfinished = null;

  /**
   * Show a document.
   *
   * @param {Block} document
   * @param {Element} node
   * @param {Block | null} unfinished the block that is being written
   */
  update(document, node, unfinished) {
    this.#unfinished = unfinished;
    this.#updateChildren(document, node);
  }

  /**
   * Note what no later line can change: all blocks but those that are open.
   *
   * @param {Block[]} open each in the one before it
   */
  settle(open) {
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
    else patchChildren(place, contentOf(this.#completed(block)));
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

  /**
   * Return a block as it is shown: what is open at its end is closed while it is written.
   *
   * @param {Block} block
   * @returns {Block}
   */
  #completed(block) {
    return block === this.#unfinished ? completedBlock(block) : block;
  }
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
