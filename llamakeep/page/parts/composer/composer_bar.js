// @ts-check
/** What stands below the field: which model answers and how, and the buttons. */

import { button, element } from "../../core/dom.js";
import { modelOf, preferModel, preferredModel, shortName } from "../../core/models.js";
import { state } from "../../core/state.js";
import { openMenu } from "../menu.js";
import { askOptions, countOf } from "./options.js";

/**
 * @typedef {object} Doing
 * @property {() => void} send
 * @property {() => void} stop
 * @property {() => void} pick Take pictures from this computer.
 * @property {() => void} changed The model or the options are others.
 */

/** The bar of a composer. */
export class ComposerBar {
  /** @type {Record<string, any>} */
  #options = {};
  #model = "";
  #isWriting = false;
  #isEmpty = true;

  /** @param {Doing} doing */
  constructor(doing) {
    this.doing = doing;
    const menu = { "aria-haspopup": "menu", class: "model" };
    this.modelButton = button("", () => this.#chooseModel(), menu);
    this.optionsButton = button("Options", () => this.#askOptions());
    this.pictureButton = button("Picture", () => doing.pick());
    this.sendButton = button("Send", () => doing.send(), { class: "main" });
    this.stopButton = button("Stop", () => doing.stop(), { class: "main" });
    this.node = element(
      "div",
      { class: "bar" },
      this.modelButton,
      this.optionsButton,
      this.pictureButton,
      element("span", { class: "gap" }),
      this.sendButton,
      this.stopButton,
    );
    this.end = state.models.watch(() => this.#show());
  }

  get model() {
    return this.#model || preferredModel();
  }

  get options() {
    return this.#options;
  }

  /** @param {Record<string, any>} options */
  setOptions(options) {
    this.#options = options;
    this.#show();
  }

  /** @param {string} model Empty for the one that the user took last. */
  setModel(model) {
    this.#model = model && modelOf(model) ? model : "";
    this.#show();
  }

  /** @param {{isWriting?: boolean, isEmpty?: boolean}} facts */
  show({ isWriting = this.#isWriting, isEmpty = this.#isEmpty }) {
    [this.#isWriting, this.#isEmpty] = [isWriting, isEmpty];
    this.#show();
  }

  #show() {
    const { model } = this;
    const many = (state.models.value?.length ?? 0) > 1;
    const count = countOf(this.#options);
    this.modelButton.textContent = `${model ? shortName(model) : "Model"}${many ? " ▾" : ""}`;
    this.modelButton.title = model;
    this.optionsButton.textContent = count ? `Options (${count})` : "Options";
    this.pictureButton.hidden = modelOf(model)?.capabilities.images === false;
    this.stopButton.hidden = !this.#isWriting;
    this.sendButton.hidden = this.#isWriting && this.#isEmpty;
    this.sendButton.setAttribute("aria-disabled", String(this.#isEmpty));
  }

  #chooseModel() {
    const items = (state.models.value ?? []).map(({ model, capabilities }) => {
      const can = [
        capabilities.images && "pictures",
        capabilities.reasoning && "reasoning",
        capabilities.tools && "tools",
      ];
      const run = () => {
        preferModel(model);
        this.setModel(model);
        this.doing.changed();
      };
      const note = can.filter(Boolean).join(", ");
      return { label: model, note, isChecked: model === this.model, run };
    });
    if (items.length) openMenu(this.modelButton, items);
  }

  async #askOptions() {
    const options = await askOptions(this.model, this.#options);
    if (options === null) return;
    this.setOptions(options);
    this.doing.changed();
  }
}
