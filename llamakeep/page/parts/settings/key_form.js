// @ts-check
/** Making an API key. */

import { address, call } from "../../core/api.js";
import { element, fold } from "../../core/dom.js";
import { models } from "../../core/models.js";
import { boxes, check, field, formDialog, group, select } from "../form.js";
import { limitFields } from "./limits.js";

/**
 * @typedef {object} Key
 * @property {string} id
 * @property {string} name
 * @property {string} hint
 * @property {string[]} scopes
 * @property {string[] | null} models
 * @property {string} created_at
 * @property {string | null} expires_at
 * @property {string | null} last_used_at
 * @property {import("./limits.js").Limits | null} limits
 * @property {boolean} keeps
 * @property {string} [key] Its secret, once.
 */

/** @type {[string, string][]} */
const SCOPES = [
  ["prompt", "Send prompts, follow and stop runs"],
  ["history", "Read the history"],
  ["delete", "Delete from the history"],
  ["keys", "Create and revoke API keys"],
];
/** @type {[string, string]} */
const ADMIN = ["admin", "Manage users, like an administrator"];
const DEFAULT = ["prompt", "history"];
const DAY = 86_400_000;
/** @type {[string, string][]} */
const ENDS = [
  ["", "Never"],
  ["7", "In 7 days"],
  ["30", "In 30 days"],
  ["90", "In 90 days"],
  ["365", "In a year"],
];

/**
 * Let the user make a key; return it with its secret, or `null`.
 *
 * @param {string} path Where keys of their owner are made.
 * @param {string} [role] Of the owner.
 * @returns {Promise<Key | null>}
 */
export async function askForKey(path, role) {
  const known = await models().catch(() => []);
  const name = element("input", { name: "name", required: true, maxlength: "64" });
  const scopes = boxes(role === "admin" ? [...SCOPES, ADMIN] : SCOPES, DEFAULT);
  const some = boxes(known.map(({ model }) => [model, model]), []);
  const end = select(ENDS, "", { name: "expires_at" });
  const keeps = element("input", { type: "checkbox", name: "keeps", checked: true });
  const limits = limitFields(null);
  const send = () => {
    const given = limits.value();
    const body = {
      name: name.value,
      scopes: scopes.value(),
      ...(some.value().length ? { models: some.value() } : {}),
      ...(end.value
        ? { expires_at: new Date(Date.now() + Number(end.value) * DAY).toISOString() }
        : {}),
      ...(Object.keys(given).length ? { limits: given } : {}),
      ...(keeps.checked ? {} : { keeps: false }),
    };
    return call("POST", path, { body });
  };
  return await formDialog("Create an API key", {
    fields: [
      field("Name", name, "For example, of the program that will use it."),
      group("It may", ...scopes.nodes),
      field("Expires", end),
      fold(
        "Models, limits, and what is kept",
        known.length ? group("Only these models; none for all", ...some.nodes) : null,
        group("Limits of the key, besides its owner's", limits.node),
        check("Keep the texts of its runs", keeps, "Else they are erased when the runs end."),
      ),
    ],
    action: "Create",
    send,
  });
}

/**
 * Return a command that a key can do.
 *
 * @param {Key} key
 */
export function commandFor({ key, scopes, models }) {
  const bearer = `-H 'Authorization: Bearer ${key}'`;
  const get = (/** @type {string} */ path) => `curl ${quoted(address(path))} ${bearer}`;
  if (scopes.includes("prompt")) {
    const body = { prompt: "What is a llama?", ...(models ? { model: models[0] } : {}) };
    return `curl ${quoted(address("prompt/"))} ${bearer} ` +
      `-H 'Content-Type: application/json' -d ${quoted(JSON.stringify(body))}`;
  }
  if (scopes.includes("history")) return get("history/");
  if (scopes.includes("keys")) return get("keys/");
  return get(scopes.includes("admin") ? "admin/users/" : "me/");
}

/** @param {string} text */
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
