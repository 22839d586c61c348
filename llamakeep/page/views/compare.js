// @ts-check
/** One prompt, several models, side by side. */

import { call, Problem } from "../core/api.js";
import { button, element } from "../core/dom.js";
import { isCoarse, isSend } from "../core/keys.js";
import { keep, kept } from "../core/local.js";
import { models, shortName } from "../core/models.js";
import { setAddress } from "../core/router.js";
import { promptText } from "../parts/composer/prompt.js";
import { isOver } from "../parts/conversation/branches.js";
import { AnswerColumn } from "../parts/conversation/column.js";
import { Comparing } from "../parts/conversation/comparing.js";
import { modelChips, someModels } from "../parts/conversation/model_chips.js";
import { loadText } from "../parts/conversation/written.js";
import { hrefOf } from "../parts/history/filters.js";

/** @typedef {import("../parts/conversation/branches.js").Run} Run */

const DRAFT = "draft:compare";

class Compare {
  #field = element("textarea", {
    rows: "2",
    "aria-label": "Prompt",
    dir: "auto",
    placeholder: "Ask several models the same",
    on: {
      input: () => keep(DRAFT, this.#field.value ? { text: this.#field.value } : null),
      keydown: (/** @type {KeyboardEvent} */ event) => this.#key(event),
    },
  });
  #chips = element("div", {});
  #prompt = element("div", {});
  #tabs = element("div", { class: "answer-tabs", role: "group", "aria-label": "Which answer" });
  #columns = element("div", { class: "columns" });
  /** @type {AnswerColumn[]} */
  #shown = [];
  /** @type {Comparing | null} */
  #comparing = null;
  node;

  /** @param {URLSearchParams} query */
  constructor(query) {
    this.models = someModels(query.getAll("model"));
    this.after = query.get("after") ?? "";
    this.#field.value = kept(DRAFT)?.text ?? "";
    const send = button("Send", () => this.#send(), { class: "main" });
    const box = element(
      "div",
      { class: "box" },
      this.#field,
      element("div", { class: "bar" }, this.#chips, element("span", { class: "gap" }), send),
    );
    this.node = element(
      "div",
      { class: "conversation compare" },
      element(
        "div",
        { class: "log", tabindex: "0", role: "region", "aria-label": "Answers" },
        this.#prompt,
        this.#tabs,
        this.#columns,
      ),
      element("section", { class: "composer", "aria-label": "Ask" }, box),
    );
    this.#showChips();
  }

  get field() {
    return this.#field;
  }

  #showChips() {
    this.#chips.replaceChildren(modelChips(this.models, (chosen) => {
      this.models = chosen;
      this.#showChips();
      if (!this.#comparing && this.#shown.length === 0) this.#setAddress();
    }));
  }

  #setAddress() {
    const query = new URLSearchParams(this.models.map((model) => ["model", model]));
    if (this.after) query.set("after", this.after);
    setAddress(hrefOf("compare", query));
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (!isSend(event)) return;
    event.preventDefault();
    this.#send();
  }

  #send() {
    const prompt = this.#field.value;
    if (prompt.trim() === "") return;
    this.#field.value = "";
    keep(DRAFT, null);
    this.#setAddress();
    this.follow(Comparing.ask(this.models, { prompt }, this.after));
  }

  /** Ask, or continue what was asked. @param {import("../parts/conversation/comparing.js").Asked} asked */
  follow(asked) {
    this.#comparing?.leave();
    this.#show(asked.body.prompt, asked.columns.map(({ model }) => model));
    const at = (/** @type {import("../parts/conversation/comparing.js").Column} */ column) =>
      this.#shown[asked.columns.indexOf(column)];
    const comparing = this.#comparing = new Comparing(asked, {
      begun: (column, run) => at(column).show(run),
      refused: (column, problem) =>
        at(column).refuse(problem, () => {
          at(column).wait();
          comparing.again(column);
        }),
      settled: () => {
        const ids = asked.columns.flatMap(({ run }) => run ? [["run", run]] : []);
        if (ids.length === asked.columns.length) {
          setAddress(hrefOf("compare", new URLSearchParams(ids)));
        }
      },
    });
    for (const column of asked.columns) if (column.run) void this.#read(column.run, at(column));
    comparing.next();
  }

  /**
   * Show runs that there are.
   *
   * @param {string[]} ids
   */
  async open(ids) {
    const runs = await Promise.all(
      ids.map((id) => call("GET", `history/${encodeURIComponent(id)}`)),
    );
    this.models = someModels(runs.map(({ model }) => model));
    this.#showChips();
    this.#show(runs[0].prompt, runs.map(({ model }) => model));
    runs.forEach((run, index) => this.#shown[index].show(run));
  }

  /**
   * @param {string} id
   * @param {AnswerColumn} column
   */
  async #read(id, column) {
    try {
      column.show(await call("GET", `history/${id}`));
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      column.refuse(error, () => void this.#read(id, column));
    }
  }

  /**
   * @param {string} prompt
   * @param {string[]} names
   */
  #show(prompt, names) {
    this.#closeColumns();
    this.#prompt.replaceChildren(element("div", { class: "prompt" }, promptText(prompt)));
    this.#shown = names.map((model) =>
      new AnswerColumn(model, (run) => isOver(run) && this.#comparing?.ended(run.id))
    );
    this.#columns.replaceChildren(...this.#shown.map(({ node }) => node));
    this.#columns.dataset.count = String(names.length);
    const tabs = names.map((model, index) =>
      button(shortName(model), () => this.#choose(index), { class: "chip" })
    );
    this.#tabs.replaceChildren(...tabs);
    this.#choose(0);
  }

  /** Say which column a phone shows. @param {number} chosen */
  #choose(chosen) {
    this.#shown.forEach(({ node }, index) => node.classList.toggle("away", index !== chosen));
    [...this.#tabs.children].forEach((tab, index) =>
      tab.setAttribute("aria-pressed", String(index === chosen))
    );
  }

  #closeColumns() {
    for (const column of this.#shown) column.close();
  }

  close() {
    this.#comparing?.close();
    this.#closeColumns();
  }
}

/** @type {import("../core/router.js").View} */
export default async function compare({ query }) {
  await Promise.all([models(), loadText()]);
  const view = new Compare(query);
  const runs = query.getAll("run");
  const left = Comparing.left();
  if (runs.length) await view.open(runs);
  return {
    node: view.node,
    title: "Compare",
    focus: isCoarse() || runs.length ? undefined : view.field,
    opened: () => !runs.length && left && view.follow(left),
    close: () => view.close(),
  };
}
