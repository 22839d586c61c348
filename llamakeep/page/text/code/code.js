// @ts-check
/** Colours code, when it comes near the screen, and a part at a time. */

import { element } from "../../core/dom.js";
import { familyOf } from "./languages.js";
import { tokensOf } from "./tokens.js";

const LONGEST = 100_000;
/** Pieces that are coloured in a frame. */
const PIECES = 1000;
const LATER = 500;

/** @type {IntersectionObserver | undefined} */
let observer;

/**
 * Colour the code in an element, each when it is near the screen.
 *
 * Languages that are not known, and very long code, stay plain.
 *
 * @param {Element | DocumentFragment} node
 */
export function colourWhenNear(node) {
  for (const code of node.querySelectorAll("code[data-language]")) {
    if (!isColourable(code)) continue;
    if (globalThis.IntersectionObserver === undefined) colour(code);
    else theObserver().observe(code);
  }
}

/** @param {Element} code */
function isColourable(code) {
  const isPlain = code.firstElementChild === null;
  return isPlain && languageOf(code) !== undefined && (code.textContent ?? "").length <= LONGEST;
}

/** @param {Element} code */
function languageOf(code) {
  return familyOf(code.getAttribute("data-language") ?? "");
}

function theObserver() {
  const margin = "100% 0px";
  const options = { rootMargin: margin, scrollMargin: margin };
  observer ??= new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      observer?.unobserve(target);
      colour(target);
    }
  }, options);
  return observer;
}

/** @param {Element} code */
function colour(code) {
  const family = languageOf(code);
  const rest = code.firstChild;
  if (family === undefined || rest === null || code.firstElementChild !== null) return;
  if (isSelected(code)) {
    // To colour it would take the selection away.
    setTimeout(() => colour(code), LATER);
    return;
  }
  const text = code.textContent ?? "";
  colourNext(code, /** @type {Text} */ (rest), text, tokensOf(text, family), 0);
}

/**
 * Colour some pieces before what is left of the code, and the others in the next frames.
 *
 * @param {Element} code
 * @param {Text} rest
 * @param {string} text
 * @param {Generator<import("./tokens.js").Token>} tokens
 * @param {number} from
 */
function colourNext(code, rest, text, tokens, from) {
  /** @type {(Node | string)[]} */
  const made = [];
  let at = from;
  while (made.length < PIECES) {
    const { value, done } = tokens.next();
    if (done) break;
    const piece = text.slice(at, value.end);
    made.push(
      value.colour === null ? piece : element("span", { class: `code-${value.colour}` }, piece),
    );
    at = value.end;
  }
  rest.before(...made);
  if (at === text.length) {
    rest.remove();
    return;
  }
  rest.replaceData(0, at - from, "");
  requestAnimationFrame(() => colourNext(code, rest, text, tokens, at));
}

/** @param {Element} code */
function isSelected(code) {
  const selection = globalThis.getSelection?.();
  return Boolean(selection && !selection.isCollapsed && selection.containsNode(code, true));
}
