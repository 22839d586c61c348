// @ts-check
/** All that is known of a run, but for its texts. */

import { element } from "../../core/dom.js";
import * as format from "../../core/format.js";
import { isOver } from "../conversation/branches.js";
import { timeOf } from "../problem.js";
import { secondsOf, sourceName, statusName } from "./facts.js";

/** @typedef {import("../conversation/branches.js").Run} Run */
/** @typedef {[string, Node | string | null | undefined | false]} Fact */

/**
 * Return a list of facts, without what there is none of.
 *
 * @param {Fact[]} facts
 */
export function factList(facts) {
  const known = facts.filter(([, fact]) => fact !== null && fact !== undefined && fact !== false);
  return element(
    "dl",
    { class: "facts" },
    ...known.map(([name, fact]) =>
      element("div", {}, element("dt", {}, name), element("dd", { dir: "auto" }, fact ?? null))
    ),
  );
}

/**
 * @param {Run} run
 * @param {Map<string, string>} keyNames Names of API keys by their ids.
 */
export function runFacts(run, keyNames) {
  const { input_tokens: given, output_tokens: said, cost_usd: cost } = run.usage ?? {};
  const seconds = secondsOf(run);
  const tokens = (/** @type {number | null | undefined} */ count) =>
    count === null || count === undefined ? "unknown" : format.counted(count, "token");
  const rate = said && seconds ? `, ${format.rate(said / seconds)} tokens/s` : "";
  const key = run.api_key_id;
  return factList([
    ["State", statusName(run.status)],
    ["Model", run.model],
    ["Says it is", run.resolved_model],
    ["Read", tokens(given)],
    ["Wrote", isOver(run) ? `${tokens(said)}${rate}` : null],
    ["Cost", isOver(run) ? format.money(cost) : null],
    ["Ended because", run.finish_reason],
    ["Came through", run.source && sourceName(run.source)],
    ["API key", key ? element("a", { href: `find?key=${key}` }, keyNames.get(key) ?? key) : null],
    ["End user", run.end_user],
    ["Follows", followed(run)],
    ["Texts", run.store === false ? "not to be kept" : null],
    ["Id", element("code", {}, run.id)],
  ]);
}

/** @param {Run} run */
function followed({ previous_run_id: before }) {
  if (!before) return null;
  if (before === "none") return "nothing before it";
  return element("a", { href: `r/${before}` }, "this run");
}

/** @param {NonNullable<Run["webhook"]>} webhook */
export function webhookFacts({ status, tries, next_try_at: next, last_error: error }) {
  return factList([
    ["State", status],
    ["Sent", format.counted(tries, "time")],
    ["Next try", next ? timeOf(next) : null],
    ["Last error", error],
  ]);
}

/**
 * Return when what happened to a run: asked, accepted, first word, end.
 *
 * @param {Run} run
 */
export function timeline(run) {
  /** @type {[string, string | null | undefined][]} */
  const moments = [
    ["Asked", run.created_at],
    ["Accepted", run.started_at],
    ["First word", run.first_word_at],
    ["Ended", run.finished_at],
  ];
  const begin = Date.parse(run.created_at);
  const known = moments.flatMap(([label, at]) => at ? [{ label, at }] : []);
  return element(
    "ol",
    { class: "timeline" },
    ...known.map(({ label, at }, index) => {
      const passed = `after ${format.duration((Date.parse(at) - begin) / 1000)}`;
      return element(
        "li",
        {},
        element("b", {}, label),
        timeOf(at),
        element("span", {}, index ? passed : ""),
      );
    }),
  );
}
