import assert from "node:assert/strict";
import { NotFoundError } from "openai";
import { collect, model, rejection, scenario } from "./kit.mjs";

scenario("all models are listed, page by page", async ({ client }) => {
  const ids = (await collect(client.models.list())).map(({ id }) => id);

  assert.equal(ids[0], `replicate:${model}`);
  assert.ok(ids.includes("replicate:meta/meta-llama-3-8b-instruct"));
  assert.equal(new Set(ids).size, ids.length);
});

scenario("the first page of models is the last one", async ({ client }) => {
  const page = await client.models.list();

  assert.equal(page.data[0].object, "model");
  assert.equal(page.data[0].owned_by, "meta");
  assert.equal(page.hasNextPage(), false);
});

scenario("a listed model can be looked at and asked", async ({ client, chat }) => {
  const [{ id }] = (await client.models.list()).data;

  const found = await client.models.retrieve(id);
  const completion = await chat({ model: found.id });

  assert.equal(found.id, id);
  assert.equal(completion.model, id);
});

scenario("a model is found by its name with a slash", async ({ client }) => {
  assert.equal((await client.models.retrieve(model)).id, `replicate:${model}`);
});

scenario("a model that is not there is a NotFoundError", async ({ client }) => {
  const error = await rejection(NotFoundError, client.models.retrieve("replicate:nobody's"));

  assert.equal(error.code, "model_not_found");
});
