// @ts-check
/** Tags, as people write them: one a line, `project` or `project: llamas`. */

import { element } from "../../core/dom.js";
import { field, formDialog } from "../form.js";

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
  const area = element("textarea", { rows: "5", dir: "auto" });
  area.value = writtenTags(tags);
  return formDialog("Tags", {
    fields: [field("Up to 16, one a line: project, or project: llamas", area)],
    action: "Keep these",
    send: () => readTags(area.value),
  });
}
