// @ts-check
/** Addresses that are links by themselves: those in `<…>`, and bare ones. */

import { isLetterOrDigit, isWhitespace } from "../characters.js";
import { isSafe } from "./links.js";

/** @typedef {{ href: string, text: string, start: number, end: number }} Address */

const AUTOLINK = /<([a-zA-Z][a-zA-Z\d+.-]{1,31}:[^\s<>]*)>/y;
const EMAIL = new RegExp(
  "<([a-zA-Z\\d.!#$%&'*+/=?^_`{|}~-]+@LABEL(?:\\.LABEL)*)>"
    .replaceAll("LABEL", "[a-zA-Z\\d](?:[a-zA-Z\\d-]{0,61}[a-zA-Z\\d])?"),
  "y",
);

/** What ends a bare address, besides whitespace; among it punctuation of Chinese and Japanese. */
const ENDS = new Set('<>`"“”«»|。，、；：？！（）「」『』【】《》');
const TRAILING = new Set("?!.,:;*_~'");

/**
 * Read `<https://…>` or `<name@example.com>`.
 *
 * @param {string} text
 * @param {number} at
 * @returns {Address | null}
 */
export function autolinkAt(text, at) {
  for (const pattern of [AUTOLINK, EMAIL]) {
    pattern.lastIndex = at;
    const found = pattern.exec(text);
    if (found === null) continue;
    const href = pattern === EMAIL ? `mailto:${found[1]}` : found[1];
    return isSafe(href) ? { href, text: found[1], start: at, end: at + found[0].length } : null;
  }
  return null;
}

/**
 * Read a bare address: `https://…` at its colon, `www.…` at its beginning.
 *
 * @param {string} text
 * @param {number} at
 * @param {number} from where its scheme begins at the earliest
 * @param {boolean} isInBrackets
 * @returns {Address | null}
 */
export function bareAddressAt(text, at, from, isInBrackets) {
  const isWww = text[at] !== ":";
  const start = isWww ? startOfWww(text, at) : startOfScheme(text, at, from);
  if (start < 0) return null;
  const end = endOfBare(text, start, isInBrackets);
  const address = text.slice(start, end);
  return end > at + 3
    ? { href: (isWww ? "http://" : "") + address, text: address, start, end }
    : null;
}

/**
 * Return where a bare address ends: the full stop of a sentence is none of it.
 *
 * @param {string} text
 * @param {number} start
 * @param {boolean} isInBrackets
 */
function endOfBare(text, start, isInBrackets) {
  let end = start;
  let depth = 0;
  for (; end < text.length; end++) {
    const sign = text[end];
    if (isWhitespace(text.charCodeAt(end)) || ENDS.has(sign)) break;
    if (sign === "]" && isInBrackets) break;
    if (sign === "(") depth++;
    if (sign === ")") depth--;
  }
  while (end > start) {
    const sign = text[end - 1];
    if (sign === ")" && depth < 0) depth++;
    else if (sign === "(") depth--;
    else if (!TRAILING.has(sign)) break;
    end--;
  }
  return end;
}

/**
 * Return where the scheme of a bare address begins, if one stands before `://`.
 *
 * @param {string} text
 * @param {number} colon
 * @param {number} from
 * @returns {number} -1 if none does
 */
function startOfScheme(text, colon, from) {
  if (!text.startsWith("//", colon + 1)) return -1;
  for (const scheme of ["https", "http"]) {
    const start = colon - scheme.length;
    if (start >= from && text.slice(start, colon).toLowerCase() === scheme) {
      const isWhole = start === 0 || !isLetterOrDigit(text.charCodeAt(start - 1));
      return isWhole && isHost(text.charCodeAt(colon + 3)) ? start : -1;
    }
  }
  return -1;
}

/** @param {number} code */
function isHost(code) {
  return isLetterOrDigit(code) || code > 127 || code === 91;
}

/**
 * @param {string} text
 * @param {number} at
 */
function startOfWww(text, at) {
  if (text[at + 3] !== "." || text.slice(at, at + 3).toLowerCase() !== "www") return -1;
  const isWhole = at === 0 || !/[a-zA-Z\d/.@-]/.test(text[at - 1]);
  return isWhole && isLetterOrDigit(text.charCodeAt(at + 4)) ? at : -1;
}
