// @ts-check
/** What a conversation sends: prompts, the same once more, and edited ones. */

import { button } from "../../core/dom.js";
import { counted } from "../../core/format.js";
import { newKey } from "../../core/local.js";
import { entries, hold, isYoung, post, release, watchOutbox } from "../../core/outbox.js";
import { problemBox } from "../problem.js";
import { bodyAgain, bodyOf, imagesOf, optionsOf, place } from "./asking.js";
import { isOver } from "./branches.js";

/** @typedef {import("./branches.js").Run} Run */
/** @typedef {import("./talk.js").Talk} Talk */

/** Sends for one conversation. */
export class Sending {
  /** @type {Run | null} The run whose prompt is edited. */
  #edited = null;
  #end;
  /** Keys of what this view has sent: the turn goes up as its answer grows. */
  #own = new Set();
  /** @type {Map<string, string>} Runs that are asked again, with the keys of that. */
  #again = new Map();

  /** @param {Talk} talk */
  constructor(talk) {
    this.talk = talk;
    this.#end = watchOutbox((outcome) => this.#came(outcome));
  }

  /** @param {import("../composer/composer.js").Sent} sent */
  send(sent) {
    const edited = this.#edited;
    this.leave();
    if (edited) {
      this.#post(sent.key, { ...bodyOf(sent), ...this.#besides(edited) });
      return;
    }
    const { branches } = this.talk;
    const isWriting = branches.path().some((run) => !isOver(run)) || this.#before.length > 0;
    if (isWriting) this.#post(sent.key, bodyOf(sent), true);
    else this.#post(sent.key, { ...bodyOf(sent), ...this.#after() });
  }

  /** What has to be sent before the next prompt; every new conversation is one of its own. */
  get #before() {
    const { id } = this.talk;
    return entries().filter(({ conversation, state, key }) =>
      conversation === id && state !== "unsent" && (id !== "" || this.#own.has(key))
    );
  }

  #after() {
    return place(this.talk.id, this.talk.branches.answered?.id ?? "");
  }

  /**
   * Return the place of another version of a run.
   *
   * @param {Run} run
   */
  #besides(run) {
    return place(this.talk.id, this.talk.branches.followedBy(run));
  }

  /**
   * @param {string} key
   * @param {Record<string, any>} body
   * @param {boolean} [waits]
   */
  #post(key, body, waits = false) {
    this.#own.add(key);
    post({ key, conversation: this.talk.id, body, waits });
    this.talk.scroll.toEnd();
  }

  /** @param {Run} run */
  async again(run) {
    // A second click, before the first one is answered, has the same key.
    const key = this.#again.get(run.id) ?? newKey();
    this.#again.set(run.id, key);
    try {
      this.#post(key, { ...await bodyAgain(run), ...this.#besides(run) });
    } catch (error) {
      this.talk.composer.say(problemBox(error, { retry: () => this.again(run) }));
    }
  }

  /** @param {Run} run */
  async edit(run) {
    /** @type {string[]} */
    let images;
    try {
      images = await imagesOf(run);
    } catch (error) {
      this.talk.composer.say(problemBox(error, { retry: () => this.edit(run) }));
      return;
    }
    this.#edited = run;
    this.talk.composer.put(run.prompt, { options: optionsOf(run), images, model: run.model });
    this.talk.composer.setMode(
      "You edit an earlier prompt. What was there stays, as another version.",
    );
  }

  editLast() {
    const last = this.talk.branches.path().at(-1);
    if (last && isOver(last)) this.edit(last);
  }

  /** End the editing of an earlier prompt. */
  leave() {
    this.#edited = null;
    this.talk.composer.setMode("");
  }

  /** Send what has waited for a run that ended meanwhile; what is older is for the user. */
  opened() {
    const last = this.talk.branches.last;
    if (!last || !isOver(last)) return;
    const old = entries().filter((entry) =>
      entry.conversation === this.talk.id && entry.state === "waiting" && !isYoung(entry)
    );
    old.forEach(hold);
    if (old.length === 0) this.ended(last);
  }

  /**
   * Send what has waited for a run.
   *
   * @param {Run} run
   */
  ended(run) {
    const mine = entries().filter(({ conversation }) => conversation === this.talk.id);
    const waiting = mine.filter(({ state }) => state === "waiting");
    const isBusy = mine.some(({ state }) => state === "sending") ||
      this.talk.branches.path().some((other) => !isOver(other));
    if (waiting.length === 0 || isBusy) return;
    if (run.status === "succeeded" || run.status === "canceled") {
      this.#own.add(waiting[0].key);
      release(waiting[0], this.#after());
    } else waiting.forEach(hold);
  }

  /** @param {import("../../core/outbox.js").Outcome | null} outcome */
  #came(outcome) {
    const { talk } = this;
    for (const [run, key] of this.#again) {
      if (key === outcome?.entry.key) this.#again.delete(run);
    }
    if (outcome?.entry.conversation === talk.id) {
      if (outcome.run) this.#begun(outcome.entry.key, outcome.run, outcome.entry.body);
      else if (outcome.problem) this.#refused(outcome.entry, outcome.problem);
    }
    talk.pending.show(talk.id);
  }

  /**
   * @param {string} key
   * @param {Run} run As it was accepted, without what it was asked.
   * @param {Record<string, any>} body
   */
  #begun(key, run, body) {
    const { talk } = this;
    const before = body.previous_run_id ?? null;
    const whole = {
      prompt: body.prompt,
      parameters: {},
      metadata: {},
      previous_run_id: before,
      ...run,
    };
    if (!talk.id) talk.adopt(whole);
    talk.branches.choose(null);
    talk.take(whole);
    const turn = talk.turns.turn(run.id);
    if (turn && this.#own.delete(key)) talk.scroll.withTurn(turn.node);
  }

  /**
   * @param {import("../../core/outbox.js").Entry} entry
   * @param {import("../../core/api.js").Problem} problem
   */
  #refused({ body }, problem) {
    const { prompt, images, model, previous_run_id: _, conversation_id: __, ...options } = body;
    this.talk.composer.put(prompt, { options, images, model });
    this.talk.composer.say(problemBox(problem, { more: [this.#less(problem, options)] }));
    entries().filter(({ conversation, state }) =>
      conversation === this.talk.id && state === "waiting"
    ).forEach(hold);
  }

  /**
   * Return a button that asks for as many tokens as a limit may leave; `null` if none does.
   *
   * @param {import("../../core/api.js").Problem} problem
   * @param {Record<string, any>} options
   */
  #less({ limit }, options) {
    if (!limit || limit.left < 2 || !limit.name.includes("token")) return null;
    // The rest is for the prompt, of which the limit counts the tokens as well.
    const max_tokens = Math.floor(limit.left / 2);
    const ask = () => {
      this.talk.composer.bar.setOptions({ ...options, max_tokens });
      this.talk.composer.say();
    };
    const label = `Ask for at most ${counted(max_tokens, "token")}`;
    return button(label, ask, { class: "edge" });
  }

  close() {
    this.#end();
  }
}
