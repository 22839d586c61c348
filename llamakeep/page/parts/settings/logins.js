// @ts-check
/** Where a user is logged in. */

import { call } from "../../core/api.js";
import { button, element } from "../../core/dom.js";
import { formDialog } from "../form.js";
import { logOut } from "../frame/login.js";
import { timeOf } from "../problem.js";
import { reloading } from "../reloading.js";
import { table } from "../table.js";
import { nameOf } from "./agents.js";

/**
 * @typedef {object} Login
 * @property {string} id
 * @property {"token" | "cookie"} kind
 * @property {string} created_at
 * @property {string} expires_at
 * @property {string | null} last_used_at
 * @property {string | null} address
 * @property {string | null} user_agent
 * @property {boolean} current
 */

const COLUMNS = [
  { label: "Where" },
  { label: "Since" },
  { label: "Last used" },
  { label: "Expires" },
  { label: "Actions", isHidden: true },
];

/** Return a list of logins, which can be ended. */
export async function loginsSection() {
  const list = await reloading(async () => {
    const { logins } = await call("GET", "me/logins/");
    return [table({ caption: "Your logins", columns: COLUMNS, rows: logins.map(row) })];
  });

  /** @param {Login} login */
  async function end(login) {
    const isEnded = await formDialog(`Log out of ${nameOf(login)}?`, {
      fields: [element("p", {}, "It counts from the next request on. API keys stay valid.")],
      action: "Log out there",
      send: () => call("DELETE", `me/logins/${login.id}`),
    });
    if (isEnded) await list.reload();
  }

  /** @param {Login} login */
  function row(login) {
    const { current, created_at, last_used_at, expires_at } = login;
    const name = nameOf(login);
    const click = () => void (current ? logOut() : end(login));
    const ending = button(current ? "Log out" : "Log out there", click, {
      class: "edge",
      "aria-label": current ? null : `Log out there: ${name}`,
    });
    const place = element(
      "small",
      {},
      current ? "here" : null,
      login.address && ` ${login.address}`,
    );
    return [
      element("span", { class: "two", title: login.user_agent }, name, place),
      timeOf(created_at),
      current ? "now" : last_used_at ? timeOf(last_used_at) : "not noted",
      timeOf(expires_at),
      ending,
    ];
  }
  return list;
}
