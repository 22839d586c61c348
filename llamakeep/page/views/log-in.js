// @ts-check
/** What is in the place of any page until the user has logged in. */

import { element } from "../core/dom.js";
import { state } from "../core/state.js";
import { loginForm } from "../parts/frame/login.js";

/**
 * Show it, and call `then` with the user who has logged in.
 *
 * @param {(me: import("../core/state.js").Me) => void} then
 */
export function showLogin(then) {
  document.title = "Log in · llamakeep";
  const isNew = state.about.value?.setup;
  const hint = isNew
    ? element(
      "p",
      { class: "note" },
      "There are no users yet: open the address that the server printed when it started.",
    )
    : null;
  const node = element(
    "main",
    { class: "alone" },
    element("h1", {}, "llamakeep"),
    hint,
    loginForm((me) => {
      node.remove();
      then(me);
    }),
  );
  document.body.append(node);
  node.querySelector("input")?.focus();
}
