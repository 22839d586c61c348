// What scenarios are made with, and what they are handed.
import OpenAI from "openai";

export const model = "meta/llama-4-maverick-instruct";
export const user = (content) => ({ role: "user", content });
export const messages = [user("one two three")];

export const scenarios = new Map();

// The name is a sentence about the product, on the line of the call: the tests look for
// it there.
export function scenario(name, act) {
  scenarios.set(name, act);
}

export function createKit(origin, emulator, ask) {
  const openai = (options = {}) =>
    new OpenAI({
      baseURL: `${origin}/v1`,
      apiKey: "token_alice",
      maxRetries: 0,
      timeout: 10_000,
      ...options,
    });
  const client = openai();

  async function json(method, url, body) {
    const response = await fetch(url, {
      method,
      headers: { authorization: "Bearer token_alice", "content-type": "application/json" },
      body: body && JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`);
    return response.json();
  }

  // A run of the history, by any id that a door gave it.
  const kept = (id) => json("GET", `${origin}/history/run_${id.replace(/^[a-z]+[-_]/, "")}`);

  // The run of a prompt that nobody but this scenario sends.
  async function find(prompt) {
    const { history } = await json("GET", `${origin}/history/?limit=20`);
    return history.filter((run) => run.prompt === prompt);
  }

  return {
    openai,
    client,
    kept,
    find,
    restart: () => ask("restart"),
    rule: (fields) => json("POST", `${emulator}/_emulator/rules`, fields),
    set: (changes) => json("PATCH", `${emulator}/_emulator/settings`, changes),
    asked: (prompt) =>
      json("GET", `${emulator}/_emulator/predictions?prompt=${encodeURIComponent(prompt)}`),
    chat: (body = {}, options) =>
      client.chat.completions.create({ model, messages, ...body }, options),
    respond: (body = {}, options) =>
      client.responses.create({ model, input: "one two three", ...body }, options),
  };
}

// Wait until `look` finds something that `isSo`, and return it.
export async function until(look, isSo) {
  for (;;) {
    const found = await look();
    if (isSo(found)) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export async function collect(stream) {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}

export const text = (chunks) =>
  chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");

export const deltas = (events) =>
  events.map((event) => (event.type === "response.output_text.delta" ? event.delta : "")).join("");

// Return what `promise` is rejected with, which has to be one of `kind`.
export async function rejection(kind, promise) {
  try {
    await promise;
  } catch (error) {
    if (error instanceof kind) return error;
    throw new Error(`It is no ${kind.name}.`, { cause: error });
  }
  throw new Error("It went well.");
}
