// @ts-check
/** Dialogs above the page. */

import { button, element } from "../core/dom.js";

/**
 * Open a dialog; return it with what closes it.
 *
 * @param {string} title
 * @param {(Node | string | null)[]} content
 * @param {{class?: string, onClose?: () => void, isLocked?: boolean}} [how]
 *   A locked one is not closed by Esc.
 */
export function openDialog(title, content, how = {}) {
  const head = element("h2", { id: `dialog-${Date.now()}`, tabindex: "-1" }, title);
  const cross = how.isLocked ? null : button("×", close, { "aria-label": "Close" });
  const node = /** @type {HTMLDialogElement} */ (element(
    "dialog",
    { class: how.class ?? "", "aria-labelledby": head.id },
    element("header", {}, head, cross),
    ...content,
  ));
  function close() {
    node.close();
  }
  node.addEventListener("cancel", (event) => {
    if (how.isLocked) event.preventDefault();
  });
  node.addEventListener("close", () => {
    node.remove();
    how.onClose?.();
  });
  node.addEventListener("click", (event) => {
    if (event.target === node && !how.isLocked) close();
  });
  document.body.append(node);
  node.showModal();
  if (!node.querySelector("[autofocus]")) head.focus();
  return { node, close };
}

/**
 * Ask for a line of text; return it, or `null` if there is to be none.
 *
 * @param {{title: string, label: string, value?: string, action: string}} question
 * @returns {Promise<string | null>}
 */
export function asked({ title, label, value = "", action }) {
  return new Promise((resolve) => {
    /** @type {string | null} */
    let answer = null;
    const input =
      /** @type {HTMLInputElement} */ (element("input", { autofocus: "", autocomplete: "off" }));
    input.value = value;
    const form = element(
      "form",
      { on: { submit } },
      element("label", { class: "field" }, element("span", {}, label), input),
      element("div", { class: "buttons" }, element("button", { class: "main" }, action)),
    );
    /** @param {Event} event */
    function submit(event) {
      event.preventDefault();
      answer = input.value;
      dialog.close();
    }
    const dialog = openDialog(title, [form], { onClose: () => resolve(answer) });
    input.select();
  });
}
