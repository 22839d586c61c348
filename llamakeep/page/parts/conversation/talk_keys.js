// @ts-check
/** The keys of a conversation. */

import { bind } from "../../core/keys.js";
import { isOver } from "./branches.js";
import { canAskAgain, copyAnswer, copyLink } from "./turn_actions.js";

/** @typedef {import("./talk.js").Talk} Talk */
/** @typedef {import("./turn.js").Turn} Turn */

/**
 * Add them; return what removes them.
 *
 * @param {Talk} talk
 */
export function talkKeys(talk) {
  const group = "In a conversation";
  const current = () => {
    const all = talk.turns.turns;
    return all.find(({ node }) => node.contains(document.activeElement)) ?? all.at(-1);
  };
  const step = (/** @type {number} */ by) => () => {
    const all = talk.turns.turns;
    const at = all.findIndex(({ node }) => node.contains(document.activeElement));
    const next = all[at < 0 ? all.length - 1 : at + by];
    if (!next) return false;
    talk.scroll.toTurn(next.node);
    next.node.focus({ preventScroll: true });
    return true;
  };
  const on = (/** @type {(turn: Turn) => void} */ act, needsEnd = false) => () => {
    const turn = current();
    if (!turn || (needsEnd && !(isOver(turn.run) && canAskAgain(turn)))) return false;
    act(turn);
    return true;
  };
  return bind(
    { keys: "mod+.", label: "Stop the answer", group, run: () => talk.composer.doing.stop() },
    { keys: "j", label: "The next turn", group, run: step(1) },
    { keys: "k", label: "The turn before", group, run: step(-1) },
    { keys: "c", label: "Copy the answer", group, run: on(copyAnswer) },
    {
      keys: "r",
      label: "Answer again",
      group,
      run: on((turn) => talk.doing.again(turn.run), true),
    },
    {
      keys: "e",
      label: "Edit the prompt",
      group,
      run: on((turn) => talk.doing.edit(turn.run), true),
    },
    { keys: "l", label: "Copy a link to the turn", group, run: on(copyLink) },
    { keys: "enter", label: "Send", group: "In the field" },
    { keys: "shift+enter", label: "A new line", group: "In the field" },
    { keys: "mod+enter", label: "Send, whatever Enter does", group: "In the field" },
    { keys: "up", label: "Edit the last prompt, in the empty field", group: "In the field" },
  );
}
