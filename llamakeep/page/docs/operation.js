// @ts-check
/** Shows one operation: what it needs, takes and answers. */

import { element } from "../core/dom.js";
import { textNodes } from "../text/nodes.js";
import { curlOf } from "./example.js";
import { field, fieldsOf, typeOf } from "./schema.js";
import { unfolding } from "./unfolding.js";

/** @typedef {import("./document.js").Operation} Operation */
/** @typedef {import("./document.js").Schema} Schema */

/**
 * @param {Operation} operation
 * @param {Schema} document
 */
export function operationNode(operation, document) {
  const heading = element(
    "h3",
    {},
    element("span", { class: `method ${operation.method.toLowerCase()}` }, operation.method),
    " ",
    element("code", {}, operation.path),
    " ",
    element("span", { class: "about" }, firstSentence(operation.description)),
  );
  const node = unfolding(heading, () => [
    element("div", { class: "operation" }, ...partsOf(operation, document)),
  ]);
  node.id = operation.id;
  return node;
}

/**
 * @param {Operation} operation
 * @param {Schema} document
 */
function partsOf(operation, document) {
  const { parameters, body, answers } = operation;
  /** @type {(Node | string)[]} */
  const parts = [
    textNodes(operation.description.split("\n\n").slice(1).join("\n\n")),
    element("p", {}, needs(operation)),
  ];
  if (parameters.length > 0) {
    parts.push(
      element("h4", {}, "Parameters"),
      element(
        "dl",
        { class: "fields" },
        ...parameters.flatMap(({ name, in: place, required, schema, description }) =>
          field(
            { name, schema, isRequired: required, note: `in the ${place}`, description },
            document,
          )
        ),
      ),
    );
  }
  if (body) {
    parts.push(
      element("h4", {}, "Body"),
      element("p", {}, element("code", {}, body.kind), `: ${typeOf(body.schema, document)}`),
      fieldsOf(body.schema, document) ?? "",
    );
  }
  parts.push(
    element("h4", {}, "Example"),
    element(
      "pre",
      { tabindex: "0" },
      element("code", {}, curlOf(operation, document, globalThis.document.baseURI)),
    ),
    element("h4", {}, "Answers"),
    element("dl", { class: "fields" }, ...answers.flatMap((each) => answer(each, document))),
  );
  return parts;
}

/** @param {Operation} operation */
function needs({ scopes }) {
  if (scopes === null) return "It needs no login.";
  if (scopes.length === 0) return "It needs a login, or an API key.";
  if (scopes.includes("login")) return "It needs a login; no API key may do it.";
  return `It needs a login, or an API key with the scope ${scopes.join(" or ")}.`;
}

/**
 * @param {import("./document.js").Answer} answer
 * @param {Schema} document
 */
function answer({ status, description, kinds, schema }, document) {
  const fields = schema && fieldsOf(schema, document);
  return [
    element(
      "dt",
      {},
      element("code", {}, status),
      " ",
      element("span", { class: "type" }, kinds.join(", ")),
    ),
    element(
      "dd",
      {},
      textNodes(description),
      fields && unfolding("Fields", () => [fields]),
    ),
  ];
}

/** @param {string} text */
function firstSentence(text) {
  const [paragraph] = text.split("\n\n");
  return paragraph.replaceAll("\n", " ").replaceAll("`", "");
}
