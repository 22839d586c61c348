// @ts-check
/** What an administrator does to users. */

import { call } from "../../core/api.js";
import { element } from "../../core/dom.js";
import { check, field, formDialog, group } from "../form.js";
import { limitFields, quotaTable } from "./limits.js";

/**
 * @typedef {object} User
 * @property {string} id
 * @property {string} username
 * @property {"user" | "admin"} role
 * @property {string} created_at
 * @property {string | null} disabled_at
 * @property {number | null} retention_days
 * @property {boolean} keeps
 * @property {string[] | null} models The only ones that the user may ask.
 * @property {boolean} service_account
 */

/** @param {User} user */
const pathOf = ({ id }) => `admin/users/${encodeURIComponent(id)}`;

/** @param {User} user */
export async function changeRole(user) {
  const role = user.role === "admin" ? "user" : "admin";
  const text = role === "admin"
    ? "An administrator manages users and reads the audit log, but not other users' histories."
    : "From the next request on, this user cannot manage others.";
  return await formDialog(
    role === "admin"
      ? `Make ${user.username} an administrator?`
      : `Make ${user.username} a regular user?`,
    {
      fields: [element("p", {}, text)],
      action: role === "admin" ? "Make an administrator" : "Make a regular user",
      send: () => call("PATCH", pathOf(user), { body: { role } }),
    },
  );
}

/** @param {User} user */
export async function changeAccess(user) {
  const disabled = user.disabled_at === null;
  const back = user.service_account
    ? "Its API keys are valid again."
    : "The user can log in again, and their API keys are valid again.";
  const text = disabled
    ? "The user's logins end, their API keys are refused, and their runs stop. The history stays."
    : back;
  return await formDialog(`${disabled ? "Disable" : "Enable"} ${user.username}?`, {
    fields: [element("p", {}, text)],
    action: disabled ? "Disable" : "Enable",
    isBad: disabled,
    send: () => call("PATCH", pathOf(user), { body: { disabled } }),
  });
}

/** @param {User} user */
export async function changeKeeping(user) {
  const days = element("input", {
    type: "number",
    name: "retention_days",
    min: "1",
    max: "36500",
    inputmode: "numeric",
  });
  days.value = `${user.retention_days ?? ""}`;
  const keeps = element("input", { type: "checkbox", name: "keeps", checked: user.keeps });
  return await formDialog(`What is kept of ${user.username}`, {
    fields: [
      field(
        "Days after which runs are deleted",
        days,
        "Empty: as in the server's settings. What is older goes within about an hour, for good.",
      ),
      check("Keep the texts of runs", keeps, "Else they are erased when the runs end."),
    ],
    action: "Save",
    send: () => {
      const retention_days = days.value === "" ? null : Number(days.value);
      return call("PATCH", pathOf(user), { body: { retention_days, keeps: keeps.checked } });
    },
  });
}

/** @param {User} user */
export async function changeLimits(user) {
  const path = `${pathOf(user)}/limits`;
  const { limits, own } = await call("GET", path);
  const inputs = limitFields(own);
  return await formDialog(`Limits of ${user.username}`, {
    fields: [
      limits.length ? quotaTable(`What ${user.username} has used`, limits) : null,
      group("Limits of this user; empty ones are as in the server's settings", inputs.node),
    ],
    action: "Save",
    send: () => call("PUT", path, { body: inputs.value() }),
  });
}

/** @param {User} user */
export async function remove(user) {
  const name = element("input", { name: "username", required: true, autocomplete: "off" });
  name.addEventListener("input", () => {
    const isRight = name.value.trim() === user.username;
    name.setCustomValidity(isRight ? "" : "That is not the user's name.");
  });
  return await formDialog(`Delete ${user.username}?`, {
    fields: [
      element(
        "p",
        {},
        "The user is gone at once, and for good: logins and API keys are refused, runs stop, and " +
          "all runs, conversations and tags are deleted. The audit log keeps the name. To keep " +
          "the history, disable the user instead.",
      ),
      field(`Type ${user.username} to be sure`, name),
    ],
    action: "Delete for good",
    isBad: true,
    send: () => call("DELETE", pathOf(user)),
  });
}

/**
 * Make a link with which the user chooses a password.
 *
 * @param {User} user
 * @returns {Promise<string>}
 */
export async function resetLink(user) {
  return (await call("POST", `${pathOf(user)}/reset`)).url;
}
