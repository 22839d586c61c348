// @ts-check
/** Goes anywhere by a few letters: conversations, pages, models, actions. */

import { call } from "../../core/api.js";
import { element } from "../../core/dom.js";
import { isComposing } from "../../core/keys.js";
import { preferModel } from "../../core/models.js";
import { go } from "../../core/router.js";
import { state } from "../../core/state.js";
import { openDialog } from "../dialog.js";

/** @typedef {{label: string, kind: string, run: () => void}} Choice */

const MOST = 12;

/** @returns {Choice[]} */
function fixed() {
  const page = (/** @type {string} */ label, /** @type {string} */ href) => ({
    label,
    kind: "Page",
    run: () => go(href),
  });
  const manage = ["users", "invitations", "usage", "limits", "audit", "providers"].map((name) =>
    page(`Manage ${name}`, `manage/${name}`)
  );
  return [
    { label: "New conversation", kind: "Action", run: () => go("") },
    page("Search the history", "find"),
    page("Compare models", "compare"),
    page("Usage", "usage"),
    page("API keys", "settings/keys"),
    page("Settings", "settings"),
    page("Limits", "settings/limits"),
    ...(state.me.value?.role === "admin" ? manage : []),
    ...(state.models.value ?? []).map(({ model }) => ({
      label: model,
      kind: "Ask this model",
      run: () => {
        preferModel(model);
        go("");
      },
    })),
  ];
}

/** Open it. */
export function openPalette() {
  if (document.querySelector("dialog.palette")) return;
  /** @type {Choice[]} */
  let conversations = [];
  /** @type {Choice[]} */
  let shown = [];
  let at = 0;
  const list = element("ul", { role: "listbox", id: "palette-list", "aria-label": "Where to go" });
  const field = element("input", {
    role: "combobox",
    "aria-label": "Go to",
    "aria-expanded": "true",
    "aria-controls": list.id,
    autofocus: true,
    autocomplete: "off",
    placeholder: "Conversations, pages, models",
    on: { input: show, keydown: onKey },
  });
  function show() {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = [...fixed(), ...conversations].filter(({ label, kind }) =>
      words.every((word) => `${label} ${kind}`.toLowerCase().includes(word))
    );
    const search = {
      label: `Search for “${field.value}”`,
      kind: "History",
      run: () => go(`find?q=${encodeURIComponent(field.value)}`),
    };
    shown = [...found.slice(0, MOST), ...(words.length ? [search] : [])];
    at = 0;
    list.replaceChildren(...shown.map(row));
    mark();
  }
  /**
   * @param {Choice} choice
   * @param {number} index
   */
  function row(choice, index) {
    return element(
      "li",
      { role: "option", id: `palette-${index}`, on: { click: () => take(choice) } },
      element("span", {}, choice.label),
      element("small", {}, choice.kind),
    );
  }
  function mark() {
    [...list.children].forEach((node, index) =>
      node.setAttribute("aria-selected", String(index === at))
    );
    list.children[at]?.scrollIntoView({ block: "nearest" });
    field.setAttribute("aria-activedescendant", shown.length ? `palette-${at}` : "");
  }
  /** @param {KeyboardEvent} event */
  function onKey(event) {
    if (isComposing(event)) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && shown.length) {
      event.preventDefault();
      at = (at + step + shown.length) % shown.length;
      mark();
    } else if (event.key === "Enter" && shown[at]) {
      event.preventDefault();
      take(shown[at]);
    }
  }
  /** @param {Choice} choice */
  function take(choice) {
    dialog.close();
    choice.run();
  }
  const dialog = openDialog("Go to", [field, list], { class: "palette" });
  field.focus();
  show();
  call("GET", "conversations/", { query: { limit: 200 } }).then((page) => {
    conversations = page.conversations.map((/** @type {any} */ { id, title }) => ({
      label: title,
      kind: "Conversation",
      run: () => go(`c/${id}`),
    }));
    show();
  }, () => null);
}
