// @ts-check
/** What views watch: values whose changes call their watchers. */

/** @typedef {{id: string, username: string, role: "user" | "admin", keeps: boolean}} Me */
/**
 * @typedef {{version: string, demo: boolean, setup: boolean, max_body_size: number,
 * sign_in: {name: string, path: string} | null}} About
 */
/** @typedef {"connected" | "connecting" | "reconnecting" | "offline" | "stopping"} Connection */

/**
 * A value and what watches it.
 *
 * @template T
 */
export class Watched {
  #value;
  /** @type {Set<(value: T) => void>} */
  #watchers = new Set();

  /** @param {T} value */
  constructor(value) {
    this.#value = value;
  }

  get value() {
    return this.#value;
  }

  /** @param {T} value */
  set(value) {
    if (Object.is(value, this.#value)) return;
    this.#value = value;
    for (const watcher of [...this.#watchers]) watcher(value);
  }

  /**
   * Call `watcher` with the value, and again whenever it changes; return what ends that.
   *
   * @param {(value: T) => void} watcher
   * @returns {() => void}
   */
  watch(watcher) {
    this.#watchers.add(watcher);
    watcher(this.#value);
    return () => this.#watchers.delete(watcher);
  }
}

/** What all views share. */
export const state = {
  /** Who is logged in. */
  me: new Watched(/** @type {Me | null} */ (null)),
  about: new Watched(/** @type {About | null} */ (null)),
  /** As `GET /models/` has them, the default first; `null` until they are asked for. */
  models: new Watched(/** @type {any[] | null} */ (null)),
  connection: new Watched(/** @type {Connection} */ ("connecting")),
  /** Ids of the user's runs that are being answered, with their conversations. */
  underWay: new Watched(/** @type {ReadonlyMap<string, string>} */ (new Map())),
};
