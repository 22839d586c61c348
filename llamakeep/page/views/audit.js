// @ts-check
/** What happened to accounts, for administrators. */

import { element } from "../core/dom.js";
import { setAddress } from "../core/router.js";
import { empty } from "../parts/empty.js";
import { field, select } from "../parts/form.js";
import { hrefOf } from "../parts/history/filters.js";
import { pagedList } from "../parts/paging.js";
import { KINDS, row } from "../parts/settings/audit_row.js";
import { table } from "../parts/table.js";
import { tabs } from "../parts/tabs.js";

const COLUMNS = ["When", "What", "Account", "By", "From"].map((label) => ({ label }));
/** Filters of the address, with the API's names. @type {[string, string][]} */
const FILTERS = [
  ["kind", "kind"],
  ["user", "user_id"],
  ["actor", "actor_id"],
  ["since", "since"],
  ["until", "until"],
];

/** @type {import("../core/router.js").View} */
export default async function audit({ path, query }) {
  const filters = new URLSearchParams(query);
  const asked = () => Object.fromEntries(FILTERS.map(([name, ours]) => [ours, filters.get(name)]));
  const list = await pagedList("admin/audit", "events", asked, (found) => {
    const rows = found.map((event) => row(event, hrefWith));
    const events = rows.length
      ? table({ caption: "Audit log", columns: COLUMNS, rows })
      : empty("No entry matches.", "The log goes back for a year.");
    return [chips(), events];
  });

  /**
   * Return the address with another filter.
   *
   * @param {string} name
   * @param {string} value
   */
  function hrefWith(name, value) {
    const changed = new URLSearchParams(filters);
    if (value) changed.set(name, value);
    else changed.delete(name);
    return hrefOf(path, changed);
  }
  /** What the fields do not show. */
  function chips() {
    const shown = [["user", "Of one account"], ["actor", "By one user"]];
    const links = shown.filter(([name]) => filters.has(name)).map(([name, label]) =>
      element("a", {
        class: "button chip",
        href: hrefWith(name, ""),
        "aria-label": `${label}: remove this filter`,
      }, `${label} ×`)
    );
    return links.length ? element("div", { class: "chips" }, ...links) : null;
  }
  /**
   * @param {string} name
   * @param {string} value
   */
  function filter(name, value) {
    const href = hrefWith(name, value);
    if (value) filters.set(name, value);
    else filters.delete(name);
    setAddress(href);
    list.restart();
  }
  const kind = select([["", "Everything"], ...KINDS], filters.get("kind") ?? "", {
    on: { change: () => filter("kind", kind.value) },
  });
  const date = (/** @type {string} */ name) => {
    const input = element("input", {
      type: "date",
      on: { change: () => filter(name, input.value) },
    });
    input.value = filters.get(name) ?? "";
    return input;
  };
  const node = element(
    "div",
    { class: "page" },
    tabs("Manage", path),
    element(
      "div",
      { class: "filters" },
      field("What", kind),
      field("From (UTC)", date("since")),
      field("Before (UTC)", date("until")),
    ),
    list.node,
  );
  return { node, title: "Audit log" };
}
