// @ts-check
/** Reads what an OpenAPI document says of each operation. */

/** @typedef {Record<string, any>} Schema */
/** @typedef {{ name: string, in: string, required?: boolean, description?: string, schema: Schema }} Parameter */
/** @typedef {{ status: string, description: string, kinds: string[], schema: Schema | null }} Answer */
/**
 * @typedef {object} Operation
 * @property {string} id
 * @property {string} method In upper case.
 * @property {string} path
 * @property {string} tag
 * @property {string} summary
 * @property {string} description
 * @property {string[] | null} scopes Of which an API key needs one; `null` if no login is needed.
 * @property {Parameter[]} parameters
 * @property {{ kind: string, schema: Schema } | null} body
 * @property {Answer[]} answers
 */

/** Sections come in this order, others after them. */
const TAGS = new Map([
  ["prompt", "Prompts"],
  ["history", "History"],
  ["conversations", "Conversations"],
  ["login", "Logins"],
  ["keys", "API keys"],
  ["limits", "Limits"],
  ["accounts", "Accounts"],
  ["admin", "Administration"],
  ["webhooks", "Webhooks"],
  ["health", "This server"],
  ["openai", "As OpenAI's API"],
  ["anthropic", "As Anthropic's API"],
  ["replicate", "As Replicate's API"],
]);

/**
 * Return the operations of each section, with its title.
 *
 * @param {Schema} document
 * @returns {{ title: string, operations: Operation[] }[]}
 */
export function sectionsOf(document) {
  /** @type {Map<string, Operation[]>} */
  const sections = new Map([...TAGS.keys()].map((tag) => [tag, []]));
  for (const [path, methods] of Object.entries(document.paths)) {
    for (const [method, facts] of Object.entries(methods)) {
      const operation = operationOf(path, method, facts);
      const known = sections.get(operation.tag);
      if (known) known.push(operation);
      else sections.set(operation.tag, [operation]);
    }
  }
  return [...sections]
    .filter(([, operations]) => operations.length > 0)
    .map(([tag, operations]) => ({ title: TAGS.get(tag) ?? tag, operations }));
}

/**
 * @param {string} path
 * @param {string} method
 * @param {Schema} facts
 * @returns {Operation}
 */
function operationOf(path, method, facts) {
  const [security] = facts.security ?? [];
  const [body] = contents(facts.requestBody);
  return {
    id: `${method}-${path}`,
    method: method.toUpperCase(),
    path,
    tag: facts.tags?.[0] ?? "others",
    summary: facts.summary ?? "",
    description: facts.description ?? "",
    scopes: security ? Object.values(security).flat() : null,
    parameters: facts.parameters ?? [],
    body: body ?? null,
    answers: Object.entries(facts.responses ?? {}).map(([status, answer]) => {
      const kinds = contents(answer);
      return {
        status,
        description: answer.description ?? "",
        kinds: kinds.map(({ kind }) => kind),
        schema: kinds.find(({ schema }) => Object.keys(schema).length > 0)?.schema ?? null,
      };
    }),
  };
}

/**
 * @param {Schema | undefined} holder
 * @returns {{ kind: string, schema: Schema }[]}
 */
function contents(holder) {
  return Object.entries(holder?.content ?? {}).map(([kind, content]) => ({
    kind,
    schema: content.schema ?? {},
  }));
}

/**
 * Return what a schema refers to.
 *
 * @param {Schema} schema
 * @param {Schema} document
 * @returns {Schema}
 */
export function resolved(schema, document) {
  let found = schema;
  while (found.$ref) {
    const name = found.$ref.slice(found.$ref.lastIndexOf("/") + 1);
    found = { title: name, ...document.components.schemas[name] };
  }
  return found;
}
