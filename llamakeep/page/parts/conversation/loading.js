// @ts-check
/** Reading the runs of a conversation, in both directions from its end or from a run. */

import { call } from "../../core/api.js";

/** @typedef {import("./branches.js").Run} Run */

const PAGE = 20;

/** Which runs of a conversation are loaded, and how to get more. */
export class Loading {
  /** @type {string | null} Where older runs begin; `null` if there are none. */
  #older = null;
  /** @type {string | null} */
  #newer = null;
  #isBusy = false;

  /**
   * @param {string} conversation
   * @param {(runs: Run[]) => Promise<void>} loaded
   */
  constructor(conversation, loaded) {
    this.conversation = conversation;
    this.loaded = loaded;
  }

  get hasOlder() {
    return this.#older !== null;
  }

  get hasNewer() {
    return this.#newer !== null;
  }

  /** @param {string | null} cursor */
  #page(cursor) {
    return call("GET", "history/", {
      query: { conversation_id: this.conversation, limit: PAGE, cursor },
    });
  }

  /** Load the newest runs. */
  async end() {
    const page = await this.#page(null);
    this.#older = page.next_cursor;
    this.#newer = null;
    await this.loaded(page.history);
  }

  /**
   * Load a run and what is around it.
   *
   * @param {string} id
   */
  async around(id) {
    const [run, before, after] = await Promise.all([
      call("GET", `history/${id}`),
      this.#page(id),
      this.#page(`newer.${id}`),
    ]);
    this.#older = before.next_cursor;
    this.#newer = after.history.length ? after.previous_cursor : null;
    await this.loaded([...after.history, run, ...before.history]);
  }

  async older() {
    await this.#more(this.#older, (page) => {
      this.#older = page.next_cursor;
    });
  }

  async newer() {
    await this.#more(this.#newer, (page) => {
      this.#newer = page.history.length ? page.previous_cursor : null;
    });
  }

  /**
   * @param {string | null} cursor
   * @param {(page: any) => void} then
   */
  async #more(cursor, then) {
    if (cursor === null || this.#isBusy) return;
    this.#isBusy = true;
    try {
      const page = await this.#page(cursor);
      then(page);
      await this.loaded(page.history);
    } finally {
      this.#isBusy = false;
    }
  }
}
