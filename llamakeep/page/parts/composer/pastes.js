// @ts-check
/** Long texts that were pasted: shown by their beginnings, since fields of text are slow. */

import { button, element } from "../../core/dom.js";
import * as format from "../../core/format.js";
import { openDialog } from "../dialog.js";
import { inPieces } from "./prompt.js";

/** Characters from which on a text is not put into the field. */
export const LONG = 20_000;
const BEGINNING = 60;

/** The long texts of a prompt that is being typed; they come after what is in the field. */
export class Pastes {
  node = element("div", { class: "pastes", hidden: true });
  /** @type {string[]} */
  #all = [];

  /**
   * @param {HTMLTextAreaElement} field
   * @param {() => void} changed
   */
  constructor(field, changed) {
    this.changed = changed;
    field.addEventListener("paste", (event) => {
      const text = event.clipboardData?.getData("text/plain") ?? "";
      if (text.length < LONG) return;
      event.preventDefault();
      this.set([...this.#all, text]);
    });
  }

  get texts() {
    return this.#all;
  }

  /** @param {string[]} texts */
  set(texts) {
    this.#all = texts;
    this.node.hidden = texts.length === 0;
    this.node.replaceChildren(...texts.map((text, index) => this.#chip(text, index)));
    this.changed();
  }

  /**
   * @param {string} text
   * @param {number} index
   */
  #chip(text, index) {
    const beginning = text.trim().slice(0, BEGINNING).replace(/\s+/g, " ");
    const remove = () => this.set(this.#all.filter((_, other) => other !== index));
    return element(
      "span",
      { class: "paste" },
      element("span", { dir: "auto" }, `${beginning}…`),
      element("small", {}, format.counted(text.length, "character")),
      button("Show", () => show(text)),
      button("×", remove, { "aria-label": "Remove the pasted text" }),
    );
  }
}

/** @param {string} text */
function show(text) {
  const pieces = inPieces(text).map((piece) => element("div", { class: "piece" }, piece));
  openDialog("Pasted text", [element("div", { class: "said", tabindex: "0" }, ...pieces)]);
}
