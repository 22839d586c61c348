// @ts-check
/** A prompt as a turn shows it. */

import { address } from "../../core/api.js";
import { button, element } from "../../core/dom.js";

/** @typedef {import("../conversation/branches.js").Run} Run */

/** Characters from which on a prompt is folded. */
const LONG = 1500;
const LINES = 20;
/** Characters of a piece: those far from the screen are not laid out. */
const PIECE = 4000;

/**
 * Return the text of a prompt, folded if it is long; the browser's search finds all of it.
 *
 * @param {string} text
 */
export function promptText(text) {
  const node = element("div", { class: "said", dir: "auto" });
  if (text.length <= PIECE) node.append(text);
  else node.append(...inPieces(text).map((piece) => element("div", { class: "piece" }, piece)));
  if (text.length <= LONG && text.split("\n", LINES + 1).length <= LINES) return node;
  node.classList.add("folded");
  const unfold = button("Show all", toggle, { class: "unfold", "aria-expanded": "false" });
  function toggle() {
    const isFolded = node.classList.toggle("folded");
    unfold.textContent = isFolded ? "Show all" : "Show less";
    unfold.setAttribute("aria-expanded", String(!isFolded));
  }
  return element("div", {}, node, unfold);
}

/**
 * Cut a text at ends of lines, or anywhere where there are none; no character is lost.
 *
 * @param {string} text
 */
export function inPieces(text) {
  const pieces = [];
  for (let start = 0; start < text.length;) {
    let end = Math.min(text.length, start + PIECE);
    const line = text.lastIndexOf("\n", end - 1);
    if (end < text.length && line >= start) end = line + 1;
    else if (end < text.length && /[\uD800-\uDBFF]/.test(text[end - 1])) end++;
    pieces.push(text.slice(start, end));
    start = end;
  }
  return pieces;
}

/**
 * Return what a run has of the pictures of its prompt.
 *
 * @param {Run} run
 * @returns {any[]}
 */
export const picturesOf = (run) =>
  (run.last_message?.parts ?? []).filter((/** @type {any} */ { type }) => type === "image");

/**
 * Return the pictures of a run's prompt, from this server alone.
 *
 * @param {Run} run
 */
export function promptPictures(run) {
  const parts = picturesOf(run);
  if (parts.length === 0) return null;
  return element("div", { class: "pictures" }, ...parts.map(picture));
}

/** @param {any} part */
function picture({ sha256, link, url, media_type }) {
  if (!sha256) {
    return element(
      "a",
      { href: url, target: "_blank", rel: "noopener noreferrer" },
      `Picture at ${url}`,
    );
  }
  const src = address(String(link).replace(/^.*?(?=history\/)/, ""));
  const alt = `A picture of the prompt (${media_type ?? "image"})`;
  return element(
    "a",
    { href: src, target: "_blank" },
    element("img", { src, alt, loading: "lazy" }),
  );
}
