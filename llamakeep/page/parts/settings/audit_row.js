// @ts-check
/** An event of the audit log, in words. */

import { element } from "../../core/dom.js";
import { timeOf } from "../problem.js";
import { nameOf } from "./agents.js";

/**
 * @typedef {{id: string, at: string, kind: string, user_id: string | null,
 *   username: string | null, actor_id: string | null, actor_username: string | null,
 *   api_key_id: string | null, detail: string | null, address: string | null,
 *   user_agent: string | null}} Event
 */

/** Kinds of events, and how they are called. @type {[string, string][]} */
export const KINDS = [
  ["login.succeeded", "Logged in"],
  ["login.failed", "Login failed"],
  ["login.granted", "Login given to a command line"],
  ["logout", "Logged out"],
  ["password.changed", "Password changed"],
  ["reset.issued", "Reset link made"],
  ["reset.used", "Reset link used"],
  ["invitation.created", "Invitation made"],
  ["invitation.used", "Invitation used"],
  ["invitation.revoked", "Invitation revoked"],
  ["key.created", "API key created"],
  ["key.rotated", "API key rotated"],
  ["key.revoked", "API key revoked"],
  ["webhook-secret.rotated", "Webhook secret replaced"],
  ["user.created", "User created"],
  ["user.disabled", "User disabled"],
  ["user.enabled", "User enabled"],
  ["user.deleted", "User deleted"],
  ["user.purged", "A deleted user's data gone"],
  ["role.changed", "Role changed"],
  ["limits.changed", "Limits changed"],
  ["retention.changed", "Retention changed"],
  ["retention.applied", "Old runs deleted"],
  ["keeping.changed", "Keeping of texts changed"],
  ["models.changed", "Models changed"],
];
const NAMES = new Map(KINDS);

/**
 * @param {Event} event
 * @param {(name: string, value: string) => string} hrefWith
 */
export function row(event, hrefWith) {
  const { at, kind, user_id, username, actor_id, actor_username, api_key_id } = event;
  const { detail, address, user_agent: agent } = event;
  const who = (
    /** @type {string} */ filter,
    /** @type {string | null} */ id,
    /** @type {string | null} */ name,
  ) => id ? element("a", { href: hrefWith(filter, id) }, name ?? id) : name;
  const small = (/** @type {string | null} */ text) => text ? element("small", {}, text) : null;
  const by = who("actor", actor_id, actor_username) ??
    (address === "command line" ? "an operator" : "not logged in");
  const program = agent ? nameOf({ user_agent: agent, kind: "token" }) : null;
  return [
    timeOf(at),
    element("span", { class: "two" }, NAMES.get(kind) ?? kind, small(detail)),
    who("user", user_id, username) ?? "none",
    element("span", { class: "two" }, by, small(api_key_id && `with the API key ${api_key_id}`)),
    element("span", { class: "two", title: agent }, address ?? "not known", small(program)),
  ];
}
