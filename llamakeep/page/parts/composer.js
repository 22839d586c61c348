// @ts-check
/** Where prompts are typed. */

import { element } from "../core/dom.js";
import { isComposing } from "../core/keys.js";
import { keep, kept, listen, looks, newKey } from "../core/local.js";
import { modelOf, preferModel, preferredModel, shortName } from "../core/models.js";
import { state } from "../core/state.js";
import { notice } from "./announce.js";
import { openMenu } from "./menu.js";
import { askOptions, countOf } from "./options.js";
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

const PAUSE = 150;

/** A field for prompts whose text is kept as it is typed. */
export class Composer {
  #draft = "draft:";
  #key = newKey();
  /** @type {Record<string, any>} */
  #options = {};
  #model = "";
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #isWriting = false;
  /** @type {(() => void)[]} */
  #ends = [];

  /** @param {Doing} doing */
  constructor(doing) {
    this.doing = doing;
    this.field = element("textarea", {
      rows: "2",
      "aria-label": "Prompt",
      dir: "auto",
      enterkeyhint: isCoarse() ? "enter" : "send",
      placeholder: isCoarse()
        ? "Ask anything"
        : "Ask anything. Enter sends, Shift+Enter makes a new line.",
      on: {
        input: () => this.#typed(),
        keydown: (event) => this.#key_(event),
        blur: () => this.#save(),
      },
    });
    this.pictures = new Pictures(this.field, () => this.#show());
    this.pastes = new Pastes(this.field, () => this.#typed());
    this.#modelButton = this.#button("", () => this.#chooseModel(), {
      "aria-haspopup": "menu",
      class: "model",
    });
    this.#optionsButton = this.#button("Options", () => this.#askOptions());
    this.#pictureButton = this.#button("Picture", () => this.pictures.pick());
    this.#stopButton = this.#button("Stop", () => this.doing.stop(), { class: "main" });
    this.#sendButton = this.#button("Send", () => this.send(), { class: "main" });
    this.node = this.#layout();
    this.#ends.push(
      state.models.watch(() => this.#show()),
      listen((told) => this.#heard(told)),
    );
    addEventListener("pagehide", this.#saveNow);
    this.#ends.push(() => removeEventListener("pagehide", this.#saveNow));
  }

  #modelButton;
  #optionsButton;
  #pictureButton;
  #stopButton;
  #sendButton;
  #problem = element("div", {});
  #mode = element("div", { class: "mode" });
  #saveNow = () => this.#save();

  #layout() {
    const bar = element(
      "div",
      { class: "bar" },
      this.#modelButton,
      this.#optionsButton,
      this.#pictureButton,
      element("span", { class: "gap" }),
      this.#sendButton,
      this.#stopButton,
    );
    const box = element(
      "div",
      { class: "box", on: { click: (/** @type {MouseEvent} */ event) => this.#clicked(event) } },
      this.#mode,
      this.pictures.node,
      this.pastes.node,
      this.field,
      bar,
    );
    return element("section", { class: "composer", "aria-label": "Ask" }, this.#problem, box);
  }

  /**
   * @param {string} label
   * @param {() => void} click
   * @param {Record<string, string>} [more]
   */
  #button(label, click, more = {}) {
    return element("button", { type: "button", ...more, on: { click } }, label);
  }

  /** @param {MouseEvent} event */
  #clicked(event) {
    if (event.target === event.currentTarget) this.field.focus();
  }

  get text() {
    return this.field.value;
  }

  get isEmpty() {
    return this.text.trim() === "" && this.pastes.texts.length === 0 && this.pictures.isEmpty;
  }

  get model() {
    return this.#model || preferredModel();
  }

  get options() {
    return this.#options;
  }

  /**
   * Take up the draft of a conversation.
   *
   * @param {string} conversation Empty for a new one.
   * @param {string} [model] Which model is asked unless the user says otherwise.
   */
  open(conversation, model = "") {
    this.#save();
    this.#draft = `draft:${conversation}`;
    this.#model = model && modelOf(model) ? model : "";
    this.#takeUp(kept(this.#draft));
  }

  /** @param {import("../core/local.js").Draft | null} draft */
  #takeUp(draft) {
    this.field.value = draft?.text ?? "";
    this.pastes.set(draft?.pasted ?? []);
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#key = draft?.key ?? newKey();
    this.#options = draft?.options ?? {};
    this.#grow();
    this.#show();
  }

  /** @param {import("../core/local.js").Told} told */
  #heard({ what, name }) {
    if (what !== "draft" || name !== this.#draft || this.#timer) return;
    if (document.activeElement !== this.field || !document.hasFocus()) {
      this.#takeUp(kept(this.#draft));
    }
  }

  #typed() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#save(), PAUSE);
    this.#grow();
    this.#show();
  }

  #save() {
    clearTimeout(this.#timer);
    const wasTyped = this.#timer !== undefined;
    this.#timer = undefined;
    if (wasTyped) this.#keep();
  }

  #keep() {
    const { text } = this;
    const pasted = this.pastes.texts;
    const isNothing = text === "" && pasted.length === 0 && countOf(this.#options) === 0;
    const draft = { text, pasted, key: this.#key, options: this.#options };
    if (!keep(this.#draft, isNothing ? null : draft)) {
      notice("This text is too long for the browser to keep: it stays as long as this page.", {
        isBad: true,
      });
    }
  }

  #grow() {
    if (CSS.supports("field-sizing", "content")) return;
    this.field.style.height = "auto";
    this.field.style.height = `${this.field.scrollHeight}px`;
  }

  /** @param {KeyboardEvent} event */
  #key_(event) {
    if (isComposing(event)) return;
    if (event.key === "ArrowUp" && this.text === "") {
      event.preventDefault();
      this.doing.editLast();
      return;
    }
    if (event.key !== "Enter" || event.shiftKey || event.altKey) return;
    const always = event.ctrlKey || event.metaKey;
    const sends = looks().enter ? looks().enter === "send" : !isCoarse();
    if (!always && !sends) return;
    event.preventDefault();
    this.send();
  }

  /** Hand over what was typed, and empty the field. */
  send() {
    if (this.isEmpty || this.pictures.isReading) return;
    const { model } = this;
    const text = [this.text, ...this.pastes.texts].filter((one) => one.trim()).join("\n\n");
    const refusal = this.pictures.refusal(model);
    if (refusal) {
      this.say(element("div", { class: "note bad", role: "alert" }, refusal));
      return;
    }
    const sent = {
      key: this.#key,
      text,
      images: this.pictures.urls,
      model,
      options: this.#options,
    };
    this.field.value = "";
    this.pastes.set([]);
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#key = newKey();
    const { metadata: _, ...lasting } = this.#options;
    this.#options = lasting;
    this.pictures.clear();
    this.say();
    this.doing.send(sent);
    this.#keep();
    this.#grow();
    this.#show();
  }

  /**
   * Put a text into the field, as for a prompt that was refused or is edited.
   *
   * @param {string} text
   * @param {{options?: Record<string, any>, images?: string[], model?: string}} [more]
   */
  put(text, { options, images = [], model } = {}) {
    const own = this.text.trim();
    if (text.length >= LONG) this.pastes.set([...this.pastes.texts, text]);
    else this.field.value = own && own !== text.trim() ? `${text}\n\n${own}` : text;
    if (options) this.#options = options;
    if (model) this.#model = model;
    this.pictures.put(images);
    this.#keep();
    this.#grow();
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
    const cancel = () => this.doing.leave();
    this.#mode.replaceChildren(
      ...(text ? [element("span", {}, text), this.#button("Cancel", cancel)] : []),
    );
  }

  /**
   * Say whether an answer is being written here, which can be stopped.
   *
   * @param {boolean} isWriting
   */
  setWriting(isWriting) {
    this.#isWriting = isWriting;
    this.#show();
  }

  #show() {
    const { model } = this;
    const many = (state.models.value?.length ?? 0) > 1;
    this.#modelButton.textContent = `${model ? shortName(model) : "Model"}${many ? " ▾" : ""}`;
    this.#modelButton.title = model;
    const count = countOf(this.#options);
    this.#optionsButton.textContent = count ? `Options (${count})` : "Options";
    this.#pictureButton.hidden = modelOf(model)?.capabilities.images === false;
    this.#stopButton.hidden = !this.#isWriting;
    this.#sendButton.hidden = this.#isWriting && this.isEmpty;
    this.#sendButton.setAttribute("aria-disabled", String(this.isEmpty));
  }

  #chooseModel() {
    const items = (state.models.value ?? []).map(({ model, capabilities }) => ({
      label: model,
      note: [
        capabilities.images && "pictures",
        capabilities.reasoning && "reasoning",
        capabilities.tools && "tools",
      ]
        .filter(Boolean).join(", "),
      isChecked: model === this.model,
      run: () => this.#setModel(model),
    }));
    if (items.length) openMenu(this.#modelButton, items);
  }

  /** @param {string} model */
  #setModel(model) {
    this.#model = model;
    preferModel(model);
    this.#show();
  }

  async #askOptions() {
    const options = await askOptions(this.model, this.#options);
    if (options === null) return;
    this.#options = options;
    this.#keep();
    this.#show();
  }

  close() {
    this.#save();
    this.pictures.clear();
    for (const end of this.#ends) end();
  }
}

/** Whether one types with a finger: then Enter is a new line. */
export const isCoarse = () => matchMedia("(pointer: coarse)").matches;
