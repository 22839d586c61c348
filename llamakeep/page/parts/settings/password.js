// @ts-check
/** Changing one's own password. */

import { call } from "../../core/api.js";
import { element } from "../../core/dom.js";
import { state } from "../../core/state.js";
import { notice } from "../announce.js";
import { field, form, newPassword } from "../form.js";

/**
 * @param {string} username
 * @param {() => void} changed
 */
export function passwordSection(username, changed) {
  if (state.about.value?.demo && ["alice", "bob"].includes(username)) {
    return element("p", {}, "The demo users' passwords are public, and cannot be changed.");
  }
  const current = element("input", {
    type: "password",
    name: "current_password",
    autocomplete: "current-password",
    required: true,
  });
  const next = newPassword("password");
  const { node } = form({
    fields: [
      // Password managers want to know whose it is.
      element("input", {
        class: "hidden",
        name: "username",
        autocomplete: "username",
        value: username,
        tabindex: "-1",
        "aria-hidden": "true",
        readonly: true,
      }),
      field("Current password", current),
      field("New password", next, "At least 8 characters. Your other logins end; API keys stay."),
    ],
    action: "Change the password",
    send: async () => {
      const body = { current_password: current.value, password: next.value };
      await call("POST", "me/password", { body });
      node.reset();
      notice("The password is changed.");
      changed();
    },
  });
  node.classList.add("narrow");
  return node;
}
