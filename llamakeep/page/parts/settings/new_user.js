// @ts-check
/** Making a user. */

import { call } from "../../core/api.js";
import { element } from "../../core/dom.js";
import { field, formDialog, newPassword, select } from "../form.js";

/** @typedef {import("./user_forms.js").User} User */

/** @type {[string, string][]} */
const ROLES = [["user", "User"], ["admin", "Administrator"], ["service", "Service account"]];

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
  const role = select(ROLES, "user", { name: "role" });
  const password = newPassword("password");
  password.required = false;
  const hint = "Empty: you get a link with which the user chooses one.";
  const chosen = field("Password", password, hint);
  role.addEventListener("change", () => {
    chosen.hidden = role.value === "service";
    password.disabled = chosen.hidden;
  });
  return await formDialog("Create a user", {
    fields: [
      field("Name", name, "Letters, digits and any of ._@-"),
      field("Role", role, "A service account has no login, and API keys that you make."),
      chosen,
    ],
    action: "Create",
    send: async () => {
      const isService = role.value === "service";
      const hasPassword = !isService && password.value !== "";
      const body = {
        username: name.value,
        ...(isService ? { service_account: true } : { role: role.value }),
        ...(hasPassword ? { password: password.value } : {}),
      };
      return { ...await call("POST", "admin/users/", { body }), hasPassword };
    },
  });
}
