// @ts-check
/** Links with which people make accounts, for administrators. */

import { call } from "../core/api.js";
import { button, element, fold } from "../core/dom.js";
import { empty } from "../parts/empty.js";
import { field, formDialog, group, select } from "../parts/form.js";
import { pagedList } from "../parts/paging.js";
import { timeOf } from "../parts/problem.js";
import { secretBox } from "../parts/secret.js";
import { limitFields, limitsInWords } from "../parts/settings/limits.js";
import { table } from "../parts/table.js";
import { tabs } from "../parts/tabs.js";

/**
 * @typedef {object} Invitation
 * @property {string} id
 * @property {string | null} email
 * @property {"user" | "admin"} role
 * @property {import("../parts/settings/limits.js").Limits | null} limits
 * @property {string} created_at
 * @property {string} expires_at
 * @property {string} [url] Once.
 */

const COLUMNS = [
  { label: "For" },
  { label: "Role" },
  { label: "Limits" },
  { label: "Since" },
  { label: "Expires" },
  { label: "Actions", isHidden: true },
];

/** @type {import("../core/router.js").View} */
export default async function invitations({ path }) {
  const secret = element("div", { tabindex: "-1" });
  const list = await pagedList("admin/invitations/", "invitations", () => ({}), (found) => [
    found.length
      ? table({ caption: "Open invitations", columns: COLUMNS, rows: found.map(row) })
      : empty(
        "No invitation is open.",
        "A link lets one person choose a name and a password, or sign in, once.",
      ),
  ]);

  async function askAndShow() {
    const made = await askForInvitation();
    if (made === null) return;
    const label = made.email
      ? `The link for ${made.email}, for one account.`
      : "The link for one account.";
    secret.replaceChildren(secretBox({ label, secret: made.url ?? "" }));
    await list.reload();
    secret.focus();
  }

  /** @param {Invitation} invitation */
  async function revoke({ id, email }) {
    const isRevoked = await formDialog(
      email ? `Revoke the link for ${email}?` : "Revoke the link?",
      {
        fields: [element("p", {}, "Nobody can make an account with it any more.")],
        action: "Revoke",
        isBad: true,
        send: () => call("DELETE", `admin/invitations/${encodeURIComponent(id)}`),
      },
    );
    if (isRevoked) {
      secret.replaceChildren();
      await list.reload();
    }
  }

  /** @param {Invitation} invitation */
  function row(invitation) {
    return [
      invitation.email ?? "anyone",
      invitation.role === "admin" ? "administrator" : "user",
      limitsInWords(invitation.limits),
      timeOf(invitation.created_at),
      timeOf(invitation.expires_at),
      button("Revoke…", () => void revoke(invitation), { class: "edge" }),
    ];
  }

  const create = button("Invite", askAndShow, { class: "main" });
  const node = element("div", { class: "page" }, tabs("Manage", path), secret, list.node);
  return { node, title: "Invitations", actions: [create] };
}

/** @returns {Promise<Invitation | null>} */
async function askForInvitation() {
  const email = element("input", { name: "email", maxlength: "254", autocomplete: "off" });
  const role = select([["user", "User"], ["admin", "Administrator"]], "user", { name: "role" });
  const days = select([["1", "1 day"], ["7", "7 days"], ["30", "30 days"]], "7", { name: "days" });
  const limits = limitFields(null);
  return await formDialog("Make an invitation", {
    fields: [
      field("Recipient", email, "An address or a name, for your list. Nothing is sent."),
      field("Role", role),
      field("Valid for", days),
      fold("Limits", group("Empty ones are as in the server's settings", limits.node)),
    ],
    action: "Make a link",
    send: () => {
      const body = {
        role: role.value,
        days: Number(days.value),
        limits: limits.value(),
        ...(email.value.trim() ? { email: email.value.trim() } : {}),
      };
      return call("POST", "admin/invitations/", { body });
    },
  });
}
