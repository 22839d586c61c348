// @ts-check
/** Making a user. */

import { call } from "../../core/api.js";
import { element } from "../../core/dom.js";
import { field, formDialog, newPassword, select } from "../form.js";

/** @typedef {import("./user_forms.js").User} User */

/**
 * Let an administrator make a user; return it, or `null`.
 *
 * @returns {Promise<User & {hasPassword: boolean} | null>}
 */
export async function askForUser() {
  const name = element("input", {
    name: "username",
    required: true,
    maxlength: "64",
    autocomplete: "off",
    autocapitalize: "none",
    spellcheck: "false",
  });
  const role = select([["user", "User"], ["admin", "Administrator"]], "user", { name: "role" });
  const password = newPassword("password");
  password.required = false;
  return await formDialog("Create a user", {
    fields: [
      field("Name", name, "Letters, digits and any of ._@-"),
      field("Role", role),
      field("Password", password, "Empty: you get a link with which the user chooses one."),
    ],
    action: "Create",
    send: async () => {
      const chosen = password.value ? { password: password.value } : {};
      const body = { username: name.value, role: role.value, ...chosen };
      const made = await call("POST", "admin/users/", { body });
      return { ...made, hasPassword: "password" in chosen };
    },
  });
}
