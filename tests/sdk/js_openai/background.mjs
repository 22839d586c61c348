import assert from "node:assert/strict";
import { collect, deltas, rejection, scenario, until } from "./kit.mjs";

const WORDS = Array.from({ length: 40 }, (_, number) => `word${number}`).join(" ");
const isOver = ({ status }) => status !== "queued" && status !== "in_progress";

// Read a stream until some of the text has come, and leave.
async function leaveEarly(stream) {
  const seen = [];
  for await (const event of stream) {
    seen.push(event);
    if (deltas(seen).length > 10) break;
  }
  return seen;
}

scenario(
  "a response in the background is there at once, and whole later",
  async ({ client, respond, set }) => {
    await set({ start_delay: 0.1 });

    const begun = await respond({ background: true });
    const ended = await until(() => client.responses.retrieve(begun.id), isOver);

    assert.ok(["queued", "in_progress"].includes(begun.status));
    assert.equal(begun.background, true);
    assert.equal(begun.output_text, "");
    assert.equal(ended.status, "completed");
    assert.equal(ended.output_text, "one two three");
  },
);

scenario("a response in the background can be canceled", async ({ client, respond, set }) => {
  await set({ start_delay: 60 });
  const { id } = await respond({ background: true });

  const canceled = await client.responses.cancel(id);

  assert.equal(canceled.status, "cancelled");
  assert.equal((await client.responses.retrieve(id)).status, "cancelled");
});

scenario("canceling a response that is whole changes nothing", async ({ client, respond }) => {
  const { id } = await respond();

  assert.equal((await client.responses.cancel(id)).status, "completed");
});

scenario(
  "a response in the background goes on when its reader leaves",
  async ({ client, respond, set }) => {
    await set({ words: 1, gap: 0.005 });

    const [{ response }] = await leaveEarly(
      await respond({ input: WORDS, background: true, stream: true }),
    );

    const ended = await until(() => client.responses.retrieve(response.id), isOver);
    assert.equal(ended.output_text, WORDS);
  },
);

scenario("a reader comes back behind the last event", async ({ client, respond, set }) => {
  await set({ words: 1, gap: 0.01 });
  const seen = await leaveEarly(await respond({ input: WORDS, background: true, stream: true }));

  const rest = await collect(
    await client.responses.retrieve(seen[0].response.id, {
      stream: true,
      starting_after: seen.at(-1).sequence_number,
    }),
  );

  assert.equal(deltas(seen) + deltas(rest), WORDS);
  assert.ok(rest[0].sequence_number > seen.at(-1).sequence_number);
  assert.equal(rest.at(-1).type, "response.completed");
});

scenario(
  "a reader comes back behind any event of an answer that is whole",
  async ({ client, respond }) => {
    const { id } = await respond();
    const retrieve = (query) => client.responses.retrieve(id, { stream: true, ...query });
    const all = await collect(await retrieve());

    for (const [place, { sequence_number }] of all.entries()) {
      const rest = await collect(await retrieve({ starting_after: sequence_number }));

      assert.deepEqual(
        rest.map(({ type }) => type),
        all.slice(place + 1).map(({ type }) => type),
      );
    }
  },
);

scenario("the stream helper comes back to a response", async ({ client, respond, set }) => {
  await set({ words: 1, gap: 0.01 });
  const seen = await leaveEarly(await respond({ input: WORDS, background: true, stream: true }));
  const { id } = seen[0].response;
  const rest = [];

  const stream = client.responses.stream({
    response_id: id,
    starting_after: seen.at(-1).sequence_number,
  });
  for await (const event of stream) rest.push(event);

  assert.ok(rest.every((event) => event.sequence_number > seen.at(-1).sequence_number));
  assert.equal((await stream.finalResponse()).output_text, WORDS);
});

scenario(
  "a stream goes on behind its last event when the server was killed",
  async ({ client, respond, restart, set }) => {
    await set({ words: 1, gap: 0.04 });
    const stream = await respond({ input: WORDS, background: true, stream: true });
    const seen = [];
    const reading = (async () => {
      for await (const event of stream) seen.push(event);
    })();
    await until(
      () => deltas(seen),
      (text) => text.length > 10,
    );

    const cut = rejection(Error, reading);
    await restart();
    await cut;
    const rest = await collect(
      await client.responses.retrieve(seen[0].response.id, {
        stream: true,
        starting_after: seen.at(-1).sequence_number,
      }),
    );

    assert.equal(deltas(seen) + deltas(rest), WORDS);
    assert.equal(rest.at(-1).type, "response.completed");
  },
);

scenario(
  "a response in the background outlives the server",
  async ({ client, respond, restart, set }) => {
    await set({ start_delay: 0.3 });
    const { id } = await respond({ background: true });

    await restart();

    const ended = await until(() => client.responses.retrieve(id), isOver);
    assert.equal(ended.output_text, "one two three");
  },
);
