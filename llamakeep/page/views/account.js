// @ts-check
/** The user's own account. */

import { call } from "../core/api.js";
import { element } from "../core/dom.js";
import * as format from "../core/format.js";
import { state } from "../core/state.js";
import { keepingSection, movingSection } from "../parts/settings/keeping.js";
import { loginsSection } from "../parts/settings/logins.js";
import { looksSection } from "../parts/settings/looks.js";
import { passwordSection } from "../parts/settings/password.js";
import { webhookSection } from "../parts/settings/webhook_secret.js";
import { tabs } from "../parts/tabs.js";

/** @type {import("../core/router.js").View} */
export default async function account({ path }) {
  const [me, logins] = await Promise.all([call("GET", "me/"), loginsSection()]);
  const about = state.about.value;
  const heading = (/** @type {string} */ text) => element("h2", {}, text);
  const role = me.role === "admin" ? "administrator" : "user";
  const node = element(
    "div",
    { class: "page" },
    tabs("Settings", path),
    element("p", {}, element("b", {}, me.username), `, ${role} since ${format.day(me.created_at)}`),
    about?.demo
      ? element(
        "p",
        { class: "note" },
        "This server is a demonstration: all who use this computer can log in as alice and bob, " +
          "and read what they asked.",
      )
      : null,
    heading("Appearance and keys"),
    looksSection(),
    heading("Password"),
    passwordSection(me.username, logins.reload),
    heading("Where you are logged in"),
    logins.node,
    heading("How long runs are kept"),
    keepingSection(me),
    heading("Export and import"),
    movingSection(),
    heading("Webhook secret"),
    webhookSection(),
    about ? element("p", { class: "soft version" }, `llamakeep ${about.version}`) : null,
  );
  return { node, title: "Settings" };
}
