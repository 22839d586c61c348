// @ts-check
/** Shows schemas: the names, types and meanings of fields. */

import { element } from "../core/dom.js";
import { textNodes } from "../text/nodes.js";
import { boundsOf } from "./bounds.js";
import { resolved } from "./document.js";
import { unfolding } from "./unfolding.js";

/** @typedef {import("./document.js").Schema} Schema */

/**
 * Return the fields of the objects in a schema; `null` if there are none.
 *
 * @param {Schema} schema
 * @param {Schema} document
 * @returns {HTMLElement | null}
 */
export function fieldsOf(schema, document) {
  const objects = objectsIn(schema, document);
  if (objects.length === 0) return null;
  if (objects.length === 1) return fieldList(objects[0], document);
  return element(
    "div",
    {},
    ...objects.map((object, at) =>
      unfolding(object.title ?? `Form ${at + 1}`, () => [fieldList(object, document)])
    ),
  );
}

/**
 * @param {Schema} object
 * @param {Schema} document
 */
function fieldList(object, document) {
  const required = new Set(object.required ?? []);
  const rows = Object.entries(object.properties).map(([name, schema]) =>
    field({ name, schema, isRequired: required.has(name) }, document)
  );
  return element("dl", { class: "fields" }, ...rows.flat());
}

/**
 * Return the two nodes of a field in a list: its name, and what it is.
 *
 * @param {{ name: string, schema: Schema, isRequired?: boolean, note?: string, description?: string }} about
 * @param {Schema} document
 * @returns {HTMLElement[]}
 */
export function field({ name, schema, isRequired, note, description }, document) {
  const said = description ?? schema.description ?? resolved(schema, document).description;
  const inner = fieldsIn(schema, document);
  const bounds = boundsOf(schema, document);
  return [
    element(
      "dt",
      {},
      element("code", {}, name),
      " ",
      element("span", { class: "type" }, typeOf(schema, document)),
      isRequired ? element("b", {}, " required") : null,
      note ? element("span", { class: "type" }, ` ${note}`) : null,
    ),
    element(
      "dd",
      {},
      said ? textNodes(said) : null,
      bounds.length > 0 ? element("small", {}, bounds.join(" · ")) : null,
      inner,
    ),
  ];
}

/**
 * @param {Schema} schema
 * @param {Schema} document
 * @returns {HTMLElement | null}
 */
function fieldsIn(schema, document) {
  const objects = objectsIn(schema, document);
  if (objects.length === 0) return null;
  return unfolding("Fields", () => [fieldsOf(schema, document)]);
}

/**
 * Return the objects with fields that a value may be, or may be a list of.
 *
 * @param {Schema} schema
 * @param {Schema} document
 * @returns {Schema[]}
 */
function objectsIn(schema, document) {
  const found = resolved(schema, document);
  if (found.properties) return [found];
  const inner = [...(found.anyOf ?? found.oneOf ?? [])];
  if (found.items) inner.push(found.items);
  if (typeof found.additionalProperties === "object") inner.push(found.additionalProperties);
  return inner.flatMap((each) => objectsIn(each, document));
}

/**
 * Return what a value is, in a few words.
 *
 * @param {Schema} schema
 * @param {Schema} document
 * @returns {string}
 */
export function typeOf(schema, document) {
  const found = resolved(schema, document);
  if (found.properties) return found.title ?? "object";
  if ("const" in found) return JSON.stringify(found.const);
  if (found.enum) {
    return found.enum.map((/** @type {unknown} */ each) => JSON.stringify(each)).join(" or ");
  }
  const kinds = found.anyOf ?? found.oneOf;
  if (kinds) {
    const names = kinds.map((/** @type {Schema} */ each) => typeOf(each, document));
    return [...new Set(names)].join(" or ");
  }
  if (found.items) return `list of ${typeOf(found.items, document)}`;
  const type = Array.isArray(found.type) ? found.type.join(" or ") : found.type ?? "anything";
  return found.format ? `${type} (${found.format})` : type;
}
