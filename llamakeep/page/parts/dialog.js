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
