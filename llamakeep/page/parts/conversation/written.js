// @ts-check
/**
 * A text of an answer, as elements.
 *
 * What makes them is loaded when the page is there already, since no prompt needs it. As long as it
 * is not there, a text is shown as the model writes it.
 */

import { element } from "../../core/dom.js";

/** @type {typeof import("../../text/growing.js").GrowingText | null} */
let GrowingText = null;
/** @type {Promise<void> | null} */
let loading = null;

/** Load what makes elements of texts. Without a network, it is tried again with the next text. */
export function loadText() {
  loading ??= import("../../text/growing.js").then((text) => {
    GrowingText = text.GrowingText;
  }, () => {
    loading = null;
  });
  return loading;
}

/** One text. */
export class Written {
  node = element("div", { class: "text plain" });
  #text = "";
  #isOver = false;
  /** @type {import("../../text/growing.js").GrowingText | null} */
  #growing = null;

  constructor() {
    if (GrowingText) this.#format();
    else loadText().then(() => this.#format());
  }

  #format() {
    if (!GrowingText) return;
    this.node.replaceChildren();
    this.node.classList.remove("plain");
    this.#growing = new GrowingText(this.node);
    this.#growing.append(this.#text);
    if (this.#isOver) this.#growing.finish();
  }

  /** @param {string} text */
  append(text) {
    this.#text += text;
    if (this.#growing) this.#growing.append(text);
    else this.node.append(text);
  }

  /** Nothing is appended after this. */
  finish() {
    this.#isOver = true;
    this.#growing?.finish();
  }
}
