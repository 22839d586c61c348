// @ts-check
/** What went wrong, in the words of the server's problems, and what can be done. */

import { Problem } from "../core/api.js";
import { button, element } from "../core/dom.js";
import * as format from "../core/format.js";
import { notice } from "./announce.js";

/**
 * Return a box about a problem.
 *
 * @param {unknown} error
 * @param {{retry?: () => void, more?: (Node | null)[]}} [actions] `retry` gets a button, which
 *   counts down where the server says when.
 */
export function problemBox(error, { retry, more = [] } = {}) {
  if (!(error instanceof Problem)) throw error;
  const link = error.runId
    ? element("a", { href: `r/${error.runId}` }, "What was kept of it")
    : null;
  const buttons = [retry ? retryButton(retry, error.retryAfter) : null, link, ...more];
  return element(
    "div",
    { class: "note bad", role: "alert" },
    element("b", {}, error.title),
    " ",
    error.detail === error.title ? null : element("span", {}, error.detail),
    error.limit ? limitLine(error.limit) : null,
    ...error.errors.map(({ field, message }) =>
      element("p", {}, element("code", {}, field), " ", message)
    ),
    buttons.some(Boolean) ? element("div", { class: "buttons" }, ...buttons) : null,
  );
}

/**
 * Show a problem in a notice, where there is no place for a box.
 *
 * @param {unknown} error
 * @param {{seconds?: number}} [how]
 */
export function problemNotice(error, how = {}) {
  if (!(error instanceof Problem)) throw error;
  notice(`${error.title} ${error.detail}`, { ...how, isBad: true });
}

/** @param {import("../core/api.js").ReachedLimit} limit */
function limitLine({ name, whose, left, resets_at }) {
  const owner = { user: "Your", api_key: "This API key's", server: "The server's" }[whose] ?? "The";
  const words = name.replaceAll("_", " ");
  const again = resets_at ? [" It resets ", timeOf(resets_at), "."] : [];
  return element("p", {}, `${owner} limit “${words}” has ${format.number(left)} left.`, ...again);
}

/**
 * Return a `<time>`: here in local time, with UTC in its title.
 *
 * @param {string} when
 * @param {string} [text]
 */
export function timeOf(when, text = format.time(when)) {
  return element("time", { datetime: when, title: format.utc(when) }, text);
}

/**
 * @param {() => void} retry
 * @param {number | null} seconds
 */
function retryButton(retry, seconds) {
  const node = button("Try again", again, { class: "edge" });
  let left = Math.ceil(seconds ?? 0);
  const timer = left > 0 && left <= 600 ? setInterval(count, 1000) : undefined;
  function count() {
    if (!node.isConnected) clearInterval(timer);
    else if (--left > 0) node.textContent = `Try again in ${left} s`;
    else again();
  }
  function again() {
    clearInterval(timer);
    retry();
  }
  if (timer !== undefined) node.textContent = `Try again in ${left} s`;
  return node;
}

/**
 * Show the outline of what comes, but not at once: most of it comes sooner.
 *
 * @param {number} [lines]
 */
export function outline(lines = 4) {
  const rows = Array.from({ length: lines }, () => element("i", {}));
  return element("div", { class: "outline", "aria-hidden": "true" }, ...rows);
}
