// @ts-check
/** The users of the server, for administrators. */

import { button, element } from "../core/dom.js";
import * as format from "../core/format.js";
import { go, setAddress } from "../core/router.js";
import { state } from "../core/state.js";
import { notice } from "../parts/announce.js";
import { empty } from "../parts/empty.js";
import { menuButton } from "../parts/menu.js";
import { pagedList } from "../parts/paging.js";
import { problemBox } from "../parts/problem.js";
import { secretBox } from "../parts/secret.js";
import { askForUser } from "../parts/settings/new_user.js";
import * as forms from "../parts/settings/user_forms.js";
import { changeModels } from "../parts/settings/user_models.js";
import { table } from "../parts/table.js";
import { tabs } from "../parts/tabs.js";

/** @typedef {import("../parts/settings/user_forms.js").User} User */

/** @param {User} user */
const keysOf = ({ id }) => `manage/users/${encodeURIComponent(id)}/keys`;

/** How long the field has to rest before it is searched for, in ms. */
const PAUSE = 250;
const COLUMNS = [
  { label: "Name" },
  { label: "Role" },
  { label: "Access" },
  { label: "Runs are kept" },
  { label: "Since" },
  { label: "Actions", isHidden: true },
];

/** @type {import("../core/router.js").View} */
export default async function users({ path, query }) {
  let words = query.get("q") ?? "";
  const secret = element("div", { tabindex: "-1" });
  const list = await pagedList("admin/users/", "users", () => ({ q: words }), (found) => [
    found.length
      ? table({ caption: "Users", columns: COLUMNS, rows: found.map(row) })
      : empty("No user matches.", "The search finds any part of a name."),
  ]);
  const search = element("input", {
    type: "search",
    "aria-label": "Find users",
    placeholder: "Find users",
    autocomplete: "off",
    on: { input: searchSoon },
  });
  search.value = words;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  function searchSoon() {
    clearTimeout(timer);
    timer = setTimeout(() => {
      words = search.value.trim();
      setAddress(words ? `${path}?q=${encodeURIComponent(words)}` : path);
      list.restart();
    }, PAUSE);
  }

  /**
   * @param {User} user
   * @param {(user: User) => Promise<unknown>} change Returns whether there was one.
   */
  async function change(user, change) {
    try {
      if (await change(user)) await list.reload();
    } catch (error) {
      secret.replaceChildren(problemBox(error));
    }
  }

  /** @param {User} user */
  async function reset(user) {
    const url = await forms.resetLink(user);
    secret.replaceChildren(secretBox({
      label: `The link with which ${user.username} chooses a password, once and within an hour.`,
      secret: url,
    }));
    secret.focus();
    return false;
  }

  /** @param {User} user */
  async function remove(user) {
    if (await forms.remove(user)) {
      notice(`${user.username} is deleted. A long history takes minutes more.`);
      return true;
    }
    return false;
  }

  async function askAndShow() {
    const user = await askForUser();
    if (user === null) return;
    await list.reload();
    if (user.service_account) go(keysOf(user));
    else if (user.hasPassword) notice(`${user.username} can log in.`);
    else await change(user, reset);
  }

  /** @param {User} user */
  function row(user) {
    const { username, role, disabled_at, retention_days, keeps, created_at, id, models } = user;
    const isService = user.service_account;
    const isAdmin = role === "admin";
    const does = (/** @type {(user: User) => Promise<unknown>} */ what) => () =>
      void change(user, what);
    const menu = menuButton("⋯", () => [
      { label: "Limits…", run: does(forms.changeLimits) },
      { label: "Models…", run: does(changeModels) },
      { label: "What is kept…", run: does(forms.changeKeeping) },
      { label: "API keys", href: keysOf(user) },
      ...(isService ? [] : [{ label: "Link for a new password", run: does(reset) }]),
      {
        label: isAdmin ? "Make a regular user…" : "Make an administrator…",
        run: does(forms.changeRole),
      },
      { label: "In the audit log", href: `manage/audit?user=${encodeURIComponent(id)}` },
      { label: disabled_at ? "Enable…" : "Disable…", run: does(forms.changeAccess) },
      { label: "Delete…", isBad: true, run: does(remove) },
    ], { "aria-label": `More about ${username}` });
    const isMe = id === state.me.value?.id;
    const days = retention_days ? format.counted(retention_days, "day") : "as set for all";
    return [
      element("span", { class: "two" }, username, isMe ? element("small", {}, "you") : null),
      element(
        "span",
        { class: "two" },
        isAdmin ? "administrator" : "user",
        isService ? element("small", {}, "service account") : null,
        models ? element("small", {}, `asks only ${models.join(", ")}`) : null,
      ),
      disabled_at
        ? `disabled since ${format.day(disabled_at)}`
        : isService
        ? "by API keys"
        : "enabled",
      keeps ? days : `${days}, without texts`,
      format.day(created_at),
      menu,
    ];
  }

  const create = button("Create a user", askAndShow, { class: "main" });
  const node = element(
    "div",
    { class: "page" },
    tabs("Manage", path),
    element("div", { class: "filters" }, search),
    secret,
    list.node,
  );
  return { node, title: "Users", actions: [create], close: () => clearTimeout(timer) };
}
