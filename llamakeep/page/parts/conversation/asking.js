// @ts-check
/** The bodies of prompts: what follows what, and how an earlier one is asked again. */

import { problemOf, send } from "../../core/api.js";
import { OPTIONS } from "../composer/options.js";
import { dataUrl } from "../composer/pictures.js";
import { picturesOf } from "../composer/prompt.js";
import { NOTHING } from "./branches.js";

/** @typedef {import("./branches.js").Run} Run */

/**
 * Return what says which run a prompt follows.
 *
 * @param {string} conversation Empty for a new one.
 * @param {string} before The id of that run; empty for none.
 * @returns {Record<string, string>}
 */
export function place(conversation, before) {
  if (before) return { previous_run_id: before };
  return conversation ? { conversation_id: conversation, previous_run_id: NOTHING } : {};
}

/**
 * @param {import("../composer/composer.js").Sent} sent
 * @returns {Record<string, any>}
 */
export function bodyOf({ text, images, model, options }) {
  const body = { prompt: text, ...options };
  return { ...body, ...(model ? { model } : {}), ...(images.length ? { images } : {}) };
}

/**
 * Return the options that a run was asked with.
 *
 * @param {Run} run
 */
export function optionsOf(run) {
  const given = { ...run.parameters, system_prompt: run.system_prompt, metadata: run.metadata };
  const isGiven = (/** @type {any} */ value) =>
    value !== null && value !== undefined &&
    !(typeof value === "object" && Object.keys(value).length === 0);
  return Object.fromEntries(
    OPTIONS.filter((name) => isGiven(given[name])).map((name) => [name, given[name]]),
  );
}

/**
 * Return the pictures of a run as `data:` URLs, or the addresses that it was sent.
 *
 * @param {Run} run
 * @returns {Promise<string[]>}
 */
export async function imagesOf(run) {
  return await Promise.all(
    picturesOf(run).map(async ({ sha256, url }) => {
      if (!sha256) return url;
      const response = await send("GET", `history/${run.id}/images/${sha256}`);
      if (!response.ok) throw await problemOf(response);
      return await dataUrl(await response.blob());
    }),
  );
}

/**
 * Return the body that asks a run's prompt again.
 *
 * @param {Run} run
 */
export async function bodyAgain(run) {
  const images = await imagesOf(run);
  return bodyOf({ key: "", text: run.prompt, images, model: run.model, options: optionsOf(run) });
}
