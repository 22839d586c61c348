// @ts-check
/** What answers prompts, and whether it does, for administrators. */

import { call } from "../core/api.js";
import { button, element } from "../core/dom.js";
import * as format from "../core/format.js";
import { empty } from "../parts/empty.js";
import { timeOf } from "../parts/problem.js";
import { reloading } from "../parts/reloading.js";
import { table } from "../parts/table.js";
import { tabs } from "../parts/tabs.js";

/**
 * @typedef {{model: string | null, state: "open" | "half-open", until: string | null,
 *   failures: number, error: string | null}} Circuit
 */
/**
 * @typedef {{name: string, default_model: string | null, is_default: boolean, running: number,
 *   waiting: number, parallel: number | null, circuits: Circuit[],
 *   state: "closed" | "half-open" | "open" | "unreachable",
 *   process: "running" | "not-running" | null,
 *   last_failure: {type: string | null, at: string | null} | null,
 *   recent: {minutes: number, succeeded: number, failed: number},
 *   cost_today_usd: number, cost_this_month_usd: number}} Provider
 */

const COLUMNS = [
  { label: "Provider" },
  { label: "Default model" },
  { label: "Running", isNumber: true },
  { label: "Waiting", isNumber: true },
  { label: "Circuit breaker" },
  { label: "Last failure" },
  { label: "Cost today", isNumber: true },
  { label: "This month", isNumber: true },
];

/** @type {import("../core/router.js").View} */
export default async function providers({ path }) {
  const list = await reloading(async () => {
    const { providers } = await call("GET", "admin/providers/");
    if (providers.length === 0) {
      return [empty(
        "No provider is configured.",
        "Set REPLICATE_API_TOKEN, LLAMAKEEP_OPENAI_BASE_URL or LLAMAKEEP_LOCAL_MODEL in the " +
          "server's environment, and start it again.",
      )];
    }
    return [
      table({ caption: "Providers", columns: COLUMNS, rows: providers.map(row) }),
      element(
        "p",
        { class: "soft" },
        "A circuit breaker that is closed lets prompts pass. One that is open refuses them at " +
          "once, since the provider failed several times in a row; half open, it sends the next " +
          "one to find out. Failures are those of the last day; what the provider said stands at " +
          "the run, which is its user's alone. Costs are those that are known.",
      ),
    ];
  });
  const refresh = button("Refresh", list.reload, { class: "edge" });
  const node = element("div", { class: "page" }, tabs("Manage", path), list.node);
  return { node, title: "Providers", actions: [refresh] };
}

/** @param {Provider} provider */
function row(provider) {
  const { name, default_model, is_default, running, waiting, circuits, last_failure, recent } =
    provider;
  const small = (/** @type {string | Node} */ text) => element("small", {}, text);
  const bound = (/** @type {number} */ most) => `${format.number(most)} at once in each process`;
  const process = provider.process === null
    ? null
    : small(provider.process === "running" ? "its process runs" : "its process does not run");
  return [
    element("span", { class: "two" }, name, process),
    element(
      "span",
      { class: "two" },
      default_model ?? "none, or not known",
      is_default ? small("answers prompts that name no model") : null,
    ),
    provider.parallel === null
      ? format.number(running)
      : element("span", { class: "two" }, format.number(running), small(bound(provider.parallel))),
    format.number(waiting),
    circuits.length
      ? element("div", {}, ...circuits.map(circuitLine))
      : provider.state === "unreachable"
      ? "closed, but it cannot be connected to"
      : "closed",
    element(
      "span",
      { class: "two" },
      last_failure ? last_failure.type ?? "of unknown kind" : "none in the last day",
      last_failure?.at ? small(timeOf(last_failure.at)) : null,
      small(
        `${format.number(recent.succeeded)} answered and ${format.number(recent.failed)} failed ` +
          `of the last ${recent.minutes} minutes`,
      ),
    ),
    format.money(provider.cost_today_usd),
    format.money(provider.cost_this_month_usd),
  ];
}

/** @param {Circuit} circuit */
function circuitLine({ model, state, until, failures, error }) {
  const what = model ? ` for ${model}` : "";
  const why = `${format.counted(failures, "failure")} in a row${error ? `, ${error}` : ""}`;
  return element(
    "span",
    { class: "two bad" },
    element("b", {}, state === "open" ? "open" : "half open"),
    what,
    ...(until ? [", until ", timeOf(until)] : []),
    element("small", {}, why),
  );
}
