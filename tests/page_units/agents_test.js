// @ts-check
/** Names of browsers and programs. */

import assert from "node:assert/strict";

import { nameOf } from "../../llamakeep/page/parts/settings/agents.js";

const CASES = /** @type {[string | null, string][]} */ ([
  ["Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0", "Firefox on Linux"],
  [
    "Mozilla/5.0 (Windows NT 10.0; Win64) AppleWebKit/537.36 Chrome/150.0 Safari/537.36 Edg/150.0",
    "Edge on Windows",
  ],
  ["Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Safari/604.1", "Safari on iOS"],
  ["Mozilla/5.0 (Linux; Android 15) Chrome/150.0 Mobile Safari/537.36", "Chrome on Android"],
  ["curl/8.14.1", "curl"],
  ["", "A program"],
  [null, "A browser"],
]);

for (const [agent, name] of CASES) {
  Deno.test(`a login with ${agent} is one of ${name}`, () => {
    assert.equal(nameOf({ user_agent: agent, kind: "cookie" }), name);
  });
}
