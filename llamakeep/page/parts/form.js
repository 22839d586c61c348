// @ts-check
/** Forms that send something, and show what the server says of it. */

import { Problem } from "../core/api.js";
import { button, element } from "../core/dom.js";
import { openDialog } from "./dialog.js";
import { problemBox } from "./problem.js";

/**
 * @template [Answer=unknown]
 * @typedef {object} Content
 * @property {(Node | null)[]} fields
 * @property {string} action What the button says.
 * @property {() => Answer | Promise<Answer>} send What it does; a `Problem` is shown in the form.
 * @property {boolean} [isBad] Whether it destroys something.
 * @property {boolean} [isMain] Whether it is the one main button of a view.
 */

/**
 * Return an input with its label.
 *
 * @param {string} label
 * @param {Node} input
 * @param {string} [hint]
 */
export function field(label, input, hint = "") {
  return element(
    "label",
    { class: "field" },
    element("span", {}, label),
    input,
    hint ? element("small", {}, hint) : null,
  );
}

/**
 * Return a checkbox or a radio button with its label.
 *
 * @param {string} label
 * @param {HTMLInputElement} input
 * @param {string} [hint]
 */
export function check(label, input, hint = "") {
  const small = hint ? element("small", {}, hint) : null;
  return element("label", { class: "check" }, input, element("span", {}, label, small));
}

/**
 * Return checkboxes, and what reads the values of those that are checked.
 *
 * @param {[string, string][]} options Values and what is shown for them.
 * @param {string[]} chosen
 */
export function boxes(options, chosen) {
  const inputs = options.map(([value]) =>
    element("input", { type: "checkbox", value, checked: chosen.includes(value) })
  );
  return {
    nodes: options.map(([, label], index) => check(label, inputs[index])),
    value: () => inputs.filter(({ checked }) => checked).map(({ value }) => value),
  };
}

/**
 * @param {string} label
 * @param {...(Node | null)} nodes
 */
export const group = (label, ...nodes) =>
  element("fieldset", { class: "group" }, element("legend", {}, label), ...nodes);

/**
 * Return a list to choose from.
 *
 * @param {[string, string][]} options Values and what is shown for them.
 * @param {string} [value]
 * @param {import("../core/dom.js").Attributes} [attributes]
 */
export function select(options, value = "", attributes = {}) {
  const node = element(
    "select",
    attributes,
    ...options.map(([value, label]) => element("option", { value }, label)),
  );
  node.value = value;
  return node;
}

/**
 * Return a field for a password that is chosen.
 *
 * @param {string} name
 */
export const newPassword = (name) =>
  element("input", {
    type: "password",
    name,
    autocomplete: "new-password",
    required: true,
    minlength: "8",
    maxlength: "1024",
  });

/** @param {Content} content */
export function form({ fields, action, send, isBad = false, isMain = false }) {
  const problem = element("div", {});
  const look = `${isMain || isBad ? "main" : "edge"}${isBad ? " bad" : ""}`;
  const button = element("button", { class: look }, action);
  const buttons = element("div", { class: "buttons" }, button);
  const node = element("form", { on: { submit } }, problem, ...fields, buttons);
  /** @param {Event} event */
  async function submit(event) {
    event.preventDefault();
    if (button.disabled) return;
    button.disabled = true;
    problem.replaceChildren();
    try {
      await send();
    } catch (error) {
      const waits = error instanceof Problem && error.retryAfter !== null;
      const retry = waits ? () => node.requestSubmit() : undefined;
      problem.replaceChildren(problemBox(error, { retry }));
      problem.scrollIntoView({ block: "nearest" });
    } finally {
      button.disabled = false;
    }
  }
  return { node, buttons };
}

/**
 * Show a form above the page; return what `send` returned, or `true` for nothing; `null` if the
 * form was not sent.
 *
 * @template Answer
 * @param {string} title
 * @param {Content<Answer>} content
 * @returns {Promise<Answer | null>}
 */
export function formDialog(title, content) {
  return new Promise((resolve) => {
    /** @type {any} */
    let answer = null;
    const send = async () => {
      answer = await content.send() ?? true;
      dialog.close();
    };
    const { node, buttons } = form({ ...content, send, isMain: true });
    const cancel = () => dialog.close();
    buttons.prepend(
      button("Cancel", cancel, { class: "edge" }),
    );
    const first = node.querySelector("input, select, textarea");
    first?.setAttribute("autofocus", "");
    const dialog = openDialog(title, [node], { onClose: () => resolve(answer) });
  });
}
