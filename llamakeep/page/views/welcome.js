// @ts-check
/** The first user of a server, an administrator. */

import { call, Problem } from "../core/api.js";
import { element } from "../core/dom.js";
import { state } from "../core/state.js";
import { field, form, newPassword } from "../parts/form.js";
import { alone, secretField, takeSecret } from "../parts/frame/alone.js";

/** @type {import("../core/router.js").View} */
export default function welcome({ hash }) {
  const given = takeSecret(hash);
  const token = secretField(given, "lks_");
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
  const send = async () => {
    const user = { username: name.value, password: password.value };
    try {
      await call("POST", "setup/", { body: { ...user, token: token.value.trim() } });
    } catch (error) {
      if (error instanceof Problem && error.code === "setup-refused") secret.hidden = false;
      throw error;
    }
    // If it does not log in, the form for that is shown.
    await call("POST", "login/cookie/", { body: user, mayLogIn: false }).catch(() => null);
    location.assign(document.baseURI);
  };
  const secret = field("Set-up token", token, "The server prints it when it starts.");
  secret.hidden = given !== "";
  const made = form({
    fields: [
      secret,
      field("Name", name, "Letters, digits and any of ._@-"),
      field("Password", password, "At least 8 characters."),
    ],
    action: "Create the administrator",
    isMain: true,
    send,
  });
  if (state.about.value?.setup === false) return alone("Welcome", isDone());
  const text = "You are the first here. Choose a name and a password: you will be the " +
    "administrator of this server.";
  return alone("Welcome", element("p", {}, text), made.node);
}

function isDone() {
  return element(
    "div",
    { class: "note" },
    element("p", {}, "This server has its users already, or offers no set-up."),
    element(
      "p",
      {},
      "A server without users prints a new address when it starts. On its computer, ",
      element("code", {}, "llamakeep user add --admin NAME"),
      " makes an administrator at any time.",
    ),
    element("p", {}, element("a", { href: "", target: "_self" }, "Log in")),
  );
}
