// @ts-check
/** The buttons below an answer. */

import { button, element } from "../../core/dom.js";
import { addressOf } from "../../core/router.js";
import { copy } from "../copy.js";
import { menuButton } from "../menu.js";
import { isOver } from "./branches.js";

/** @typedef {import("./turn.js").Turn} Turn */

/** @param {Turn} turn */
const linkOf = ({ run }) => addressOf(`c/${run.conversation_id}#${run.id}`);

/** @param {Turn} turn */
export const canAskAgain = ({ run }) =>
  run.store !== false && (run.last_message?.role ?? "user") === "user";

/**
 * Return the buttons of a turn.
 *
 * @param {Turn} turn
 * @param {string[]} versions The ids of the runs that follow the same run.
 */
export function turnActions(turn, versions) {
  const over = isOver(turn.run);
  const may = over && canAskAgain(turn);
  return [
    versions.length > 1 ? switcher(turn, versions) : null,
    over && !turn.answer.isEmpty ? button("Copy", () => copyAnswer(turn), { class: "wide" }) : null,
    may ? button("Answer again", () => turn.doing.again(turn.run), { class: "wide" }) : null,
    may ? button("Edit", () => turn.doing.edit(turn.run), { class: "wide" }) : null,
    button("Link", () => copyLink(turn), { class: "wide" }),
    menuButton("⋯", () => menuOf(turn), { "aria-label": "More about this turn" }),
  ].filter((node) => node !== null);
}

/** @param {Turn} turn */
export const copyAnswer = (turn) => copy(turn.answer.text);

/** @param {Turn} turn */
export const copyLink = (turn) => copy(linkOf(turn), "The link is copied");

/**
 * @param {Turn} turn
 * @returns {import("../menu.js").Item[]}
 */
function menuOf(turn) {
  const may = isOver(turn.run) && canAskAgain(turn);
  return [
    { label: "Copy the answer", run: () => copyAnswer(turn) },
    { label: "Copy the prompt", run: () => copy(turn.run.prompt) },
    ...(may
      ? [
        { label: "Answer again", run: () => turn.doing.again(turn.run) },
        { label: "Edit the prompt", run: () => turn.doing.edit(turn.run) },
      ]
      : []),
    { label: "Copy a link to here", run: () => copyLink(turn) },
    { label: "All about this run", href: `r/${turn.run.id}` },
  ];
}

/**
 * @param {Turn} turn
 * @param {string[]} ids
 */
function switcher(turn, ids) {
  const at = ids.indexOf(turn.run.id);
  const go = (/** @type {number} */ step) => () => turn.doing.show(ids[at + step]);
  const previous = button("‹", go(-1), { "aria-label": "The version before" });
  const next = button("›", go(1), { "aria-label": "The next version" });
  previous.toggleAttribute("disabled", at === 0);
  next.toggleAttribute("disabled", at === ids.length - 1);
  const label = element(
    "span",
    { "aria-label": `Version ${at + 1} of ${ids.length}` },
    `${at + 1}/${ids.length}`,
  );
  return element(
    "span",
    { class: "versions", role: "group", "aria-label": "Versions" },
    previous,
    label,
    next,
  );
}
