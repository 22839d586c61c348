// @ts-check
/** API keys. */

import { call } from "../core/api.js";
import { button, element } from "../core/dom.js";
import * as format from "../core/format.js";
import { state } from "../core/state.js";
import { field, formDialog, select } from "../parts/form.js";
import { menuButton } from "../parts/menu.js";
import { timeOf } from "../parts/problem.js";
import { reloading } from "../parts/reloading.js";
import { secretBox } from "../parts/secret.js";
import { askForKey, commandFor } from "../parts/settings/key_form.js";
import { noKeys, noKeysOf } from "../parts/settings/key_help.js";
import { limitsInWords } from "../parts/settings/limits.js";
import { table } from "../parts/table.js";
import { tabs } from "../parts/tabs.js";

/** @typedef {import("../parts/settings/key_form.js").Key} Key */
/** @typedef {import("../parts/settings/user_forms.js").User} User */

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
  { label: "Expires" },
  { label: "Last used" },
  { label: "Actions", isHidden: true },
];

/** @type {import("../core/router.js").View} */
export default async function keys({ path, parts: [userId] }) {
  const where = userId ? `admin/users/${encodeURIComponent(userId)}` : "";
  /** Whose keys they are, if not one's own. @type {User | null} */
  const owner = where ? await call("GET", where) : null;
  const base = where ? `${where}/keys/` : "keys/";
  const canMake = owner?.service_account ?? true;
  const whose = owner ? `API keys of ${owner.username}` : "Your API keys";
  const secret = element("div", { tabindex: "-1" });
  const list = await reloading(async () => {
    const { keys } = await call("GET", base);
    return keys.length
      ? [table({ caption: whose, columns: COLUMNS, rows: keys.map(row) })]
      : [owner ? noKeysOf(owner) : noKeys()];
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
    const key = await askForKey(base, (owner ?? state.me.value)?.role);
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
        call("POST", `${base}${key.id}/rotate`, { body: { overlap: Number(overlap.value) } }),
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
      send: () => call("DELETE", `${base}${key.id}`),
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
      ...(owner ? [] : [{ label: "Its runs", href: `find?key=${key.id}` }]),
      ...(canMake ? [{ label: "Rotate…", run: () => void rotate(key) }] : []),
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
  const node = element(
    "div",
    { class: "page" },
    owner ? tabs("Manage", "manage/users") : tabs("Settings", path),
    secret,
    list.node,
  );
  return { node, title: owner ? whose : "API keys", actions: canMake ? [create] : [] };
}
