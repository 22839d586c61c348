// @ts-check
/** Makes elements of what a paragraph says. */

import { element } from "../core/dom.js";
import { inline } from "./inline/inline.js";

/** @typedef {import("./inline/tree.js").Piece} Piece */

/**
 * @param {string} text
 * @returns {(Node | string)[]}
 */
export function pieces(text) {
  return inline(text.trim()).map(pieceNode);
}

/**
 * @param {Piece} piece
 * @returns {Node | string}
 */
function pieceNode(piece) {
  if (typeof piece === "string") return piece;
  switch (piece.kind) {
    case "break":
      return element("br");
    case "code":
      return element("code", { dir: "ltr" }, piece.text);
    case "link":
      return linkNode(piece.href, piece.title, piece.children);
    default:
      return element(piece.kind, ...piece.children.map(pieceNode));
  }
}

/**
 * @param {string} href
 * @param {string} title
 * @param {Piece[]} children
 */
function linkNode(href, title, children) {
  const shown = children.length > 0 ? children.map(pieceNode) : [href];
  const attributes = { href, title: title || null, target: "_blank", rel: "noopener noreferrer" };
  return element("a", attributes, ...shown);
}
