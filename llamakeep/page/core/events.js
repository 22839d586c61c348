// @ts-check
/** The one stream of a tab: what becomes of the user's runs, and the text of those followed. */

import { call, noAnswer, Problem, problemOf, send } from "./api.js";
import { listen, tell } from "./local.js";
import { EventParser } from "./sse.js";
import { state } from "./state.js";

/**
 * @typedef {object} RunEvent
 * @property {string} event `delta`, `item`, `item_delta`, `reset`, `done` or `error`.
 * @property {string} run Its id.
 * @property {string | null} position Where a reader is after it.
 * @property {any} data
 */
/** @typedef {(event: RunEvent) => void} RunListener */

const SILENCE = 25_000;
const HIDDEN = 30_000;
/**
 * How many hidden tabs have a stream: six of them stop a browser on HTTP/1.1, so that a further
 * tab would not even load.
 */
const MOST_HIDDEN = 2;
/** Another set of runs is another request, at most once in so many ms. */
const BETWEEN = 250;
/** After so long without an answer, the page says that it connects again. */
const PATIENCE = 2_000;

/** @type {Map<string, {position: string, listeners: Set<RunListener>}>} */
const followed = new Map();
/** @type {Set<(run: any) => void>} */
const runListeners = new Set();
/** @type {Set<() => void>} */
const resyncListeners = new Set();

/** The id of the last event that had one: the next stream continues after it. */
let lastId = "";
let isStarted = false;
let isAsleep = false;
/** How many tabs were hidden after this one was. */
let hiddenSince = 0;
let failures = 0;
let openedAt = 0;
/** @type {AbortController | null} */
let connection = null;
/** The runs that the open stream follows. */
let asked = new Set();
/** @type {Record<string, ReturnType<typeof setTimeout> | undefined>} */
const timers = {};

/**
 * @param {string} name
 * @param {number} ms
 * @param {() => void} then
 */
function later(name, ms, then) {
  clearTimeout(timers[name]);
  timers[name] = setTimeout(then, ms);
}

/**
 * Call a listener with the text of a run from a position on; return what ends that.
 *
 * @param {string} run
 * @param {string} position The id of the last event, or what the run is shown with.
 * @param {RunListener} listener
 */
export function follow(run, position, listener) {
  const known = followed.get(run);
  if (known) known.listeners.add(listener);
  else followed.set(run, { position, listeners: new Set([listener]) });
  if (!asked.has(run)) reconnectSoon();
  return () => {
    const entry = followed.get(run);
    entry?.listeners.delete(listener);
    if (entry?.listeners.size === 0) followed.delete(run);
  };
}

/**
 * Call a listener when one of the user's runs begins, changes, ends or is deleted (`isDeleted`,
 * with its id as `run`); return what ends that. Of its texts, there are the beginnings.
 *
 * @param {(run: any) => void} listener
 */
export function onRun(listener) {
  runListeners.add(listener);
  return () => runListeners.delete(listener);
}

/**
 * Call a listener when changes may have been missed, and have to be asked for; return what ends
 * that.
 *
 * @param {() => void} listener
 */
export function onResync(listener) {
  resyncListeners.add(listener);
  return () => resyncListeners.delete(listener);
}

function reconnectSoon() {
  if (!isStarted || isAsleep) return;
  later("connect", Math.max(0, openedAt + BETWEEN - Date.now()), connect);
}

async function connect() {
  connection?.abort();
  if (!isStarted || isAsleep) return;
  clearTimeout(timers.connect);
  const own = connection = new AbortController();
  openedAt = Date.now();
  asked = new Set(followed.keys());
  const follow = [...followed].map(([run, { position }]) => `${run}:${position}`);
  heard();
  if (state.connection.value !== "connected") laterUnreachable();
  try {
    /** @type {Record<string, string>} */
    const headers = { accept: "text/event-stream" };
    if (lastId) headers["last-event-id"] = lastId;
    const options = { query: { follow }, headers, signal: own.signal };
    const response = await send("GET", "events/", options);
    if (!response.ok || !response.body) throw await problemOf(response);
    await read(response.body, own);
    if (own === connection) lost(0);
  } catch (error) {
    if (own === connection && isStarted && !isAsleep) await failed(error);
  }
}

/**
 * @param {ReadableStream<Uint8Array>} body
 * @param {AbortController} own
 */
async function read(body, own) {
  const parser = new EventParser();
  const reader = body.getReader();
  failures = 0;
  connected();
  while (true) {
    const { done, value } = await reader.read();
    if (done || own !== connection) return;
    heard();
    for (const { event, data, id } of parser.push(value)) take(event, JSON.parse(data), id);
  }
}

/**
 * @param {string} event
 * @param {any} data
 * @param {string | null} id
 */
function take(event, data, id) {
  if (id !== null) lastId = id;
  if (event === "ready" && !data.resumed) {
    for (const listener of [...resyncListeners]) listener();
  } else if (event === "run" || event === "deleted") {
    for (const listener of [...runListeners]) {
      listener(event === "run" ? data : { ...data, isDeleted: true });
    }
  } else if (event === "error" && !data.run) {
    throw new Problem({ ...data, retry_after: null });
  } else takeText(event, data);
}

/**
 * @param {string} event
 * @param {any} data
 */
function takeText(event, data) {
  const { run } = data;
  const entry = followed.get(run);
  if (!entry) return;
  if (data.position) entry.position = data.position;
  if (event === "error" && data.is_over === false) {
    // The run has not ended: it is followed again from its position.
    asked.delete(run);
    later("connect", PATIENCE, connect);
    return;
  }
  if (event === "done" || event === "error") {
    followed.delete(run);
    asked.delete(run);
  }
  for (const listener of [...entry.listeners]) {
    listener({ event, run, position: entry.position, data });
  }
}

/** @param {unknown} error */
async function failed(error) {
  const problem = error instanceof Problem ? error : noAnswer();
  clearTimeout(timers.silence);
  if (problem.code === "unauthenticated") {
    // This asks the user to log in.
    await call("GET", "me/").catch(() => null);
  }
  if (problem.code === "server-stopping") state.connection.set("stopping");
  lost(problem.retryAfter ?? 0);
}

/** @param {number} seconds What the server asks to wait. */
function lost(seconds) {
  clearTimeout(timers.silence);
  asked = new Set();
  const wait = Math.min(10_000, 500 * 2 ** failures++);
  laterUnreachable();
  later("connect", seconds * 1000 + wait * (0.5 + Math.random() / 2), connect);
}

function connected() {
  clearTimeout(timers.unreachable);
  timers.unreachable = undefined;
  state.connection.set("connected");
}

function laterUnreachable() {
  if (!navigator.onLine) state.connection.set("offline");
  else if (timers.unreachable === undefined) {
    timers.unreachable = setTimeout(() => {
      timers.unreachable = undefined;
      if (failures > 0) state.connection.set(navigator.onLine ? "reconnecting" : "offline");
    }, PATIENCE);
  }
}

/** A byte has come, or the waiting for one begins. */
function heard() {
  later("silence", SILENCE, () => {
    failures = Math.max(1, failures);
    connect();
  });
}

function retryNow() {
  if (state.connection.value !== "connected" || connection === null) connect();
}

function sleep() {
  isAsleep = true;
  connection?.abort();
  connection = null;
  asked = new Set();
  clearTimeout(timers.silence);
}

function onVisibility() {
  if (document.hidden) {
    hiddenSince = 0;
    tell({ what: "hidden" });
    later("hidden", HIDDEN, sleep);
    return;
  }
  clearTimeout(timers.hidden);
  if (!isAsleep) return;
  isAsleep = false;
  failures = 1;
  connect();
}

listen(({ what }) => {
  if (what === "hidden" && document.hidden && ++hiddenSince >= MOST_HIDDEN) sleep();
});

/** Begin to listen, for the user who is logged in. */
export function startEvents() {
  if (isStarted) return;
  isStarted = true;
  addEventListener("online", retryNow);
  addEventListener("offline", () => state.connection.set("offline"));
  document.addEventListener("visibilitychange", onVisibility);
  isAsleep = document.hidden;
  connect();
}
