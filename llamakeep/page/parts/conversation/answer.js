// @ts-check
/** The answer of a run: its texts, and what else the model said. */

import { element, fold, textNode } from "../../core/dom.js";
import { copy } from "../copy.js";
import { isOver } from "./branches.js";
import { Written } from "./written.js";

/** @typedef {import("./branches.js").Run} Run */
/** @typedef {{type: string, text: string, name?: string | null}} Item */

/** One item of an answer. */
class Piece {
  #text = "";
  /** @type {Written | null} */
  #written = null;
  /** @type {Text | null} */
  #plain = null;

  /** @param {Item} item */
  constructor(item) {
    this.type = item.type;
    this.node = this.#make(item);
    if (item.text) this.append(item.text);
  }

  get text() {
    return this.#text;
  }

  /** @param {Item} item */
  #make({ type, name }) {
    if (type === "tool_call" || type === "tool_result") {
      this.#plain = textNode("");
      const label = type === "tool_call" ? `Calls ${name ?? "a tool"}` : "Result of a tool";
      const code = element("code", {}, this.#plain);
      return fold(label, element("pre", { tabindex: "0", dir: "ltr" }, code));
    }
    this.#written = new Written();
    if (type === "reasoning") return fold("Reasoning", this.#written.node);
    if (type !== "refusal") return this.#written.node;
    return element(
      "div",
      { class: "note" },
      element("b", {}, "The model refused."),
      this.#written.node,
    );
  }

  /** @param {string} text */
  append(text) {
    this.#text += text;
    this.#written?.append(text);
    this.#plain?.appendData(text);
  }

  finish() {
    this.#written?.finish();
  }
}

/** @param {Event} event */
function copyCode({ target }) {
  const button = target instanceof Element ? target.closest(".copy-code") : null;
  const code = button?.closest(".code")?.querySelector("code");
  if (code) copy(code.textContent ?? "", "Code copied");
}

/** @param {Run} run @returns {Item[]} */
function itemsOf(run) {
  if (run.output?.length) return run.output;
  return run.response ? [{ type: "text", text: run.response }] : [];
}

/** An answer that may still be written. */
export class Answer {
  node = element("div", { class: "answer", on: { click: copyCode } });
  /** @type {Piece[]} */
  #pieces = [];

  /** @param {Run} run */
  constructor(run) {
    this.#fill(itemsOf(run));
    this.#settle(run);
  }

  /** The Markdown that the model wrote, without reasoning and calls. */
  get text() {
    const said = this.#pieces.filter(({ type }) => type === "text" || type === "refusal");
    return said.map(({ text }) => text).join("\n\n");
  }

  get isEmpty() {
    return this.#pieces.every(({ text }) => text === "");
  }

  /** @param {Item[]} items */
  #fill(items) {
    this.#pieces = items.map((item) => new Piece(item));
    this.node.replaceChildren(...this.#pieces.map(({ node }) => node));
  }

  /** @param {Run} run */
  #settle(run) {
    const over = isOver(run);
    this.node.classList.toggle("writing", !over);
    if (over) this.#pieces.forEach((piece) => piece.finish());
  }

  /** @param {Item} item */
  begin(item) {
    const last = this.#pieces.at(-1);
    if (last?.text === "" && last.type === "text") this.#pieces.pop()?.node.remove();
    else last?.finish();
    const piece = new Piece({ ...item, text: item.text ?? "" });
    this.#pieces.push(piece);
    this.node.append(piece.node);
  }

  /** @param {string} text */
  append(text) {
    if (this.#pieces.length === 0) this.begin({ type: "text", text: "" });
    this.#pieces.at(-1)?.append(text);
  }

  /**
   * Take an event about the text of its run.
   *
   * @param {import("../../core/events.js").RunEvent} event
   */
  take({ event, data }) {
    if (event === "delta" || event === "item_delta") this.append(data.text);
    else if (event === "item") this.begin(data);
    else if (event === "reset") this.replace(data.text);
  }

  /**
   * Put another text in the place of all; return what was read before.
   *
   * @param {string} text
   */
  replace(text) {
    const before = this.text;
    this.#fill(text ? [{ type: "text", text }] : []);
    return before;
  }

  /**
   * Take a run as it is stored; its text replaces what is shown only if it differs.
   *
   * @param {Run} run
   */
  show(run) {
    const items = itemsOf(run);
    const same = items.length === this.#pieces.length &&
      items.every(({ type, text }, index) =>
        type === this.#pieces[index].type && text === this.#pieces[index].text
      );
    if (!same) this.#fill(items);
    this.#settle(run);
  }
}
