// @ts-check
/**
 * Prompts on their way: kept in the browser with their keys until the server has them on disk.
 *
 * The key makes sure that a prompt which is sent again, by whichever tab, is one run.
 */

import { call, Problem } from "./api.js";
import { allKept, keep, listen, newKey } from "./local.js";

/**
 * @typedef {object} Entry
 * @property {string} key Its `Idempotency-Key`.
 * @property {string} conversation Where it was typed; empty for a new conversation.
 * @property {Record<string, any>} body As `POST /prompt/` takes it.
 * @property {number} at When it was sent.
 * @property {"sending" | "waiting" | "unsent"} state
 *   `waiting` is for the run before it; `unsent` waits until the user sends it.
 */

const PART = "outbox:";
const YOUNG = 5 * 60_000;
const PAUSES = [1, 2, 4, 8, 15, 30];
/** A server that asks for more patience than this is not waited for. */
const LONGEST = 60;

/** @typedef {{entry: Entry, run?: any, problem?: Problem}} Outcome */
/** @type {Set<(outcome: Outcome | null) => void>} */
const watchers = new Set();
/** @type {Map<string, AbortController>} */
const underWay = new Map();

/** @param {Outcome | null} outcome */
function changed(outcome = null) {
  for (const watcher of [...watchers]) watcher(outcome);
}

/** All that is kept, the oldest first. */
export function entries() {
  /** @type {Entry[]} */
  const found = [...allKept(PART).values()].filter(Boolean);
  return found.sort((one, other) => one.at - other.at);
}

/**
 * Call a watcher at every change, with what became of an entry; return what ends that.
 *
 * @param {(outcome: Outcome | null) => void} watcher
 */
export function watchOutbox(watcher) {
  watchers.add(watcher);
  return () => watchers.delete(watcher);
}

/** @param {Entry} entry */
function store(entry) {
  keep(PART + entry.key, entry);
}

/** @param {string} key */
function forget(key) {
  keep(PART + key, null);
}

/**
 * Keep a prompt, and send it unless it has to wait.
 *
 * @param {{key?: string, conversation: string, body: Record<string, any>, waits?: boolean}} prompt
 */
export function post({ key = newKey(), conversation, body, waits = false }) {
  /** @type {Entry} */
  const entry = { key, conversation, body, at: Date.now(), state: waits ? "waiting" : "sending" };
  store(entry);
  changed();
  if (!waits) deliver(entry);
  return entry;
}

/**
 * Send what has waited, or what was left unsent.
 *
 * @param {Entry} entry
 * @param {Record<string, any>} [changes] To its body.
 */
export function release(entry, changes = {}) {
  if (underWay.has(entry.key)) return;
  const sent = {
    ...entry,
    body: { ...entry.body, ...changes },
    state: /** @type {const} */ ("sending"),
  };
  store(sent);
  changed();
  deliver(sent);
}

/**
 * Let what waits in a new conversation wait in the one that it has become.
 *
 * @param {string} conversation
 */
export function moveWaiting(conversation) {
  for (const entry of entries()) {
    if (entry.conversation === "" && entry.state === "waiting") store({ ...entry, conversation });
  }
}

/** @param {Entry} entry */
export function hold(entry) {
  store({ ...entry, state: "unsent" });
  changed();
}

/** @param {Entry} entry */
export function discard(entry) {
  underWay.get(entry.key)?.abort();
  forget(entry.key);
  changed();
}

/** @param {Entry} entry */
async function deliver(entry) {
  if (underWay.has(entry.key)) return;
  const own = new AbortController();
  underWay.set(entry.key, own);
  try {
    const run = await insist(entry, own.signal);
    forget(entry.key);
    changed({ entry, run });
  } catch (error) {
    if (own.signal.aborted) return;
    if (!(error instanceof Problem)) throw error;
    forget(entry.key);
    changed({ entry, problem: error });
  } finally {
    underWay.delete(entry.key);
  }
}

/**
 * @param {Entry} entry
 * @param {AbortSignal} signal
 */
async function insist(entry, signal) {
  const headers = { "idempotency-key": entry.key };
  const options = { body: { ...entry.body, background: true }, headers, signal };
  for (let tries = 0;; tries++) {
    try {
      return await call("POST", "prompt/", options);
    } catch (error) {
      if (!(error instanceof Problem) || !isPassing(error)) throw error;
      const pause = PAUSES[Math.min(tries, PAUSES.length - 1)];
      await rest(error.retryAfter ?? pause, error.status === 0, signal);
    }
  }
}

/** @param {Problem} problem */
function isPassing({ status, retryAfter, runId }) {
  if (status === 0) return true;
  // A gateway that has no server behind it has kept nothing.
  if ((status === 502 || status === 504) && runId === null && retryAfter === null) return true;
  return runId === null && retryAfter !== null && retryAfter <= LONGEST;
}

/**
 * @param {number} seconds
 * @param {boolean} endsOnline Whether to try again as soon as there is a network.
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
function rest(seconds, endsOnline, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(end, seconds * 1000);
    function end() {
      clearTimeout(timer);
      removeEventListener("online", end);
      if (signal.aborted) reject(signal.reason);
      else resolve();
    }
    if (endsOnline) addEventListener("online", end);
    signal.addEventListener("abort", end);
  });
}

/**
 * Return whether a prompt goes out by itself when a page finds it.
 *
 * @param {Entry} entry
 */
export const isYoung = ({ at }) => Date.now() - at < YOUNG;

/** Send what a page that is gone has left, if it is young; the rest is for the user. */
export function resume() {
  for (const entry of entries()) {
    if (entry.state !== "sending" || underWay.has(entry.key)) continue;
    if (isYoung(entry)) deliver(entry);
    else hold(entry);
  }
}

listen(({ what }) => {
  if (what === "outbox") changed();
});
