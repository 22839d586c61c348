// @ts-check
/** What can be done with all that was found. */

import { address, call, Problem } from "../../core/api.js";
import { button, element } from "../../core/dom.js";
import * as format from "../../core/format.js";
import { menuButton } from "../menu.js";
import { problemBox } from "../problem.js";
import { confirmedNumber, deleteSoon } from "./deleting.js";
import { apiQuery } from "./filters.js";

/** @typedef {import("./search.js").Search} Search */

/** @type {[string, string][]} */
const KINDS = [["NDJSON", "ndjson"], ["CSV", "csv"], ["Markdown", "markdown"]];

/** @param {Search} search */
export function searchActions(search) {
  const click = () => void deleteFound(search);
  return [
    menuButton("Export these", () => exportsOf(search), { class: "edge" }),
    button("Delete these…", click),
  ];
}

/** @param {Search} search */
function exportsOf({ filters }) {
  return KINDS.map(([label, kind]) => {
    const query = apiQuery(filters);
    query.set("format", kind);
    return { label, href: address("history/export", query) };
  });
}

/** @param {Search} search */
async function deleteFound(search) {
  const query = apiQuery(search.filters);
  try {
    const count = await countOf(query);
    if (count === 0) {
      search.say(element("p", { class: "note" }, "There is nothing to delete."));
      return;
    }
    const which = query.size ? `${search.words}.` : "This is your whole history.";
    if (!await confirmedNumber(count, which)) return;
    if (query.size === 0) query.set("all", "true");
    deleteSoon({
      what: format.counted(count, "run"),
      path: "history/",
      query,
      hide: () => search.hide(true),
      show: () => search.hide(false),
      done: () => void search.load(),
    });
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    search.say(problemBox(error, { retry: () => void deleteFound(search) }));
  }
}

/**
 * Return how many runs a query finds.
 *
 * @param {URLSearchParams} query
 */
async function countOf(query) {
  const asked = new URLSearchParams(query);
  asked.set("by", "status");
  const { stats } = await call("GET", "history/stats", { query: asked });
  return stats.reduce((/** @type {number} */ sum, /** @type {any} */ { runs }) => sum + runs, 0);
}
