// @ts-check
/** One run: all that is known of it. */

import { call } from "../core/api.js";
import { button, element, fold } from "../core/dom.js";
import { firstLine } from "../core/format.js";
import { promptPictures, promptText } from "../parts/composer/prompt.js";
import { askTags } from "../parts/composer/tags.js";
import { isOver } from "../parts/conversation/branches.js";
import { LiveAnswer } from "../parts/conversation/live.js";
import { loadText } from "../parts/conversation/written.js";
import { copy } from "../parts/copy.js";
import { besideKeys, linksBeside, runMenu } from "../parts/history/beside.js";
import { endNote } from "../parts/history/facts.js";
import { keyNames } from "../parts/history/filter_chips.js";
import { filtersOf } from "../parts/history/filters.js";
import { requestsOf } from "../parts/history/requests.js";
import { factList, runFacts, timeline, webhookFacts } from "../parts/history/run_facts.js";
import { problemBox } from "../parts/problem.js";

/** @typedef {import("../parts/conversation/branches.js").Run} Run */

/** @param {string} text */
const heading = (text) => element("h2", {}, text);

/** @param {string} what @param {string} text */
const code = (what, text) =>
  element("pre", { tabindex: "0", "aria-label": what }, element("code", {}, text));

/** Everything about a run, as it is now. */
class About {
  #facts = element("section", {});
  #rest = element("section", {});
  #end = element("div", {});
  #problem = element("div", {});

  /**
   * @param {Run} run
   * @param {Map<string, string>} names Of API keys.
   */
  constructor(run, names) {
    this.run = run;
    this.names = names;
    this.live = new LiveAnswer(run, (changed) => this.show(changed));
    const system = run.system_prompt
      ? fold("System prompt", element("div", { class: "said", dir: "auto" }, run.system_prompt))
      : null;
    const text = run.prompt || run.last_message?.content || "It has no text, or none was kept.";
    this.node = element(
      "div",
      { class: "page run" },
      this.#problem,
      heading("Prompt"),
      system,
      element("div", { class: "prompt" }, promptPictures(run), promptText(text)),
      heading("Answer"),
      this.live.node,
      this.#end,
      element(
        "div",
        { class: "foot" },
        button("Copy", () => void copy(this.live.answer.text)),
        element("a", { class: "button", href: this.place }, "Answer again or continue"),
      ),
      this.#facts,
      this.#rest,
    );
    this.show(run);
  }

  /** Where it stands in its conversation. */
  get place() {
    return `c/${this.run.conversation_id}#${this.run.id}`;
  }

  /** @param {Run} run */
  show(run) {
    this.run = run;
    this.#end.replaceChildren(endNote(run));
    this.#facts.replaceChildren(
      heading("Times"),
      timeline(run),
      heading("Facts"),
      runFacts(run, this.names),
      ...this.#tags(),
      ...(run.webhook ? [heading("Webhook"), webhookFacts(run.webhook)] : []),
    );
    // What the user has unfolded stays.
    if (!this.#rest.childElementCount || isOver(run)) this.#rest.replaceChildren(...this.#folds());
  }

  #tags() {
    const tags = Object.entries(this.run.metadata ?? {});
    const links = tags.map(([key, value]) => {
      const tag = value ? `${key}:${value}` : key;
      return element(
        "a",
        { class: "button chip", href: `find?tag=${encodeURIComponent(tag)}` },
        tag,
      );
    });
    const edit = button("Edit tags", () => void this.#editTags());
    return [heading("Tags"), element("div", { class: "chips" }, ...links, edit)];
  }

  async #editTags() {
    const tags = await askTags(this.run.metadata ?? {});
    if (tags === null) return;
    try {
      const { metadata } = await call("PATCH", `history/${this.run.id}`, {
        body: { metadata: tags },
      });
      this.#problem.replaceChildren();
      this.show({ ...this.run, metadata });
    } catch (error) {
      this.#problem.replaceChildren(problemBox(error, { retry: () => void this.#editTags() }));
    }
  }

  #folds() {
    const { run } = this;
    const parameters = Object.entries(run.parameters ?? {}).map((
      [name, value],
    ) => /** @type {[string, Node]} */ ([name, element("code", {}, JSON.stringify(value))]));
    const requests = requestsOf(run, document.baseURI).map(([name, text]) =>
      fold(name, code(name, text), button("Copy", () => void copy(text)))
    );
    const json = JSON.stringify(run, null, 2);
    return [
      ...(parameters.length ? [heading("Parameters"), factList(parameters)] : []),
      heading("The same request"),
      ...requests,
      fold("This run as JSON", code("JSON", json), button("Copy", () => void copy(json))),
    ];
  }

  close() {
    this.live.close();
  }
}

/** @type {import("../core/router.js").View} */
export default async function run({ parts, query }) {
  const id = encodeURIComponent(parts[0]);
  const filters = filtersOf(query);
  const [found, names, beside] = await Promise.all([
    call("GET", `history/${id}`),
    keyNames(),
    linksBeside(parts[0], filters),
    loadText(),
  ]);
  const about = new About(found, names);
  const place = element(
    "a",
    { class: "button edge wide", href: about.place },
    "In its conversation",
  );
  const endKeys = besideKeys(beside);
  return {
    node: about.node,
    title: firstLine(found.prompt) || "A run",
    actions: [place, ...beside.filter((link) => link !== null), runMenu(about, filters)],
    close: () => {
      endKeys();
      about.close();
    },
  };
}
