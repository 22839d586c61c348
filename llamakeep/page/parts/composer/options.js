// @ts-check
/** What a model is sent beside the prompt. */

import { button, element } from "../../core/dom.js";
import { modelOf } from "../../core/models.js";
import { openDialog } from "../dialog.js";
import { field } from "../form.js";
import { readTags, writtenTags } from "./tags.js";

/** @typedef {Record<string, any>} Options As `POST /prompt/` names them. */
/**
 * @typedef {object} Field
 * @property {string} name
 * @property {string} label
 * @property {"text" | "line" | "number" | "integer" | "lines" | "tags"} kind
 * @property {string} [hint]
 * @property {[number, number]} [range]
 */

/** @type {Field[]} */
const FIELDS = [
  {
    name: "system_prompt",
    label: "System prompt",
    kind: "text",
    hint: "How the model is to behave. It stays for the whole conversation.",
  },
  {
    name: "max_tokens",
    label: "Max tokens",
    kind: "integer",
    hint: "Where the answer is cut.",
    range: [1, 1_000_000],
  },
  {
    name: "temperature",
    label: "Temperature",
    kind: "number",
    hint: "0 for what is likeliest; higher for more variety.",
    range: [0, 5],
  },
  { name: "top_p", label: "Top p", kind: "number", range: [0, 1] },
  { name: "top_k", label: "Top k", kind: "integer", range: [0, 1_000_000] },
  { name: "presence_penalty", label: "Presence penalty", kind: "number", range: [-5, 5] },
  { name: "frequency_penalty", label: "Frequency penalty", kind: "number", range: [-5, 5] },
  { name: "seed", label: "Seed", kind: "integer", hint: "The same seed asks for the same answer." },
  {
    name: "stop",
    label: "Stop sequences",
    kind: "lines",
    hint: "One a line; the answer ends before it.",
  },
  {
    name: "reasoning_effort",
    label: "Reasoning effort",
    kind: "line",
    hint: "low, medium, high, …, where the model thinks.",
  },
  {
    name: "metadata",
    label: "Tags",
    kind: "tags",
    hint: "One a line: project, or project: llamas.",
  },
];
const ALWAYS = new Set(["system_prompt", "metadata"]);

/** The names of all options, as runs' `parameters` have them, too. */
export const OPTIONS = FIELDS.map(({ name }) => name);

/** @param {Options} options */
export const countOf = (options) => OPTIONS.filter((name) => options[name] !== undefined).length;

/**
 * Return the fields that a model takes.
 *
 * @param {string} model
 */
function fieldsOf(model) {
  const known = modelOf(model);
  const takes = known?.parameters;
  return FIELDS.filter(({ name }) => {
    if (ALWAYS.has(name)) return true;
    if (name === "reasoning_effort") return known?.capabilities.reasoning !== false;
    return !Array.isArray(takes) || takes.includes(name);
  });
}

/**
 * Let the user change options; return them, or `null` if they are to stay.
 *
 * @param {string} model
 * @param {Options} options
 * @returns {Promise<Options | null>}
 */
export function askOptions(model, options) {
  return new Promise((resolve) => {
    /** @type {Options | null} */
    let answer = null;
    const fields = fieldsOf(model).map((field) => ({
      field,
      input: inputOf(field, options[field.name]),
    }));
    const form = element(
      "form",
      { class: "options", on: { submit } },
      ...fields.map(({ field, input }) => labelled(field, input)),
      element(
        "div",
        { class: "buttons" },
        button("The model's defaults", reset, { class: "edge" }),
        element("button", { class: "main" }, "Use these"),
      ),
    );
    function reset() {
      answer = {};
      dialog.close();
    }
    /** @param {Event} event */
    function submit(event) {
      event.preventDefault();
      const given = fields.map(({ field, input }) => [field.name, valueOf(field, input.value)]);
      answer = Object.fromEntries(given.filter(([, value]) => value !== undefined));
      dialog.close();
    }
    const dialog = openDialog("Options", [form], { onClose: () => resolve(answer) });
  });
}

/**
 * @param {Field} field
 * @param {HTMLElement} input
 */
function labelled({ label, hint, kind }, input) {
  const node = field(label, input, hint);
  node.classList.toggle("short", kind === "number" || kind === "integer");
  return node;
}

/**
 * @param {Field} field
 * @param {unknown} value
 */
function inputOf({ name, kind, range }, value) {
  if (kind === "number" || kind === "integer") {
    const [min, max] = range ?? [undefined, undefined];
    const step = kind === "integer" ? "1" : "any";
    const input = element("input", { type: "number", name, min, max, step, inputmode: "decimal" });
    input.value = value === undefined ? "" : String(value);
    return input;
  }
  if (kind === "line") {
    const line = element("input", { name });
    line.value = writtenValue(kind, value);
    return line;
  }
  const area = element("textarea", { name, rows: kind === "text" ? "4" : "2", dir: "auto" });
  area.value = writtenValue(kind, value);
  return area;
}

/**
 * @param {Field["kind"]} kind
 * @param {any} value
 */
function writtenValue(kind, value) {
  if (value === undefined || value === null) return "";
  if (kind === "tags") return writtenTags(value);
  return Array.isArray(value) ? value.join("\n") : String(value);
}

/**
 * @param {Field} field
 * @param {string} text
 */
function valueOf({ kind }, text) {
  if (text.trim() === "") return undefined;
  if (kind === "text") return text;
  if (kind === "line") return text.trim();
  if (kind === "number" || kind === "integer") return Number(text);
  const lines = text.split("\n").map((line) => line.trim()).filter(Boolean);
  if (kind === "lines") return lines;
  return readTags(text);
}
