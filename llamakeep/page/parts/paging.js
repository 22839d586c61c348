// @ts-check
/** Lists that the server has in pages. */

import { call } from "../core/api.js";
import { button } from "../core/dom.js";
import { reloading } from "./reloading.js";

const PAGE = 50;
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
async function firstOf(path, name, query, count) {
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

/**
 * Return a list that shows more of it when it is asked to; `restart` shows its beginning again.
 *
 * @param {string} path
 * @param {string} name What the list is called in responses.
 * @param {() => Record<string, unknown>} query
 * @param {(found: any[]) => (Node | null)[]} show
 */
export async function pagedList(path, name, query, show) {
  let count = PAGE;
  const { node, reload } = await reloading(async () => {
    const { found, hasMore } = await firstOf(path, name, query(), count);
    return [...show(found), hasMore ? button("Show more", more, { class: "edge" }) : null];
  });
  function more() {
    count += PAGE;
    reload();
  }
  function restart() {
    count = PAGE;
    reload();
  }
  return { node, reload, restart };
}
