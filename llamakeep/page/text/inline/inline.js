// @ts-check
/** Reads a paragraph: emphasis, code, links, escapes and line breaks. */

import { endOfRun, isAsciiPunctuation, isSpaceOrTab } from "../characters.js";
import { entityAt } from "../entities.js";
import { autolinkAt, bareAddressAt } from "./addresses.js";
import { pairRuns, runAt } from "./emphasis.js";
import { targetAt } from "./links.js";
import { Ticks } from "./ticks.js";
import { treeOf } from "./tree.js";

/** @typedef {import("./emphasis.js").Run} Run */
/** @typedef {import("./links.js").Target} Target */
/** @typedef {import("./tree.js").Token} Token */
/** @typedef {import("./tree.js").Bracket} Bracket */

/** By their codes, the signs that may be more than text. */
const SPECIAL = new Uint8Array(128);
for (const sign of "\\`*_~[]!<&\n:wW") SPECIAL[sign.charCodeAt(0)] = 1;

/**
 * @param {string} text
 * @returns {import("./tree.js").Piece[]}
 */
export function inline(text) {
  return treeOf(new Scanner(text).tokens());
}

export class Scanner {
  /** @type {Run[]} */
  openRuns = [];
  /**
   * Backticks that no others follow.
   *
   * @type {{ start: number, length: number } | null}
   */
  openCode = null;
  /** @type {Token[]} */
  #tokens = [];
  /** @type {Run[]} */
  #runs = [];
  /** @type {{ bracket: Bracket, runs: number }[]} */
  #brackets = [];
  /** Brackets below this one are around a link, and so are none themselves. */
  #aroundLink = 0;
  /** @type {Ticks | null} */
  #ticks = null;
  #at = 0;
  /** Where the text begins that is not in a token yet. */
  #from = 0;

  /** @param {string} text */
  constructor(text) {
    this.text = text;
  }

  tokens() {
    const { text } = this;
    while (this.#at < text.length) {
      const isSpecial = SPECIAL[text.charCodeAt(this.#at)] === 1;
      if (!isSpecial || !this.#read(text[this.#at])) this.#at++;
    }
    this.#flush();
    this.openRuns = pairRuns(this.#runs, 0);
    return this.#tokens;
  }

  /**
   * Read what begins here, if it is more than text.
   *
   * @param {string} sign
   * @returns {boolean}
   */
  #read(sign) {
    switch (sign) {
      case "\\":
        return this.#readEscape();
      case "`":
        return this.#readCode();
      case "[":
        return this.#openBracket(false);
      case "]":
        return this.#closeBracket();
      case "!":
        return this.text[this.#at + 1] === "[" && this.#openBracket(true);
      case "<":
        return this.#readAutolink();
      case "&":
        return this.#readEntity();
      case "\n":
        return this.#breakLine();
      case ":":
      case "w":
      case "W":
        return this.#readBareAddress();
      default:
        return this.#readRun();
    }
  }

  #flush() {
    if (this.#from < this.#at) this.#tokens.push(this.text.slice(this.#from, this.#at));
  }

  /**
   * @param {Token} token
   * @param {number} end
   */
  #push(token, end) {
    this.#flush();
    this.#tokens.push(token);
    this.#at = this.#from = end;
    return true;
  }

  #readEscape() {
    const next = this.#at + 1;
    if (this.text[next] === "\n") {
      this.#push({ kind: "break" }, next);
      this.#skipLineEnd();
      return true;
    }
    if (!isAsciiPunctuation(this.text.charCodeAt(next))) return false;
    this.#flush();
    this.#from = next;
    this.#at = next + 1;
    return true;
  }

  #readCode() {
    const start = endOfRun(this.text, this.#at);
    this.#ticks ??= new Ticks(this.text);
    const end = this.#ticks.next(start - this.#at, start);
    if (end < 0) {
      this.openCode ??= { start: this.#at, length: start - this.#at };
      this.#at = start;
      return true;
    }
    const text = this.text.slice(start, end).replaceAll("\n", " ");
    const isPadded = text.length > 2 && text.startsWith(" ") && text.endsWith(" ") &&
      /[^ ]/.test(text);
    const shown = isPadded ? text.slice(1, -1) : text;
    return this.#push({ kind: "code", text: shown }, end + start - this.#at);
  }

  #readRun() {
    const end = endOfRun(this.text, this.#at);
    const run = runAt(this.text, this.#at, end);
    this.#runs.push(run);
    return this.#push(run, end);
  }

  /** @param {boolean} isPicture */
  #openBracket(isPicture) {
    /** @type {Bracket} */
    const bracket = { kind: "bracket", isPicture, target: null };
    this.#brackets.push({ bracket, runs: this.#runs.length });
    return this.#push(bracket, this.#at + (isPicture ? 2 : 1));
  }

  #closeBracket() {
    const opened = this.#brackets.pop();
    if (opened === undefined) return false;
    const { bracket, runs } = opened;
    const isAround = this.#brackets.length < this.#aroundLink && !bracket.isPicture;
    this.#aroundLink = Math.min(this.#aroundLink, this.#brackets.length);
    const target = isAround ? null : targetAt(this.text, this.#at + 1);
    if (target === null) return false;
    bracket.target = target;
    pairRuns(this.#runs, runs);
    if (!bracket.isPicture) this.#aroundLink = this.#brackets.length;
    return this.#push({ kind: "end" }, target.end);
  }

  #readAutolink() {
    return this.#pushAddress(autolinkAt(this.text, this.#at));
  }

  #readEntity() {
    const found = entityAt(this.text, this.#at);
    return found !== null && this.#push(found.character, found.end);
  }

  #readBareAddress() {
    const isInBrackets = this.#brackets.length > 0;
    return this.#pushAddress(bareAddressAt(this.text, this.#at, this.#from, isInBrackets));
  }

  /** @param {import("./addresses.js").Address | null} found */
  #pushAddress(found) {
    if (found === null) return false;
    const { href, text, start, end } = found;
    this.#at = start;
    return this.#push({ kind: "address", href, text }, end);
  }

  #breakLine() {
    let end = this.#at;
    while (end > this.#from && this.text[end - 1] === " ") end--;
    const isHard = this.#at - end > 1;
    const next = this.#at;
    this.#at = end;
    this.#push(isHard ? { kind: "break" } : "", next);
    this.#skipLineEnd();
    return true;
  }

  /** The end of a line is a part of the text, but spaces at the beginning of the next are not. */
  #skipLineEnd() {
    this.#tokens.push("\n");
    this.#at++;
    while (isSpaceOrTab(this.text.charCodeAt(this.#at))) this.#at++;
    this.#from = this.#at;
  }
}
