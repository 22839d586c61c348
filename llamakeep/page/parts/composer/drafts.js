// @ts-check
/** What was typed and not sent: kept as it is typed, and shared by the tabs of a user. */

import { keep, kept, listen } from "../../core/local.js";
import { notice } from "../announce.js";

/** @typedef {import("../../core/local.js").Draft} Draft */

/** How long after a key the text is kept, in ms. */
const PAUSE = 150;

/** The draft of one conversation after the other. */
export class Drafts {
  #name = "draft:";
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #end;
  #leave = () => this.save();

  /**
   * @param {() => Draft | null} current Returns what is typed; `null` if that is nothing.
   * @param {(draft: Draft | null) => void} takeUp Shows another draft.
   * @param {() => boolean} isUsed Whether the user is typing here just now.
   */
  constructor(current, takeUp, isUsed) {
    this.current = current;
    this.takeUp = takeUp;
    this.#end = listen(({ what, name }) => {
      if (what === "draft" && name === this.#name && !this.#timer && !isUsed()) this.#show();
    });
    addEventListener("pagehide", this.#leave);
  }

  #show() {
    this.takeUp(kept(this.#name));
    this.#stop();
  }

  #stop() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /**
   * Take up the draft of a conversation.
   *
   * @param {string} conversation Empty for a new one.
   */
  open(conversation) {
    this.save();
    this.#name = `draft:${conversation}`;
    this.#show();
  }

  /**
   * Let what is typed be the draft of the conversation that this one has become.
   *
   * @param {string} conversation
   */
  move(conversation) {
    keep(this.#name, null);
    this.#name = `draft:${conversation}`;
    this.keep();
  }

  /** Keep what is typed in a moment, when no other key follows. */
  changed() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.save(), PAUSE);
  }

  /** Keep what was typed, if anything was. */
  save() {
    if (this.#timer !== undefined) this.keep();
  }

  /** Keep what is there. */
  keep() {
    this.#stop();
    if (!keep(this.#name, this.current())) {
      notice("This text is too long for the browser to keep: it stays as long as this page.", {
        isBad: true,
      });
    }
  }

  close() {
    this.save();
    this.#end();
    removeEventListener("pagehide", this.#leave);
  }
}
