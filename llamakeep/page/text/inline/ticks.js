// @ts-check
/** Where runs of backticks are in a text, so that each is looked for once. */

import { endOfRun } from "../characters.js";

export class Ticks {
  /**
   * Places by the lengths of runs; the last ones first, so that passed ones can be dropped.
   *
   * @type {Map<number, number[]>}
   */
  #places = new Map();

  /** @param {string} text */
  constructor(text) {
    for (let at = text.indexOf("`"); at >= 0;) {
      const end = endOfRun(text, at);
      const same = this.#places.get(end - at);
      if (same === undefined) this.#places.set(end - at, [at]);
      else same.push(at);
      at = text.indexOf("`", end);
    }
    for (const same of this.#places.values()) same.reverse();
  }

  /**
   * Return where the next run of some length is, or -1. Places must be asked for in their order.
   *
   * @param {number} length
   * @param {number} from
   */
  next(length, from) {
    const places = this.#places.get(length) ?? [];
    while (places.length > 0 && places[places.length - 1] < from) places.pop();
    return places.pop() ?? -1;
  }
}
