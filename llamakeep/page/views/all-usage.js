// @ts-check
/** What all users do, for administrators: numbers, never texts. */

import { call } from "../core/api.js";
import { element, fold } from "../core/dom.js";
import { bars } from "../parts/bars.js";
import { empty } from "../parts/empty.js";
import { choice, choose, group, measureOf, PERIODS, USUAL } from "../parts/history/choices.js";
import { daysAgo, utcDay } from "../parts/history/filters.js";
import { chartOf, csvOf, MEASURES, saveButton, sumsTable } from "../parts/history/usage.js";
import { tabs } from "../parts/tabs.js";

/** @typedef {import("../parts/history/usage.js").Sums & {username?: string | null}} Sums */

/** @type {import("../core/router.js").View} */
export default async function allUsage({ path, query }) {
  const since = query.get("since") ?? daysAgo(USUAL);
  const measure = measureOf(query);
  const asked = async (/** @type {string[]} */ ...by) => {
    const { stats, has_more } = await call("GET", "admin/stats", { query: { by, since } });
    return { stats: stats.map(named), has_more };
  };
  const [byUser, byModel, byDay] = await Promise.all([
    asked("user"),
    asked("model"),
    asked("day", "user"),
  ]);
  const to = (/** @type {string} */ name, /** @type {string} */ value) =>
    choose(path, query, name, value);
  const times = PERIODS.map(([label, days]) =>
    choice(label, to("since", daysAgo(days)), since === daysAgo(days))
  );
  const show = Object.entries(MEASURES).map(([name, { label }]) =>
    choice(label, to("show", name), name === measure)
  );
  const choices = element("div", { class: "choices" }, group("Time", times), group("Show", show));
  const node = element("div", { class: "page usage" }, tabs("Manage", path), choices);
  const title = "Usage of all users";
  if (byUser.stats.length === 0) {
    node.append(empty("Nothing was asked in this time.", "Choose more time."));
    return { node, title };
  }
  const chart = chartOf(byDay.stats, {
    part: "user",
    measure,
    days: [since.slice(0, 10), daysAgo(0)],
    keyNames: new Map(),
    hrefOf: () => "",
  });
  // What others asked is theirs: no bar leads to it.
  const groups = chart.groups.map(({ href: _, ...group }) => group);
  const days = sumsTable(
    "By day and user",
    "Day (UTC)",
    byDay.stats,
    ({ groups }) => `${utcDay(groups.day ?? "")}, ${groups.user ?? "None"}`,
  );
  node.append(
    element("h2", {}, `${MEASURES[measure].label} by day`),
    element("p", { class: "soft" }, "Days are those of UTC. Nothing here shows what was asked."),
    bars({ ...chart, groups }),
    byDay.has_more || byUser.has_more
      ? element("p", { class: "note" }, "Some groups are left out: choose less time.")
      : "",
    fold("As a table", days),
    element("h2", {}, "By user"),
    sumsTable("By user", "User", byUser.stats, ({ groups }) => groups.user ?? "None"),
    element("h2", {}, "By model"),
    sumsTable("By model", "Model", byModel.stats, ({ group }) => group ?? "None"),
  );
  const csv = () => csvOf(byDay.stats, "user");
  return { node, title, actions: [saveButton("CSV", "all-usage.csv", "text/csv", csv)] };
}

/**
 * Return sums with users' names in the place of their ids.
 *
 * @param {Sums} sums
 * @returns {Sums}
 */
function named(sums) {
  const { groups, username } = sums;
  return groups.user ? { ...sums, groups: { ...groups, user: username ?? "deleted" } } : sums;
}
