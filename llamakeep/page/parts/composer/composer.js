// @ts-check
/** Where prompts are typed. */

import { button, element } from "../../core/dom.js";
import { isCoarse, isComposing, isSend } from "../../core/keys.js";
import { newKey } from "../../core/local.js";
import { ComposerBar } from "./composer_bar.js";
import { Drafts } from "./drafts.js";
import { countOf } from "./options.js";
import { LONG, Pastes } from "./pastes.js";
import { Pictures } from "./pictures.js";

/**
 * @typedef {object} Sent
 * @property {string} key The prompt's `Idempotency-Key`.
 * @property {string} text
 * @property {string[]} images As `data:` URLs.
 * @property {string} model
 * @property {Record<string, any>} options
 */
/**
 * @typedef {object} Doing
 * @property {(sent: Sent) => void} send
 * @property {() => void} stop
 * @property {() => void} editLast What ↑ in the empty field does.
 * @property {() => void} leave What ends the editing of an earlier prompt.
 */

/** A field for prompts whose text is kept as it is typed. */
export class Composer {
  /** All that sends this draft, in whichever tab, sends it with this key. */
  #key = newKey();
  #problem = element("div", {});
  #mode = element("div", { class: "mode" });
  field = element("textarea", {
    rows: "2",
    "aria-label": "Prompt",
    dir: "auto",
    enterkeyhint: isCoarse() ? "enter" : "send",
    placeholder: isCoarse()
      ? "Ask anything"
      : "Ask anything. Enter sends, Shift+Enter makes a new line.",
  });
  pictures = new Pictures(this.field, () => this.#show());
  pastes = new Pastes(this.field, () => this.#typed());

  /** @param {Doing} doing */
  constructor(doing) {
    this.doing = doing;
    this.bar = new ComposerBar({
      send: () => this.send(),
      stop: () => doing.stop(),
      pick: () => this.pictures.pick(),
      changed: () => this.drafts.keep(),
    });
    this.drafts = new Drafts(
      () => this.#draft(),
      (draft) => this.#takeUp(draft),
      () => document.activeElement === this.field && document.hasFocus(),
    );
    this.field.addEventListener("input", () => this.#typed());
    this.field.addEventListener("keydown", (event) => this.#pressed(event));
    this.field.addEventListener("blur", () => this.drafts.save());
    const parts = [this.#mode, this.pictures.node, this.pastes.node, this.field, this.bar.node];
    const box = element("div", { class: "box" }, ...parts);
    box.addEventListener("click", ({ target }) => target === box && this.field.focus());
    this.node = element("section", { class: "composer", "aria-label": "Ask" }, this.#problem, box);
  }

  get isEmpty() {
    const isBlank = this.field.value.trim() === "" && this.pastes.texts.length === 0;
    return isBlank && this.pictures.isEmpty;
  }

  /**
   * Take up the draft of a conversation.
   *
   * @param {string} conversation Empty for a new one.
   */
  open(conversation) {
    this.drafts.open(conversation);
  }

  /**
   * Take what is typed along into the conversation that this one has become.
   *
   * @param {string} conversation
   * @param {string} model Which model is asked unless the user says otherwise.
   */
  move(conversation, model) {
    this.bar.setModel(model);
    this.drafts.move(conversation);
  }

  #draft() {
    const { value: text } = this.field;
    const { options } = this.bar;
    const pasted = this.pastes.texts;
    const isNothing = text === "" && pasted.length === 0 && countOf(options) === 0;
    return isNothing ? null : { text, pasted, key: this.#key, options };
  }

  /** @param {import("../../core/local.js").Draft | null} draft */
  #takeUp(draft) {
    this.field.value = draft?.text ?? "";
    this.#key = draft?.key ?? newKey();
    this.bar.setOptions(draft?.options ?? {});
    this.pastes.set(draft?.pasted ?? []);
    this.#show();
  }

  #typed() {
    this.drafts?.changed();
    this.#show();
  }

  #show() {
    this.bar?.show({ isEmpty: this.isEmpty });
    if (CSS.supports("field-sizing", "content")) return;
    this.field.style.height = "auto";
    this.field.style.height = `${this.field.scrollHeight}px`;
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    if (isComposing(event)) return;
    if (event.key === "ArrowUp" && this.field.value === "") {
      event.preventDefault();
      this.doing.editLast();
      return;
    }
    if (!isSend(event)) return;
    event.preventDefault();
    this.send();
  }

  /** Hand over what was typed, and empty the field. */
  send() {
    if (this.isEmpty || this.pictures.isReading) return;
    const { model, options } = this.bar;
    const refusal = this.pictures.refusal(model);
    if (refusal) {
      this.say(element("div", { class: "note bad", role: "alert" }, refusal));
      return;
    }
    const texts = [this.field.value, ...this.pastes.texts].filter((text) => text.trim());
    const { urls: images } = this.pictures;
    const sent = { key: this.#key, text: texts.join("\n\n"), images, model, options };
    const { metadata: _, ...lasting } = options;
    this.pictures.clear();
    this.#takeUp({ text: "", key: newKey(), options: lasting });
    this.say();
    this.doing.send(sent);
    this.drafts.keep();
  }

  /**
   * Put a text into the field, as for a prompt that was refused or is edited.
   *
   * @param {string} text
   * @param {{options?: Record<string, any>, images?: string[], model?: string}} [more]
   */
  put(text, { options, images = [], model } = {}) {
    const own = this.field.value.trim();
    if (text.length >= LONG) this.pastes.set([...this.pastes.texts, text]);
    else this.field.value = own && own !== text.trim() ? `${text}\n\n${own}` : text;
    if (options) this.bar.setOptions(options);
    if (model) this.bar.setModel(model);
    this.pictures.put(images);
    this.drafts.keep();
    this.#show();
    this.field.focus();
  }

  /**
   * Say something above the field; nothing takes it away.
   *
   * @param {...(Node | null)} nodes
   */
  say(...nodes) {
    this.#problem.replaceChildren(...nodes.filter((node) => node !== null));
  }

  /**
   * Say that an earlier prompt is edited; an empty text ends that.
   *
   * @param {string} text
   */
  setMode(text) {
    const click = () => this.doing.leave();
    const cancel = button("Cancel", click);
    this.#mode.replaceChildren(...(text ? [element("span", {}, text), cancel] : []));
  }

  close() {
    this.drafts.close();
    this.bar.end();
    this.pictures.clear();
  }
}
