// @ts-check
/** Prompts that the server does not have yet, in sight. */

import { button, element } from "../../core/dom.js";
import { discard, entries, hold, release } from "../../core/outbox.js";
import { state } from "../../core/state.js";
import { promptText } from "../composer/prompt.js";

/** @typedef {import("../../core/outbox.js").Entry} Entry */

/** The prompts of a conversation that are on their way, or wait. */
export class Pending {
  node = element("div", { class: "pending" });
  #conversation = "";
  #end = state.connection.watch(() => this.show(this.#conversation));

  /** @param {(entry: Entry) => void} edit Puts one back into the field. */
  constructor(edit) {
    this.edit = edit;
  }

  /** @param {string} conversation */
  show(conversation) {
    this.#conversation = conversation;
    const mine = entries().filter((entry) => entry.conversation === conversation);
    this.node.replaceChildren(...mine.map((entry) => this.#turn(entry)));
    this.node.hidden = mine.length === 0;
  }

  /** @param {Entry} entry */
  #turn(entry) {
    const edit = button("Edit", () => {
      discard(entry);
      this.edit(entry);
    });
    const buttons = [
      entry.state === "unsent" ? button("Send", () => release(entry)) : null,
      entry.state === "waiting" ? button("Do not wait: keep it here", () => hold(entry)) : null,
      entry.state === "sending" ? null : edit,
      button("Discard", () => discard(entry)),
    ];
    return element(
      "article",
      { class: "turn unsent" },
      element("h2", { class: "hidden" }, "A prompt that was not sent yet"),
      element(
        "div",
        { class: "prompt" },
        promptText(entry.body.prompt ?? ""),
        element("p", { class: "meta" }, wordsOf(entry)),
      ),
      element("div", { class: "foot" }, ...buttons),
    );
  }

  close() {
    this.#end();
  }
}

/** @param {Entry} entry */
function wordsOf({ state: how }) {
  if (how === "waiting") return "Waits until the answer before it is complete";
  if (how === "unsent") return "Not sent yet";
  const { value } = state.connection;
  return value === "connected" || value === "connecting"
    ? "Sending…"
    : "Not sent yet: it goes out when the server can be reached";
}
