// What the tests do with Replicate's JavaScript client: `node client.mjs ORIGIN` reads
// lines like `["run", null]`, an act and its argument, and answers each with a line.
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import Replicate, { validateWebhook } from "replicate";

const [origin] = process.argv.slice(2);
const replicate = new Replicate({ auth: "r8_anything", baseUrl: `${origin}/v1` });
const model = "meta/llama-4-maverick-instruct";
const input = { prompt: "one two three" };

const acts = {
  run: () => replicate.run(model, { input }),
  runPolling: () => replicate.run(model, { input, wait: { mode: "poll", interval: 20 } }),
  runVersion: (version) => replicate.run(version, { input }),
  runFailing: () => replicate.run(model, { input }).catch((error) => error.message),
  async stream() {
    const events = [];
    for await (const { event, data, id } of replicate.stream(model, { input })) {
      events.push({ event, data, id });
    }
    return events;
  },
  async create() {
    const created = await replicate.predictions.create({ model, input });
    return [created, await replicate.wait(created, { interval: 20 })];
  },
  async cancel() {
    const created = await replicate.predictions.create({ model, input });
    await replicate.predictions.cancel(created.id);
    return replicate.predictions.get(created.id);
  },
  async list() {
    const pages = [];
    for await (const page of replicate.paginate(replicate.predictions.list)) {
      pages.push(page.map((prediction) => prediction.id));
    }
    return pages;
  },
  async look() {
    const [owner, name] = model.split("/");
    return {
      account: await replicate.accounts.current(),
      collection: await replicate.collections.get("language-models"),
      deployment: await replicate.deployments.get("llamakeep", "llama"),
      hardware: await replicate.hardware.list(),
      model: await replicate.models.get(owner, name),
      found: await replicate.models.search("scout"),
    };
  },
  async validateWebhook(message) {
    const secret = await replicate.webhooks.default.secret.get();
    return validateWebhook({ ...message, secret: secret.key });
  },
  refused: () =>
    replicate.predictions
      .create({ model, input: { prompt: 1 } })
      .catch((error) => [error.response.status, error.message]),
};

for await (const line of createInterface({ input: process.stdin })) {
  const [act, argument] = JSON.parse(line);
  let answer;
  try {
    const tooLong = delay(10_000).then(() => Promise.reject(new Error("ten seconds")));
    answer = { value: await Promise.race([acts[act](argument), tooLong]) };
  } catch (error) {
    answer = { error: String(error.stack) };
  }
  console.log(JSON.stringify(answer));
}
