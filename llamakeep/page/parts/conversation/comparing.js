// @ts-check
/**
 * One prompt for several models, as branches of one conversation.
 *
 * The first of them begins the conversation; the others follow when it is known. What is asked
 * is kept with its keys until all of it has a run, so that a reload asks nothing twice.
 */

import { keep, kept, newKey } from "../../core/local.js";
import { discard, entries, post, watchOutbox } from "../../core/outbox.js";
import { place } from "./asking.js";
import { isOver } from "./branches.js";

/** @typedef {import("./branches.js").Run} Run */
/** @typedef {import("../../core/api.js").Problem} Problem */
/**
 * @typedef {object} Column
 * @property {string} model
 * @property {string} key The `Idempotency-Key`.
 * @property {string} [run] Its id, when there is one.
 */
/** @typedef {{body: Record<string, any>, after: string, conversation: string, columns: Column[]}} Asked */

const PART = "compare";
/** Under which the outbox has these prompts. */
const PLACE = "compare";

/** Asks, and tells what became of each column. */
export class Comparing {
  #end = watchOutbox((outcome) => outcome && this.#came(outcome));
  /** Columns that wait until another answer is complete, for a limit. @type {Set<Column>} */
  #waiting = new Set();
  /** @type {Set<Column>} */
  #refused = new Set();
  /** @type {Set<string>} Ids of runs that are being answered. */
  #writing = new Set();

  /**
   * @param {Asked} asked
   * @param {object} doing
   * @param {(column: Column, run: Run) => void} doing.begun
   * @param {(column: Column, problem: Problem) => void} doing.refused
   * @param {() => void} doing.settled Called when each column has a run or a problem.
   */
  constructor(asked, doing) {
    this.asked = asked;
    this.doing = doing;
  }

  /** What a page that is gone had asked, and that has no runs yet. @returns {Asked | null} */
  static left() {
    return kept(PART);
  }

  /**
   * @param {string[]} models
   * @param {Record<string, any>} body
   * @param {string} after The id of the run that all of them follow; empty for none.
   * @returns {Asked}
   */
  static ask(models, body, after) {
    const columns = models.map((model) => ({ model, key: newKey() }));
    return { body, after, conversation: "", columns };
  }

  get #open() {
    return this.asked.columns.filter((column) => !column.run && !this.#refused.has(column));
  }

  /** Ask those that have no run yet. */
  next() {
    const open = this.#open;
    keep(PART, open.length ? this.asked : null);
    if (open.length === 0) {
      this.doing.settled();
      return;
    }
    const { body, after, conversation } = this.asked;
    const now = after || conversation ? open : open.slice(0, 1);
    const known = new Set(entries().map(({ key }) => key));
    for (const column of now) {
      if (known.has(column.key) || this.#waiting.has(column)) continue;
      const where = place(conversation, after);
      post({
        key: column.key,
        conversation: PLACE,
        body: { ...body, ...where, model: column.model },
      });
    }
  }

  /** @param {import("../../core/outbox.js").Outcome} outcome */
  #came({ entry, run, problem }) {
    const column = this.asked.columns.find(({ key }) => key === entry.key);
    if (!column) return;
    if (run) {
      column.run = run.id;
      this.asked.conversation ||= run.conversation_id;
      if (!isOver(run)) this.#writing.add(run.id);
      this.doing.begun(column, run);
    } else if (problem) this.#refuse(column, problem);
    this.next();
  }

  /**
   * @param {Column} column
   * @param {Problem} problem
   */
  #refuse(column, problem) {
    if (problem.limit?.name === "concurrent_runs" && this.#writing.size) {
      this.#waiting.add(column);
      return;
    }
    this.#refused.add(column);
    this.doing.refused(column, problem);
  }

  /** Say that a run has ended: what has waited for it is asked. @param {string} run */
  ended(run) {
    if (!this.#writing.delete(run) || this.#waiting.size === 0) return;
    this.#waiting.clear();
    this.next();
  }

  /** Ask a column that was refused once more. @param {Column} column */
  again(column) {
    column.key = newKey();
    this.#refused.delete(column);
    this.next();
  }

  /** Give up what is not asked yet. */
  leave() {
    const open = new Set(this.#open.map(({ key }) => key));
    for (const entry of entries()) if (open.has(entry.key)) discard(entry);
    keep(PART, null);
    this.close();
  }

  close() {
    this.#end();
  }
}
