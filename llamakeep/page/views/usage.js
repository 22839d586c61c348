// @ts-check
/** Runs, tokens and cost: by day, by model, by API key. */

import { call } from "../core/api.js";
import { element, fold } from "../core/dom.js";
import * as format from "../core/format.js";
import { bars } from "../parts/bars.js";
import { empty } from "../parts/empty.js";
import { choice, choose, group, measureOf, PERIODS, USUAL } from "../parts/history/choices.js";
import { keyNames } from "../parts/history/filter_chips.js";
import {
  apiQuery,
  changed,
  dayAfter,
  daysAgo,
  filtersOf,
  hrefOf,
  utcDay,
} from "../parts/history/filters.js";
import {
  chartOf,
  costOf,
  csvOf,
  MEASURES,
  partName,
  PARTS,
  saveButton,
  sumsTable,
  total,
} from "../parts/history/usage.js";

/** @typedef {import("../parts/history/usage.js").Sums} Sums */

/**
 * What the address says.
 *
 * @param {URLSearchParams} query
 */
function readPlace(query) {
  const filters = filtersOf(query);
  const isAll = query.get("since") === "all";
  if (isAll) filters.delete("since");
  else if (!filters.has("since")) filters.set("since", daysAgo(USUAL));
  const part = query.get("by") ?? "";
  return {
    filters,
    isAll,
    part: Object.hasOwn(PARTS, part) ? part : "model",
    measure: measureOf(query),
  };
}

/**
 * @param {URLSearchParams} query
 * @param {ReturnType<typeof readPlace>} place
 */
function choices(query, { filters, isAll, part, measure }) {
  const to = (/** @type {string} */ name, /** @type {string} */ value) =>
    choose("usage", query, name, value);
  const since = PERIODS.map(([label, days]) => {
    const day = daysAgo(days);
    return choice(label, to("since", day), filters.get("since") === day);
  });
  const show = Object.entries(MEASURES).map(([name, { label }]) =>
    choice(label, to("show", name), name === measure)
  );
  const by = Object.entries(PARTS).map(([name, label]) =>
    choice(`By ${label}`, to("by", name), name === part)
  );
  return element(
    "div",
    { class: "choices" },
    group("Time", [...since, choice("All", to("since", "all"), isAll)]),
    group("Show", show),
    group("Parts", by),
  );
}

/** @param {Sums[]} byStatus */
function sums(byStatus) {
  const all = total(byStatus);
  const answered = byStatus.find(({ group }) => group === "succeeded");
  const half = answered?.latency?.p50;
  const fact = (/** @type {string} */ label, /** @type {string} */ value, note = "") =>
    element(
      "div",
      {},
      element("dt", {}, label),
      element("dd", {}, element("b", {}, value), note ? element("small", {}, note) : null),
    );
  const { number } = format;
  return element(
    "dl",
    { class: "sums" },
    fact(
      "Runs",
      number(all.runs),
      `${number(all.succeeded)} answered, ${number(all.failed)} failed`,
    ),
    fact(
      "Tokens",
      number(all.input_tokens + all.output_tokens),
      `${number(all.input_tokens)} read, ${number(all.output_tokens)} written`,
    ),
    all.cost_usd && all.unpriced
      ? fact(
        "Cost",
        format.money(all.cost_usd),
        `price not known of ${format.counted(all.unpriced, "run")}`,
      )
      : fact("Cost", costOf(all)),
    half ? fact("Half of the answers took at most", format.duration(half)) : "",
  );
}

/** @type {import("../core/router.js").View} */
export default async function usage({ query }) {
  const place = readPlace(query);
  const { filters, part, measure } = place;
  const asked = (/** @type {string[]} */ ...by) => {
    const ours = apiQuery(filters);
    for (const one of by) ours.append("by", one);
    return call("GET", "history/stats", { query: ours });
  };
  const [names, byStatus, byModel, byKey, byDay] = await Promise.all([
    keyNames(),
    asked("status"),
    asked("model"),
    asked("api_key"),
    asked("day", part),
  ]);
  const node = element("div", { class: "page usage" }, choices(query, place));
  if (byStatus.stats.length === 0) {
    node.append(empty("Nothing was asked in this time.", "Choose another time, or all."));
    return { node, title: "Usage" };
  }
  const days = byDay.stats.map((/** @type {Sums} */ { groups }) => groups.day ?? "").sort();
  const first = place.isAll ? days[0] : filters.get("since")?.slice(0, 10) ?? days[0];
  const found = (/** @type {Record<string, string>} */ changes) =>
    hrefOf("find", changed(filters, changes));
  const link = (/** @type {string} */ label, /** @type {Record<string, string>} */ changes) =>
    element("a", { href: found(changes) }, label);
  const chart = chartOf(byDay.stats, {
    part,
    measure,
    days: [first, filters.has("until") ? days[days.length - 1] : daysAgo(0)],
    keyNames: names,
    hrefOf: (since, until) => found({ since, until }),
  });
  const byEach = sumsTable(`By day and ${PARTS[part]}`, "Day (UTC)", byDay.stats, ({ groups }) => {
    const day = groups.day ?? "";
    const name = partName(part, groups[part], names);
    return link(`${utcDay(day)}, ${name}`, { since: day, until: dayAfter(day) });
  });
  node.append(
    sums(byStatus.stats),
    element("h2", {}, `${MEASURES[measure].label} by day`),
    element(
      "p",
      { class: "soft" },
      "Days are those of UTC. A bar leads to its runs. Half of the answers took at most p50, nine of ten p90.",
    ),
    bars(chart),
    byDay.has_more
      ? element("p", { class: "note" }, "Older days are left out: choose less time.")
      : "",
    fold("As a table", byEach),
    element("h2", {}, "By model"),
    sumsTable(
      "By model",
      "Model",
      byModel.stats,
      ({ group }) => link(group ?? "None", { model: group ?? "" }),
    ),
    element("h2", {}, "By API key"),
    sumsTable(
      "By API key",
      "API key",
      byKey.stats,
      ({ group }) =>
        group ? link(names.get(group) ?? group, { key: group }) : partName("api_key", null, names),
    ),
  );
  const csv = () => csvOf(byDay.stats, part);
  return { node, title: "Usage", actions: [saveButton("CSV", "usage.csv", "text/csv", csv)] };
}
