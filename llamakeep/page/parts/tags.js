// @ts-check
/** Tags, as people write them: one a line, `project` or `project: llamas`. */

import { element } from "../core/dom.js";
import { openDialog } from "./dialog.js";

/** @typedef {Record<string, string>} Tags */

/** @param {Tags} tags */
export const writtenTags = (tags) =>
  Object.entries(tags).map(([key, value]) => (value ? `${key}: ${value}` : key)).join("\n");

/**
 * @param {string} text
 * @returns {Tags}
 */
export function readTags(text) {
  const lines = text.split("\n").map((line) => line.trim()).filter(Boolean);
  return Object.fromEntries(lines.map((line) => {
    const colon = line.indexOf(": ");
    return colon < 0 ? [line, ""] : [line.slice(0, colon), line.slice(colon + 2).trim()];
  }));
}

/**
 * Let the user change tags; return them, or `null` if they are to stay.
 *
 * @param {Tags} tags
 * @returns {Promise<Tags | null>}
 */
export function askTags(tags) {
  return new Promise((resolve) => {
    /** @type {Tags | null} */
    let answer = null;
    const area = element("textarea", { rows: "5", autofocus: true, dir: "auto" });
    area.value = writtenTags(tags);
    /** @param {Event} event */
    const submit = (event) => {
      event.preventDefault();
      answer = readTags(area.value);
      dialog.close();
    };
    const form = element(
      "form",
      { on: { submit } },
      element(
        "label",
        { class: "field" },
        element("span", {}, "Up to 16, one a line: project, or project: llamas"),
        area,
      ),
      element("div", { class: "buttons" }, element("button", { class: "main" }, "Keep these")),
    );
    const dialog = openDialog("Tags", [form], { onClose: () => resolve(answer) });
    area.focus();
  });
}
