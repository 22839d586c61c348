// @ts-check
/** What the end of a text that is being written is shown as, so that nothing flickers. */

import { Scanner } from "./inline/inline.js";
import { isSafe } from "./inline/links.js";

/** What stands before the text of a line that is in quotes and lists. */
const AROUND = /(?:\s|>|[-+*]\s|\d{1,9}[.)]\s)*/.source;
/** Signs after it: until more follows, they may become one thing or another. */
const SIGNS = /(?:#{1,6}\s*|[-*_\s]*|=+\s*|[`~]*|\+|\d{1,9}[.)]?|[-|:\s]*|\[[ xX]?\]?\s*)$/.source;
const UNDECIDED = new RegExp(`^${AROUND}${SIGNS}`);
const FENCE = new RegExp(`^${AROUND}(?:\`{3,}|~{3,})[^\`]*$`);
const HEADER = new RegExp(`^${AROUND}\\|.*[^-|:\\s]`);

/** Longer lines of signs are shown as they are. */
const LONGEST = 200;
/** How far what one, two or three signs open may reach before it is taken for text. */
const REACH = 150;

/**
 * Whether a line that has not ended yet may still become anything.
 *
 * @param {string} line
 */
export function isUndecided(line) {
  return line.length < LONGEST && (UNDECIDED.test(line) || FENCE.test(line));
}

/**
 * Whether a line is the first of a table, if the next one says so.
 *
 * @param {string} line
 */
export function mayBeHeader(line) {
  return line.length < LONGEST && HEADER.test(line);
}

/**
 * End what is open at the end of a paragraph: emphasis, code and the address of a link.
 *
 * @param {string} text
 * @returns {string}
 */
export function completed(text) {
  const shown = withAddress(text).replace(/[*_~`[\s]{1,9}$/, "");
  const { openCode, openRuns } = scanned(shown);
  if (openCode !== null && shown.length - openCode.start < 2 * REACH) {
    const before = scanned(shown.slice(0, openCode.start));
    return shown + "`".repeat(openCode.length) + closing(before.openRuns, shown.length);
  }
  return shown + closing(openRuns, shown.length);
}

/** @param {string} text */
function scanned(text) {
  const scanner = new Scanner(text);
  scanner.tokens();
  return scanner;
}

/**
 * @param {import("./inline/emphasis.js").Run[]} runs
 * @param {number} end
 */
function closing(runs, end) {
  const near = runs.filter(({ start, left }) => end - start < left * REACH);
  return near.map(({ sign, left }) => sign.repeat(left)).reverse().join("");
}

/**
 * Close `[text](https://…`, or leave its address out as long as it says nothing.
 *
 * @param {string} text
 */
function withAddress(text) {
  const start = text.lastIndexOf("](");
  const address = text.slice(start + 2);
  if (start < 0 || /[()\s]/.test(address)) return text;
  return isSafe(address) ? `${text})` : text.slice(0, start + 1);
}
