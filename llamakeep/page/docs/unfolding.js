// @ts-check
/** What is made when it is first unfolded: all of it at once would be 30,000 elements. */

import { element } from "../core/dom.js";

/**
 * @param {Node | string} title
 * @param {() => (Node | null)[]} make
 */
export function unfolding(title, make) {
  const details = element("details", {}, element("summary", {}, title));
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) {
      details.append(...make().filter((each) => each !== null));
    }
  });
  return details;
}
