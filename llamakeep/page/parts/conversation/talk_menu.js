// @ts-check
/** The menu of a conversation. */

import { address, call } from "../../core/api.js";
import { element } from "../../core/dom.js";
import { go } from "../../core/router.js";
import { field, formDialog } from "../form.js";
import { setTitle } from "../frame/frame.js";
import { deleteSoon } from "../history/deleting.js";
import { menuButton } from "../menu.js";
import { problemNotice } from "../problem.js";

/** @typedef {import("./talk.js").Talk} Talk */

/** @param {Talk} talk */
export function talkMenu(talk) {
  return menuButton("⋯", () => itemsOf(talk), { "aria-label": "More about this conversation" });
}

/**
 * @param {Talk} talk
 * @returns {import("../menu.js").Item[]}
 */
function itemsOf(talk) {
  const before = talk.branches.answered?.id;
  const compare = {
    label: "Compare models",
    href: before ? `compare?after=${before}` : "compare",
  };
  if (!talk.id) return [compare, { label: "Search the history", href: "find" }];
  const { id } = talk;
  const exported = (/** @type {string} */ format) =>
    address("history/export", { format, conversation_id: id });
  return [
    compare,
    { label: "Rename…", run: () => rename(talk) },
    { label: "Export as Markdown", href: exported("markdown") },
    { label: "Export as NDJSON", href: exported("ndjson") },
    { label: "Delete", isBad: true, run: () => remove(talk) },
  ];
}

/** Tell the list of conversations what is new of one. @param {any} detail */
const tellConversation = (detail) => dispatchEvent(new CustomEvent("conversation", { detail }));

/** @param {Talk} talk */
async function rename(talk) {
  const input = element("input", { autocomplete: "off", on: { focus: () => input.select() } });
  input.value = talk.title;
  const title = await formDialog("Rename the conversation", {
    fields: [field("Title (empty for its first line)", input)],
    action: "Rename",
    send: () => input.value,
  });
  if (title === null) return;
  try {
    const facts = await call("PATCH", `conversations/${talk.id}`, {
      body: { title: title.trim() || null },
    });
    talk.title = facts.title;
    setTitle(facts.title);
    tellConversation(facts);
  } catch (error) {
    problemNotice(error);
  }
}

/** @param {Talk} talk */
function remove({ id }) {
  deleteSoon({
    what: "The conversation",
    path: `conversations/${id}`,
    hide: () => {
      tellConversation({ id, isDeleted: true });
      go("");
    },
    show: () => {
      call("GET", `conversations/${id}`).then(tellConversation, () => null);
      go(`c/${id}`);
    },
  });
}
