// @ts-check
/** Copying, also on plain HTTP, where browsers have no clipboard for pages. */

import { element } from "../core/dom.js";
import { notice } from "./announce.js";

/**
 * Copy a text, and say so.
 *
 * @param {string} text
 * @param {string} [what] What the notice calls it.
 */
export async function copy(text, what = "Copied") {
  const isCopied = await (navigator.clipboard?.writeText(text).then(() => true, () => false)) ||
    copySelected(text);
  if (isCopied) notice(what, { seconds: 2 });
  else {
    notice("The browser did not let it be copied. Select the text, and copy it by hand.", {
      isBad: true,
    });
  }
  return isCopied;
}

/** @param {string} text */
function copySelected(text) {
  const area =
    /** @type {HTMLTextAreaElement} */ (element("textarea", { class: "hidden", readonly: "" }));
  const focused = document.activeElement;
  area.value = text;
  (focused?.closest("dialog") ?? document.body).append(area);
  area.select();
  let isCopied = false;
  try {
    isCopied = document.execCommand("copy");
  } catch {
    // It is said below that it was not.
  }
  area.remove();
  if (focused instanceof HTMLElement) focused.focus();
  return isCopied;
}
