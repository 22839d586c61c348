// @ts-check
/** A text that is being written. */

import { element } from "../core/dom.js";

/** Shows a text while it grows. */
export class GrowingText {
  node = element("div", { class: "text" });
  #line = element("p", { dir: "auto" });

  constructor() {
    this.node.append(this.#line);
  }

  /** @param {string} delta */
  append(delta) {
    this.#line.append(delta);
  }

  /** @param {string} text */
  replace(text) {
    this.#line.textContent = text;
  }

  finish() {
    this.#line.normalize();
  }
}
