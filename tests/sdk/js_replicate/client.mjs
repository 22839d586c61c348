// What the tests do with Replicate's JavaScript client: `node client.mjs ORIGIN TOKEN`
// reads lines like `["run", {"prompt": "Hi"}]`, an act and its argument, and answers each
// with a line. An act that throws is answered with what the client says about it.
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import Replicate, { validateWebhook } from "replicate";

const [origin, auth] = process.argv.slice(2);
const connect = (auth, baseUrl = `${origin}/replicate/v1`) => new Replicate({ auth, baseUrl });
const replicate = connect(auth);
const model = "meta/llama-4-maverick-instruct";
const input = { prompt: "one two three" };

async function read(stream) {
  const events = [];
  for await (const { event, data, id } of stream) events.push({ event, data, id });
  return events;
}

const acts = {
  run: (given) => replicate.run(model, { input: { ...input, ...given } }),
  runNamed: (ref) => replicate.run(ref, { input }),
  runPolling: () => replicate.run(model, { input, wait: { mode: "poll", interval: 20 } }),
  runPatiently: (timeout) =>
    replicate.run(model, { input, wait: { mode: "block", timeout } }),
  async runWithProgress() {
    const seen = [];
    await replicate.run(model, { input }, ({ status, output }) => seen.push([status, output]));
    return seen;
  },
  async runAborted() {
    const controller = new AbortController();
    // Its requests must not be aborted, only the wait for the end.
    const wait = { mode: "poll", interval: 20 };
    const signal = { get aborted() { return controller.signal.aborted; } };
    let id;
    const output = await replicate.run(model, { input, wait, signal }, (prediction) => {
      id = prediction.id;
      controller.abort();
    }).catch((error) => error.message);
    return { id, output };
  },
  stream: (given) => read(replicate.stream(model, { input: { ...input, ...given } })),
  async streamText(prompt) {
    let text = "";
    for await (const event of replicate.stream(model, { input: { prompt } })) text += event;
    return text;
  },
  async create(options) {
    const created = await replicate.predictions.create({ model, input, ...options });
    return [created, await replicate.wait(created, { interval: 20 })];
  },
  begin: (options) => replicate.predictions.create({ model, input, ...options }),
  get: (id) => replicate.predictions.get(id),
  wait: (id) => replicate.wait({ id }, { interval: 20 }),
  cancel: (id) => replicate.predictions.cancel(id),
  list: () => replicate.predictions.list(),
  async firstPages(count) {
    const pages = [];
    for await (const page of replicate.paginate(replicate.predictions.list)) {
      if (pages.push(page.length) === count) break;
    }
    return pages;
  },
  async isFromHere({ headers, body }) {
    const { key } = await replicate.webhooks.default.secret.get();
    return validateWebhook({
      id: headers["webhook-id"],
      timestamp: headers["webhook-timestamp"],
      signature: headers["webhook-signature"],
      body,
      secret: key,
    });
  },
  models: () => replicate.models.list(),
  model: (name) => replicate.models.get(...name.split("/")),
  versions: (name) => replicate.models.versions.list(...name.split("/")),
  version: ([name, id]) => replicate.models.versions.get(...name.split("/"), id),
  account: () => replicate.accounts.current(),
  deployment: () => replicate.deployments.get("acme", "llama"),
  upload: () => replicate.run(model, { input: { ...input, image: new Blob(["pixels"]) } }),
  runAs: (auth) => connect(auth).run(model, { input }),
  getAs: ([auth, id]) => connect(auth).predictions.get(id),
  runTooLong: () => connect(auth, `${origin}/replicate/v1/v1`).run(model, { input }),
  // The client sends no credentials there: the address is one.
  async streamAddress(url) {
    const answer = await fetch(url, { headers: { Accept: "text/event-stream" } });
    return [answer.status, await answer.text()];
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const [act, argument] = JSON.parse(line);
  let answer;
  try {
    const tooLong = delay(15_000, undefined, { ref: false }).then(() => {
      throw new Error("fifteen seconds");
    });
    answer = { value: await Promise.race([acts[act](argument ?? undefined), tooLong]) };
  } catch (error) {
    answer = { thrown: error.message, status: error.response?.status ?? null };
  }
  console.log(JSON.stringify(answer));
}
