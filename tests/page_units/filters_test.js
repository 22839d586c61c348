// @ts-check
import assert from "node:assert/strict";

import {
  apiQuery,
  changed,
  dayAfter,
  filtersOf,
  hrefOf,
  named,
  without,
} from "../../llamakeep/page/parts/history/filters.js";

const query = (/** @type {string} */ text) => filtersOf(new URLSearchParams(text));

Deno.test("an address has filters, and what else it has is none", () => {
  const filters = query("q=llam*&tag=a&tag=b:c&key=key_1&sort=best&model=&constructor=x");
  assert.equal(`${filters}`, "q=llam*&tag=a&tag=b%3Ac&key=key_1");
  assert.equal(`${apiQuery(filters)}`, "q=llam*&tag=a&tag=b%3Ac&api_key_id=key_1");
});

Deno.test("a filter takes the place of another, but a run has several tags", () => {
  const filters = changed(query("model=a&tag=a"), { model: "b", tag: "c" });
  assert.equal(hrefOf("find", filters), "find?model=b&tag=a&tag=c");
  assert.equal(hrefOf("find", changed(query("model=a"), { model: "" })), "find");
});

Deno.test("one filter is taken away, and a time as a whole", () => {
  assert.equal(`${without(query("tag=a&tag=b&q=x"), "tag", "a")}`, "tag=b&q=x");
  const time = query("since=2026-11-01&until=2026-11-03&q=x");
  assert.equal(`${without(time, "since", "2026-11-01")}`, "q=x");
});

Deno.test("filters have names for people, and days say that they are UTC's", () => {
  const labels = (/** @type {string} */ text) =>
    named(query(text), new Map([["key_1", "nightly"]])).map(({ label }) => label);
  assert.deepEqual(labels("status=canceled&key=key_1"), ["State: Stopped", "API key: nightly"]);
  assert.deepEqual(labels("since=2026-11-01&until=2026-11-02"), ["1 Nov 2026 UTC"]);
  assert.deepEqual(labels("since=2026-11-01&until=2026-11-03"), ["1 Nov 2026 to 2 Nov 2026 UTC"]);
  assert.deepEqual(labels("since=2026-11-01"), ["Since 1 Nov 2026 UTC"]);
  assert.deepEqual(labels("until=2026-11-01"), ["Before 1 Nov 2026 UTC"]);
  assert.equal(dayAfter("2026-02-28"), "2026-03-01");
});
