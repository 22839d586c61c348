// Vercel's AI SDK: tools, images, and objects by each of its functions.
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
import { again, getWeather, model, pixel, prompt, serve } from "./kit.mjs";

const provider = createOpenAICompatible({
  name: "llamakeep",
  baseURL: process.env.OPENAI_BASE_URL,
  apiKey: process.env.OPENAI_API_KEY,
  supportsStructuredOutputs: true,
});
const object = (properties) => jsonSchema({ type: "object", properties });
const city = object({ city: { type: "string" } });
const loop = {
  model: provider(model),
  tools: { get_weather: tool({ inputSchema: city, execute: getWeather }) },
  stopWhen: stepCountIs(3),
};
const schema = object({ name: { type: "string" }, age: { type: "number" } });
const form = { model: provider(model), prompt: "Who is Ada?" };
const shown = ({ name, age }) => `${name} ${age}`;

await serve({
  tools: async () => {
    const first = await generateText({ ...loop, prompt });
    const messages = [
      { role: "user", content: prompt },
      ...first.steps.flatMap((step) => step.response.messages.slice(-2)),
      { role: "user", content: again },
    ];
    return `${first.text} ${(await generateText({ ...loop, messages })).text}`;
  },
  streamed: async () => {
    const failures = [];
    const onError = ({ error }) => failures.push(error);
    const text = await streamText({ ...loop, prompt, onError }).text;
    if (failures.length) throw failures[0];
    return text;
  },
  image: async () => {
    const content = [
      { type: "text", text: "What is this?" },
      { type: "image", image: pixel, mediaType: "image/png" },
    ];
    const messages = [{ role: "user", content }];
    return (await generateText({ model: provider(model), messages })).text;
  },
  object: async () => shown((await generateObject({ ...form, schema })).object),
  object_streamed: async () => {
    let last;
    for await (last of streamObject({ ...form, schema }).partialObjectStream);
    return shown(last);
  },
  output: async () => {
    const output = Output.object({ schema });
    return shown((await generateText({ ...form, output })).output);
  },
});
