// @ts-check
/** Logging in a command line, which has sent its user here. */

import { call } from "../core/api.js";
import { button, element } from "../core/dom.js";
import { state } from "../core/state.js";
import { empty } from "../parts/empty.js";
import { problemBox } from "../parts/problem.js";
import { secretBox } from "../parts/secret.js";

/** @type {import("../core/router.js").View} */
export default function terminal({ hash }) {
  const title = "Log in a terminal";
  const dot = hash.indexOf(".");
  const [challenge, name] = [hash.slice(0, dot), hash.slice(dot + 1, dot + 129)];
  if (!/^[0-9a-f]{64}$/.test(challenge) || name.trim() === "") {
    const text = "Run llamakeep login in a terminal, and open the address that it prints.";
    return { node: element("div", { class: "page" }, empty("No program is asking.", text)), title };
  }
  const check = `${challenge.slice(0, 4)}-${challenge.slice(4, 8)}`.toUpperCase();
  const shown = element("div", { tabindex: "-1" });
  const allow = async () => {
    try {
      const { code } = await call("POST", "me/login-codes/", { body: { challenge, name } });
      const label = `Paste this into your terminal that shows ${check}, within five minutes, and ` +
        "nowhere else.";
      question.replaceChildren(secretBox({ label, secret: code }));
    } catch (error) {
      shown.replaceChildren(problemBox(error));
      shown.focus();
    }
  };
  const refuse = () => {
    const text =
      "Nothing was given to it. If you did not ask for this, the person who sent you the " +
      "address may have wanted your login.";
    question.replaceChildren(element("p", { class: "note", role: "status" }, text));
  };
  const question = element(
    "div",
    {},
    element(
      "p",
      {},
      "A program that calls itself ",
      element("b", {}, name),
      ` asks to act as ${state.me.value?.username}: it may do then what you may do here.`,
    ),
    element(
      "p",
      { class: "note" },
      "Say yes only if you have just started ",
      element("code", {}, "llamakeep login"),
      " yourself, and its terminal shows ",
      element("b", {}, check),
      ". Give what comes next to no other person.",
    ),
    element(
      "div",
      { class: "buttons" },
      button("No", refuse, { class: "edge" }),
      button("Yes, log it in", allow, { class: "main" }),
    ),
  );
  return { node: element("div", { class: "page" }, shown, question), title };
}
