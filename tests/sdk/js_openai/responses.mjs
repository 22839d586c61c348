import assert from "node:assert/strict";
import { APIUserAbortError, BadRequestError, InternalServerError, NotFoundError } from "openai";
import { collect, deltas, model, rejection, scenario, until, user } from "./kit.mjs";

const SLOWLY = { words: 1, gap: 0.01 };
const MANY_WORDS = "word ".repeat(500).trim();

scenario("a response has its text and what it took", async ({ respond }) => {
  const response = await respond();

  assert.equal(response.status, "completed");
  assert.equal(response.output_text, "one two three");
  assert.equal(response.output[0].role, "assistant");
  assert.equal(response.usage.output_tokens, 3);
  assert.equal(response.error, null);
});

scenario("a response is in the history", async ({ respond, kept }) => {
  const { id } = await respond({ instructions: "Be brief.", metadata: { for: "javascript" } });

  const run = await kept(id);
  assert.equal(run.prompt, "one two three");
  assert.equal(run.system_prompt, "Be brief.");
  assert.deepEqual(run.metadata, { for: "javascript" });
});

scenario("a streamed response is told in typed events", async ({ respond, set }) => {
  await set(SLOWLY);

  const events = await collect(await respond({ stream: true }));

  assert.deepEqual(
    events.map(({ type }) => type).filter((type, i, types) => type !== types[i - 1]),
    [
      "response.created",
      "response.in_progress",
      "response.output_item.added",
      "response.content_part.added",
      "response.output_text.delta",
      "response.output_text.done",
      "response.content_part.done",
      "response.output_item.done",
      "response.completed",
    ],
  );
  assert.equal(deltas(events), "one two three");
});

scenario("events are numbered upwards", async ({ respond, set }) => {
  await set(SLOWLY);

  const events = await collect(await respond({ stream: true }));

  const numbers = events.map((event) => event.sequence_number);
  assert.equal(numbers[0], 0);
  assert.ok(numbers.every((number, i) => i === 0 || number > numbers[i - 1]));
});

scenario("the stream helper of responses puts the pieces together", async ({ client, set }) => {
  await set(SLOWLY);
  const snapshots = [];

  const stream = client.responses.stream({ model, input: "one two three" });
  stream.on("response.output_text.delta", ({ snapshot }) => snapshots.push(snapshot));
  const response = await stream.finalResponse();

  assert.ok(snapshots.every((snapshot) => "one two three".startsWith(snapshot)));
  assert.equal(snapshots.at(-1), "one two three");
  assert.equal(response.output_text, "one two three");
  assert.equal(response.status, "completed");
});

scenario("a response goes on behind another one", async ({ respond }) => {
  const first = await respond({ input: "I am Ada." });

  const second = await respond({ input: "Who am I?", previous_response_id: first.id });

  assert.equal(second.previous_response_id, first.id);
  assert.match(second.output_text, /I am Ada\..*I am Ada\..*Who am I\?/s);
});

scenario("two responses can go on behind the same one", async ({ respond }) => {
  const first = await respond({ input: "I am Ada." });
  const left = { input: "Left?", previous_response_id: first.id };
  const right = { input: "Right?", previous_response_id: first.id };

  const [, second] = [await respond(left), await respond(right)];

  assert.match(second.output_text, /I am Ada\./);
  assert.doesNotMatch(second.output_text, /Left\?/);
});

scenario("a conversation is compacted, and goes on", async ({ client, respond }) => {
  const first = await respond({ input: "I am Ada." });

  const previous_response_id = first.id;
  const compacted = await client.responses.compact({ model, previous_response_id });
  const input = [...compacted.output, user("Who am I?")];
  const second = await respond({ input });

  assert.deepEqual(
    compacted.output.map(({ type }) => type),
    ["message", "compaction"],
  );
  // The model repeats all that it reads.
  assert.match(second.output_text, /I am Ada[^]*Summary of the conversation[^]*Who am I/);
});

scenario("a conversation goes on behind all that it has", async ({ respond }) => {
  const { conversation } = await respond({ input: "I am Ada." });
  await respond({ input: "I live in London.", conversation });

  const third = await respond({ input: "Who am I?", conversation: conversation.id });

  assert.equal(third.conversation.id, conversation.id);
  assert.match(third.output_text, /I am Ada\..*I live in London\..*Who am I\?/s);
});

scenario("instructions are for one response", async ({ respond }) => {
  const first = await respond({ input: "I am Ada.", instructions: "Speak French." });

  const second = await respond({ input: "Who am I?", previous_response_id: first.id });

  assert.match(second.output_text, /I am Ada\./);
  assert.doesNotMatch(second.output_text, /French/);
});

scenario("output can be sent back as input", async ({ respond }) => {
  const input = [user("I am Ada.")];
  const first = await respond({ input });

  const second = await respond({ input: [...input, ...first.output, user("Who am I?")] });

  assert.match(second.output_text, /I am Ada\..*I am Ada\..*Who am I\?/s);
});

scenario("a response can be looked at again", async ({ client, respond }) => {
  const { _request_id, ...made } = await respond({ metadata: { for: "later" }, temperature: 0.5 });

  const again = await client.responses.retrieve(made.id);

  assert.equal(again.output_text, made.output_text);
  assert.deepEqual({ ...again, background: false }, made);
});

scenario("a chat completion can be looked at as a response", async ({ client, chat }) => {
  const completion = await chat();

  const response = await client.responses.retrieve(completion.id.replace("chatcmpl-", "resp_"));

  assert.equal(response.output_text, "one two three");
});

scenario("a response can be followed again from its beginning", async ({ client, respond }) => {
  const { id } = await respond();

  const events = await collect(await client.responses.retrieve(id, { stream: true }));

  assert.equal(events[0].type, "response.created");
  assert.equal(deltas(events), "one two three");
  assert.equal(events.at(-1).response.id, id);
});

scenario("a response can be forgotten", async ({ client, respond }) => {
  const { id } = await respond();

  await client.responses.delete(id);

  const error = await rejection(NotFoundError, client.responses.retrieve(id));
  assert.ok(error.message.includes(id));
});

scenario("input items are listed page by page", async ({ client, respond }) => {
  const first = await respond({ input: [user("I am Ada."), user("Who am I?")] });
  const { id } = await respond({ input: "Really?", previous_response_id: first.id });

  const items = await collect(client.responses.inputItems.list(id, { limit: 1, order: "asc" }));

  assert.deepEqual(
    items.map(({ role }) => role),
    ["user", "user", "assistant", "user"],
  );
  assert.equal(items.at(-1).content[0].text, "Really?");
});

scenario("the newest input item comes first", async ({ client, respond }) => {
  const { id } = await respond({ input: [user("one"), user("two")] });

  const page = await client.responses.inputItems.list(id);

  assert.deepEqual(
    page.data.map(({ content }) => content[0].text),
    ["two", "one"],
  );
});

scenario("the same Idempotency-Key gives the same response", async ({ respond }) => {
  const options = { headers: { "Idempotency-Key": `key-${Math.random()}` } };

  const [first, second] = [await respond({}, options), await respond({}, options)];

  assert.equal(second.id, first.id);
});

scenario("a previous response that is not there is a BadRequestError", async ({ respond }) => {
  const previous_response_id = "resp_00000000000000000000000000";

  const error = await rejection(BadRequestError, respond({ previous_response_id }));

  assert.equal(error.param, "previous_response_id");
  assert.equal(error.code, "previous_response_not_found");
});

scenario("other people's responses are not there", async ({ openai, respond }) => {
  const { id } = await respond();

  const bob = openai({ apiKey: "token_bob" });

  await rejection(NotFoundError, bob.responses.retrieve(id));
  await rejection(NotFoundError, bob.responses.cancel(id));
  await rejection(NotFoundError, bob.responses.delete(id));
});

scenario("a hosted tool for a response is refused by name", async ({ respond }) => {
  const error = await rejection(BadRequestError, respond({ tools: [{ type: "web_search" }] }));

  assert.equal(error.param, "tools[0].type");
});

scenario("a response that failed is an InternalServerError", async ({ respond, rule }) => {
  await rule({ end: "failed", error: "Out of luck", after: 1 });

  const error = await rejection(InternalServerError, respond());

  assert.match(error.message, /\/history\/run_/);
});

scenario(
  "a streamed response that fails ends with what was wrong",
  async ({ respond, rule, set }) => {
    await set(SLOWLY);
    await rule({ match: "one two three", end: "failed", error: "Out of luck", after: 2 });

    const events = await collect(await respond({ stream: true }));

    assert.equal(deltas(events), "one two");
    assert.equal(events.at(-1).type, "response.failed");
    assert.equal(events.at(-1).response.status, "failed");
    assert.ok(events.at(-1).response.error.message);
  },
);

scenario(
  "aborting a streamed response cancels it and keeps its text",
  async ({ client, respond, set }) => {
    await set({ words: 1, gap: 0.05 });
    const stream = await respond({ input: MANY_WORDS, stream: true });
    const seen = [];

    for await (const event of stream) {
      seen.push(event);
      if (deltas(seen).length > 10) stream.controller.abort();
    }

    const response = await until(
      () => client.responses.retrieve(seen[0].response.id),
      ({ status }) => status === "cancelled",
    );
    assert.ok(response.output_text.startsWith(deltas(seen)));
  },
);

scenario("aborting the stream helper of responses cancels the run", async ({ client, set }) => {
  await set({ words: 1, gap: 0.05 });
  let id;

  const stream = client.responses.stream({ model, input: MANY_WORDS });
  stream.on("response.created", ({ response }) => {
    id = response.id;
    stream.abort();
  });
  await rejection(APIUserAbortError, stream.done());

  await until(
    () => client.responses.retrieve(id),
    ({ status }) => status === "cancelled",
  );
});
