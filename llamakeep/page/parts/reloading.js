// @ts-check
/** A part of a view that is asked for again after it was changed. */

import { element } from "../core/dom.js";
import { problemBox } from "./problem.js";

/**
 * Return a node with what `load` returns, and what loads it again.
 *
 * What is shown stays until the new is there, and if it does not come.
 *
 * @param {() => Promise<(Node | null)[]>} load
 */
export async function reloading(load) {
  const problem = element("div", {});
  const content = element("div", {});
  let count = 0;
  const show = async () => {
    const own = ++count;
    const nodes = await load();
    // A later answer may have come sooner.
    if (own !== count) return;
    const hadFocus = content.contains(document.activeElement);
    content.replaceChildren(...nodes.filter((node) => node !== null));
    problem.replaceChildren();
    const isLost = hadFocus || document.activeElement === document.body;
    const next = isLost ? content.querySelector("[tabindex]") : null;
    if (next instanceof HTMLElement) next.focus({ preventScroll: true });
  };
  const reload = async () => {
    try {
      await show();
    } catch (error) {
      problem.replaceChildren(problemBox(error, { retry: reload }));
    }
  };
  await show();
  return { node: element("div", {}, problem, content), reload };
}
