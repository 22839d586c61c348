// @ts-check
import assert from "node:assert/strict";

import * as format from "../../llamakeep/page/core/format.js";
import { EventParser } from "../../llamakeep/page/core/sse.js";
import { inPieces } from "../../llamakeep/page/parts/composer/prompt.js";
import { Branches } from "../../llamakeep/page/parts/conversation/branches.js";

const STREAM =
  ': keep-alive\n\nid: 7\nevent: run\ndata: {"a":\ndata: 1}\n\r\ndata:é🦙\r\rretry: 5\n\n' +
  "event: done\ndata: {}\n\n";
const EVENTS = [
  { event: "run", data: '{"a":\n1}', id: "7" },
  { event: "message", data: "é🦙", id: null },
  { event: "done", data: "{}", id: null },
];

Deno.test("a stream that is cut at any byte has the same events", () => {
  const bytes = new TextEncoder().encode(STREAM);
  for (let cut = 0; cut <= bytes.length; cut++) {
    const parser = new EventParser();
    const found = [...parser.push(bytes.slice(0, cut)), ...parser.push(bytes.slice(cut))];
    assert.deepEqual(found, EVENTS);
  }
});

Deno.test("a stream that comes in single bytes has the same events", () => {
  const parser = new EventParser();
  const found = [...new TextEncoder().encode(STREAM)].flatMap((byte) =>
    parser.push(new Uint8Array([byte]))
  );
  assert.deepEqual(found, EVENTS);
});

/** @param {[string, string | null, string?][]} runs */
function branchesOf(...runs) {
  const branches = new Branches();
  branches.put(
    ...runs.map(([id, previous_run_id, status = "succeeded"]) => ({ id, previous_run_id, status })),
  );
  return branches;
}

/** @param {Branches} branches */
const pathOf = (branches) => branches.path().map(({ id }) => id).join(" ");

Deno.test("runs that name none before them follow all that was answered", () => {
  assert.equal(pathOf(branchesOf(["a", null], ["b", null], ["c", null])), "a b c");
  assert.equal(pathOf(branchesOf(["a", null], ["b", null, "failed"], ["c", null])), "a c");
  assert.equal(pathOf(branchesOf(["a", null], ["b", null, "failed"])), "a b");
});

Deno.test("another answer is another version, and what follows the first one stays there", () => {
  const branches = branchesOf(["a", null], ["b", "a"], ["c", "none"], ["d", "b"]);
  assert.equal(pathOf(branches), "a b d");
  const [first] = branches.path();
  assert.deepEqual(branches.versions(first).map(({ id }) => id), ["a", "c"]);
  branches.choose("c");
  assert.equal(pathOf(branches), "c");
  assert.equal(branches.isChosen, true);
  branches.choose("a");
  assert.equal(pathOf(branches), "a b d");
  assert.equal(branches.isChosen, false);
});

Deno.test("what a prompt follows is the last run that was answered", () => {
  assert.equal(branchesOf(["a", null], ["b", "a", "canceled"]).answered?.id, "a");
  assert.equal(branchesOf(["a", null, "failed"]).answered, undefined);
});

Deno.test("runs before those that are loaded are not needed", () => {
  assert.equal(pathOf(branchesOf(["m", "l"], ["n", "m"])), "m n");
});

Deno.test("a cost that is not known is never $0", () => {
  const shown = [null, undefined, 0, 0.000012, 0.0034, 0.5, 12.345].map(format.money);
  assert.deepEqual(shown, [
    "cost unknown",
    "cost unknown",
    "no cost",
    "$0.000012",
    "$0.0034",
    "$0.50",
    "$12.35",
  ]);
});

Deno.test("lengths of time are written with what matters", () => {
  const shown = [0.04, 1.94, 9.99, 12.4, 59.6, 185, 3600, 7260].map(format.duration);
  assert.deepEqual(shown, [
    "0 s",
    "1.9 s",
    "10 s",
    "12 s",
    "1 min",
    "3 min 5 s",
    "1 h",
    "2 h 1 min",
  ]);
});

Deno.test("times stand under the day on which they were here", () => {
  const now = new Date(2026, 10, 28, 0, 30);
  const shown = [
    new Date(2026, 10, 28, 0, 10),
    new Date(2026, 10, 27, 23, 50),
    new Date(2026, 10, 23),
    new Date(2026, 10, 2),
    new Date(2026, 9, 30),
  ].map((when) => format.period(when, now));
  assert.deepEqual(shown, ["Today", "Yesterday", "Last 7 days", "This month", "October 2026"]);
});

Deno.test("a long prompt in pieces has each of its characters once", () => {
  for (const text of ["🦙".repeat(9001), "a line\n".repeat(3000), "x".repeat(4000)]) {
    const pieces = inPieces(text);
    assert.equal(pieces.join(""), text);
    assert.ok(pieces.every((piece) => piece.length <= 4001 && !/^[\uDC00-\uDFFF]/.test(piece)));
  }
});
