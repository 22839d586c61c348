// @ts-check
/** Escapes: `\*`, `&#42;`, and those of HTML's names that models write. */

import { isAsciiPunctuation } from "./characters.js";

/** All 2,231 names would be larger than the whole of this folder. */
const NAMES = new Map(Object.entries({
  amp: "&",
  apos: "'",
  bull: "•",
  cent: "¢",
  copy: "©",
  darr: "↓",
  deg: "°",
  divide: "÷",
  emsp: "\u2003",
  ensp: "\u2002",
  euro: "€",
  frac12: "½",
  frac14: "¼",
  frac34: "¾",
  ge: "≥",
  gt: ">",
  harr: "↔",
  hellip: "…",
  infin: "∞",
  laquo: "«",
  larr: "←",
  ldquo: "“",
  le: "≤",
  lsquo: "‘",
  lt: "<",
  mdash: "—",
  micro: "µ",
  middot: "·",
  minus: "−",
  nbsp: "\u00a0",
  ndash: "–",
  ne: "≠",
  para: "¶",
  plusmn: "±",
  pound: "£",
  quot: '"',
  raquo: "»",
  rarr: "→",
  rdquo: "”",
  reg: "®",
  rsquo: "’",
  sect: "§",
  thinsp: "\u2009",
  times: "×",
  trade: "™",
  uarr: "↑",
  yen: "¥",
}));

const ENTITY = /&(?:#(\d{1,7})|#[xX]([\da-fA-F]{1,6})|([a-zA-Z][a-zA-Z\d]{1,31}));/y;

/**
 * Read what begins with `&` at a place.
 *
 * @param {string} text
 * @param {number} at
 * @returns {{ character: string, end: number } | null}
 */
export function entityAt(text, at) {
  ENTITY.lastIndex = at;
  const found = ENTITY.exec(text);
  if (found === null) return null;
  const [whole, decimal, hexadecimal, name] = found;
  const character = name === undefined
    ? characterOf(parseInt(decimal ?? hexadecimal, decimal === undefined ? 16 : 10))
    : NAMES.get(name);
  return character === undefined ? null : { character, end: at + whole.length };
}

/** @param {number} code */
function characterOf(code) {
  const isCharacter = code > 0 && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
  return isCharacter ? String.fromCodePoint(code) : "\ufffd";
}

/**
 * Take backslashes from before punctuation, and read entities.
 *
 * @param {string} text
 */
export function unescaped(text) {
  let made = "";
  let from = 0;
  for (let at = 0; at < text.length; at++) {
    if (text[at] === "\\" && isAsciiPunctuation(text.charCodeAt(at + 1))) {
      made += text.slice(from, at);
      from = ++at;
    } else if (text[at] === "&") {
      const entity = entityAt(text, at);
      if (entity === null) continue;
      made += text.slice(from, at) + entity.character;
      from = entity.end;
      at = entity.end - 1;
    }
  }
  return made + text.slice(from);
}
