// @ts-check
import assert from "node:assert/strict";

import { bodyOf, literal } from "../../llamakeep/page/parts/history/requests.js";

Deno.test("a value of JSON is written as Python has it", () => {
  const value = { yes: true, no: false, none: null, list: [1, 'a "b"\n'], empty: [{}, []] };
  assert.equal(
    literal(value),
    `{
    "yes": True,
    "no": False,
    "none": None,
    "list": [
        1,
        "a \\"b\\"\\n",
    ],
    "empty": [
        {},
        [],
    ],
}`,
  );
});

Deno.test("a body has what was given, and no more", () => {
  const run = {
    id: "run_1",
    status: "succeeded",
    model: "openai:parrot",
    prompt: "Hi",
    system_prompt: null,
    previous_run_id: "none",
    parameters: { temperature: 0 },
    metadata: {},
    end_user: null,
  };
  assert.deepEqual(bodyOf(run), { model: "openai:parrot", prompt: "Hi", temperature: 0 });
});
