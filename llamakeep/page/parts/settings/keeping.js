// @ts-check
/** How long runs are kept, and taking all of them out or in. */

import { address, call } from "../../core/api.js";
import { element } from "../../core/dom.js";
import * as format from "../../core/format.js";
import { notice } from "../announce.js";
import { field, form } from "../form.js";

/** @typedef {{retention_days: number | null, longest_retention_days: number | null, keeps: boolean}} Kept */

/** @param {Kept} me */
export function keepingSection(me) {
  const days = element("input", {
    type: "number",
    name: "retention_days",
    min: "1",
    max: `${me.longest_retention_days ?? 36500}`,
    inputmode: "numeric",
  });
  days.value = `${me.retention_days ?? ""}`;
  const longest = me.longest_retention_days;
  const otherwise = longest === null
    ? "Empty: they are kept until you delete them."
    : `Empty: after ${format.counted(longest, "day")}, as an administrator has set it.`;
  const { node } = form({
    fields: [
      me.keeps ? null : element(
        "p",
        { class: "note" },
        "The texts of your runs are erased when they end: an administrator has set it so.",
      ),
      field(
        "Days after which your runs are deleted",
        days,
        `${otherwise} What is deleted is gone.`,
      ),
    ],
    action: "Save",
    send: async () => {
      const retention_days = days.value === "" ? null : Number(days.value);
      await call("PATCH", "me/", { body: { retention_days } });
      notice("Saved. What is older is deleted within about an hour.");
    },
  });
  node.classList.add("narrow");
  return node;
}

/** Return links to files with the whole history, and what reads such a file. */
export function movingSection() {
  const link = (
    /** @type {string} */ label,
    /** @type {string} */ kind,
    /** @type {string} */ end,
  ) =>
    element("a", {
      class: "button edge",
      href: address("history/export", { format: kind }),
      download: `llamakeep-history.${end}`,
    }, label);
  const file = element("input", {
    type: "file",
    name: "file",
    required: true,
    accept: ".ndjson,.jsonl,.json",
  });
  const { node } = form({
    fields: [
      field("A file of an export, as NDJSON", file, "What is there already stays as it is."),
    ],
    action: "Import",
    send: async () => {
      const content = file.files?.[0];
      if (!content) return;
      const { imported, known } = await call("POST", "history/import", { content });
      node.reset();
      notice(`${format.counted(imported, "run")} imported, ${format.number(known)} known already.`);
    },
  });
  node.classList.add("narrow");
  return element(
    "div",
    {},
    element(
      "p",
      {},
      "All your runs, the oldest first. NDJSON has everything, and can be imported.",
    ),
    element(
      "div",
      { class: "buttons space" },
      link("Export as NDJSON", "ndjson", "ndjson"),
      link("as CSV", "csv", "csv"),
      link("as Markdown", "markdown", "md"),
    ),
    node,
  );
}
