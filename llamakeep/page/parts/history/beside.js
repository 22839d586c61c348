// @ts-check
/** Ways from a run to the runs before and after it, and what can be done with it. */

import { call } from "../../core/api.js";
import { element } from "../../core/dom.js";
import { bind } from "../../core/keys.js";
import { go } from "../../core/router.js";
import { copy } from "../copy.js";
import { menuButton } from "../menu.js";
import { deleteSoon } from "./deleting.js";
import { apiQuery, hrefOf } from "./filters.js";

/** @typedef {import("../conversation/branches.js").Run} Run */
/** @typedef {HTMLAnchorElement | null} Link */

/**
 * Return links to the newer and the older run among those that filters let through.
 *
 * @param {string} id
 * @param {URLSearchParams} filters
 * @returns {Promise<Link[]>}
 */
export function linksBeside(id, filters) {
  const at = async (
    /** @type {string} */ cursor,
    /** @type {string} */ label,
    /** @type {string} */ sign,
  ) => {
    const query = apiQuery(filters);
    for (const [name, value] of [["cursor", cursor], ["limit", "1"], ["text", "0"]]) {
      query.set(name, value);
    }
    const { history } = await call("GET", "history/", { query }).catch(() => ({ history: [] }));
    if (history.length === 0) return null;
    const href = hrefOf(`r/${history[0].id}`, filters);
    return element("a", { class: "button", href, "aria-label": label, title: label }, sign);
  };
  return Promise.all([at(`newer.${id}`, "The newer run", "‹"), at(id, "The older run", "›")]);
}

/**
 * Let `j` and `k` follow them; return what ends that.
 *
 * @param {Link[]} links
 */
export function besideKeys([newer, older]) {
  const group = "In a list";
  return bind(
    { keys: "j", label: "Next row, or the older run", group, run: () => older?.click() },
    { keys: "k", label: "Previous row, or the newer run", group, run: () => newer?.click() },
  );
}

/**
 * @param {{run: Run, node: HTMLElement}} about
 * @param {URLSearchParams} filters
 */
export function runMenu({ run, node }, filters) {
  const found = filters.size
    ? [{ label: "Back to what was found", href: hrefOf("find", filters) }]
    : [];
  const remove = () =>
    deleteSoon({
      what: "This run",
      path: `history/${run.id}`,
      hide: () => node.toggleAttribute("hidden", true),
      show: () => node.toggleAttribute("hidden", false),
      done: () => node.isConnected && go(hrefOf("find", filters), { replace: true }),
    });
  const link = () => void copy(location.href, "The link is copied");
  return menuButton("⋯", () => [
    { label: "In its conversation", href: `c/${run.conversation_id}#${run.id}` },
    ...found,
    { label: "Copy a link to here", run: link },
    { label: "Delete", isBad: true, run: remove },
  ], { "aria-label": "More about this run" });
}
