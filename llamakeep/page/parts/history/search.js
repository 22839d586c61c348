// @ts-check
/** Searching the history: words, filters, and what they find, as the address says. */

import { call } from "../../core/api.js";
import { button, element } from "../../core/dom.js";
import * as format from "../../core/format.js";
import { isComposing } from "../../core/keys.js";
import { remember, remembered, setAddress } from "../../core/router.js";
import { say } from "../announce.js";
import { problemBox } from "../problem.js";
import { filterChips, keyNames } from "./filter_chips.js";
import { apiQuery, changed, filtersOf, hrefOf, named } from "./filters.js";
import { Found, nothingFound, titlesFound } from "./found.js";

const PAGE = 30;
const MOST = 200;
const BEGINNING = 240;
/** How long one waits for the next letter, in ms. */
const PAUSE = 200;

/** A search with its form, its filters and its results. */
export class Search {
  #field = element("input", {
    type: "search",
    "aria-label": "Words in prompts and answers",
    placeholder: 'Words, "phrases", beginnings of words: llam*',
    autocomplete: "off",
    spellcheck: "false",
    maxlength: "500",
    on: { input: () => this.#typed(), keydown: (/** @type {KeyboardEvent} */ e) => this.#key(e) },
  });
  #chips = element("div", {});
  #problem = element("div", {});
  #titles = element("div", {});
  #results = element("div", {});
  #more = button("Show more", () => this.#loadMore(), { class: "edge" });
  #found = new Found(new URLSearchParams());
  /** @type {string | null} */
  #cursor = null;
  /** @type {AbortController | null} */
  #asking = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {Map<string, string>} */
  #names = new Map();
  node;

  /** @param {URLSearchParams} query */
  constructor(query) {
    this.filters = filtersOf(query);
    this.isBest = query.get("sort") === "best";
    this.#field.value = this.filters.get("q") ?? "";
    /** @param {Event} event */
    const submit = (event) => {
      event.preventDefault();
      this.#search(this.#field.value.trim(), { push: true });
    };
    this.node = element(
      "div",
      { class: "page find" },
      element(
        "form",
        { role: "search", class: "search", on: { submit } },
        this.#field,
        element("button", { class: "edge" }, "Find"),
      ),
      this.#chips,
      this.#problem,
      this.#titles,
      this.#results,
      element("div", { class: "buttons" }, this.#more),
    );
  }

  get field() {
    return this.#field;
  }

  /** Ask for names of API keys, and for what the address says. */
  async open() {
    const known = Number(remembered().loaded ?? 0);
    const [names] = await Promise.all([keyNames(), this.load(Math.min(MOST, known || PAGE))]);
    this.#names = names;
    this.#showChips();
  }

  /** @param {number} [limit] */
  async load(limit = PAGE) {
    this.#asking?.abort();
    const own = this.#asking = new AbortController();
    this.#showChips();
    try {
      const [page, titled] = await Promise.all([
        this.#page({ limit }, own.signal),
        this.#titled(own.signal),
      ]);
      this.#problem.replaceChildren();
      this.#show(page, titled);
    } catch (error) {
      if (own.signal.aborted) return;
      this.#problem.replaceChildren(problemBox(error, { retry: () => void this.load(limit) }));
    }
  }

  /**
   * @param {Record<string, string | number | null>} more
   * @param {AbortSignal} [signal]
   */
  #page(more, signal) {
    const query = apiQuery(this.filters);
    const sort = this.isBest && this.filters.has("q") ? { sort: "best" } : {};
    for (
      const [name, value] of Object.entries({ text: BEGINNING, titles: true, ...sort, ...more })
    ) {
      if (value !== null) query.set(name, String(value));
    }
    return call("GET", "history/", { query, signal });
  }

  /**
   * Return conversations that have all the words in their titles.
   *
   * @param {AbortSignal} signal
   * @returns {Promise<{id: string, title: string}[]>}
   */
  async #titled(signal) {
    const q = this.filters.get("q") ?? "";
    if (!q || this.filters.size > 1) return [];
    const words = q.toLowerCase().split(/[^\p{L}\p{M}\p{N}]+/u).filter(Boolean);
    const { conversations } = await call("GET", "conversations/", { query: { q }, signal });
    return conversations.filter((/** @type {any} */ { title }) =>
      words.every((word) => title.toLowerCase().includes(word))
    );
  }

  /**
   * @param {import("./found.js").Page} page
   * @param {{id: string, title: string}[]} titled
   */
  #show(page, titled) {
    this.#found = new Found(this.filters);
    this.#found.add(page);
    this.#cursor = page.next_cursor;
    const shown = new Set(page.history.map(({ conversation_id }) => conversation_id));
    this.#titles.replaceChildren(titlesFound(titled.filter(({ id }) => !shown.has(id))));
    const isNothing = page.history.length === 0 && titled.length === 0;
    this.#results.replaceChildren(
      isNothing ? nothingFound(this.filters, this.#names) : this.#found.node,
    );
    this.#showMore();
    say(isNothing ? "Nothing was found" : `${format.counted(page.history.length, "run")} shown`);
  }

  #showMore() {
    this.#more.hidden = this.#cursor === null;
    remember({ loaded: this.#found.size });
  }

  async #loadMore() {
    this.#more.disabled = true;
    const own = this.#asking;
    try {
      const page = await this.#page({ limit: PAGE, cursor: this.#cursor });
      if (own !== this.#asking) return;
      const before = this.#found.size;
      this.#found.add(page);
      this.#cursor = page.next_cursor;
      /** @type {HTMLElement | undefined} */ ([
        ...this.#found.node.querySelectorAll("a.lead"),
      ][before])
        ?.focus({ preventScroll: true });
      this.#showMore();
    } catch (error) {
      this.#problem.replaceChildren(problemBox(error, { retry: () => void this.#loadMore() }));
    } finally {
      this.#more.disabled = false;
    }
  }

  #showChips() {
    const chips = filterChips(this.filters, this.#names, (filters) => this.#apply(filters, true));
    const sort = button("Best first", () => this.#sort(), {
      class: "chip",
      "aria-pressed": String(this.isBest),
      hidden: !this.filters.has("q"),
    });
    chips.append(sort);
    this.#chips.replaceChildren(chips);
  }

  #sort() {
    this.isBest = !this.isBest;
    this.#apply(this.filters, true);
    /** @type {HTMLElement | null} */ (this.#chips.querySelector("[aria-pressed]"))?.focus();
  }

  /**
   * @param {URLSearchParams} filters
   * @param {boolean} push Whether *Back* returns to what was there.
   */
  #apply(filters, push) {
    this.filters = filters;
    const query = new URLSearchParams(filters);
    if (this.isBest && filters.has("q")) query.set("sort", "best");
    setAddress(hrefOf("find", query), { push });
    return this.load();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    // An Enter that confirms a composition would send the form.
    if (event.key === "Enter" && isComposing(event)) event.preventDefault();
  }

  #typed() {
    clearTimeout(this.#timer);
    const text = this.#field.value.trim();
    // Its last word is still being typed.
    const q = /[\p{L}\p{M}\p{N}]$/u.test(this.#field.value) && isWhole(text) ? `${text}*` : text;
    this.#timer = setTimeout(() => isWhole(text) && this.#search(q, { push: false }), PAUSE);
  }

  /**
   * @param {string} q
   * @param {{push: boolean}} how
   */
  #search(q, { push }) {
    clearTimeout(this.#timer);
    if (q === (this.filters.get("q") ?? "")) return;
    this.#apply(changed(this.filters, { q }), push);
  }

  /** Take what was found out of sight, or bring it back. @param {boolean} isHidden */
  hide(isHidden) {
    this.#results.hidden = this.#titles.hidden = isHidden;
    this.#more.hidden = isHidden || this.#cursor === null;
  }

  /** Say something above what was found. @param {Node} node */
  say(node) {
    this.#problem.replaceChildren(node);
  }

  /** What is filtered by, for people. */
  get words() {
    return named(this.filters, this.#names).map(({ label }) => label).join(", ");
  }

  /** @param {string} id */
  forget(id) {
    this.#found.remove(id);
  }

  close() {
    clearTimeout(this.#timer);
    this.#asking?.abort();
  }
}

/**
 * Return whether a text can be searched for already: it has a word, and no open phrase.
 *
 * @param {string} text
 */
const isWhole = (text) =>
  text === "" || (/[\p{L}\p{N}]/u.test(text) && (text.split('"').length - 1) % 2 === 0);
