// @ts-check
/** Requests to the server, and what it says when something is wrong. */

/** @typedef {{field: string, message: string}} FieldError */
/**
 * @typedef {{name: string, whose: string, limit: number, left: number, resets_at: string | null}}
 * ReachedLimit
 */
/**
 * @typedef {object} Options
 * @property {unknown} [body] Sent as JSON.
 * @property {Blob} [content] Sent as it is, instead.
 * @property {Record<string, unknown> | URLSearchParams} [query] Without what is null or empty.
 * @property {Record<string, string>} [headers]
 * @property {AbortSignal} [signal]
 * @property {boolean} [mayLogIn] Whether to have the user log in, where that is needed.
 */

const PREFIX = "urn:llamakeep:problem:";
/** How long the beginning of an answer to a GET may take, in ms. */
const PATIENCE = 30_000;

/** What went wrong, in the server's words. */
export class Problem extends Error {
  /** @param {Record<string, any>} facts */
  constructor(facts) {
    super(facts.detail || facts.title);
    this.name = "Problem";
    /** Zero if no answer came. */
    this.status = Number(facts.status ?? 0);
    /** The last part of the type, such as `rate-limited`. */
    this.code = String(facts.type ?? "").replace(PREFIX, "");
    this.title = String(facts.title ?? "The request failed.");
    this.detail = String(facts.detail ?? "");
    /** @type {string | null} */
    this.runId = facts.run_id ?? null;
    /** @type {FieldError[]} */
    this.errors = facts.errors ?? [];
    /** @type {ReachedLimit | null} */
    this.limit = facts.limit ?? null;
    /** @type {number | null} Seconds. */
    this.retryAfter = facts.retry_after ?? null;
  }
}

/** The problem that no answer came. */
export const noAnswer = () =>
  new Problem({
    type: "no-answer",
    title: navigator.onLine ? "The server cannot be reached." : "You are offline.",
    detail: "What is on this page stays. Try again when there is a connection.",
  });

/** @type {(() => Promise<boolean>) | null} */
let logIn = null;

/**
 * Say what asks the user to log in again; it returns whether the same user did.
 *
 * @param {() => Promise<boolean>} ask
 */
export function onLoginOver(ask) {
  logIn = ask;
}

/**
 * Return the address of a path of the API, such as `history/`, with a query.
 *
 * @param {string} path
 * @param {Options["query"]} [query]
 */
export function address(path, query) {
  const url = new URL(path, document.baseURI);
  const pairs = query instanceof URLSearchParams ? [...query] : Object.entries(query ?? {});
  for (const [name, value] of pairs) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && one !== "") url.searchParams.append(name, `${one}`);
    }
  }
  return url.href;
}

/**
 * Send a request, and return the response with any status.
 *
 * @param {string} method
 * @param {string} path
 * @param {Options} [options]
 */
export async function send(method, path, options = {}) {
  /** @type {Record<string, string>} */
  const headers = { accept: "application/json", ...options.headers };
  const own = new AbortController();
  const signal = options.signal ? AbortSignal.any([own.signal, options.signal]) : own.signal;
  /** @type {RequestInit} */
  const request = { method, headers, signal, credentials: "same-origin", cache: "no-store" };
  if (options.content) request.body = options.content;
  else if (options.body !== undefined) {
    headers["content-type"] = "application/json";
    request.body = JSON.stringify(options.body);
  }
  // What changes something may take long to be sent, and is not given up.
  const timer = method === "GET" ? setTimeout(() => own.abort(), PATIENCE) : undefined;
  try {
    return await fetch(address(path, options.query), request);
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw noAnswer();
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Send a request, and return the JSON of its response; `null` if there is none.
 *
 * @param {string} method
 * @param {string} path
 * @param {Options} [options]
 * @returns {Promise<any>}
 */
export async function call(method, path, options = {}) {
  const response = await send(method, path, options);
  if (response.ok) return await jsonOf(response);
  const problem = await problemOf(response);
  if (problem.code === "unauthenticated" && options.mayLogIn !== false && logIn) {
    if (await logIn()) return call(method, path, { ...options, mayLogIn: false });
  }
  throw problem;
}

/** @param {Response} response */
async function jsonOf(response) {
  try {
    const text = await response.text();
    return text === "" ? null : JSON.parse(text);
  } catch {
    throw noAnswer();
  }
}

/**
 * Return what a response that is no success says.
 *
 * @param {Response} response
 */
export async function problemOf(response) {
  const facts = await response.json().catch(() => ({}));
  const seconds = Number.parseFloat(response.headers.get("retry-after") ?? "");
  const retry_after = Number.isFinite(seconds) ? seconds : null;
  const said = facts && typeof facts === "object" && !Array.isArray(facts) ? facts : {};
  const title = `The server answered with ${response.status}.`;
  return new Problem({ title, ...said, status: response.status, retry_after });
}
