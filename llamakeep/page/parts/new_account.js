// @ts-check
/** The form with which someone without a login makes an account, by a secret. */

import { call } from "../core/api.js";
import { element } from "../core/dom.js";
import { field, form, newPassword } from "./form.js";
import { secretField, takeSecret } from "./frame/alone.js";

/**
 * Return the form, the field of its secret, and what that has.
 *
 * @param {object} options
 * @param {string} options.hash Of the address, which may have the secret.
 * @param {string} options.begin How the secret begins.
 * @param {[label: string, help: string]} options.secret What it is called, and who has it.
 * @param {string} options.action
 * @param {(account: { username: string, password: string, token: string }) => Promise<unknown>} options.make
 *   Makes the account.
 */
export function newAccount({ hash, begin, secret: [label, help], action, make }) {
  const given = takeSecret(hash);
  const input = secretField(given, begin);
  const name = element("input", {
    name: "username",
    required: true,
    autocomplete: "username",
    autocapitalize: "none",
    spellcheck: "false",
    maxlength: "64",
    autofocus: true,
  });
  const password = newPassword("password");
  const secret = field(label, input, help);
  secret.hidden = given !== "";
  const token = () => input.value.trim();
  const { node } = form({
    fields: [
      secret,
      field("Name", name, "Letters, digits and any of ._@-"),
      field("Password", password, "At least 8 characters."),
    ],
    action,
    isMain: true,
    send: async () => {
      const user = { username: name.value, password: password.value };
      await make({ ...user, token: token() });
      // If it does not log in, the form for that is shown.
      await call("POST", "login/cookie/", { body: user, mayLogIn: false }).catch(() => null);
      location.assign(document.baseURI);
    },
  });
  return { node, secret, token };
}
