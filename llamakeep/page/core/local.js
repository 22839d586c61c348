// @ts-check
/**
 * What the browser keeps: drafts, the outbox, what was seen, and looks.
 *
 * Never answers, never secrets. All but the looks is kept under the user's id.
 */

const PREFIX = "llamakeep:";
const LOOKS = `${PREFIX}looks`;

/** @typedef {{theme?: "light" | "dark", enter?: "send" | "line", letters?: boolean}} Looks */
/** @typedef {{text: string, pasted?: string[], key: string, options?: Record<string, unknown>}} Draft */
/** @typedef {{what: string, [fact: string]: unknown}} Told */

let owner = "";
let isCleared = false;
/** What did not fit into the browser's storage; it lasts as long as the page. */
const unkept = new Map();

/** @param {string} userId */
export function openLocal(userId) {
  owner = userId;
}

/** Forget all of the user, and keep no more until the page is loaded again: who logged out left. */
export function clearLocal() {
  for (const name of names("")) localStorage.removeItem(name);
  unkept.clear();
  isCleared = true;
}

/** @param {string} part */
const nameOf = (part) => `${PREFIX}${owner}:${part}`;

/** @param {string} part */
function names(part) {
  const beginning = nameOf(part);
  return [...Object.keys(localStorage), ...unkept.keys()].filter((name) =>
    name.startsWith(beginning)
  );
}

/** @param {string} name */
function read(name) {
  try {
    return JSON.parse(unkept.get(name) ?? localStorage.getItem(name) ?? "null");
  } catch {
    return null;
  }
}

/**
 * Keep a value; `null` removes it. Return whether it outlives the page.
 *
 * @param {string} name
 * @param {unknown} value
 */
function write(name, value) {
  unkept.delete(name);
  if (value === null) {
    localStorage.removeItem(name);
    return true;
  }
  const text = JSON.stringify(value);
  try {
    localStorage.setItem(name, text);
    return true;
  } catch {
    unkept.set(name, text);
    return false;
  }
}

/**
 * @param {string} part Such as `draft:conv_1`.
 * @returns {any}
 */
export const kept = (part) => read(nameOf(part));

/**
 * @param {string} part
 * @param {unknown} value
 */
export const keep = (part, value) => isCleared || write(nameOf(part), value);

/**
 * Return all that is kept under names that begin so, by the rest of their names.
 *
 * @param {string} part
 * @returns {Map<string, any>}
 */
export function allKept(part) {
  const rest = nameOf(part).length;
  return new Map(names(part).map((name) => [name.slice(rest), read(name)]));
}

/** @returns {Looks} */
export const looks = () => read(LOOKS) ?? {};

/** @param {Looks} changes */
export function setLooks(changes) {
  const all = { ...looks(), ...changes };
  write(LOOKS, all);
  document.documentElement.dataset.theme = all.theme ?? "";
  tell({ what: "looks" });
}

const channel = "BroadcastChannel" in globalThis ? new BroadcastChannel("llamakeep") : null;
/** @type {Set<(told: Told) => void>} */
const listeners = new Set();
channel?.addEventListener("message", ({ data }) => {
  if (data?.owner === owner || data?.owner === "") hear(data);
});

/**
 * Tell the other tabs of this user.
 *
 * @param {Told} told
 */
export function tell(told) {
  channel?.postMessage({ owner, ...told });
}

// The browser sends this when what is kept can be read here; a message may come sooner.
addEventListener("storage", ({ key }) => {
  if (owner === "" || !key?.startsWith(nameOf(""))) return;
  const name = key.slice(nameOf("").length);
  hear({ what: name.split(":", 1)[0], name });
});

/** @param {Told} told */
function hear(told) {
  for (const listener of [...listeners]) listener(told);
}

/**
 * Call a listener with what other tabs of this user tell, and when they changed what is kept
 * (`what` is then the first part of its name); return what ends that.
 *
 * @param {(told: Told) => void} listener
 */
export function listen(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Return a key that no other request has; `randomUUID` is for https alone. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
