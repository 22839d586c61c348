// @ts-check
/** Logging in and out. */

import { call, onLoginOver, Problem } from "../../core/api.js";
import { button, element } from "../../core/dom.js";
import { clearLocal, listen, tell } from "../../core/local.js";
import { rememberPlace } from "../../core/router.js";
import { state } from "../../core/state.js";
import { openDialog } from "../dialog.js";
import { field, form } from "../form.js";
import { problemNotice } from "../problem.js";

/**
 * Return a form for a name and a password.
 *
 * @param {(me: import("../../core/state.js").Me) => void} then Called with the user who logged in.
 * @param {{username?: string}} [how]
 */
export function loginForm(then, { username = "" } = {}) {
  const name = element("input", {
    name: "username",
    autocomplete: "username",
    required: true,
    autocapitalize: "none",
    spellcheck: "false",
  });
  const password = element("input", {
    name: "password",
    type: "password",
    autocomplete: "current-password",
    required: true,
  });
  name.value = username;
  (username ? password : name).setAttribute("autofocus", "");
  const { node } = form({
    fields: [field("Name", name), field("Password", password)],
    action: "Log in",
    isMain: true,
    send: async () => {
      const body = { username: name.value, password: password.value };
      await call("POST", "login/cookie/", { body, mayLogIn: false });
      then(await call("GET", "me/", { mayLogIn: false }));
    },
  });
  node.classList.add("login");
  const provider = state.about.value?.sign_in;
  if (provider) node.prepend(signIn(provider, username !== ""));
  if (state.about.value?.demo) {
    node.append(demoButtons((user) => {
      [name.value, password.value] = [user, DEMO[user]];
      node.requestSubmit();
    }));
  }
  return node;
}

/**
 * Return a link that signs in through an identity provider.
 *
 * @param {{name: string, path: string}} provider
 * @param {boolean} isAbove Whether a page below it has to stay: it opens another tab.
 */
function signIn({ name, path }, isAbove) {
  const target = isAbove ? { target: "_blank" } : { on: { click: rememberPlace } };
  return element(
    "div",
    { class: "buttons" },
    element(
      "a",
      { href: path, class: "button edge", ...target },
      path === "login/proxy/" ? `Log in as ${name}` : `Sign in with ${name}`,
    ),
  );
}

/** @param {(username: string) => void} logIn */
function demoButtons(logIn) {
  const as = (/** @type {string} */ name) =>
    button(`Log in as ${name}`, () => logIn(name), { class: "edge" });
  return element(
    "div",
    { class: "demo" },
    element("p", {}, "This is a demonstration, with two users:"),
    element("div", { class: "buttons" }, as("alice"), as("bob")),
  );
}

/** @type {Record<string, string>} */
const DEMO = { alice: "secret1", bob: "secret2" };

/** @type {Promise<boolean> | null} */
let asking = null;

/** Ask for the password again, above the page; return whether the same user logged in. */
function askAgain() {
  asking ??= new Promise((resolve) => {
    const before = state.me.value;
    const again = loginForm((me) => {
      if (me.id !== before?.id) {
        location.reload();
        return;
      }
      loggedIn();
      tell({ what: "login" });
    }, { username: before?.username ?? "" });
    const dialog = openDialog("Log in again", [
      element(
        "p",
        {},
        "Your login has ended. Nothing on the page is lost, and what was waiting is sent then.",
      ),
      again,
    ], { isLocked: true });
    const end = listen(({ what }) => {
      if (what === "login") loggedIn();
    });
    addEventListener("focus", look);
    /** Look whether the user has signed in again in another tab. */
    async function look() {
      const me = await call("GET", "me/", { mayLogIn: false }).catch(() => null);
      if (me?.id === before?.id) loggedIn();
    }
    function loggedIn() {
      end();
      removeEventListener("focus", look);
      asking = null;
      dialog.close();
      resolve(true);
    }
  });
  return asking;
}

/** Ask the user to log in again whenever a login is over. */
export function guardLogin() {
  onLoginOver(askAgain);
  listen(({ what }) => {
    if (what !== "logout") return;
    // What was typed a moment ago would be kept when the page is left.
    clearLocal();
    location.reload();
  });
}

/** End this login, here and in the other tabs, and forget what the browser keeps. */
export async function logOut() {
  let there = document.baseURI;
  try {
    const said = await call("POST", "logout/", { mayLogIn: false });
    there = said?.end_session_url ?? there;
  } catch (error) {
    const isOut = error instanceof Problem && error.code === "unauthenticated";
    if (!isOut) return problemNotice(error);
  }
  clearLocal();
  tell({ what: "logout" });
  location.assign(there);
}
