// `node agents.mjs` has tools called by OpenAI's Agents SDK, plain and streamed, with
// responses and with chat completions, and prints in each line what came of it.
import { Agent, run, setOpenAIAPI, setTracingDisabled, tool } from "@openai/agents";
import { z } from "zod";

setTracingDisabled(true);
const model = "caller";
const prompt = "Is Oslo colder than Bergen?";
const getWeather = tool({
  name: "get_weather",
  description: "Tell the weather in a city.",
  parameters: z.object({ city: z.string() }),
  execute: ({ city }) => ({ Oslo: "-3", Bergen: "7" })[city],
});
const weather = new Agent({ name: "Weather", model, tools: [getWeather] });
const triage = Agent.create({ name: "Triage", model, handoffs: [weather] });
const Person = z.object({ name: z.string(), age: z.number() });
const form = new Agent({ name: "Form", model, outputType: Person });

for (const api of ["responses", "chat_completions"]) {
  setOpenAIAPI(api);
  console.log((await run(weather, prompt)).finalOutput);

  const streamed = await run(weather, prompt, { stream: true });
  let text = "";
  for await (const delta of streamed.toTextStream()) text += delta;
  console.log(text);

  const handed = await run(triage, prompt);
  console.log(handed.lastAgent.name, handed.finalOutput);

  const { name, age } = (await run(form, "Who is Ada?")).finalOutput;
  console.log(name, age);
}
