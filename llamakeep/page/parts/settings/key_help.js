// @ts-check
/** What an API key is for, for those who have none. */

import { address } from "../../core/api.js";
import { element } from "../../core/dom.js";
import { empty } from "../empty.js";

/** Return what stands in the place of keys. */
export function noKeys() {
  return element("div", {}, none(), theCalls());
}

/**
 * Return what stands in the place of another user's keys.
 *
 * @param {import("./user_forms.js").User} owner
 */
export const noKeysOf = (owner) =>
  empty(
    `${owner.username} has no API keys.`,
    owner.service_account
      ? "A program sends one in the place of a login. Those that you make stay when you go."
      : "Users make their own under Settings.",
  );

function none() {
  return empty(
    "You have no API keys.",
    "A program sends a key in the place of a login. Each can do less than you, has limits of " +
      "its own, and can be revoked by itself.",
  );
}

function theCalls() {
  const bearer = "-H 'Authorization: Bearer KEY'";
  const json = "-H 'Content-Type: application/json'";
  const lines = [
    `curl ${address("login/")} ${json} -d '{"username": "…", "password": "…"}'`,
    `curl ${address("prompt/")} ${bearer} ${json} -d '{"prompt": "What is a llama?"}'`,
    `curl ${address("history/")} ${bearer}`,
  ];
  return element(
    "div",
    {},
    element("h2", {}, "Three calls"),
    element(
      "p",
      {},
      "A login returns a token that works like a key, for a few days. OpenAI's, Anthropic's and " +
        "Replicate's clients take a key, too.",
    ),
    element("pre", { tabindex: "0", "aria-label": "Three calls" }, lines.join("\n\n")),
  );
}
