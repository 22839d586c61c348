// @ts-check
/**
 * The turns of a conversation, in pages of 20 runs.
 *
 * At most 200 turns are in the document: pages that are far away are taken out, with their height
 * kept. All that is loaded and near can be searched and selected.
 */

import { element } from "../../core/dom.js";
import { isOver } from "./branches.js";

/** @typedef {import("./branches.js").Run} Run */
/** @typedef {import("./turn.js").Turn} Turn */

const PAGE = 20;
const PAGES = 10;
/** How near to the screen a page is filled again. */
const MARGIN = "1200px";

/** Runs that are put into the document and taken out of it together. */
class Page {
  /** @type {Map<string, Turn>} */
  turns = new Map();
  node = element("div", { class: "turns" });
  isFilled = false;

  /**
   * @param {Run[]} runs
   * @param {(run: Run) => Turn} make
   */
  constructor(runs, make) {
    this.runs = runs;
    this.make = make;
  }

  fill() {
    if (this.isFilled) return;
    this.isFilled = true;
    this.node.style.removeProperty("height");
    this.node.replaceChildren(...this.runs.map((run) => this.#turn(run).node));
  }

  /** @param {Run} run */
  #turn(run) {
    const turn = this.make(run);
    this.turns.set(run.id, turn);
    return turn;
  }

  /** @param {Run} run */
  add(run) {
    this.runs.push(run);
    if (this.isFilled) this.node.append(this.#turn(run).node);
    else this.fill();
  }

  /** Whether it can be taken out: nothing in it is being written or used. */
  get isIdle() {
    return this.runs.every(isOver) && !this.node.contains(document.activeElement);
  }

  empty() {
    this.node.style.height = `${this.node.getBoundingClientRect().height}px`;
    this.close();
    this.node.replaceChildren();
    this.isFilled = false;
  }

  close() {
    for (const turn of this.turns.values()) turn.close();
    this.turns.clear();
  }
}

/** All turns that are shown, the oldest first. */
export class Turns {
  node = element("div", { class: "all-turns" });
  /** @type {Page[]} */
  #pages = [];
  #observer;

  /** @param {(run: Run) => Turn} make */
  constructor(make) {
    this.make = make;
    this.#observer = new IntersectionObserver((changes) => {
      for (const { target, isIntersecting } of changes) {
        if (isIntersecting) this.#pages.find(({ node }) => node === target)?.fill();
      }
      this.#takeOut();
    }, { rootMargin: MARGIN });
  }

  get runs() {
    return this.#pages.flatMap(({ runs }) => runs);
  }

  /** The turns that are in the document. */
  get turns() {
    return this.#pages.flatMap((page) => [...page.turns.values()]);
  }

  /** @param {string} id */
  turn(id) {
    const page = this.#pages.find(({ runs }) => runs.some((run) => run.id === id));
    page?.fill();
    return page?.turns.get(id);
  }

  /**
   * Take what is new of a run.
   *
   * @param {Run} run
   */
  update(run) {
    for (const page of this.#pages) {
      const at = page.runs.findIndex(({ id }) => id === run.id);
      if (at < 0) continue;
      page.runs[at] = run;
      page.turns.get(run.id)?.update(run);
    }
  }

  /**
   * Show these runs; those that are shown already stay.
   *
   * @param {Run[]} path The oldest first.
   */
  show(path) {
    const shown = this.runs;
    const first = path.findIndex(({ id }) => id === shown[0]?.id);
    if (shown.length && first < 0) this.#cut(0);
    const before = first < 0 ? [] : path.slice(0, first);
    const rest = first < 0 ? path : path.slice(first);
    const same = rest.findIndex(({ id }, index) => id !== shown[index]?.id);
    if (first >= 0) this.#cut(same < 0 ? rest.length : same);
    this.#append(first < 0 ? path : rest.slice(this.runs.length));
    this.#prepend(before);
    this.#takeOut();
  }

  /** @param {number} count How many runs stay. */
  #cut(count) {
    let left = count;
    for (const page of [...this.#pages]) {
      const kept = page.runs.slice(0, Math.max(0, left));
      left -= page.runs.length;
      if (kept.length === page.runs.length) continue;
      for (const run of page.runs.slice(kept.length)) {
        page.turns.get(run.id)?.close();
        page.turns.get(run.id)?.node.remove();
        page.turns.delete(run.id);
      }
      page.runs = kept;
      if (kept.length === 0) this.#remove(page);
    }
  }

  /** @param {Page} page */
  #remove(page) {
    page.close();
    page.node.remove();
    this.#observer.unobserve(page.node);
    this.#pages = this.#pages.filter((other) => other !== page);
  }

  /** @param {Run[]} runs */
  #append(runs) {
    for (const run of runs) {
      const last = this.#pages.at(-1);
      if (last && last.runs.length < PAGE) last.add(run);
      else this.#pages.push(this.#page([run], null));
    }
  }

  /** @param {Run[]} runs */
  #prepend(runs) {
    for (let end = runs.length; end > 0; end -= PAGE) {
      const some = runs.slice(Math.max(0, end - PAGE), end);
      this.#pages.unshift(this.#page(some, this.#pages[0]?.node ?? null));
    }
  }

  /**
   * @param {Run[]} runs
   * @param {Node | null} next
   */
  #page(runs, next) {
    const page = new Page(runs, this.make);
    page.fill();
    this.node.insertBefore(page.node, next);
    this.#observer.observe(page.node);
    return page;
  }

  #takeOut() {
    const filled = this.#pages.filter(({ isFilled }) => isFilled);
    const middle = innerHeight / 2;
    const far = (/** @type {Page} */ { node }) => {
      const { top, bottom } = node.getBoundingClientRect();
      return top > middle ? top - middle : Math.max(0, middle - bottom);
    };
    const byDistance = filled.map((page) => ({ page, distance: far(page) }))
      .sort((one, other) => other.distance - one.distance);
    for (const { page } of byDistance.slice(0, Math.max(0, filled.length - PAGES))) {
      if (page.isIdle) page.empty();
    }
  }

  close() {
    this.#observer.disconnect();
    for (const page of this.#pages) page.close();
  }
}
