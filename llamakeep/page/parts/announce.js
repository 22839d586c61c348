// @ts-check
/** One line that screen readers read out, and short notices that go by themselves. */

import { button, element } from "../core/dom.js";

const line = element("p", { class: "hidden", role: "status", "aria-live": "polite" });
const notices = element("div", {
  class: "notices",
  popover: "manual",
  role: "region",
  "aria-label": "Notices",
});
const SECONDS = 6;

/** The nodes that the page has once. */
export const announcers = () => [line, notices];

/**
 * Have a screen reader say something.
 *
 * @param {string} text
 */
export function say(text) {
  line.textContent = text;
}

/**
 * Show a notice for a while; return what takes it away.
 *
 * @param {string} text
 * @param {{label?: string, run?: () => void, seconds?: number, isBad?: boolean}} [action]
 */
export function notice(text, action = {}) {
  const offer = action.label ? button(action.label, act) : null;
  const node = element("p", { class: action.isBad ? "notice bad" : "notice" }, text, offer);
  function end() {
    clearTimeout(timer);
    node.remove();
    if (!notices.childElementCount && notices.matches(":popover-open")) notices.hidePopover();
  }
  function act() {
    end();
    action.run?.();
  }
  const timer = setTimeout(end, (action.seconds ?? SECONDS) * 1000);
  notices.append(node);
  // Above dialogs, too.
  if (notices.matches(":popover-open")) notices.hidePopover();
  notices.showPopover();
  say(text);
  return end;
}
