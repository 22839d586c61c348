// @ts-check
/** One of several answers beside each other. */

import { call, Problem } from "../../core/api.js";
import { button, element } from "../../core/dom.js";
import { endNote, factsOf, statusName } from "../history/facts.js";
import { problemBox } from "../problem.js";
import { isOver } from "./branches.js";
import { LiveAnswer } from "./live.js";

/** @typedef {import("./branches.js").Run} Run */

/** The answer of one model, and what became of it; it does not depend on the others. */
export class AnswerColumn {
  #body = element("div", { class: "column-body" });
  #note = element("div", {});
  #facts = element("p", { class: "meta" });
  #buttons = element("div", { class: "buttons" });
  /** @type {LiveAnswer | null} */
  #live = null;

  /**
   * @param {string} model
   * @param {(run: Run) => void} changed
   */
  constructor(model, changed) {
    this.model = model;
    this.changed = changed;
    this.node = element(
      "section",
      { class: "column", "aria-label": model },
      element("h2", {}, model),
      this.#body,
      this.#note,
      this.#facts,
      this.#buttons,
    );
    this.#facts.textContent = "Waiting to be asked";
  }

  /** @param {Run} run */
  show(run) {
    this.#live?.close();
    this.#live = new LiveAnswer(run, (changed) => this.#changed(changed));
    this.#body.replaceChildren(this.#live.node);
    this.#changed(run);
  }

  /** @param {Run} run */
  #changed(run) {
    const over = isOver(run);
    this.#note.replaceChildren(endNote(run));
    this.#facts.textContent = over ? factsOf(run).join(" · ") : statusName(run.status);
    const place = `c/${run.conversation_id}#${run.id}`;
    const stop = button("Stop", () => void this.#stop(run.id), { class: "edge" });
    this.#buttons.replaceChildren(
      ...(over
        ? [element("a", { class: "button edge", href: place }, "Continue with this one")]
        : [stop]),
      element("a", { class: "button", href: `r/${run.id}` }, "Read alone"),
    );
    this.changed(run);
  }

  /** @param {string} run */
  async #stop(run) {
    this.#facts.textContent = "Stopping…";
    try {
      await call("POST", `history/${run}/cancel`);
    } catch (error) {
      this.refuse(error, () => void this.#stop(run));
    }
  }

  /**
   * @param {unknown} error
   * @param {() => void} retry
   */
  refuse(error, retry) {
    if (!(error instanceof Problem)) throw error;
    this.#note.replaceChildren(problemBox(error, { retry }));
    if (!this.#live) this.#facts.textContent = "";
  }

  /** Say that it is asked again. */
  wait() {
    this.#note.replaceChildren();
    this.#facts.textContent = "Waiting to be asked";
  }

  close() {
    this.#live?.close();
  }
}
