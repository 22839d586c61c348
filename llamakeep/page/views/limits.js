// @ts-check
/** The limits of the user, or those that all users share, with what is used of them. */

import { call } from "../core/api.js";
import { element } from "../core/dom.js";
import { onRun } from "../core/events.js";
import { empty } from "../parts/empty.js";
import { reloading } from "../parts/reloading.js";
import { quotaTable } from "../parts/settings/limits.js";
import { tabs } from "../parts/tabs.js";

/** Runs that end together are one request, in ms. */
const PAUSE = 400;

const MINE = {
  api: "me/limits",
  title: "Your limits",
  none: "No limits are set for you.",
  where: "An administrator can set some for you, and you for each of your API keys.",
};
const SHARED = {
  api: "admin/limits",
  title: "Limits of all users together",
  none: "No limits are set for all users together.",
  where: "LLAMAKEEP_SERVER_LIMITS sets them in the server's settings, and LLAMAKEEP_USER_LIMITS " +
    "those of each user. The limits of one user are set under Users, and those of upstreams and " +
    "aliases in llamakeep.toml.",
};

/** @type {import("../core/router.js").View} */
export default async function limits({ path }) {
  const isManaged = path.startsWith("manage/");
  const { api, title, none, where } = isManaged ? SHARED : MINE;
  const part = await reloading(async () => {
    const { limits } = await call("GET", api);
    if (limits.length === 0) return [empty(none, where)];
    return [quotaTable(title, limits), explanation(limits), element("p", { class: "soft" }, where)];
  });
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const end = onRun(() => {
    clearTimeout(timer);
    timer = setTimeout(part.reload, PAUSE);
  });
  const close = () => {
    clearTimeout(timer);
    end();
  };
  const node = element(
    "div",
    { class: "page" },
    tabs(isManaged ? "Manage" : "Settings", path),
    part.node,
  );
  return { node, title: isManaged ? "Limits of all users" : "Limits", close };
}

/** @param {import("../parts/settings/limits.js").Quota[]} quotas */
function explanation(quotas) {
  const hasMoney = quotas.some(({ name }) => name.startsWith("dollars"));
  const hasPeriod = quotas.some(({ resets_at }) => resets_at !== null);
  return element(
    "div",
    { class: "soft" },
    element(
      "p",
      {},
      "Reserved is the most that runs under way may still take: a token for each byte that is " +
        "sent, and max tokens for the answer. What they do not take is free again when they end. " +
        "So a prompt can be refused although less would have been enough: ask for fewer max tokens.",
    ),
    hasMoney
      ? element("p", {}, "With a limit in dollars, models whose price is not known are refused.")
      : null,
    hasPeriod ? element("p", {}, "Days and months begin at midnight in UTC.") : null,
  );
}
