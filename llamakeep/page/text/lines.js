// @ts-check
/** Cuts a text that comes in pieces into lines. */

/** Collects pieces, and gives back the lines that have ended. */
export class Lines {
  /** What came since the last end of a line. */
  rest = "";

  /**
   * @param {string} piece
   * @returns {string[]} the lines that it ends, without their ends
   */
  add(piece) {
    const text = this.rest + piece;
    const lines = text.replaceAll("\0", "\ufffd").split(/\r\n|\n|\r(?!$)/);
    this.rest = lines.pop() ?? "";
    return lines;
  }
}

/**
 * @param {string} text
 * @returns {string[]}
 */
export function linesOf(text) {
  const lines = new Lines();
  const ended = lines.add(text);
  return lines.rest === "" ? ended : [...ended, lines.rest.replace(/\r$/, "")];
}
