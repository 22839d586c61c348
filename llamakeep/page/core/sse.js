// @ts-check
/** Server-sent events from the bytes of a response, wherever these are cut. */

/** @typedef {{event: string, data: string, id: string | null}} ServerEvent */

const LINE = /\r\n|\r|\n/;

/** Takes pieces of a stream, and returns the events that are complete. */
export class EventParser {
  #decoder = new TextDecoder();
  /** @type {string[]} The pieces of a line that is not complete. */
  #pieces = [];
  #endsWithReturn = false;
  #event = "";
  /** @type {string[]} */
  #data = [];
  /** @type {string | null} */
  #id = null;

  /**
   * @param {Uint8Array} bytes
   * @returns {ServerEvent[]}
   */
  push(bytes) {
    const text = (this.#endsWithReturn ? "\r" : "") + this.#decoder.decode(bytes, { stream: true });
    // It may be the first half of `\r\n`.
    this.#endsWithReturn = text.endsWith("\r");
    const lines = (this.#endsWithReturn ? text.slice(0, -1) : text).split(LINE);
    this.#pieces.push(lines[0]);
    if (lines.length === 1) return [];
    lines[0] = this.#pieces.join("");
    this.#pieces = [lines.pop() ?? ""];
    const found = lines.map((line) => this.#read(line));
    return found.filter((event) => event !== null);
  }

  /**
   * @param {string} line
   * @returns {ServerEvent | null}
   */
  #read(line) {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    if (colon === 0) return null;
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "event") this.#event = value;
    else if (name === "data") this.#data.push(value);
    else if (name === "id" && !value.includes("\0")) this.#id = value;
    return null;
  }

  #dispatch() {
    const data = this.#data.join("\n");
    const found = { event: this.#event || "message", data, id: this.#id };
    const isEvent = this.#data.length > 0;
    this.#event = "";
    this.#data = [];
    this.#id = null;
    return isEvent ? found : null;
  }
}
