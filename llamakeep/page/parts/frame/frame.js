// @ts-check
/** What stands around every view. */

import { Problem } from "../../core/api.js";
import { button, element } from "../../core/dom.js";
import { state } from "../../core/state.js";
import { outline, problemBox } from "../problem.js";
import { Sidebar } from "./sidebar.js";

/** @typedef {import("../../core/router.js").Shown} Shown */

const heading = element("h1", { tabindex: "-1" });
const actions = element("div", { class: "actions" });
const banner = element("p", { class: "banner", role: "status", hidden: true });
const main = element("main", { id: "main" });
/** What was there stays for so long, in ms; then the outline of what comes is shown. */
const PATIENCE = 150;

/** @type {Shown | null} */
let shown = null;
let count = 0;

/** @type {Partial<Record<import("../../core/state.js").Connection, string>>} */
const CONNECTIONS = {
  offline: "You are offline. What you send is kept here and goes out when you are back.",
  reconnecting: "Reconnecting… nothing is lost.",
  stopping: "The server is stopping. What you send is kept here and goes out when it is back.",
};

/** @param {string} title */
export function setTitle(title) {
  heading.textContent = title;
  heading.title = title;
  document.title = `${title} · llamakeep`;
}

/** How far the view is scrolled. */
export const scrolledTo = () => main.scrollTop;

/** Put the page together, around the views. */
export function openFrame() {
  const sidebar = new Sidebar();
  const toggle = button("☰", () => sidebar.open(), {
    class: "edge sheet",
    "aria-label": "Conversations and pages",
  });
  const skip = button("Skip to the content", () => heading.focus(), { class: "skip" });
  const view = element(
    "div",
    { class: "view" },
    element("header", {}, toggle, heading, actions),
    banner,
    main,
  );
  document.body.append(element("div", { class: "app" }, skip, sidebar.node, view));
  state.connection.watch((connection) => {
    banner.textContent = CONNECTIONS[connection] ?? "";
    banner.hidden = banner.textContent === "";
  });
}

/**
 * Show a view when it is ready; what is there stays until then, or for a while.
 *
 * @param {() => Promise<Shown>} load
 * @param {{scroll?: number, isFirst?: boolean}} [how]
 */
export async function showView(load, { scroll = 0, isFirst = false } = {}) {
  const own = ++count;
  const timer = setTimeout(() => {
    if (own !== count) return;
    replace({ node: outline(), title: "" });
    if (heading.textContent === "") setTitle("Loading…");
  }, PATIENCE);
  /** @type {Shown} */
  let next;
  try {
    next = await load();
  } catch (error) {
    const problem = error instanceof Problem ? error : faultOf(error);
    const reload = button("Reload", () => location.reload(), { class: "main" });
    const retry = () => showView(load, { scroll });
    const box = problemBox(
      problem,
      problem.code === "new-version" ? { more: [reload] } : { retry },
    );
    next = {
      node: element("div", { class: "page" }, box),
      title: "Something is wrong",
    };
  }
  clearTimeout(timer);
  if (own !== count) {
    next.close?.();
    return;
  }
  replace(next);
  setTitle(next.title);
  actions.replaceChildren(...next.actions ?? []);
  main.scrollTop = scroll;
  next.opened?.();
  const focus = next.focus ?? (isFirst ? null : heading);
  focus?.focus({ preventScroll: true });
}

/**
 * Write an error of the page's own into the browser's console, and return what users see of it.
 *
 * @param {unknown} error
 */
function faultOf(error) {
  reportError(error);
  return new Problem({
    title: "The page has a fault here.",
    detail: `What the server has is whole. The browser says: ${error}`,
  });
}

/** @param {Shown} next */
function replace(next) {
  shown?.close?.();
  shown = next;
  main.replaceChildren(next.node);
}
