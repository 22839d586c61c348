// @ts-check
/**
 * Where a conversation is scrolled to while it grows.
 *
 * After sending, the prompt goes up as the answer grows, until it is at the top. At
 * the end, the view follows what comes; where the user has scrolled away, it stays.
 */

/** How near to the end is at the end, in px. */
const NEAR = 48;
/** What stays free above a prompt that is at the top, in px. */
const ABOVE = 16;

/** Keeps a scroller at its end, or a turn at its top, or leaves it alone. */
export class Scroll {
  /** @type {"end" | "turn" | "free"} */
  #mode = "end";
  /** @type {HTMLElement | null} */
  #turn = null;
  #set = 0;
  #observer = new ResizeObserver(() => this.settle());

  /**
   * @param {HTMLElement} scroller
   * @param {HTMLElement} content What grows in it.
   * @param {(isAtEnd: boolean) => void} changed Called when the end is reached or left.
   */
  constructor(scroller, content, changed) {
    this.scroller = scroller;
    this.changed = changed;
    this.#observer.observe(content);
    this.#observer.observe(scroller);
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
  }

  get isAtEnd() {
    const { scrollTop, clientHeight, scrollHeight } = this.scroller;
    return scrollHeight - clientHeight - scrollTop <= NEAR;
  }

  #scrolled() {
    const { scrollTop } = this.scroller;
    const isOurs = Math.abs(scrollTop - this.#set) < 2;
    if (!isOurs) {
      this.#mode = this.isAtEnd ? "end" : "free";
      this.#set = scrollTop;
    }
    this.changed(this.isAtEnd);
  }

  /** @param {number} top */
  #to(top) {
    this.scroller.scrollTop = top;
    this.#set = this.scroller.scrollTop;
  }

  /** Go where the mode says, after the content has grown or shrunk. */
  settle() {
    const { scroller } = this;
    const end = scroller.scrollHeight - scroller.clientHeight;
    if (this.#mode === "end") this.#to(end);
    else if (this.#mode === "turn" && this.#turn) this.#to(Math.min(end, this.#topOf(this.#turn)));
    this.changed(this.isAtEnd);
  }

  /** @param {HTMLElement} node */
  #topOf(node) {
    const { scroller } = this;
    const offset = node.getBoundingClientRect().top - scroller.getBoundingClientRect().top;
    return scroller.scrollTop + offset - ABOVE;
  }

  /** Go to the end, and stay there. */
  toEnd() {
    this.#mode = "end";
    this.settle();
  }

  /**
   * Let a turn go up to the top as it grows, and no further.
   *
   * @param {HTMLElement} turn
   */
  withTurn(turn) {
    [this.#mode, this.#turn] = ["turn", turn];
    this.settle();
  }

  /**
   * Show a turn, and stay there.
   *
   * @param {HTMLElement} turn
   */
  toTurn(turn) {
    this.#mode = "free";
    this.#to(this.#topOf(turn));
  }

  /**
   * Change what is above without moving what is on the screen.
   *
   * @param {HTMLElement | null} anchor Something that stays.
   * @param {() => void} change
   */
  keep(anchor, change) {
    const before = anchor?.getBoundingClientRect().top ?? 0;
    change();
    if (!anchor?.isConnected || this.#mode === "end") return;
    const moved = anchor.getBoundingClientRect().top - before;
    if (moved) this.#to(this.scroller.scrollTop + moved);
  }

  close() {
    this.#observer.disconnect();
  }
}
