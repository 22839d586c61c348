// @ts-check
/** The first user of a server, an administrator. */

import { call, Problem } from "../core/api.js";
import { element } from "../core/dom.js";
import { state } from "../core/state.js";
import { alone } from "../parts/frame/alone.js";
import { newAccount } from "../parts/new_account.js";

/** @type {import("../core/router.js").View} */
export default function welcome({ hash }) {
  const { node, secret } = newAccount({
    hash,
    begin: "lks_",
    secret: ["Set-up token", "The server prints it when it starts."],
    action: "Create the administrator",
    make: async (body) => {
      try {
        await call("POST", "setup/", { body });
      } catch (error) {
        if (error instanceof Problem && error.code === "setup-refused") secret.hidden = false;
        throw error;
      }
    },
  });
  if (state.about.value?.setup === false) return alone("Welcome", isDone());
  const text = "You are the first here. Choose a name and a password: you will be the " +
    "administrator of this server.";
  return alone("Welcome", element("p", {}, text), node);
}

function isDone() {
  return element(
    "div",
    { class: "note" },
    element("p", {}, "This server already has users, or set-up is turned off."),
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
