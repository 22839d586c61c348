// @ts-check
/** Conversations by day, and the ways to all pages. */

import { call, Problem } from "../../core/api.js";
import { element } from "../../core/dom.js";
import { onResync, onRun } from "../../core/events.js";
import * as format from "../../core/format.js";
import { go, here } from "../../core/router.js";
import { markUnseen, unseen } from "../../core/seen.js";
import { state } from "../../core/state.js";
import { isOver } from "../conversation/branches.js";
import { menuButton } from "../menu.js";
import { problemNotice } from "../problem.js";
import { logOut } from "./login.js";

/** @typedef {{id: string, title: string, updated_at: string}} Conversation */

const PAGE = 50;
const PATIENCE = 2_000;
const UNFINISHED = ["queued", "starting", "processing"];
const MOST_UNDER_WAY = 100;
/** @type {[string, string][]} */
const PAGES = [["Usage", "usage"], ["API keys", "settings/keys"], ["Settings", "settings"]];

/** What shows where one is on pages that have no link of their own. @type {Record<string, string>} */
const PARENTS = {
  "settings/limits": "settings",
};
const parentOf = (/** @type {string} */ path) =>
  path.startsWith("manage/") ? "manage/users" : PARENTS[path];

/** The navigation. On a phone it is a sheet from the left. */
export class Sidebar {
  #list = element("div", { class: "conversations" });
  #more = element("div", { class: "more" });
  /** @type {Map<string, Conversation>} */
  #known = new Map();
  /** @type {string | null} */
  #cursor = null;
  #isBusy = false;
  /** Whether the list has to be asked for again after what is being asked for. */
  #isOld = false;
  #isLoaded = false;
  #pages = element("div", { class: "pages" });
  #scroller = element("div", { class: "scroller" }, this.#list, this.#more);

  constructor() {
    this.node = this.#layout();
    new IntersectionObserver(([{ isIntersecting }]) => {
      if (isIntersecting && this.#cursor) this.#load(this.#cursor);
    }, { root: this.#scroller, rootMargin: "400px" }).observe(this.#more);
    state.me.watch(() => this.#showPages());
    for (const watched of [here, unseen, state.underWay]) watched.watch(() => this.#mark());
    here.watch(() => this.close());
    onRun((run) => this.#heard(run));
    onResync(() => this.#load(null));
    // Where there is no stream of changes, the list is shown all the same.
    setTimeout(() => this.#isLoaded || this.#load(null), PATIENCE);
    addEventListener(
      "conversation",
      (event) => this.#changed(/** @type {CustomEvent} */ (event).detail),
    );
    addEventListener("popstate", () => this.close());
    this.node.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.node.classList.contains("open")) history.back();
    });
  }

  #layout() {
    const search = element("input", {
      type: "search",
      name: "q",
      placeholder: "Search history  /",
      "aria-label": "Search history",
      autocomplete: "off",
    });
    /** @param {Event} event */
    const submit = (event) => {
      event.preventDefault();
      go(`find?q=${encodeURIComponent(search.value)}`);
    };
    return element(
      "nav",
      {
        "aria-label": "Conversations and pages",
        on: { click: (/** @type {MouseEvent} */ event) => this.#clicked(event) },
      },
      element(
        "div",
        { class: "sheet-inner" },
        element(
          "div",
          { class: "brand" },
          element("a", { href: "" }, "llamakeep"),
          element("a", { class: "button edge", href: "", "aria-label": "New conversation" }, "New"),
        ),
        element("form", { role: "search", class: "search", on: { submit } }, search),
        this.#scroller,
        this.#pages,
      ),
    );
  }

  #showPages() {
    const me = state.me.value;
    const pages = me?.role === "admin"
      ? [...PAGES, /** @type {[string, string]} */ (["Manage", "manage/users"])]
      : PAGES;
    const links = pages.map(([label, href]) => element("a", { href }, element("span", {}, label)));
    const who = me
      ? menuButton(me.username, () => [{ label: "Log out", run: () => logOut() }], { class: "who" })
      : null;
    this.#pages.replaceChildren(...links, ...(who ? [who] : []));
    this.#mark();
  }

  /** @param {string | null} cursor */
  async #load(cursor) {
    if (this.#isBusy) {
      this.#isOld ||= cursor === null;
      return;
    }
    [this.#isBusy, this.#isOld] = [true, false];
    try {
      const page = await call("GET", "conversations/", { query: { limit: PAGE, cursor } });
      for (const one of page.conversations) this.#known.set(one.id, one);
      if (cursor !== null || this.#known.size <= PAGE) this.#cursor = page.next_cursor;
      if (cursor === null) await this.#readUnderWay();
      this.#isLoaded = true;
      this.#show();
    } catch (error) {
      if (!(error instanceof Problem && error.status === 0)) problemNotice(error);
    } finally {
      this.#isBusy = false;
      if (this.#isOld) this.#load(null);
    }
  }

  async #readUnderWay() {
    const query = { status: UNFINISHED, limit: MOST_UNDER_WAY, text: 0 };
    const { history } = await call("GET", "history/", { query }).catch(() => ({ history: [] }));
    const known = history.map((/** @type {any} */ run) => [run.id, run.conversation_id]);
    state.underWay.set(new Map(known));
  }

  /** @param {any} run */
  #heard(run) {
    const underWay = new Map(state.underWay.value);
    if (run.isDeleted) underWay.delete(run.run);
    else if (isOver(run)) {
      const wasHere = here.value === `c/${run.conversation_id}` && !document.hidden;
      if (underWay.delete(run.id) && !wasHere) markUnseen(run.conversation_id);
    } else underWay.set(run.id, run.conversation_id);
    state.underWay.set(underWay);
    if (run.isDeleted || !run.conversation_id || run.conversation_title === null) return;
    const known = this.#known.get(run.conversation_id);
    const updated_at = run.created_at > (known?.updated_at ?? "")
      ? run.created_at
      : known?.updated_at;
    const title = run.conversation_title ?? known?.title ?? run.prompt;
    this.#changed({ id: run.conversation_id, title, updated_at });
  }

  /** @param {any} facts */
  #changed({ isDeleted, ...facts }) {
    const before = this.#known.get(facts.id);
    if (isDeleted) this.#known.delete(facts.id);
    else this.#known.set(facts.id, { ...before, ...facts });
    if (isDeleted || before?.title !== facts.title || before?.updated_at !== facts.updated_at) {
      this.#show();
    }
  }

  #show() {
    const sorted = [...this.#known.values()].sort((one, other) =>
      one.updated_at < other.updated_at ? 1 : -1
    );
    /** @type {Node[]} */
    const nodes = [];
    let heading = "";
    for (const { id, title, updated_at } of sorted) {
      const period = format.period(updated_at);
      if (period !== heading) nodes.push(element("h2", {}, heading = period));
      nodes.push(
        element(
          "a",
          { href: `c/${id}`, "data-id": id, title },
          element("span", { dir: "auto" }, title),
          element("i", {}),
        ),
      );
    }
    this.#list.replaceChildren(...nodes);
    this.#mark();
  }

  /** Say which link is here, which is being answered and which has something unseen. */
  #mark() {
    const answering = new Set(state.underWay.value.values());
    for (const link of this.node.querySelectorAll("a")) {
      const href = link.getAttribute("href") ?? "";
      const isHere = here.value !== "" && (href === here.value || href === parentOf(here.value));
      if (isHere) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
      const id = link.dataset.id;
      const mark = link.querySelector("i");
      if (!id || !mark) continue;
      const [name, label] = answering.has(id)
        ? ["dot", "being answered"]
        : unseen.value.has(id)
        ? ["ring", "ended unseen"]
        : ["", ""];
      if (mark.className === name) continue;
      mark.className = name;
      mark.replaceChildren(...(label ? [element("span", { class: "hidden" }, ` (${label})`)] : []));
    }
  }

  /** Show the sheet. */
  open() {
    history.pushState(history.state, "");
    this.#set(true);
    this.node.querySelector("a")?.focus();
  }

  close() {
    this.#set(false);
  }

  /** @param {boolean} isOpen What is beside an open sheet cannot be used. */
  #set(isOpen) {
    this.node.classList.toggle("open", isOpen);
    document.querySelector(".view")?.toggleAttribute("inert", isOpen);
  }

  /** @param {MouseEvent} event */
  #clicked(event) {
    if (event.target === this.node && this.node.classList.contains("open")) history.back();
  }
}
