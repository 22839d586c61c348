// @ts-check
/** What a line may begin: for each block, how its first line looks. */

import { endOfRun, isDigit, isSpaceOrTab, trimmed } from "../characters.js";
import { unescaped } from "../entities.js";

/** @typedef {import("./cursor.js").Cursor} Cursor */
/** @typedef {import("./block.js").Block} Block */
/** @typedef {Partial<Block> & { kind: Block["kind"] }} Start */

const LONGEST_NUMBER = 9;

/**
 * @param {Cursor} cursor
 * @returns {Start | null}
 */
export function quoteAt(cursor) {
  if (cursor.text[cursor.next] !== ">") return null;
  cursor.skipSpace();
  cursor.skip(1);
  cursor.skipColumns(1);
  return { kind: "quote" };
}

/**
 * @param {Cursor} cursor
 * @returns {Start | null}
 */
export function headingAt({ text, next }) {
  const end = endOfRun(text, next);
  const level = end - next;
  if (level > 6 || (end < text.length && !isSpaceOrTab(text.charCodeAt(end)))) return null;
  const line = trimmed(text.slice(end));
  let close = line.length;
  while (line[close - 1] === "#") close--;
  const isClosed = close === 0 || isSpaceOrTab(line.charCodeAt(close - 1));
  return { kind: "heading", level, text: isClosed ? trimmed(line.slice(0, close)) : line };
}

/**
 * @param {Cursor} cursor
 * @returns {Start | null}
 */
export function fenceAt({ text, next, indent }) {
  const end = endOfRun(text, next);
  const sign = text[next];
  if (end - next < 3 || (sign === "`" && text.includes("`", end))) return null;
  return {
    kind: "fence",
    sign,
    width: end - next,
    indent,
    info: unescaped(trimmed(text.slice(end))),
  };
}

/**
 * @param {Cursor} cursor
 * @param {Block} fence
 */
export function closesFence({ text, next, indent }, fence) {
  if (indent > 3 || text[next] !== fence.sign) return false;
  const end = endOfRun(text, next);
  return end - next >= fence.width && trimmed(text.slice(end)) === "";
}

/**
 * The line below a heading: 1 for `=`, 2 for `-`, 0 if it is none.
 *
 * @param {Cursor} cursor
 */
export function underlineAt({ text, next }) {
  const isWhole = trimmed(text.slice(endOfRun(text, next))) === "";
  return isWhole ? { "=": 1, "-": 2 }[text[next]] ?? 0 : 0;
}

/**
 * @param {Cursor} cursor
 * @returns {Start | null}
 */
export function ruleAt({ text, next }) {
  const sign = text.charCodeAt(next);
  let count = 0;
  for (let at = next; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === sign) count++;
    else if (!isSpaceOrTab(code)) return null;
  }
  return count < 3 ? null : { kind: "rule" };
}

/**
 * @param {Cursor} cursor
 * @param {boolean} isInParagraph whether the line would end a paragraph
 * @returns {Start | null}
 */
export function itemAt(cursor, isInParagraph) {
  const { text, next, indent } = cursor;
  const end = endOfMarker(text, next);
  if (end < 0 || (end < text.length && !isSpaceOrTab(text.charCodeAt(end)))) return null;
  const isEmpty = trimmed(text.slice(end)) === "";
  const number = isDigit(text.charCodeAt(next)) ? Number(text.slice(next, end - 1)) : null;
  if (isInParagraph && (isEmpty || (number !== null && number !== 1))) return null;
  cursor.skipSpace();
  cursor.skip(end - next);
  const isFar = isEmpty || cursor.indent > 4;
  const space = isFar ? 1 : cursor.indent;
  cursor.skipColumns(space);
  const isOrdered = number !== null;
  return {
    kind: "item",
    sign: text[end - 1],
    level: number ?? 0,
    isOrdered,
    indent: indent + end - next + space,
  };
}

/**
 * Return where a bullet or number ends, or -1.
 *
 * @param {string} text
 * @param {number} at
 */
function endOfMarker(text, at) {
  if ("-+*".includes(text[at])) return at + 1;
  let end = at;
  while (end - at < LONGEST_NUMBER && isDigit(text.charCodeAt(end))) end++;
  return end > at && (text[end] === "." || text[end] === ")") ? end + 1 : -1;
}
