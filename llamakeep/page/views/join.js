// @ts-check
/** An account, by an invitation. */

import { call } from "../core/api.js";
import { button, element } from "../core/dom.js";
import { state } from "../core/state.js";
import { field, form, newPassword } from "../parts/form.js";
import { alone, secretField, takeSecret } from "../parts/frame/alone.js";
import { problemBox } from "../parts/problem.js";

/** @type {import("../core/router.js").View} */
export default function join({ hash }) {
  const given = takeSecret(hash);
  const token = secretField(given, "lki_");
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
  const secret = field("Invitation", token, "An administrator gives it to you.");
  secret.hidden = given !== "";
  const invitation = () => token.value.trim();
  const made = form({
    fields: [
      secret,
      field("Name", name, "Letters, digits and any of ._@-"),
      field("Password", password, "At least 8 characters."),
    ],
    action: "Create the account",
    isMain: true,
    send: async () => {
      const user = { username: name.value, password: password.value };
      await call("POST", "invitations/accept", { body: { ...user, token: invitation() } });
      // If it does not log in, the form for that is shown.
      await call("POST", "login/cookie/", { body: user, mayLogIn: false }).catch(() => null);
      location.assign(document.baseURI);
    },
  });
  return alone(
    "You are invited",
    element("p", {}, "Choose a name and a password. The link works once."),
    ...signIn(invitation),
    made.node,
  );
}

/**
 * Return what signs in through an identity provider, where there is one.
 *
 * @param {() => string} invitation
 */
function signIn(invitation) {
  const provider = state.about.value?.sign_in;
  if (provider?.path !== "login/oidc/") return [];
  const problem = element("div", {});
  const go = async () => {
    try {
      const { url } = await call("POST", provider.path, { body: { token: invitation() } });
      location.assign(url);
    } catch (error) {
      problem.replaceChildren(problemBox(error));
    }
  };
  const label = `Sign in with ${provider.name} instead`;
  return [element("div", { class: "buttons" }, button(label, go, { class: "edge" })), problem];
}
