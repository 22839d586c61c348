// @ts-check
/** Makes elements of blocks and of what they say: those of a short list, and no others. */

import { element, fragment } from "../core/dom.js";
import { Blocks } from "./blocks/blocks.js";
import { colourWhenNear } from "./code/code.js";
import { linesOf } from "./lines.js";
import { pieces } from "./pieces.js";

/** @typedef {import("./blocks/block.js").Block} Block */

/** The page and its turns have the headings above. */
const HEADINGS = /** @type {const} */ (["h3", "h4", "h5", "h6", "h6", "h6"]);
const TASK = /^\[([ xX])\]\s+(?=\S)/;

/**
 * Make elements of Markdown as models write it.
 *
 * @param {string} markdown
 * @returns {DocumentFragment}
 */
export function textNodes(markdown) {
  const blocks = new Blocks();
  for (const line of linesOf(markdown)) blocks.add(line);
  const made = fragment(...blocks.document.children.map(nodeOf));
  colourWhenNear(made);
  return made;
}

/**
 * Make the element of a block, with all that is in it.
 *
 * @param {Block} block
 * @returns {HTMLElement}
 */
export function nodeOf(block) {
  const node = emptyNodeOf(block);
  if (isContainer(block)) placeOf(node).append(...block.children.map(nodeOf));
  else placeOf(node).append(contentOf(block));
  return node;
}

/** @param {Block} block */
export function isContainer({ kind }) {
  return ["document", "quote", "list", "item", "table"].includes(kind);
}

/**
 * Make the element of a block without what may be added to it.
 *
 * @param {Block} block
 * @returns {HTMLElement}
 */
export function emptyNodeOf(block) {
  switch (block.kind) {
    case "quote":
      return element("blockquote");
    case "list":
      return block.isOrdered
        ? element("ol", listAttributes(block))
        : element("ul", listAttributes(block));
    case "item":
      return element("li");
    case "heading":
      return element(HEADINGS[block.level - 1], { dir: "auto" });
    case "rule":
      return element("hr");
    case "fence":
    case "indented":
      return emptyCode(block);
    case "table":
      return emptyTable(block);
    case "row":
      return element("tr");
    default:
      return element("p", { dir: "auto" });
  }
}

/**
 * Whether a list is loose is known when it ends: its paragraphs are the same either way.
 *
 * @param {Block} list
 */
export function listAttributes({ isLoose, isOrdered, level }) {
  return { class: isLoose ? "loose" : "tight", start: isOrdered && level !== 1 ? level : null };
}

/** @param {Block} block */
function emptyCode({ info }) {
  const language = info.split(/\s/, 1)[0];
  return element(
    "div",
    { class: "code", dir: "ltr" },
    element(
      "div",
      { class: "code-head" },
      element("span", language),
      element("button", { type: "button", class: "copy-code" }, "Copy"),
    ),
    element("pre", { tabindex: 0 }, element("code", { "data-language": language || null })),
  );
}

/** @param {Block} table */
function emptyTable({ cells, alignments }) {
  const head = cells.map((cell, column) =>
    element(
      "th",
      { scope: "col", ...cellAttributes(alignments[column]) },
      fragment(...pieces(cell)),
    )
  );
  return element(
    "div",
    { class: "table", tabindex: 0 },
    element("table", element("thead", element("tr", ...head)), element("tbody")),
  );
}

/** @param {string} alignment */
function cellAttributes(alignment) {
  return { dir: "auto", "data-align": alignment || null };
}

/**
 * Return the element in which a block's content is.
 *
 * @param {Element} node
 * @returns {Element}
 */
export function placeOf(node) {
  const inner = { code: "code", table: "tbody" }[node.getAttribute("class") ?? ""];
  return (inner === undefined ? null : node.querySelector(inner)) ?? node;
}

/**
 * Make what a block without other blocks says.
 *
 * @param {Block} block
 * @returns {DocumentFragment}
 */
export function contentOf(block) {
  switch (block.kind) {
    case "fence":
    case "indented":
      return fragment(block.text || null);
    case "row":
      return fragment(
        ...block.alignments.map((alignment, column) =>
          element("td", cellAttributes(alignment), ...pieces(block.cells[column] ?? ""))
        ),
      );
    case "paragraph":
      return block.isFirst ? taskOf(block.text.trim()) : fragment(...pieces(block.text));
    default:
      return fragment(...pieces(block.text));
  }
}

/** @param {string} text */
function taskOf(text) {
  const task = TASK.exec(text);
  if (task === null) return fragment(...pieces(text));
  const isDone = task[1] !== " ";
  const box = element("input", {
    type: "checkbox",
    disabled: true,
    checked: isDone,
    "aria-label": isDone ? "done" : "to do",
  });
  return fragment(box, " ", ...pieces(text.slice(task[0].length)));
}
