// OpenAI's own library, which runs functions by itself.
import OpenAI from "openai";
import { getWeather, model, prompt, serve } from "./kit.mjs";

const openai = new OpenAI({ maxRetries: 0 });
const parameters = { type: "object", properties: { city: { type: "string" } } };
const weather = {
  name: "get_weather",
  parameters,
  parse: JSON.parse,
  function: getWeather,
};
const ask = (stream) =>
  openai.chat.completions
    .runTools({
      model,
      stream,
      messages: [{ role: "user", content: prompt }],
      tools: [{ type: "function", function: weather }],
    })
    .finalContent();

await serve({ tools: () => ask(false), streamed: () => ask(true) });
