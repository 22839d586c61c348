// @ts-check
/** Cuts code into words, strings, comments, numbers and the rest, in time that grows as the code. */

import { isDigit, isLetterOrDigit, isSpaceOrTab, NEWLINE } from "../characters.js";

/** @typedef {import("./languages.js").Family} Family */
/** @typedef {"word" | "string" | "comment" | "number"} Colour */
/** @typedef {{ colour: Colour | null, end: number }} Token */

/**
 * Yield where each piece of code ends, and its colour.
 *
 * @param {string} code
 * @param {Family} family
 * @returns {Generator<Token>}
 */
export function* tokensOf(code, family) {
  const scanner = new Tokens(code, family);
  let plain = 0;
  for (let at = 0; at < code.length;) {
    const { colour, end } = scanner.tokenAt(at);
    if (colour !== null) {
      if (plain < at) yield { colour: null, end: at };
      yield { colour, end };
      plain = end;
    }
    at = end;
  }
  if (plain < code.length) yield { colour: null, end: code.length };
}

class Tokens {
  /** Whether this is inside `<…>`. */
  #isInTag = false;
  /**
   * Up to where strings of each kind are known not to end.
   *
   * @type {Map<string, number>}
   */
  #open = new Map();

  /**
   * @param {string} code
   * @param {Family} family
   */
  constructor(code, family) {
    this.code = code;
    this.family = family;
    const { lineComments, comments, quotes } = family;
    const openings = [...lineComments, ...comments.flat(), ...quotes.map(({ open }) => open)];
    /** Signs with which a comment or a string may begin. */
    this.openings = new Set(openings.map((opening) => opening[0]));
  }

  /**
   * @param {number} at
   * @returns {Token}
   */
  tokenAt(at) {
    if (this.family.kind === "diff") return this.#changeAt(at);
    const isOpening = this.openings.has(this.code[at]);
    const comment = isOpening ? this.#endOfComment(at) : at;
    if (comment > at) return { colour: "comment", end: comment };
    if (this.family.kind === "markup") return this.#markupAt(at);
    const string = isOpening ? this.#endOfString(at) : at;
    if (string > at) return { colour: "string", end: string };
    const code = this.code.charCodeAt(at);
    if (isDigit(code)) return { colour: "number", end: this.#endOfNumber(at) };
    if (isInWord(code)) return this.#wordAt(at);
    return { colour: null, end: at + 1 };
  }

  /** @param {number} at */
  #endOfComment(at) {
    const { code, family } = this;
    for (const [open, close] of family.comments) {
      if (!code.startsWith(open, at)) continue;
      const end = code.indexOf(close, at + open.length);
      return end < 0 ? code.length : end + close.length;
    }
    const starts = family.lineComments.some((sign) => code.startsWith(sign, at));
    return starts && this.#mayComment(at) ? endOfLine(code, at) : at;
  }

  /**
   * `#` and `;` are comments after a space only: `$#`, `a;b`.
   *
   * @param {number} at
   */
  #mayComment(at) {
    if (!"#;".includes(this.code[at]) || at === 0) return true;
    const before = this.code.charCodeAt(at - 1);
    return isSpaceOrTab(before) || before === NEWLINE;
  }

  /** @param {number} at */
  #endOfString(at) {
    const found = this.family.quotes.find(({ open }) => this.code.startsWith(open, at));
    if (found === undefined || at < (this.#open.get(found.open) ?? 0)) return at;
    const { open, close, escape, isLong } = found;
    const { code } = this;
    for (let end = at + open.length; end < code.length; end++) {
      if (code.startsWith(close, end)) return end + close.length;
      if (code[end] === "\n" && !isLong) return this.#noteOpen(open, at, end);
      if (code[end] === escape) end++;
    }
    return isLong ? code.length : this.#noteOpen(open, at, code.length);
  }

  /**
   * A quote without another one in its line begins no string: `'a`, `don't`.
   *
   * @param {string} open
   * @param {number} at
   * @param {number} end
   */
  #noteOpen(open, at, end) {
    this.#open.set(open, end);
    return at;
  }

  /** @param {number} at */
  #endOfNumber(at) {
    const { code } = this;
    let end = at + 1;
    for (; end < code.length; end++) {
      const sign = code[end];
      const isPart = isLetterOrDigit(code.charCodeAt(end)) || sign === "_" ||
        (sign === "." && isDigit(code.charCodeAt(end + 1))) ||
        ("+-".includes(sign) && "eE".includes(code[end - 1]) && code[at + 1] !== "x");
      if (!isPart) break;
    }
    return end;
  }

  /**
   * @param {number} at
   * @returns {Token}
   */
  #wordAt(at) {
    const { code, family } = this;
    const hasDashes = family.kind === "styles" || family.kind === "settings";
    let end = at + 1;
    while (isInWord(code.charCodeAt(end)) || (hasDashes && "-.".includes(code[end] ?? " "))) end++;
    const word = code.slice(at, end);
    const isKnown = family.words.has(family.isCaseless ? word.toLowerCase() : word);
    return { colour: isKnown || this.#isKey(at, end) ? "word" : null, end };
  }

  /**
   * Whether a word is the name of a setting: `a: 1`, `b = 2`.
   *
   * @param {number} at
   * @param {number} end
   */
  #isKey(at, end) {
    const { code, family } = this;
    if (family.kind === "styles") return code[end] === ":" || code[at - 1] === "@";
    if (family.kind !== "settings") return false;
    let next = end;
    while (isSpaceOrTab(code.charCodeAt(next))) next++;
    return code[next] === "=" || code[next] === ":";
  }

  /**
   * @param {number} at
   * @returns {Token}
   */
  #markupAt(at) {
    const { code } = this;
    if (!this.#isInTag) return this.#tagAt(at);
    if (code[at] === ">") this.#isInTag = false;
    const end = this.#endOfString(at);
    return end > at ? { colour: "string", end } : { colour: null, end: at + 1 };
  }

  /**
   * @param {number} at
   * @returns {Token}
   */
  #tagAt(at) {
    const { code } = this;
    const isTag = code[at] === "<" && /[a-zA-Z/?!]/.test(code[at + 1] ?? "");
    if (!isTag) {
      const next = code.indexOf("<", at + 1);
      return { colour: null, end: next < 0 ? code.length : next };
    }
    this.#isInTag = true;
    let end = at + 2;
    while (isInWord(code.charCodeAt(end)) || "-:.".includes(code[end] ?? " ")) end++;
    return { colour: "word", end };
  }

  /**
   * @param {number} at the beginning of a line
   * @returns {Token}
   */
  #changeAt(at) {
    const sign = this.code[at];
    /** @type {Record<string, Colour>} */
    const colours = {
      "+": "string",
      "-": "number",
      "@": "comment",
      "d": "comment",
      "i": "comment",
    };
    return {
      colour: colours[sign] ?? null,
      end: Math.min(endOfLine(this.code, at) + 1, this.code.length),
    };
  }
}

/** @param {number} code */
function isInWord(code) {
  return isLetterOrDigit(code) || code === 95 || code === 36 || code > 127;
}

/**
 * @param {string} code
 * @param {number} at
 */
function endOfLine(code, at) {
  const end = code.indexOf("\n", at);
  return end < 0 ? code.length : end;
}
