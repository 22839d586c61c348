// @ts-check
/** The list of keys. */

import { element } from "../../core/dom.js";
import { allShortcuts, written } from "../../core/keys.js";
import { openDialog } from "../dialog.js";

/** Show it. */
export function showHelp() {
  const groups = Map.groupBy(allShortcuts(), ({ group }) => group);
  const tables = [...groups].map(([group, shortcuts]) =>
    element(
      "table",
      {},
      element("caption", {}, group),
      element(
        "tbody",
        {},
        ...shortcuts.map(({ keys, label }) =>
          element(
            "tr",
            {},
            element("th", { scope: "row" }, element("kbd", {}, written(keys))),
            element("td", {}, label),
          )
        ),
      ),
    )
  );
  openDialog("Keys", tables, { class: "keys" });
}
