// @ts-check
/** Keyboard shortcuts, and the list of them. */

import { looks } from "./local.js";

/**
 * @typedef {object} Shortcut
 * @property {string} keys Such as `n`, `g u`, `?`, `mod+k`, `mod+enter`, `escape`.
 * @property {string} label What it does.
 * @property {string} group Under which heading of the list it stands.
 * @property {(event: KeyboardEvent) => boolean | void} [run] `false` leaves the key alone.
 */

const isMac = /mac|iphone|ipad/i.test(navigator.platform ?? "");
/** How long the second key of two may take, in ms. */
const PAUSE = 1200;

/** @type {Set<Shortcut>} */
const shortcuts = new Set();
let first = "";
let at = 0;

/**
 * Add shortcuts; return what removes them.
 *
 * @param {...Shortcut} added
 */
export function bind(...added) {
  for (const one of added) shortcuts.add(one);
  return () => added.forEach((one) => shortcuts.delete(one));
}

/** All there are, in the order in which they were added. */
export const allShortcuts = () => [...shortcuts];

/**
 * Return how keys are written for people: `⌘K`, `Ctrl+K`, `g then u`.
 *
 * @param {string} keys
 */
export function written(keys) {
  const names = /** @type {Record<string, string>} */ ({
    enter: "Enter",
    escape: "Esc",
    shift: isMac ? "⇧" : "Shift",
    mod: isMac ? "⌘" : "Ctrl",
    up: "↑",
  });
  const one = (/** @type {string} */ combination) =>
    combination.split("+").map((key) =>
      names[key] ?? (combination.includes("+") ? key.toUpperCase() : key)
    )
      .join(isMac ? "" : "+");
  return keys.split(" ").map(one).join(" then ");
}

/** @param {KeyboardEvent} event */
function combinationOf(event) {
  // On macOS, Ctrl+K and others edit text; everywhere else, the Meta key is the system's.
  const mod = isMac ? event.metaKey && !event.ctrlKey : event.ctrlKey && !event.metaKey;
  const other = isMac ? event.ctrlKey : event.metaKey;
  if (other || event.altKey) return "";
  const key = event.key === "ArrowUp" ? "up" : event.key.toLowerCase();
  if (mod) return `mod+${key}`;
  return event.shiftKey && key.length > 1 ? `shift+${key}` : key;
}

/** @param {EventTarget | null} target */
const isField = (target) =>
  target instanceof HTMLElement &&
  (target.isContentEditable ||
    target.matches("input:not([type=checkbox], [type=radio]), textarea, select"));

/**
 * Return whether a key belongs to an input method, which also Safari says in its own way.
 *
 * @param {KeyboardEvent} event
 */
export const isComposing = (event) => event.isComposing || event.keyCode === 229;

/** Whether one types with a finger: then Enter is a new line. */
export const isCoarse = () => matchMedia("(pointer: coarse)").matches;

/**
 * Return whether a key in a field for prompts sends what is there.
 *
 * @param {KeyboardEvent} event
 */
export function isSend(event) {
  if (isComposing(event) || event.key !== "Enter" || event.shiftKey || event.altKey) return false;
  const { enter } = looks();
  return event.ctrlKey || event.metaKey || (enter ? enter === "send" : !isCoarse());
}

/** @param {KeyboardEvent} event */
function onKey(event) {
  if (event.defaultPrevented || isComposing(event)) return;
  const pressed = combinationOf(event);
  const isLetter = pressed.length === 1;
  if (isLetter && (isField(event.target) || looks().letters === false)) return;
  if (isLetter && document.querySelector("dialog[open]")) return;
  const pair = Date.now() - at < PAUSE ? `${first} ${pressed}` : "";
  [first, at] = [pressed, Date.now()];
  // What was added last stands before what is everywhere.
  for (const shortcut of [...shortcuts].reverse()) {
    if (!shortcut.run || (shortcut.keys !== pressed && shortcut.keys !== pair)) continue;
    if (shortcut.keys === pressed && hasPair(pair)) continue;
    if (shortcut.run(event) === false) continue;
    first = "";
    event.preventDefault();
    return;
  }
}

/** @param {string} pair */
const hasPair = (pair) => pair !== "" && [...shortcuts].some(({ keys }) => keys === pair);

/** Begin to act on keys. */
export function startKeys() {
  document.addEventListener("keydown", onKey);
}
