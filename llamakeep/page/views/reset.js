// @ts-check
/** A new password, with a link from an administrator. */

import { call } from "../core/api.js";
import { element } from "../core/dom.js";
import { field, form, newPassword } from "../parts/form.js";
import { alone, secretField, takeSecret } from "../parts/frame/alone.js";

/** @type {import("../core/router.js").View} */
export default function reset({ hash }) {
  const given = takeSecret(hash);
  const token = secretField(given, "lkr_");
  const password = newPassword("password");
  password.setAttribute("autofocus", "");
  const secret = field("Reset token", token, "An administrator gives it to you.");
  secret.hidden = given !== "";
  const made = form({
    fields: [secret, field("New password", password, "At least 8 characters.")],
    action: "Set the password",
    isMain: true,
    send: async () => {
      const body = { token: token.value.trim(), password: password.value };
      await call("POST", "password-reset/", { body });
      content.replaceChildren(
        element("p", { role: "status" }, "Your password is set. Other logins have ended."),
        element("p", {}, element("a", { href: "", class: "button main" }, "Log in")),
      );
      content.querySelector("a")?.focus();
    },
  });
  const content = element(
    "div",
    {},
    element("p", {}, "The link works once, within an hour after it was made."),
    made.node,
  );
  return alone("Choose a password", content);
}
