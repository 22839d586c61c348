// @ts-check
/** One run on the screen: its prompt, its answer, and what can be done with it. */

import { call, Problem } from "../../core/api.js";
import { button, element, fold } from "../../core/dom.js";
import { follow } from "../../core/events.js";
import { firstLine } from "../../core/format.js";
import { state } from "../../core/state.js";
import { say } from "../announce.js";
import { promptPictures, promptText } from "../composer/prompt.js";
import { endNote, endOf, factsOf, sourceName, statusName, wordsIn } from "../history/facts.js";
import { timeOf } from "../problem.js";
import { Answer } from "./answer.js";
import { isOver } from "./branches.js";
import { turnActions } from "./turn_actions.js";

/** @typedef {import("./branches.js").Run} Run */
/**
 * What a conversation does for its turns.
 *
 * @typedef {object} Doing
 * @property {(run: Run) => void} again Answer once more.
 * @property {(run: Run) => void} edit Put the prompt into the composer.
 * @property {(id: string) => void} show Show another version.
 * @property {(run: Run) => void} changed Take what is new of a run.
 */

/** How often it is said that an answer is still being written, in ms. */
const REMINDER = 10_000;

/** A turn; what it follows ends with `close`. */
export class Turn {
  #note = element("div", {});
  #status = element("p", { class: "state" });
  #foot = element("div", { class: "foot" });
  #before = element("div", {});
  /** The longest text that was shown before the server sent another one in its place. */
  #read = "";
  /** @type {(() => void) | null} */
  #unfollow = null;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #reminder;

  /**
   * @param {Run} run
   * @param {Doing} doing
   */
  constructor(run, doing) {
    this.run = run;
    this.doing = doing;
    this.answer = new Answer(run);
    this.node = element(
      "article",
      { class: "turn", id: run.id, tabindex: "-1" },
      element("h2", { class: "hidden" }, titleOf(run)),
      this.#prompt(),
      this.#note,
      this.answer.node,
      this.#status,
      this.#before,
      this.#foot,
    );
    this.#show();
    if (!isOver(run)) this.#follow();
  }

  #prompt() {
    const { run } = this;
    const tool = run.last_message?.role === "tool" ? "The result of a tool. " : "";
    const kept = [`${tool}Kept `, timeOf(run.created_at), ...doorOf(run)];
    const text = run.prompt || run.last_message?.content ||
      (run.store === false ? "Its texts were not to be stored." : "");
    return element(
      "div",
      { class: "prompt" },
      promptPictures(run),
      promptText(text),
      element("p", { class: "meta" }, ...kept),
    );
  }

  /**
   * Take what is new of the run.
   *
   * @param {Run} run
   */
  update(run) {
    const wasOver = isOver(this.run);
    this.run = { ...this.run, ...run };
    if (isOver(this.run) && !wasOver) this.#end();
    this.#show();
  }

  /**
   * Say which one of several versions this is.
   *
   * @param {Run[]} versions
   */
  setVersions(versions) {
    const ids = versions.map(({ id }) => id);
    if (ids.join() === this.#versions.join()) return;
    this.#versions = ids;
    this.#show();
  }

  /** @type {string[]} */
  #versions = [];

  #show() {
    const { run } = this;
    const over = isOver(run);
    const isSilent = !over && this.answer.isEmpty;
    this.#status.hidden = !isSilent;
    this.#status.textContent = isSilent ? statusName(run.status) : "";
    this.#showEnd();
    const facts = over ? element("span", { class: "facts" }, factsOf(run).join(" · ")) : null;
    this.#foot.replaceChildren(...turnActions(this, this.#versions), ...(facts ? [facts] : []));
  }

  #showEnd() {
    if (!endOf(this.run)) return;
    const again = button("Answer again", () => this.doing.again(this.run), { class: "edge" });
    this.#before.replaceChildren(endNote(
      this.run,
      element("small", {}, "The model is not given this turn. What is sent next takes its place."),
      element("div", { class: "buttons" }, again),
    ));
  }

  #follow() {
    const { run } = this;
    this.#unfollow = follow(run.id, run.position ?? "0", (event) => this.#take(event));
    say("Answering");
    this.#reminder = setInterval(() => say("Still answering"), REMINDER);
  }

  /** @param {import("../../core/events.js").RunEvent} event */
  #take(event) {
    const wasEmpty = this.answer.isEmpty;
    if (event.event === "reset") this.#reset(event.data.text);
    else if (event.event === "done") this.doing.changed({ ...this.run, ...event.data });
    else if (event.event === "error") this.#failed();
    else this.answer.take(event);
    if (wasEmpty !== this.answer.isEmpty) {
      if (this.run.status !== "processing") this.run = { ...this.run, status: "processing" };
      this.#show();
    }
  }

  /** @param {string} text */
  #reset(text) {
    this.#replaced(this.answer.replace(text));
    this.#showRead();
  }

  /** @param {string} before What was shown until now. */
  #replaced(before) {
    if (this.answer.text.startsWith(before)) return;
    if (before.length > this.#read.length) this.#read = before;
  }

  /** Say how the text differs from what was read before; of an unfinished one it may not yet. */
  #showRead() {
    const { text } = this.answer;
    const [title, reason] = whyOther(this.#read, text, isOver(this.run));
    if (title && !isOver(this.run)) say(`${title} ${reason}`);
    const before = fold("What was read before", element("div", { class: "said" }, this.#read));
    const note = element("div", { class: "note" }, element("b", {}, title), ` ${reason}`, before);
    this.#note.replaceChildren(...(title ? [note] : []));
  }

  async #failed() {
    try {
      this.doing.changed(await call("GET", `history/${this.run.id}`));
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      // It is shown when the connection is back: the stream then says what changed.
    }
  }

  #end() {
    this.#unfollow?.();
    clearInterval(this.#reminder);
    const before = this.answer.text;
    this.answer.show(this.run);
    this.#replaced(before);
    this.#showRead();
    const { status } = this.run;
    if (status === "succeeded") say(`Answer complete, ${wordsIn(this.answer.text)} words`);
    else say(`${endOf(this.run)?.title} ${endOf(this.run)?.detail}`);
  }

  /** Ask the server to stop; the turn says so until it did. */
  async stop() {
    this.#status.hidden = false;
    this.#status.textContent = "Stopping…";
    say("Stopping");
    this.doing.changed(await call("POST", `history/${this.run.id}/cancel`));
  }

  /** Stop following. */
  close() {
    this.#unfollow?.();
    clearInterval(this.#reminder);
  }
}

/**
 * Return why a text is not the one that was read before, and in a word; nothing if it is.
 *
 * @param {string} before
 * @param {string} text
 * @param {boolean} isWhole
 * @returns {[title: string, reason: string]}
 */
function whyOther(before, text, isWhole) {
  if (text.startsWith(before)) return ["", ""];
  if (!before.startsWith(text)) {
    return ["Written anew.", "The server was restarted, and the model said something else."];
  }
  if (isWhole) return ["Cut.", "The server stopped before it had kept the last words."];
  return text ? ["", ""] : ["Asked again.", "The server was restarted."];
}

/** @param {Run} run */
function titleOf(run) {
  return firstLine(run.prompt ?? "", 60) || "A turn";
}

/** @param {Run} run */
function doorOf(run) {
  const found = [];
  // The page asks through it, too: it says nothing.
  if (run.source && run.source !== "prompt") {
    found.push(` · through ${sourceName(run.source)}`);
  }
  const models = state.models.value ?? [];
  if (run.model && models.length !== 1) found.push(` · ${run.model}`);
  return found;
}
