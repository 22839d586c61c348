// @ts-check
/** An account, by an invitation. */

import { call } from "../core/api.js";
import { button, element } from "../core/dom.js";
import { state } from "../core/state.js";
import { alone } from "../parts/frame/alone.js";
import { newAccount } from "../parts/new_account.js";
import { problemBox } from "../parts/problem.js";

/** @type {import("../core/router.js").View} */
export default function join({ hash }) {
  const { node, token } = newAccount({
    hash,
    begin: "lki_",
    secret: ["Invitation", "An administrator gives it to you."],
    action: "Create the account",
    make: (body) => call("POST", "invitations/accept", { body }),
  });
  return alone(
    "You are invited",
    element("p", {}, "Choose a name and a password. The link works once."),
    ...signIn(token),
    node,
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
