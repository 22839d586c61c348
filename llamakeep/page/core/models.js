// @ts-check
/** The models that the server has, and what they can do. */

import { call, Problem } from "./api.js";
import { keep, kept } from "./local.js";
import { state } from "./state.js";

/** @typedef {{model: string, capabilities: Record<string, boolean | null>, parameters?: string[] | null}} Model */

/** @type {Promise<Model[]> | null} */
let asking = null;

/**
 * Return the models, the default first; none if the server says that there is no provider.
 *
 * @returns {Promise<Model[]>}
 */
export function models() {
  asking ??= call("GET", "models/").then(({ models }) => {
    state.models.set(models);
    return models;
  }).catch((error) => {
    asking = null;
    if (error instanceof Problem && error.code === "no-provider") {
      state.models.set([]);
      return [];
    }
    throw error;
  });
  return asking;
}

/**
 * Return what is known of a model.
 *
 * @param {string} name
 * @returns {Model | undefined}
 */
export const modelOf = (name) => state.models.value?.find(({ model }) => model === name);

/** The model that this user took last, unless it is known to be gone; else the default. */
export function preferredModel() {
  const last = kept("model");
  const isThere = state.models.value === null ? last : modelOf(last);
  return isThere ? last : state.models.value?.[0]?.model ?? "";
}

/** @param {string} name */
export const preferModel = (name) => keep("model", name);

/**
 * Return a model's name as people read it: without its provider and its owner.
 *
 * @param {string} name
 */
export const shortName = (name) => name.slice(name.search(/[^:/]*$/)) || name;
