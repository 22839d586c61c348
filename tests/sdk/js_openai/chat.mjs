import assert from "node:assert/strict";
import { APIUserAbortError, BadRequestError, NotFoundError } from "openai";
import { ChatCompletionStream } from "openai/lib/ChatCompletionStream";
import { collect, messages, model, rejection, scenario, text, until, user } from "./kit.mjs";

const SLOWLY = { words: 1, gap: 0.01 };
const FOR_EVER = { words: 1, gap: 0.05 };
const WORDS = Array.from({ length: 30 }, (_, number) => `word${number}`).join(" ");
const MANY_WORDS = "word ".repeat(500).trim();
const uniquely = (what) => `${what} ${Math.random()}`;

scenario("a prompt is answered with a whole completion", async ({ chat }) => {
  const completion = await chat();

  const [choice] = completion.choices;
  assert.equal(completion.object, "chat.completion");
  assert.equal(choice.message.content, "one two three");
  assert.equal(choice.message.role, "assistant");
  assert.equal(choice.finish_reason, "stop");
});

scenario("a completion says what it took", async ({ chat }) => {
  const { usage } = await chat();

  assert.equal(usage.completion_tokens, 3);
  assert.equal(usage.total_tokens, usage.prompt_tokens + 3);
});

scenario("a completion carries the id of its request", async ({ chat }) => {
  const { data, response, request_id } = await chat().withResponse();

  assert.equal(data._request_id, request_id);
  assert.equal(response.headers.get("x-request-id"), request_id);
});

scenario("a completion is in the history", async ({ chat, kept }) => {
  const completion = await chat({ metadata: { for: "javascript" } });

  const run = await kept(completion.id);
  assert.equal(run.prompt, "one two three");
  assert.equal(run.response, "one two three");
  assert.deepEqual(run.metadata, { for: "javascript" });
});

scenario("a stream tells the text as it is written", async ({ chat, rule }) => {
  await rule({ deltas: ["one", " two"], end: "never", after: 1 });
  const stream = await chat({ stream: true });
  const chunks = [];

  for await (const chunk of stream) {
    chunks.push(chunk);
    if (text(chunks)) break;
  }

  assert.equal(text(chunks), "one");
  assert.equal(chunks[0].choices[0].delta.role, "assistant");
  assert.equal(chunks[0].choices[0].finish_reason, null);
});

scenario("a stream ends with the reason", async ({ chat, set }) => {
  await set(SLOWLY);

  const chunks = await collect(await chat({ stream: true }));

  assert.equal(text(chunks), "one two three");
  assert.equal(chunks.at(-1).choices[0].finish_reason, "stop");
});

scenario("a stream tells the usage at its end when that is wanted", async ({ chat }) => {
  const chunks = await collect(
    await chat({ stream: true, stream_options: { include_usage: true } }),
  );

  assert.deepEqual(chunks.at(-1).choices, []);
  assert.equal(chunks.at(-1).usage.completion_tokens, 3);
  assert.ok(chunks.slice(0, -1).every((chunk) => chunk.usage === null));
});

scenario("the stream helper puts the pieces together", async ({ client, set }) => {
  await set(SLOWLY);
  const snapshots = [];

  const stream = client.chat.completions.stream({ model, messages: [user(WORDS)] });
  stream.on("content", (_, snapshot) => snapshots.push(snapshot));
  const completion = await stream.finalChatCompletion();

  assert.ok(snapshots.every((snapshot) => WORDS.startsWith(snapshot)));
  assert.equal(completion.choices[0].message.content, WORDS);
  assert.equal(completion.choices[0].finish_reason, "stop");
});

scenario("the stream helper knows the usage", async ({ client }) => {
  const stream = client.chat.completions.stream({
    model,
    messages,
    stream_options: { include_usage: true },
  });

  assert.equal((await stream.totalUsage()).completion_tokens, 3);
});

scenario("a stream can be read twice", async ({ chat, set }) => {
  await set(SLOWLY);

  const [left, right] = (await chat({ stream: true })).tee();

  assert.equal(text(await collect(left)), "one two three");
  assert.equal(text(await collect(right)), "one two three");
});

scenario("a stream can be handed on to a browser", async ({ client }) => {
  const stream = client.chat.completions.stream({ model, messages });

  const received = ChatCompletionStream.fromReadableStream(stream.toReadableStream());

  assert.equal(await received.finalContent(), "one two three");
});

scenario("what was said before reaches the model", async ({ chat }) => {
  const said = [user("I am Ada."), { role: "assistant", content: "Hello." }, user("Who am I?")];

  const completion = await chat({ messages: said });

  // The emulator repeats all that the model is given.
  assert.match(completion.choices[0].message.content, /I am Ada\..*Hello\..*Who am I\?/s);
});

scenario("an answer can be sent back as it came", async ({ chat }) => {
  const first = await chat({ messages: [user("I am Ada.")] });

  const second = await chat({
    messages: [user("I am Ada."), first.choices[0].message, user("Who am I?")],
  });

  assert.match(second.choices[0].message.content, /I am Ada\..*I am Ada\..*Who am I\?/s);
});

scenario("system and developer messages become the system prompt", async ({ chat, kept }) => {
  const completion = await chat({
    messages: [
      { role: "system", content: "Be kind." },
      { role: "developer", content: "Be brief." },
      ...messages,
    ],
  });

  const { system_prompt: systemPrompt, prompt } = await kept(completion.id);
  assert.equal(systemPrompt, "Be kind.\n\nBe brief.");
  assert.equal(prompt, "one two three");
});

scenario("parts of text are taken", async ({ chat, kept }) => {
  const parts = ["one", "two"].map((part) => ({ type: "text", text: part }));

  const completion = await chat({ messages: [user(parts)] });

  assert.equal((await kept(completion.id)).prompt, "one\ntwo");
});

scenario("parameters reach the model", async ({ chat, asked }) => {
  const prompt = uniquely("warm");

  await chat({ messages: [user(prompt)], max_completion_tokens: 7, temperature: 0.5 });

  const [prediction] = (await asked(prompt)).predictions;
  assert.equal(prediction.input.max_tokens, 7);
  assert.equal(prediction.input.temperature, 0.5);
});

scenario("a completion can be looked at again", async ({ client, chat }) => {
  const { id, choices } = await chat({ metadata: { for: "later" } });

  const again = await client.chat.completions.retrieve(id);

  assert.deepEqual(again.choices, choices);
  assert.deepEqual(again.metadata, { for: "later" });
});

scenario("a completion can be forgotten", async ({ client, chat }) => {
  const { id } = await chat();

  const { deleted } = await client.chat.completions.delete(id);

  assert.ok(deleted);
  await rejection(NotFoundError, client.chat.completions.retrieve(id));
});

scenario("aborting a stream cancels the run and keeps its text", async ({ chat, set, kept }) => {
  await set(FOR_EVER);
  const stream = await chat({ stream: true, messages: [user(MANY_WORDS)] });
  const seen = [];

  for await (const chunk of stream) {
    seen.push(chunk);
    if (text(seen).length > 10) stream.controller.abort();
  }

  const run = await until(
    () => kept(seen[0].id),
    ({ status }) => status === "canceled",
  );
  assert.ok(run.response.startsWith(text(seen)));
  assert.ok(run.response.length < MANY_WORDS.length);
});

scenario("leaving the loop over a stream cancels the run", async ({ chat, set, kept }) => {
  await set(FOR_EVER);
  let id;

  for await (const chunk of await chat({ stream: true, messages: [user(MANY_WORDS)] })) {
    id = chunk.id;
    break;
  }

  await until(
    () => kept(id),
    ({ status }) => status === "canceled",
  );
});

scenario("aborting the stream helper cancels the run", async ({ client, set, kept }) => {
  await set(FOR_EVER);
  let id;

  const stream = client.chat.completions.stream({ model, messages: [user(MANY_WORDS)] });
  stream.on("chunk", (chunk) => {
    id = chunk.id;
    stream.abort();
  });
  await rejection(APIUserAbortError, stream.done());

  await until(
    () => kept(id),
    ({ status }) => status === "canceled",
  );
});

scenario("aborting a request that waits cancels the run", async ({ chat, set, find }) => {
  await set({ start_delay: 60 });
  const prompt = uniquely("slow");
  const controller = new AbortController();

  const waiting = chat({ messages: [user(prompt)] }, { signal: controller.signal });
  const aborted = rejection(APIUserAbortError, waiting);
  await until(
    () => find(prompt),
    (runs) => runs.length === 1,
  );
  controller.abort();
  await aborted;

  await until(
    () => find(prompt),
    ([run]) => run.status === "canceled",
  );
});

scenario("a request with an Idempotency-Key survives its client", async ({ chat, set, kept }) => {
  await set({ words: 1, gap: 0.02 });
  const options = { headers: { "Idempotency-Key": uniquely("key").replace(" ", "-") } };
  const body = { messages: [user("one two three four five six")], stream: true };
  let id;
  for await (const chunk of await chat(body, options)) {
    id = chunk.id;
    break;
  }

  const again = await collect(await chat(body, options));

  assert.equal(again[0].id, id);
  assert.equal(text(again), "one two three four five six");
  assert.equal((await kept(id)).status, "succeeded");
});

scenario("the same Idempotency-Key gives the same completion", async ({ chat }) => {
  const options = { headers: { "Idempotency-Key": uniquely("key").replace(" ", "-") } };

  const [first, second] = [await chat({}, options), await chat({}, options)];

  assert.equal(second.id, first.id);
  assert.deepEqual(second.choices, first.choices);
});

scenario("tools that are no functions are refused by name", async ({ client }) => {
  const tools = [{ type: "custom", custom: { name: "f" } }];

  const creating = client.chat.completions.create({ model, messages, tools });

  const error = await rejection(BadRequestError, creating);
  assert.equal(error.param, "tools[0].type");
});

scenario("a form that the model cannot keep to is refused", async ({ client }) => {
  const schema = { type: "object", properties: {}, additionalProperties: false };
  const response_format = { type: "json_schema", json_schema: { name: "empty", schema } };

  const parsing = client.chat.completions.parse({
    model: "replicate:llamakeep/parrot",
    messages,
    response_format,
  });

  const error = await rejection(BadRequestError, parsing);
  assert.match(error.message, /response_format/);
  assert.match(error.message, /Nothing was stored/i);
});

scenario("older completions are answered", async ({ client }) => {
  const completion = await client.completions.create({ model, prompt: "one two three" });

  assert.equal(completion.object, "text_completion");
  assert.equal(completion.choices[0].text, "one two three");
  assert.equal(completion.usage.completion_tokens, 3);
});

scenario("older completions are streamed", async ({ client, set }) => {
  await set(SLOWLY);

  const pieces = await collect(
    await client.completions.create({ model, prompt: "one two three", stream: true }),
  );

  assert.equal(pieces.map(({ choices }) => choices[0].text).join(""), "one two three");
  assert.equal(pieces.at(-1).choices[0].finish_reason, "stop");
});

scenario("several prompts at once are each answered", async ({ client }) => {
  const { choices } = await client.completions.create({ model, prompt: ["one", "two"] });

  assert.deepEqual(choices.map(({ index, text }) => [index, text]), [[0, "one"], [1, "two"]]);
});
