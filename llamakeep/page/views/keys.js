// @ts-check
/** API keys. */

import { call } from "../core/api.js";
import { button, element } from "../core/dom.js";
import * as format from "../core/format.js";
import { field, formDialog, select } from "../parts/form.js";
import { menuButton } from "../parts/menu.js";
import { timeOf } from "../parts/problem.js";
import { reloading } from "../parts/reloading.js";
import { secretBox } from "../parts/secret.js";
import { askForKey, commandFor } from "../parts/settings/key_form.js";
import { noKeys } from "../parts/settings/key_help.js";
import { limitsInWords } from "../parts/settings/limits.js";
import { table } from "../parts/table.js";
import { tabs } from "../parts/tabs.js";

/** @typedef {import("../parts/settings/key_form.js").Key} Key */

/** @type {[string, string][]} */
const OVERLAPS = [
  ["0", "At once"],
  ["3600", "In an hour"],
  ["86400", "In a day"],
  ["604800", "In 7 days"],
  ["2592000", "In 30 days"],
];
const COLUMNS = [
  { label: "Name" },
  { label: "May" },
  { label: "Models" },
  { label: "Limits" },
  { label: "Ends" },
  { label: "Last used" },
  { label: "Actions", isHidden: true },
];

/** @type {import("../core/router.js").View} */
export default async function keys({ path }) {
  const secret = element("div", { tabindex: "-1" });
  const list = await reloading(async () => {
    const { keys } = await call("GET", "keys/");
    return keys.length
      ? [table({ caption: "Your API keys", columns: COLUMNS, rows: keys.map(row) })]
      : [noKeys()];
  });

  /**
   * Show a key that was made.
   *
   * @param {Key} key
   */
  async function show(key) {
    secret.replaceChildren(
      secretBox({
        label: `The API key “${key.name}”.`,
        secret: key.key ?? "",
        example: commandFor(key),
      }),
    );
    await list.reload();
    secret.focus();
  }
  async function askAndShow() {
    const key = await askForKey();
    if (key) await show(key);
  }

  /** @param {Key} key */
  async function rotate(key) {
    const overlap = select(OVERLAPS, "3600", { name: "overlap" });
    const made = await formDialog(`Rotate “${key.name}”`, {
      fields: [
        element("p", {}, "A new key with the same name, rights and limits takes its place."),
        field("The old one ends", overlap, "Until then, both work."),
      ],
      action: "Rotate",
      send: () =>
        call("POST", `keys/${key.id}/rotate`, { body: { overlap: Number(overlap.value) } }),
    });
    if (made) await show(made);
  }

  /** @param {Key} key */
  async function revoke(key) {
    const isRevoked = await formDialog(`Revoke “${key.name}”?`, {
      fields: [
        element("p", {}, "From the next request on, programs with it are refused. Its runs stay."),
      ],
      action: "Revoke",
      isBad: true,
      send: () => call("DELETE", `keys/${key.id}`),
    });
    if (isRevoked) {
      secret.replaceChildren();
      await list.reload();
    }
  }

  /** @param {Key} key */
  function row(key) {
    const { name, hint, scopes, models, limits, expires_at, last_used_at, keeps } = key;
    const menu = menuButton("⋯", () => [
      { label: "Its runs", href: `find?key=${key.id}` },
      { label: "Rotate…", run: () => void rotate(key) },
      { label: "Revoke…", isBad: true, run: () => void revoke(key) },
    ], { "aria-label": `More about ${name} …${hint}` });
    const made = element("small", {}, `…${hint}, since ${format.day(key.created_at)}`);
    const texts = keeps ? null : element("small", {}, "its texts are erased");
    return [
      element("span", { class: "two" }, name, made, texts),
      scopes.join(", "),
      models ? models.join(", ") : "all",
      limitsInWords(limits),
      expires_at ? timeOf(expires_at) : "never",
      last_used_at ? timeOf(last_used_at) : "not yet",
      menu,
    ];
  }

  const create = button("Create a key", askAndShow, { class: "main" });
  const node = element("div", { class: "page" }, tabs("Settings", path), secret, list.node);
  return { node, title: "API keys", actions: [create] };
}
