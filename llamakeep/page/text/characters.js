// @ts-check
/** Kinds of characters, as CommonMark tells them apart. */

export const TAB = 9;
export const NEWLINE = 10;
export const SPACE = 32;

const NOT_ASCII_WHITESPACE = /[\p{Zs}]/u;
const NOT_ASCII_PUNCTUATION = /[\p{P}\p{S}]/u;

/** @param {number} code */
export function isSpaceOrTab(code) {
  return code === SPACE || code === TAB;
}

/**
 * Whether a character of a text is whitespace; the text's ends count as such.
 *
 * @param {number | undefined} code
 */
export function isWhitespace(code) {
  if (code === undefined || code === SPACE || (code >= 9 && code <= 13)) return true;
  return code > 127 && NOT_ASCII_WHITESPACE.test(String.fromCodePoint(code));
}

/** @param {number} code */
export function isAsciiPunctuation(code) {
  return (code >= 33 && code <= 47) || (code >= 58 && code <= 64) || (code >= 91 && code <= 96) ||
    (code >= 123 && code <= 126);
}

/** @param {number | undefined} code */
export function isPunctuation(code) {
  if (code === undefined) return false;
  if (code < 128) return isAsciiPunctuation(code);
  return NOT_ASCII_PUNCTUATION.test(String.fromCodePoint(code));
}

/** @param {number} code */
export function isDigit(code) {
  return code >= 48 && code <= 57;
}

/** @param {number} code */
export function isLetter(code) {
  return (code >= 65 && code <= 90) || (code >= 97 && code <= 122);
}

/** @param {number} code */
export function isLetterOrDigit(code) {
  return isLetter(code) || isDigit(code);
}

/**
 * Return the code point that ends before a place, or `undefined` at the beginning.
 *
 * @param {string} text
 * @param {number} at
 */
export function codePointBefore(text, at) {
  const last = text.charCodeAt(at - 1);
  const isSecondHalf = last >= 0xdc00 && last <= 0xdfff && at > 1;
  const whole = isSecondHalf ? text.codePointAt(at - 2) : undefined;
  return whole !== undefined && whole > 0xffff ? whole : at > 0 ? last : undefined;
}

/**
 * Return where a run of one character ends.
 *
 * @param {string} text
 * @param {number} at
 */
export function endOfRun(text, at) {
  const code = text.charCodeAt(at);
  let end = at + 1;
  while (end < text.length && text.charCodeAt(end) === code) end++;
  return end;
}

/**
 * Take spaces and tabs from a line's ends, and no other whitespace.
 *
 * @param {string} line
 */
export function trimmed(line) {
  let [start, end] = [0, line.length];
  while (start < end && isSpaceOrTab(line.charCodeAt(start))) start++;
  while (end > start && isSpaceOrTab(line.charCodeAt(end - 1))) end--;
  return line.slice(start, end);
}
