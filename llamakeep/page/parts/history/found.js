// @ts-check
/** Runs that were found, by conversation. */

import { element } from "../../core/dom.js";
import { shortName } from "../../core/models.js";
import { empty } from "../empty.js";
import { timeOf } from "../problem.js";
import { factsOf, shortStatus } from "./facts.js";
import { hrefOf, named, without } from "./filters.js";

/** @typedef {import("../conversation/branches.js").Run} Run */
/**
 * A page of the history.
 *
 * @typedef {object} Page
 * @property {Run[]} history
 * @property {Record<string, {prompt: string[] | null, response: string[] | null}> | null} highlights
 * @property {Record<string, string> | null} [titles]
 * @property {string | null} next_cursor
 */

/** How many conversations are shown at once for their titles alone. */
const TITLES = 8;
/** How much of a text without a word that was looked for is shown, in characters. */
const BEGINNING = 180;

/** A list that grows by pages; runs of a conversation that come next to each other are a group. */
export class Found {
  node = element("div", { class: "results" });
  /** @type {HTMLElement | null} */
  #group = null;
  #conversation = "";

  /** @param {URLSearchParams} filters Which a run's page offers more of. */
  constructor(filters) {
    this.filters = filters;
  }

  get size() {
    return this.node.querySelectorAll("article").length;
  }

  /** @param {Page} page */
  add({ history, highlights, titles }) {
    for (const run of history) {
      if (run.conversation_id !== this.#conversation || this.#group === null) {
        this.#conversation = run.conversation_id;
        const title = titles?.[run.conversation_id];
        const heading = title && !isBeginning(title, run.prompt) ? titleOf(run, title) : null;
        this.#group = element("section", { class: heading ? "titled" : "" }, heading);
        this.node.append(this.#group);
      }
      const isTitled = this.#group.classList.contains("titled");
      this.#group.append(row(run, isTitled ? "h3" : "h2", highlights?.[run.id], this.filters));
    }
  }

  /** @param {string} id */
  remove(id) {
    const article = this.node.querySelector(`article[data-id="${CSS.escape(id)}"]`);
    const group = article?.parentElement;
    article?.remove();
    if (group && !group.querySelector("article")) group.remove();
  }
}

/**
 * @param {string} title
 * @param {string} prompt
 */
const isBeginning = (title, prompt) =>
  prompt.trim().replace(/\s+/g, " ").startsWith(title.replace(/…$/, ""));

/**
 * @param {Run} run
 * @param {string} title
 */
function titleOf({ conversation_id }, title) {
  const link = element("a", { href: `c/${conversation_id}`, dir: "auto" }, title);
  return element("h2", {}, link);
}

/**
 * @param {Run} run
 * @param {"h2" | "h3"} level
 * @param {{prompt: string[] | null, response: string[] | null} | undefined} marked
 * @param {URLSearchParams} filters
 */
function row(run, level, marked, filters) {
  const prompt = run.prompt || (run.store ? run.last_message?.content : "") ||
    "A run without a text";
  const about = hrefOf(`r/${run.id}`, filters);
  const state = run.status === "succeeded" ? null : element("b", {}, shortStatus(run.status));
  const facts = [
    timeOf(run.created_at),
    shortName(run.model),
    state,
    run.finished_at ? factsOf(run).join(" · ") : null,
    element("a", { href: about }, "All about it"),
  ];
  return element(
    "article",
    { "data-id": run.id },
    element(
      level,
      { dir: "auto" },
      element(
        "a",
        { class: "lead", href: `c/${run.conversation_id}#${run.id}` },
        ...(marked?.prompt ? pieces(marked.prompt) : [beginning(prompt)]),
      ),
    ),
    element(
      "p",
      { dir: "auto", class: "answered" },
      ...(marked?.response ? pieces(marked.response) : [beginning(run.response)]),
    ),
    element("p", { class: "meta" }, ...between(facts)),
  );
}

/**
 * Return a text whose every second piece was looked for.
 *
 * @param {string[]} texts
 */
const pieces = (texts) => texts.map((text, index) => index % 2 ? element("mark", {}, text) : text);

/** @param {string} text */
function beginning(text) {
  const line = text.trim().replace(/\s+/g, " ");
  return line.length > BEGINNING ? `${line.slice(0, BEGINNING).trimEnd()}…` : line;
}

/** @param {(Node | string | null)[]} nodes */
function between(nodes) {
  const shown = nodes.filter((node) => node !== null);
  return shown.flatMap((node, index) => index ? [" · ", node] : [node]);
}

/**
 * Return links to conversations that have the words in their titles alone.
 *
 * @param {{id: string, title: string}[]} conversations
 */
export function titlesFound(conversations) {
  if (conversations.length === 0) return "";
  const links = conversations.map(({ id, title }) =>
    element("li", {}, element("a", { href: `c/${id}`, dir: "auto" }, title))
  );
  const rest = links.splice(TITLES);
  const more = element(
    "details",
    {},
    element("summary", {}, `${rest.length} more`),
    element("ul", {}, ...rest),
  );
  return element(
    "section",
    { class: "titles" },
    element("h2", {}, "Conversations with these words in their titles"),
    element("ul", {}, ...links),
    rest.length ? more : null,
  );
}

/**
 * Return what to say where there is nothing, and what to try.
 *
 * @param {URLSearchParams} filters
 * @param {Map<string, string>} names Of API keys.
 */
export function nothingFound(filters, names) {
  if (filters.size === 0) {
    const begin = element("a", { class: "button edge", href: "" }, "Ask something");
    return empty(
      "There is nothing yet.",
      "What is asked, here or by programs, is kept here.",
      begin,
    );
  }
  const offers = named(filters, names).map(({ name, value, label }) =>
    element("a", {
      class: "button edge",
      href: hrefOf("find", without(filters, name, value)),
    }, `Without “${label}”`)
  );
  const why = filters.has("q")
    ? "Words are whole words, and all of them have to be there: llam* finds what begins so. " +
      "What is still being answered is not searched."
    : "No run has all of this.";
  return empty("Nothing was found.", why, ...offers);
}
