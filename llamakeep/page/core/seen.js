// @ts-check
/** Which conversations have an answer that ended unseen in this browser. */

import { keep, kept, listen } from "./local.js";
import { Watched } from "./state.js";

/** Ids of conversations with something unseen. */
export const unseen = new Watched(/** @type {ReadonlySet<string>} */ (new Set()));

const PART = "unseen";
const MOST = 200;

/** Read what is kept, for the user who is logged in. */
export function openSeen() {
  unseen.set(new Set(kept(PART) ?? []));
}

/** @param {Set<string>} conversations */
function store(conversations) {
  keep(PART, [...conversations].slice(-MOST));
  unseen.set(conversations);
}

/** @param {string} conversation */
export function markUnseen(conversation) {
  if (!unseen.value.has(conversation)) store(new Set([...unseen.value, conversation]));
}

/** @param {string} conversation */
export function markSeen(conversation) {
  if (!unseen.value.has(conversation)) return;
  store(new Set([...unseen.value].filter((other) => other !== conversation)));
}

listen(({ what }) => {
  if (what === PART) openSeen();
});
