// @ts-check
/** Texts that look like Markdown, by chance but the same ones in each run. */

const PIECES = [
  ..."ab \n\n\n\n-*_~`[]()<>#|:!\\&=+1.",
  "\n\n",
  "\r\n",
  "\r",
  "\t",
  "    ",
  "- ",
  "* ",
  "1. ",
  "> ",
  "## ",
  "```",
  "```py\n",
  "~~~",
  "---",
  "===",
  "**",
  "__",
  "~~",
  "``",
  "- [ ] ",
  "- [x] ",
  "| a | b |",
  "|---|:-:|",
  "](https://a.b/c)",
  '](mailto:a "b")',
  "![",
  "<https://a.b>",
  " https://a.b/c",
  "www.a.b",
  "&amp;",
  "&#65;",
  "foo bar",
  "é",
  "你好",
  "😀",
  "\ud83d",
  "\ude00",
  "\0",
  "\u202e",
  "\u2067",
  "שלום",
];

export class Chance {
  #state;

  /** @param {number} seed */
  constructor(seed) {
    this.#state = seed * 2_654_435_761 >>> 0;
  }

  /** @param {number} limit */
  below(limit) {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  }

  /** @param {number} longest */
  text(longest) {
    const count = 1 + this.below(longest);
    return Array.from({ length: count }, () => PIECES[this.below(PIECES.length)]).join("");
  }

  /**
   * Cut a text into pieces, at any places.
   *
   * @param {string} text
   */
  cut(text) {
    const pieces = [];
    for (let at = 0; at < text.length;) {
      const length = this.below(4) === 0 ? 1 + this.below(40) : 1 + this.below(3);
      pieces.push(text.slice(at, at + length));
      at += length;
    }
    return pieces;
  }
}
