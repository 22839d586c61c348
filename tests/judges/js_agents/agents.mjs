// OpenAI's Agents SDK, plain and streamed, with responses and with chat completions.
import {
  Agent,
  OpenAIConversationsSession,
  OpenAIResponsesCompactionSession,
  run,
  setOpenAIAPI,
  setTracingDisabled,
  tool,
} from "@openai/agents";
import { z } from "zod";
import { again, getWeather, model, pixel, prompt, serve, waitIfKilled } from "./kit.mjs";

setTracingDisabled(true);
const weatherTool = tool({
  name: "get_weather",
  description: "Tell the weather in a city.",
  parameters: z.object({ city: z.string() }),
  execute: getWeather,
});
const weather = new Agent({ name: "Weather", model, tools: [weatherTool] });
const triage = Agent.create({ name: "Triage", model, handoffs: [weather] });
const Person = z.object({ name: z.string(), age: z.number() });
const form = new Agent({ name: "Form", model, outputType: Person });

const acts = {
  tools: async () => (await run(weather, prompt)).finalOutput,
  streamed: async () => {
    const streamed = await run(weather, prompt, { stream: true });
    let text = "";
    for await (const delta of streamed.toTextStream()) text += delta;
    await streamed.completed;
    return text;
  },
  handoff: async () => {
    const handed = await run(triage, prompt);
    return `${handed.lastAgent.name} ${handed.finalOutput}`;
  },
  form: async () => {
    const { name, age } = (await run(form, "Who is Ada?")).finalOutput;
    return `${name} ${age}`;
  },
  second_turn: async () => {
    const first = await run(weather, prompt);
    const said = [...first.history, { role: "user", content: again }];
    return `${first.finalOutput} ${(await run(weather, said)).finalOutput}`;
  },
};

const scenarios = {
  chained: async () => {
    setOpenAIAPI("responses");
    const first = await run(weather, prompt);
    const previousResponseId = first.lastResponseId;
    const second = await run(weather, again, { previousResponseId });
    return `${first.finalOutput} ${second.finalOutput}`;
  },
  conversation: async () => {
    setOpenAIAPI("responses");
    const session = new OpenAIConversationsSession();
    const first = await run(weather, prompt, { session });
    const second = await run(weather, again, { session });
    const items = await session.getItems();
    const last = await session.popItem();
    const left = await session.getItems(3);
    await session.clearSession();
    const said = `${first.finalOutput} ${second.finalOutput}`;
    return `${said} ${items.length} items, ${last.content[0].text} ${left.length} left`;
  },
  conversation_image: async () => {
    setOpenAIAPI("responses");
    const session = new OpenAIConversationsSession();
    const seer = new Agent({ name: "Seer", model });
    const content = [
      { type: "input_text", text: "What is this?" },
      { type: "input_image", image: `data:image/png;base64,${pixel}` },
    ];
    const first = await run(seer, [{ role: "user", content }], { session });
    const second = await run(seer, "And now?", { session });
    return `${first.finalOutput} ${second.finalOutput}`;
  },
  compacted: async () => {
    setOpenAIAPI("responses");
    const session = new OpenAIResponsesCompactionSession({
      model: "gpt-5-mini", // it takes names of OpenAI's alone
      shouldTriggerCompaction: () => true,
    });
    await run(weather, prompt, { session });
    const kept = (await session.getItems()).map((item) => item.type).join(" ");
    await waitIfKilled();
    const { finalOutput } = await run(weather, "What did you say?", { session });
    return `${kept}: ${finalOutput}`;
  },
};
for (const [name, act] of Object.entries(acts)) {
  scenarios[name] = () => (setOpenAIAPI("responses"), act());
  scenarios[`chat_${name}`] = () => (setOpenAIAPI("chat_completions"), act());
}
await serve(scenarios);
