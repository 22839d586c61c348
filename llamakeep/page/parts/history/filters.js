// @ts-check
/** Filters of the history, as addresses have them and as the API names them. */

import * as format from "../../core/format.js";
import { shortStatus, sourceName } from "./facts.js";

/** @type {Record<string, string>} */
const API_NAMES = {
  q: "q",
  model: "model",
  status: "status",
  tag: "tag",
  key: "api_key_id",
  user: "end_user",
  source: "source",
  conversation: "conversation_id",
  since: "since",
  until: "until",
};
/** @type {Record<string, string>} */
const LABELS = {
  q: "Words",
  model: "Model",
  status: "State",
  tag: "Tag",
  key: "API key",
  user: "End user",
  source: "Came through",
  conversation: "Conversation",
};

const DAY = 86_400_000;

/**
 * Return the filters that an address has, without what is empty.
 *
 * @param {URLSearchParams} query
 */
export function filtersOf(query) {
  return new URLSearchParams(
    [...query].filter(([name, value]) => Object.hasOwn(API_NAMES, name) && value),
  );
}

/**
 * Return a query of the API.
 *
 * @param {URLSearchParams} filters
 */
export function apiQuery(filters) {
  return new URLSearchParams([...filters].map(([name, value]) => [API_NAMES[name], value]));
}

/**
 * Return filters with others for some names; an empty one removes it.
 *
 * @param {URLSearchParams} filters
 * @param {Record<string, string>} changes
 */
export function changed(filters, changes) {
  const result = new URLSearchParams(filters);
  for (const [name, value] of Object.entries(changes)) {
    if (value === "") result.delete(name);
    else if (name === "tag") result.append(name, value);
    else result.set(name, value);
  }
  return result;
}

/**
 * Return filters without one; `since` and `until` go together.
 *
 * @param {URLSearchParams} filters
 * @param {string} name
 * @param {string} value
 */
export function without(filters, name, value) {
  const isTime = name === "since";
  return new URLSearchParams(
    [...filters].filter(([one, other]) =>
      !(one === name && other === value) && !(isTime && one === "until")
    ),
  );
}

/**
 * @param {string} path
 * @param {URLSearchParams} query
 */
export const hrefOf = (path, query) => query.size ? `${path}?${query}` : path;

/** @param {Date | number} when */
export const dayOf = (when) => new Date(when).toISOString().slice(0, 10);

/** The day in UTC, so many days ago. @param {number} days */
export const daysAgo = (days) => dayOf(Date.now() - days * DAY);

/** @param {string} day @param {number} days */
export const dayAfter = (day, days = 1) => dayOf(Date.parse(day) + days * DAY);

/**
 * Return what is filtered by, for people; `since` and `until` are one.
 *
 * @param {URLSearchParams} filters
 * @param {Map<string, string>} keyNames Names of API keys by their ids.
 * @returns {{name: string, value: string, label: string}[]}
 */
export function named(filters, keyNames) {
  const found = [...filters].filter(([name]) => name in LABELS).map(([name, value]) => ({
    name,
    value,
    label: `${LABELS[name]}: ${wordOf(name, value, keyNames)}`,
  }));
  const [since, until] = [filters.get("since"), filters.get("until")];
  const name = since ? "since" : "until";
  if (since || until) {
    found.push({ name, value: since ?? until ?? "", label: period(since, until) });
  }
  return found;
}

/**
 * Return a filter's value for people.
 *
 * @param {string} name
 * @param {string} value
 * @param {Map<string, string>} keyNames
 */
export function wordOf(name, value, keyNames) {
  if (name === "status") return shortStatus(value);
  if (name === "source") return sourceName(value);
  return name === "key" ? keyNames.get(value) ?? value : value;
}

/**
 * Return days, which are those of UTC, and say so.
 *
 * @param {string | null} since
 * @param {string | null} until Not included.
 */
function period(since, until) {
  const day = (
    /** @type {string} */ text,
  ) => (text.length === 10 ? utcDay(text) : format.utc(text));
  if (!since) return `Before ${day(until ?? "")} UTC`;
  if (!until) return `Since ${day(since)} UTC`;
  if (until.length === 10 && since === dayAfter(until, -1)) return `${day(since)} UTC`;
  const last = until.length === 10 ? dayAfter(until, -1) : until;
  return `${day(since)} to ${day(last)} UTC`;
}

const utcFormat = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeZone: "UTC" });

/** @param {string} day A day in UTC, such as 2026-11-28. */
export const utcDay = (day) => {
  const moment = Date.parse(day);
  return Number.isNaN(moment) ? day : utcFormat.format(moment);
};
