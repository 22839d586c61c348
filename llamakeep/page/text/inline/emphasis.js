// @ts-check
/** Which runs of `*`, `_` and `~` open and close emphasis: CommonMark's rules. */

import { codePointBefore, isPunctuation, isWhitespace } from "../characters.js";

/** @typedef {"em" | "strong" | "del"} Emphasis */
/**
 * @typedef {object} Run
 * @property {"run"} kind
 * @property {string} sign
 * @property {number} start
 * @property {number} length
 * @property {number} left how many of the signs have found no partner
 * @property {boolean} canOpen
 * @property {boolean} canClose
 * @property {Emphasis[]} opens innermost first
 * @property {Emphasis[]} closes innermost first
 */

/**
 * @param {string} text
 * @param {number} start
 * @param {number} end
 * @returns {Run}
 */
export function runAt(text, start, end) {
  const sign = text[start];
  const before = codePointBefore(text, start);
  const after = text.codePointAt(end);
  const isLeft = leansOn(after, before);
  const isRight = leansOn(before, after);
  // Inside a word `_` is a part of a name.
  const isWord = sign === "_" && isLeft && isRight;
  return {
    kind: "run",
    sign,
    start,
    length: end - start,
    left: end - start,
    canOpen: isLeft && (!isWord || isPunctuation(before)),
    canClose: isRight && (!isWord || isPunctuation(after)),
    opens: [],
    closes: [],
  };
}

/**
 * Whether signs belong to what is on one side of them, given what is on the other.
 *
 * @param {number | undefined} here
 * @param {number | undefined} there
 */
function leansOn(here, there) {
  if (isWhitespace(here)) return false;
  return !isPunctuation(here) || isWhitespace(there) || isPunctuation(there);
}

/**
 * Find the partners of all runs from a place on, and take these runs off the list.
 *
 * A search that failed is not made again over the same runs, so the time is linear.
 *
 * @param {Run[]} runs
 * @param {number} from
 * @returns {Run[]} those that would open something if a partner followed
 */
export function pairRuns(runs, from) {
  /** @type {{ run: Run, place: number }[]} */
  const openers = [];
  /** @type {Map<string, number>} */
  const searchedTo = new Map();
  for (let place = from; place < runs.length; place++) {
    const run = runs[place];
    while (run.canClose && hasSigns(run)) {
      const kind = `${run.sign}${run.canOpen}${run.length % 3}`;
      const found = findOpener(openers, run, searchedTo.get(kind) ?? 0);
      if (found < 0) {
        searchedTo.set(kind, place);
        break;
      }
      const { run: opener } = openers[found];
      pair(opener, run);
      openers.length = hasSigns(opener) ? found + 1 : found;
    }
    if (run.canOpen && hasSigns(run)) openers.push({ run, place });
  }
  runs.length = from;
  return openers.map(({ run }) => run);
}

/**
 * One `~` means "about", and strikes nothing through.
 *
 * @param {Run} run
 */
function hasSigns({ sign, left }) {
  return left > (sign === "~" ? 1 : 0);
}

/**
 * @param {{ run: Run, place: number }[]} openers
 * @param {Run} closer
 * @param {number} first
 */
function findOpener(openers, closer, first) {
  for (let index = openers.length - 1; index >= 0 && openers[index].place >= first; index--) {
    const { run } = openers[index];
    if (run.sign === closer.sign && mayPair(run, closer)) return index;
  }
  return -1;
}

/**
 * @param {Run} opener
 * @param {Run} closer
 */
function mayPair(opener, closer) {
  if (closer.sign === "~" || (!opener.canClose && !closer.canOpen)) return true;
  return closer.length % 3 === 0 || (opener.length + closer.length) % 3 !== 0;
}

/**
 * @param {Run} opener
 * @param {Run} closer
 */
function pair(opener, closer) {
  const count = opener.left > 1 && closer.left > 1 ? 2 : 1;
  const kind = closer.sign === "~" ? "del" : count === 2 ? "strong" : "em";
  opener.opens.push(kind);
  closer.closes.push(kind);
  opener.left -= count;
  closer.left -= count;
}
