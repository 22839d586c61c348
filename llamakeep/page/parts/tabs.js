// @ts-check
/** The pages of settings and of administration, beside each other. */

import { element } from "../core/dom.js";

/** @type {Record<"Settings" | "Manage", [string, string][]>} */
const PAGES = {
  Settings: [["Account", "settings"], ["API keys", "settings/keys"], [
    "Limits",
    "settings/limits",
  ]],
  Manage: [
    ["Users", "manage/users"],
    ["Invitations", "manage/invitations"],
    ["Usage", "manage/usage"],
    ["Limits", "manage/limits"],
    ["Audit log", "manage/audit"],
    ["Providers", "manage/providers"],
  ],
};

/**
 * Return the links to the pages that belong together.
 *
 * @param {keyof typeof PAGES} name
 * @param {string} here
 */
export function tabs(name, here) {
  return element(
    "div",
    { class: "tabs", role: "navigation", "aria-label": name },
    ...PAGES[name].map(([label, href]) =>
      element("a", { href, "aria-current": href === here ? "page" : null }, label)
    ),
  );
}
