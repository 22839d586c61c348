import assert from "node:assert/strict";
import {
  APIConnectionError,
  APIConnectionTimeoutError,
  APIError,
  AuthenticationError,
  BadRequestError,
  InternalServerError,
  NotFoundError,
  RateLimitError,
} from "openai";
import { messages, model, rejection, scenario, text, until, user } from "./kit.mjs";

const uniquely = (what) => `${what} ${Math.random()}`;

scenario("an API key that nobody has is an AuthenticationError", async ({ openai }) => {
  const error = await rejection(
    AuthenticationError,
    openai({ apiKey: "nobody's" }).chat.completions.create({ model, messages }),
  );

  assert.equal(error.status, 401);
  assert.equal(error.code, "invalid_api_key");
});

scenario("a model that nobody serves is a NotFoundError", async ({ chat }) => {
  const error = await rejection(NotFoundError, chat({ model: "replicate:nobody's" }));

  assert.equal(error.code, "model_not_found");
  assert.equal(error.param, "model");
});

scenario("a path that is not served is a NotFoundError", async ({ client }) => {
  const error = await rejection(NotFoundError, client.fineTuning.jobs.list());

  assert.equal(error.code, "unknown_url");
});

scenario("an error names its request and the wrong parameter", async ({ chat }) => {
  const error = await rejection(BadRequestError, chat({ temperature: 3 }));

  assert.equal(error.param, "temperature");
  assert.equal(error.type, "invalid_request_error");
  assert.match(error.requestID, /^req_/);
});

scenario("more choices than there may be are a BadRequestError", async ({ chat }) => {
  const error = await rejection(BadRequestError, chat({ n: 17 }));

  assert.equal(error.param, "n");
});

scenario("a model that continues no beginning of an answer refuses it", async ({ chat }) => {
  const said = [...messages, { role: "assistant", content: "four" }];
  const body = { model: "meta/llama-4-scout-instruct", messages: said };

  const error = await rejection(BadRequestError, chat(body));

  assert.equal(error.param, "messages[1].role");
  assert.match(error.message, /such as replicate:meta\/llama-4-maverick-instruct/);
});

scenario("an image for a model that sees none is a BadRequestError", async ({ chat }) => {
  const part = { type: "image_url", image_url: { url: "https://example.com/a.png" } };

  const error = await rejection(BadRequestError, chat({ messages: [user([part])] }));

  assert.equal(error.param, "messages[0].content[0].image_url");
});

scenario("another prompt with the same Idempotency-Key is refused", async ({ chat }) => {
  const options = { headers: { "Idempotency-Key": uniquely("key").replace(" ", "-") } };
  await chat({}, options);

  const error = await rejection(APIError, chat({ messages: [user("another")] }, options));

  assert.equal(error.code, "idempotency_key_reused");
});

scenario(
  "a failed answer is an InternalServerError that says where the run is",
  async ({ chat, rule, find }) => {
    const prompt = uniquely("unlucky");
    await rule({ match: prompt, end: "failed", error: "Out of luck", after: 1, times: null });

    const error = await rejection(InternalServerError, chat({ messages: [user(prompt)] }));

    const [run] = await find(prompt);
    assert.equal(run.status, "failed");
    assert.ok(error.message.includes(`/history/${run.id}`));
    assert.equal(error.type, "server_error");
  },
);

scenario("a failed answer is not paid for twice", async ({ openai, rule, asked }) => {
  const prompt = uniquely("unlucky");
  await rule({ match: prompt, end: "failed", error: "Out of luck", after: 1, times: null });

  const asking = openai({ maxRetries: 2 }).chat.completions.create({
    model,
    messages: [user(prompt)],
  });

  await rejection(InternalServerError, asking);
  assert.equal((await asked(prompt)).predictions.length, 1);
});

scenario(
  "an answer that fails midway is an error behind its text",
  async ({ chat, set, rule, kept }) => {
    await set({ words: 1, gap: 0.02 });
    await rule({ match: "one two three", end: "failed", error: "Out of luck", after: 2 });
    const seen = [];

    const error = await rejection(
      APIError,
      (async () => {
        for await (const chunk of await chat({ stream: true })) seen.push(chunk);
      })(),
    );

    assert.equal(text(seen), "one two");
    assert.equal(error.type, "server_error");
    assert.equal((await kept(seen[0].id)).response, "one two");
  },
);

scenario("a provider that wants us to wait is a RateLimitError", async ({ chat }) => {
  const error = await rejection(RateLimitError, chat({ model: "openai:busy" }));

  assert.equal(error.status, 429);
  assert.equal(error.code, "rate_limit_exceeded");
});

scenario(
  "a provider that wants us to wait is asked again as often as the client likes",
  async ({ openai, find }) => {
    const prompt = uniquely("patient");
    const asking = { model: "openai:busy", messages: [user(prompt)] };

    await rejection(RateLimitError, openai({ maxRetries: 1 }).chat.completions.create(asking));

    assert.equal((await find(prompt)).length, 2);
  },
);

scenario(
  "a client that does not wait gets an APIConnectionTimeoutError",
  async ({ openai, set, find }) => {
    await set({ start_delay: 60 });
    const prompt = uniquely("slow");

    const asking = openai({ timeout: 600 }).chat.completions.create({
      model,
      messages: [user(prompt)],
    });

    await rejection(APIConnectionTimeoutError, asking);
    await until(
      () => find(prompt),
      ([run]) => run?.status === "canceled",
    );
  },
);

scenario(
  "a request whose answer got lost is sent again and makes one run",
  async ({ openai, find }) => {
    const prompt = uniquely("lost");
    let sent = 0;
    const losing = async (url, init) => {
      const response = await fetch(url, init);
      await response.text();
      if (sent++ === 0) throw new Error("The connection is gone.");
      return fetch(url, init);
    };
    const client = openai({ maxRetries: 1, fetch: losing });

    const completion = await client.chat.completions.create(
      { model, messages: [user(prompt)] },
      { headers: { "Idempotency-Key": prompt.replace(" ", "-") } },
    );

    assert.equal(sent, 2);
    assert.equal(completion.choices[0].message.content, prompt);
    assert.equal((await find(prompt)).length, 1);
  },
);

scenario("a server that is not there is an APIConnectionError", async ({ openai }) => {
  const client = openai({ baseURL: "http://127.0.0.1:9/v1" });

  const error = await rejection(APIConnectionError, client.models.list());

  assert.equal(error.status, undefined);
});
