// @ts-check
/** Where links lead: `(address "title")`. */

import { isAsciiPunctuation, isSpaceOrTab, NEWLINE } from "../characters.js";
import { unescaped } from "../entities.js";

/** @typedef {{ href: string, title: string, end: number }} Target */

const OPEN = "(".charCodeAt(0);
const CLOSE = ")".charCodeAt(0);
const BACKSLASH = "\\".charCodeAt(0);
const DEEPEST_PARENTHESES = 32;

/** How a safe address may begin, also with signs that are escaped; others are not looked at. */
const BEGINS_SAFE = /[hm<&\\]/i;

/**
 * Whether a link may lead there: nowhere but to the web and to a mail program.
 *
 * @param {string} href
 */
export function isSafe(href) {
  return /^(?:https?:\/\/|mailto:)[^\s]/i.test(href);
}

/**
 * Read `(address "title")`.
 *
 * @param {string} text
 * @param {number} at
 * @returns {Target | null} `null` also where the page makes no such links
 */
export function targetAt(text, at) {
  if (text[at] !== "(") return null;
  const start = skipWhitespace(text, at + 1);
  if (!BEGINS_SAFE.test(text[start] ?? "")) return null;
  const end = text[start] === "<" ? endOfPointed(text, start) : endOfAddress(text, start);
  if (end <= start) return null;
  const isPointed = text[start] === "<";
  const href = unescaped(isPointed ? text.slice(start + 1, end - 1) : text.slice(start, end));
  if (!isSafe(href)) return null;
  const after = skipWhitespace(text, end);
  const titleEnd = after > end ? endOfTitle(text, after) : after;
  const title = titleEnd > after ? unescaped(text.slice(after + 1, titleEnd - 1)) : "";
  const close = skipWhitespace(text, titleEnd);
  return text[close] === ")" ? { href, title, end: close + 1 } : null;
}

/**
 * @param {string} text
 * @param {number} at
 */
function skipWhitespace(text, at) {
  let end = at;
  for (let code; isSpaceOrTab(code = text.charCodeAt(end)) || code === NEWLINE;) end++;
  return end;
}

/**
 * Return where `<address>` ends, or -1.
 *
 * @param {string} text
 * @param {number} at
 */
function endOfPointed(text, at) {
  for (let end = at + 1; end < text.length; end++) {
    if (text[end] === ">") return end + 1;
    if (text[end] === "<" || text[end] === "\n") return -1;
    if (isEscaped(text, end)) end++;
  }
  return -1;
}

/**
 * Return where an address without `<` ends; parentheses in it are balanced.
 *
 * @param {string} text
 * @param {number} at
 */
function endOfAddress(text, at) {
  let depth = 0;
  let end = at;
  for (; end < text.length; end++) {
    const code = text.charCodeAt(end);
    if (code <= 32 || code === 127) break;
    if (code === OPEN && ++depth > DEEPEST_PARENTHESES) return -1;
    if (code === CLOSE && --depth < 0) break;
    if (code === BACKSLASH && isEscaped(text, end)) end++;
  }
  return depth > 0 ? -1 : end;
}

/**
 * Return where a title ends, or where it would begin if there is none.
 *
 * @param {string} text
 * @param {number} at
 */
function endOfTitle(text, at) {
  const close = { '"': '"', "'": "'", "(": ")" }[text[at]];
  if (close === undefined) return at;
  for (let end = at + 1; end < text.length; end++) {
    if (text[end] === close) return end + 1;
    if (text[end] === "(" && close === ")") return at;
    if (isEscaped(text, end)) end++;
  }
  return at;
}

/**
 * @param {string} text
 * @param {number} at
 */
function isEscaped(text, at) {
  return text[at] === "\\" && isAsciiPunctuation(text.charCodeAt(at + 1));
}
