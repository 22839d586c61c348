// @ts-check
/** Lists that the server has in pages. */

import { call } from "../core/api.js";
import { button } from "../core/dom.js";

export const PAGE = 50;
const MOST = 200;

/**
 * Return so many of a list, a page after the other.
 *
 * @param {string} path
 * @param {string} name What the list is called in responses.
 * @param {Record<string, unknown>} query
 * @param {number} count
 * @returns {Promise<{found: any[], hasMore: boolean}>}
 */
export async function firstOf(path, name, query, count) {
  /** @type {any[]} */
  const found = [];
  /** @type {string | null} */
  let cursor = null;
  do {
    const limit = Math.min(MOST, count - found.length);
    const page = await call("GET", path, { query: { ...query, limit, cursor } });
    found.push(...page[name]);
    cursor = page.next_cursor;
  } while (cursor !== null && found.length < count);
  return { found, hasMore: cursor !== null };
}

/** @param {() => void} click */
export const moreButton = (click) => button("Show more", click, { class: "edge" });
