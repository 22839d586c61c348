// @ts-check
/** The whole history: what was asked and answered, by words and filters. */

import { onRun } from "../core/events.js";
import { isCoarse } from "../core/keys.js";
import { Search } from "../parts/history/search.js";
import { searchActions } from "../parts/history/search_actions.js";
import { rowKeys } from "../parts/rows.js";

/** @type {import("../core/router.js").View} */
export default async function find({ query }) {
  const search = new Search(query);
  const ends = [
    onRun((run) => run.isDeleted && search.forget(run.run)),
    rowKeys(search.node, "a.lead"),
  ];
  await search.open();
  return {
    node: search.node,
    title: "Find",
    actions: searchActions(search),
    focus: query.size || isCoarse() ? undefined : search.field,
    close: () => {
      for (const end of ends) end();
      search.close();
    },
  };
}
