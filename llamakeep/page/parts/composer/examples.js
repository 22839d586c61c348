// @ts-check
/** What a new conversation shows: prompts that teach what can be asked. */

import { element } from "../../core/dom.js";
import { state } from "../../core/state.js";

const EXAMPLES = [
  [
    "Explain something",
    "Explain in three sentences what a write-ahead log is, to a reader who knows files.",
  ],
  [
    "Write code",
    "Write a Python function that groups a list of dictionaries by a key, with a doctest.",
  ],
  ["Make a table", "Compare SQLite and PostgreSQL in a table: writers, size, operation, backups."],
];

/** @param {(text: string) => void} take */
export function examples(take) {
  if (state.models.value?.length === 0) return noProvider();
  const buttons = EXAMPLES.map(([label, text]) =>
    element(
      "button",
      { type: "button", class: "example", on: { click: () => take(text) } },
      element("b", {}, label),
      element("span", {}, text),
    )
  );
  return element(
    "div",
    { class: "greeting" },
    element(
      "p",
      {},
      "What is asked here is kept on this server before it is sent to a model, and every answer stays in your history.",
    ),
    element("div", { class: "examples" }, ...buttons),
  );
}

function noProvider() {
  const isAdmin = state.me.value?.role === "admin";
  const todo = isAdmin
    ? "Set REPLICATE_API_TOKEN, LLAMAKEEP_OPENAI_BASE_URL or LLAMAKEEP_LOCAL_MODEL, and start the server again."
    : "Ask an administrator of this server.";
  return element(
    "div",
    { class: "greeting" },
    element(
      "div",
      { class: "note bad" },
      element("b", {}, "No model is configured on this server."),
      ` ${todo}`,
    ),
  );
}
