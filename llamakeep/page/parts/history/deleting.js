// @ts-check
/**
 * Deleting that can be undone: it is sent after ten seconds, or when the page is left.
 *
 * Until then the server has all of it.
 */

import { address, call, Problem } from "../../core/api.js";
import { element } from "../../core/dom.js";
import * as format from "../../core/format.js";
import { notice } from "../announce.js";
import { field, formDialog } from "../form.js";
import { problemNotice } from "../problem.js";

const SECONDS = 10;

/**
 * @typedef {object} Deletion
 * @property {string} what Such as "The conversation".
 * @property {string} path
 * @property {URLSearchParams} [query]
 * @property {() => void} hide Takes it out of sight.
 * @property {() => void} show Brings it back.
 * @property {() => void} [done]
 */

/** @param {Deletion} deletion */
export function deleteSoon({ what, path, query, hide, show, done }) {
  const timer = setTimeout(send, SECONDS * 1000);
  addEventListener("pagehide", leave);
  hide();
  notice(`${what} will be deleted.`, { label: "Undo", run: undo, seconds: SECONDS });
  function end() {
    clearTimeout(timer);
    removeEventListener("pagehide", leave);
  }
  function undo() {
    end();
    show();
    notice("Nothing was deleted.", { seconds: 3 });
  }
  function leave() {
    end();
    fetch(address(path, query), { method: "DELETE", credentials: "same-origin", keepalive: true });
  }
  async function send() {
    end();
    try {
      const answer = await call("DELETE", path, { query });
      done?.();
      notice(answer ? `${format.counted(answer.deleted, "run")} deleted.` : `${what} is deleted.`);
    } catch (error) {
      if (error instanceof Problem && error.status === 404) return;
      show();
      problemNotice(error, { seconds: 12 });
    }
  }
}

/**
 * Ask for the number of runs to delete; return whether it was given.
 *
 * @param {number} count
 * @param {string} which Which ones, for people.
 * @returns {Promise<boolean>}
 */
export async function confirmedNumber(count, which) {
  const input = element("input", { inputmode: "numeric", autocomplete: "off" });
  const isSure = await formDialog(`Delete ${format.counted(count, "run")}?`, {
    fields: [
      element("p", {}, `${which} Their prompts and answers are deleted for good.`),
      field(`To delete them, type their number, ${count}`, input),
    ],
    action: "Delete them",
    isBad: true,
    send: () => {
      if (input.value.replace(/\D/g, "") === String(count)) return true;
      throw new Problem({ title: `That is not their number: it is ${count}.` });
    },
  });
  return isSure !== null;
}
