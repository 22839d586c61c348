// @ts-check
/** An answer that follows its run, outside of a conversation. */

import { call, Problem } from "../../core/api.js";
import { follow, onRun } from "../../core/events.js";
import { Answer } from "./answer.js";
import { isOver } from "./branches.js";

/** @typedef {import("./branches.js").Run} Run */

/** Shows what a run says, while it does; what it watches ends with `close`. */
export class LiveAnswer {
  /** @type {(() => void)[]} */
  #ends = [];

  /**
   * @param {Run} run
   * @param {(run: Run) => void} changed Called with the run whenever more is known of it.
   */
  constructor(run, changed) {
    this.run = run;
    this.changed = changed;
    this.answer = new Answer(run);
    if (isOver(run)) return;
    this.#ends.push(
      follow(run.id, run.position ?? "0", (event) => this.#take(event)),
      onRun((other) => other.id === run.id && this.#heard(other)),
    );
  }

  get node() {
    return this.answer.node;
  }

  /** @param {import("../../core/events.js").RunEvent} event */
  #take(event) {
    this.answer.take(event);
    if (event.event === "done" || event.event === "error") this.#read();
  }

  /** @param {Run} run With the beginnings of its texts. */
  #heard(run) {
    if (isOver(run)) this.#read();
    else if (run.status !== this.run.status) {
      this.run = { ...this.run, status: run.status };
      this.changed(this.run);
    }
  }

  async #read() {
    if (isOver(this.run)) return;
    try {
      const run = await call("GET", `history/${this.run.id}`);
      if (isOver(this.run)) return;
      this.run = run;
      this.answer.show(run);
      this.changed(run);
      if (isOver(run)) this.close();
    } catch (error) {
      // It is asked for again when the connection is back.
      if (!(error instanceof Problem)) throw error;
    }
  }

  close() {
    for (const end of this.#ends) end();
    this.#ends = [];
  }
}
