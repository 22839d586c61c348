// @ts-check
/** What a run was asked, as programs would ask it again. */

/** @typedef {import("../conversation/branches.js").Run} Run */

/** What OpenAI's client has names for; all else goes into its `extra_body`. */
const OPENAI = new Set([
  "frequency_penalty",
  "logit_bias",
  "logprobs",
  "max_tokens",
  "parallel_tool_calls",
  "presence_penalty",
  "reasoning_effort",
  "response_format",
  "seed",
  "stop",
  "temperature",
  "tool_choice",
  "tools",
  "top_logprobs",
  "top_p",
  "verbosity",
]);
const KEY = "LLAMAKEEP_API_KEY";

/**
 * Return the body that `POST /prompt/` takes.
 *
 * @param {Run} run
 * @returns {Record<string, unknown>}
 */
export function bodyOf(run) {
  const follows = run.previous_run_id?.startsWith("run_") ? run.previous_run_id : null;
  const body = {
    model: run.model,
    system_prompt: run.system_prompt,
    prompt: run.prompt,
    previous_run_id: follows,
    ...run.parameters,
    metadata: Object.keys(run.metadata ?? {}).length ? run.metadata : null,
    end_user: run.end_user,
  };
  return Object.fromEntries(
    Object.entries(body).filter(([, value]) => value !== null && value !== undefined),
  );
}

/**
 * Return commands and programs, each with its name.
 *
 * @param {Run} run
 * @param {string} base The address of this server.
 * @returns {[string, string][]}
 */
export function requestsOf(run, base) {
  return [["curl", curl(run, base)], ["Python", python(run, base)], [
    "OpenAI's client",
    openai(run, base),
  ]];
}

/**
 * @param {Run} run
 * @param {string} base
 */
function curl(run, base) {
  return [
    `curl '${new URL("prompt/", base)}' \\`,
    `  -H "Authorization: Bearer $${KEY}" -H 'Content-Type: application/json' \\`,
    "  --data-binary @- <<'END'",
    JSON.stringify(bodyOf(run), null, 2),
    "END",
  ].join("\n");
}

/**
 * @param {Run} run
 * @param {string} base
 */
function python(run, base) {
  return [
    "import json",
    "import os",
    "from urllib.request import Request, urlopen",
    "",
    `body = ${literal(bodyOf(run))}`,
    "request = Request(",
    `    ${literal(`${new URL("prompt/", base)}`)},`,
    "    json.dumps(body).encode(),",
    "    {",
    `        "Authorization": "Bearer " + os.environ["${KEY}"],`,
    '        "Content-Type": "application/json",',
    "    },",
    ")",
    "with urlopen(request) as response:",
    '    print(json.load(response)["response"])',
  ].join("\n");
}

/**
 * @param {Run} run
 * @param {string} base
 */
function openai(run, base) {
  const system = run.system_prompt ? [{ role: "system", content: run.system_prompt }] : [];
  const messages = [...system, { role: "user", content: run.prompt }];
  const given = Object.entries(run.parameters ?? {});
  const known = given.filter(([name]) => OPENAI.has(name));
  const extra = Object.fromEntries(given.filter(([name]) => !OPENAI.has(name)));
  const named = [["model", run.model], ["messages", messages], ...known];
  if (Object.keys(extra).length) named.push(["extra_body", extra]);
  return [
    "import os",
    "",
    "from openai import OpenAI",
    "",
    "client = OpenAI(",
    `    base_url=${literal(`${new URL("v1", base)}`)},`,
    `    api_key=os.environ["${KEY}"],`,
    ")",
    "answer = client.chat.completions.create(",
    ...named.map(([name, value]) => `    ${name}=${literal(value, "    ")},`),
    ")",
    "print(answer.choices[0].message.content)",
  ].join("\n");
}

/**
 * Return a value of JSON as Python writes it.
 *
 * @param {unknown} value
 * @param {string} [indent]
 * @returns {string}
 */
export function literal(value, indent = "") {
  if (value === null || value === undefined) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  // Python takes the strings and numbers of JSON.
  if (typeof value !== "object") return JSON.stringify(value);
  const deeper = `${indent}    `;
  const rows = Array.isArray(value)
    ? value.map((each) => literal(each, deeper))
    : Object.entries(value).map(([name, each]) => `${literal(name)}: ${literal(each, deeper)}`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  if (rows.length === 0) return open + close;
  return `${open}\n${rows.map((row) => `${deeper}${row},\n`).join("")}${indent}${close}`;
}
