// @ts-check
/** Writes a call of an operation for the command line. */

import { resolved } from "./document.js";

/** @typedef {import("./document.js").Operation} Operation */
/** @typedef {import("./document.js").Schema} Schema */

/**
 * Return a call with curl that has what the operation requires.
 *
 * @param {Operation} operation
 * @param {Schema} document
 * @param {string} base Where the server is.
 */
export function curlOf({ method, path, parameters, body, scopes }, document, base) {
  const query = parameters
    .filter(({ in: place, required }) => place === "query" && required)
    .map(({ name, schema }) => `${name}=${exampleOf(schema, document)}`);
  const url = base.replace(/\/$/, "") + path + (query.length ? `?${query.join("&")}` : "");
  const lines = [`curl ${method === "GET" ? "" : `-X ${method} `}${quoted(url)}`];
  if (scopes) lines.push("-H 'Authorization: Bearer …'");
  for (const { name, in: place, required } of parameters) {
    if (place === "header" && required) lines.push(`-H ${quoted(`${name}: …`)}`);
  }
  if (body?.kind === "application/json") {
    lines.push("-H 'Content-Type: application/json'");
    lines.push(`-d ${quoted(JSON.stringify(exampleOf(body.schema, document)))}`);
  } else if (body) {
    lines.push(`-H 'Content-Type: ${body.kind}'`, "--data-binary @FILE");
  }
  return lines.join(" \\\n  ");
}

/** @param {string} text For a shell. */
const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

/**
 * Return a short value that a schema permits, as far as it says.
 *
 * @param {Schema} schema
 * @param {Schema} document
 * @param {number} [depth]
 * @returns {unknown}
 */
export function exampleOf(schema, document, depth = 0) {
  const found = resolved(schema, document);
  if ("const" in found) return found.const;
  if (found.enum) return found.enum[0];
  if (found.properties) return objectOf(found, document, depth);
  const kinds = found.anyOf ?? found.oneOf;
  if (kinds) return exampleOf(kinds[0], document, depth);
  if (found.items) return depth > 4 ? [] : [exampleOf(found.items, document, depth + 1)];
  switch (Array.isArray(found.type) ? found.type[0] : found.type) {
    case "string":
      return found.format === "date-time" ? "2026-01-01T00:00:00Z" : "…";
    case "integer":
    case "number":
      return found.default ?? found.minimum ?? found.ge ?? 1;
    case "boolean":
      return found.default ?? true;
    case "array":
      return [];
    case "null":
      return null;
    default:
      return {};
  }
}

/**
 * @param {Schema} found
 * @param {Schema} document
 * @param {number} depth
 */
function objectOf(found, document, depth) {
  // What changes something may require nothing, and needs a field all the same.
  const first = depth === 0 ? Object.keys(found.properties).slice(0, 1) : [];
  /** @type {string[]} */
  const names = found.required ?? found.anyOf?.[0].required ?? first;
  return Object.fromEntries(
    names.map((name) => [name, exampleOf(found.properties[name], document, depth + 1)]),
  );
}
