// @ts-check
/** Buttons that open a menu. */

import { element } from "../core/dom.js";

/**
 * @typedef {object} Item
 * @property {string} label
 * @property {string} [note] Smaller, behind the label.
 * @property {string} [href] For what leads somewhere.
 * @property {boolean} [isChecked] For one of several.
 * @property {boolean} [isBad]
 * @property {() => void} [run]
 */

/**
 * Return a button whose menu is made when it is opened.
 *
 * @param {string} label
 * @param {() => Item[]} items
 * @param {Record<string, string>} [attributes]
 */
export function menuButton(label, items, attributes = {}) {
  const button = element(
    "button",
    {
      type: "button",
      "aria-haspopup": "menu",
      "aria-expanded": "false",
      ...attributes,
      on: { click: toggle },
    },
    label,
  );
  function toggle() {
    if (button.getAttribute("aria-expanded") === "false") openMenu(button, items());
  }
  return button;
}

/**
 * Open a menu at an element, which gets the focus back.
 *
 * @param {HTMLElement} anchor
 * @param {Item[]} items
 */
export function openMenu(anchor, items) {
  const menu = element(
    "div",
    {
      class: "menu",
      role: "menu",
      popover: "auto",
      "aria-label": anchor.getAttribute("aria-label") ?? anchor.textContent ?? "",
    },
    ...items.map((item) => entryOf(item, close)),
  );
  function close() {
    menu.hidePopover();
  }
  menu.addEventListener("keydown", (event) => moveIn(menu, event));
  menu.addEventListener("toggle", (event) => {
    const isOpen = /** @type {ToggleEvent} */ (event).newState === "open";
    anchor.setAttribute("aria-expanded", String(isOpen));
    if (isOpen) return;
    const hadFocus = menu.contains(document.activeElement) ||
      document.activeElement === document.body;
    if (hadFocus) anchor.focus();
    menu.remove();
  });
  // What is outside of an open dialog cannot be used, and all is to be in a landmark.
  (anchor.closest("dialog, main, nav, header") ?? document.body).append(menu);
  menu.showPopover();
  place(menu, anchor);
  const checked = menu.querySelector("[aria-checked=true]") ?? menu.firstElementChild;
  if (checked instanceof HTMLElement) checked.focus();
}

/**
 * @param {Item} item
 * @param {() => void} close
 */
function entryOf({ label, note, href, isChecked, isBad, run }, close) {
  const isChoice = isChecked !== undefined;
  const content = [
    element("span", {}, label),
    note ? element("small", {}, note) : null,
  ];
  const shared = {
    role: isChoice ? "menuitemradio" : "menuitem",
    class: isBad ? "bad" : "",
    tabindex: "-1",
  };
  if (href !== undefined) {
    return element("a", { ...shared, href, on: { click: () => close() } }, ...content);
  }
  const click = () => {
    close();
    run?.();
  };
  const checked = isChoice ? { "aria-checked": String(isChecked) } : {};
  return element("button", { type: "button", ...shared, ...checked, on: { click } }, ...content);
}

/**
 * Put it below the anchor, or above it where there is more room.
 *
 * @param {HTMLElement} menu
 * @param {HTMLElement} anchor
 */
function place(menu, anchor) {
  const at = anchor.getBoundingClientRect();
  const { width, height } = menu.getBoundingClientRect();
  const left = Math.max(8, Math.min(at.left, innerWidth - width - 8));
  const isBelow = at.bottom + height + 8 <= innerHeight || at.top < innerHeight - at.bottom;
  const room = (isBelow ? innerHeight - at.bottom : at.top) - 16;
  const top = isBelow ? at.bottom + 4 : at.top - 4 - Math.min(height, room);
  menu.style.left = `${left}px`;
  menu.style.top = `${top}px`;
  menu.style.maxHeight = `${room}px`;
}

/**
 * @param {HTMLElement} menu
 * @param {KeyboardEvent} event
 */
function moveIn(menu, event) {
  const entries = /** @type {HTMLElement[]} */ ([...menu.children]);
  const at = entries.findIndex((entry) => entry === document.activeElement);
  /** @type {Record<string, number>} */
  const places = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: entries.length - 1 };
  let next = places[event.key];
  if (next === undefined && event.key.length === 1 && /\S/.test(event.key)) {
    const rest = [...entries.keys()].map((index) => (at + 1 + index) % entries.length);
    const begins = (/** @type {number} */ index) =>
      entries[index].textContent?.toLowerCase().startsWith(event.key.toLowerCase());
    next = rest.find(begins) ?? at;
  }
  if (event.key === "Tab") menu.hidePopover();
  if (next === undefined) return;
  event.preventDefault();
  event.stopPropagation();
  entries[(next + entries.length) % entries.length].focus();
}
