// @ts-check
/** What is said about a run beside its texts. */

import { element } from "../../core/dom.js";
import * as format from "../../core/format.js";

/** @typedef {import("../conversation/branches.js").Run} Run */

/** @type {Record<string, string>} */
const STATES = {
  queued: "Waiting for its turn at the server",
  starting: "The model was asked, and has not said a word yet",
  processing: "Being answered",
  succeeded: "Answered",
  failed: "Failed",
  canceled: "Stopped",
  expired: "Expired",
  interrupted: "Interrupted",
};

/** What lists and filters call them. @type {Record<string, string>} */
const SHORT = { ...STATES, queued: "Waiting", starting: "Waiting for the first word" };

/** @param {string} status */
export const statusName = (status) => STATES[status] ?? status;

/** @param {string} status */
export const shortStatus = (status) => SHORT[status] ?? status;

/**
 * Return tokens, time, rate and cost, as far as they are known.
 *
 * @param {Run} run
 */
export function factsOf(run) {
  const { output_tokens: tokens, cost_usd: cost } = run.usage ?? {};
  const seconds = secondsOf(run);
  const facts = [
    tokens === null || tokens === undefined ? "tokens unknown" : format.counted(tokens, "token"),
  ];
  if (seconds !== null) facts.push(format.duration(seconds));
  if (tokens && seconds) facts.push(`${format.rate(tokens / seconds)} tokens/s`);
  facts.push(format.money(cost));
  return facts;
}

/** @param {Run} run */
export function secondsOf(run) {
  if (!run.finished_at) return null;
  const begin = Date.parse(run.started_at ?? run.created_at);
  return Math.max(0, (Date.parse(run.finished_at) - begin) / 1000);
}

/** What runs come through, as people call it. @type {Record<string, string>} */
const SOURCES = {
  "prompt": "/prompt/",
  "chat-completions": "/v1/chat/completions",
  "completions": "/v1/completions",
  "responses": "/v1/responses",
  "conversations": "/v1/conversations",
  "embeddings": "/v1/embeddings",
  "messages": "/v1/messages",
  "predictions": "Replicate's API",
  "command-line": "the command line",
  "import": "an import",
};

/** @param {string} source */
export const sourceName = (source) => SOURCES[source] ?? source;

/** @param {string} text */
export const wordsIn = (text) => text.split(/\s+/).filter(Boolean).length;

/** @type {Record<string, [string, string]>} */
const ENDS = {
  canceled: ["Stopped.", "The text until then is kept."],
  interrupted: ["Interrupted.", "The server stopped meanwhile. The text until then is kept."],
  expired: ["Expired.", "Its provider has erased the answer. The text that had arrived is kept."],
  failed: ["Failed.", "The text that had arrived is kept."],
};

/**
 * Return what to say of a run that did not end as it should: a title and a detail.
 *
 * @param {Run} run
 */
export function endOf(run) {
  const known = ENDS[run.status];
  if (!known) return null;
  const [title, detail] = known;
  return { title, detail: run.status === "canceled" ? detail : run.error?.detail || detail };
}

/**
 * Return a note about such an end; "" where there is nothing to say.
 *
 * @param {Run} run
 * @param {...Node} more
 */
export function endNote(run, ...more) {
  const end = endOf(run);
  if (end === null) return "";
  const look = run.status === "failed" ? "note bad" : "note";
  return element("div", { class: look }, element("b", {}, end.title), ` ${end.detail} `, ...more);
}
