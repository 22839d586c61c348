// `node tools.mjs ORIGIN` has tools called by OpenAI's client and by Vercel's AI SDK, and
// prints in each line what came of it.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import {
  generateObject,
  generateText,
  jsonSchema,
  Output,
  stepCountIs,
  streamObject,
  streamText,
  tool,
} from "ai";
import OpenAI from "openai";

const [origin] = process.argv.slice(2);
const [baseURL, apiKey, name] = [`${origin}/v1`, "token_alice", "get_weather"];
const prompt = "Is Oslo colder than Bergen?";
const weather = { Oslo: "-3", Bergen: "7" };
const run = async ({ city }) => weather[city];
const parameters = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};

const openai = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
for (const stream of [false, true]) {
  const runner = openai.chat.completions.runTools({
    model: "caller",
    stream,
    messages: [{ role: "user", content: prompt }],
    tools: [{ type: "function", function: { name, parameters, parse: JSON.parse, function: run } }],
  });
  console.log(await runner.finalContent());
}

const provider = createOpenAICompatible({
  name: "llamakeep",
  baseURL,
  apiKey,
  supportsStructuredOutputs: true,
});
const asked = {
  model: provider("caller"),
  prompt,
  tools: { [name]: tool({ inputSchema: jsonSchema(parameters), execute: run }) },
  stopWhen: stepCountIs(3),
};
const whole = await generateText(asked);
console.log(whole.text, whole.steps[0].reasoningText);
console.log(await streamText(asked).text);

const person = { name: { type: "string" }, age: { type: "number" } };
const { output } = await generateText({
  model: provider("caller"),
  prompt: "Who is Ada?",
  output: Output.object({ schema: jsonSchema({ type: "object", properties: person }) }),
});
console.log(output.name, output.age);

// The older names of the same, which most programs have.
const form = {
  model: provider("caller"),
  prompt: "Who is Ada?",
  schema: jsonSchema({ type: "object", properties: person }),
};
const { object } = await generateObject(form);
console.log(object.name, object.age);
let last;
for await (last of streamObject(form).partialObjectStream);
console.log(last.name, last.age);
