// @ts-check
import assert from "node:assert/strict";

import { sources } from "./sources.js";

/**
 * Return what the server could take for a comment, or for indentation, and which is none.
 *
 * @param {string} name
 * @param {string} text
 */
function mistakable(name, text) {
  /** @type {string[]} */
  const found = [];
  const say = (/** @type {{ range: [number, number] }} */ { range }) => {
    const raw = text.slice(...range);
    if (/\n|\/\*\* @type/.test(raw)) found.push(raw);
  };
  const create = () => ({ Literal: say, TemplateElement: say });
  const rules = { literals: { create } };
  // It is known to tests alone, and to no types.
  const { lint } = /** @type {any} */ (Deno);
  const said = lint.runPlugin({ name: "page", rules }, name, text);
  assert.deepEqual(said, []);
  return found;
}

Deno.test("no text in a module spans lines or looks like a comment", () => {
  assert.deepEqual(mistakable("a.js", 'f("/** @type", `\n${a}`);'), ['"/** @type"', "\n"]);
  for (const [name, text] of sources()) assert.deepEqual(mistakable(name, text), [], name);
});
