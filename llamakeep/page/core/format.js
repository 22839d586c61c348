// @ts-check
/** How numbers, money, times and titles are written. */

const LANGUAGE = "en-US";
const CLOCK = "en-GB";
const whole = new Intl.NumberFormat(LANGUAGE, { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat(LANGUAGE, { maximumFractionDigits: 1 });

/** @typedef {string | number | Date} Moment */

/** @param {number} value */
export const number = (value) => whole.format(value);

/**
 * Return "1 run", "2,000 runs".
 *
 * @param {number} count
 * @param {string} one
 * @param {string} [many]
 */
export const counted = (count, one, many = `${one}s`) =>
  `${number(count)} ${count === 1 ? one : many}`;

/**
 * Return dollars; what is not known is never $0.
 *
 * @param {number | null | undefined} dollars
 */
export function money(dollars) {
  if (dollars === null || dollars === undefined) return "cost unknown";
  if (dollars === 0) return "no cost";
  const places = dollars >= 1 ? 2 : Math.min(8, 1 - Math.floor(Math.log10(dollars)));
  return `$${dollars.toFixed(Math.max(2, places))}`;
}

/**
 * Return a length of time: "0.4 s", "12 s", "3 min 5 s", "2 h 1 min".
 *
 * @param {number} seconds
 */
export function duration(seconds) {
  if (seconds < 10) return `${tenths.format(Math.max(0, seconds))} s`;
  const rounded = Math.round(seconds);
  if (rounded < 60) return `${rounded} s`;
  const [minutes, rest] = [Math.floor(rounded / 60), rounded % 60];
  if (minutes < 60) return `${minutes} min${rest ? ` ${rest} s` : ""}`;
  return `${Math.floor(minutes / 60)} h${minutes % 60 ? ` ${minutes % 60} min` : ""}`;
}

/**
 * Return the beginning of a text's first line, as a title.
 *
 * @param {string} text
 * @param {number} [most] Characters.
 */
export const firstLine = (text, most = 80) => text.trim().split("\n", 1)[0].slice(0, most);

/** @param {number} bytes */
export function bytes(bytes) {
  const units = ["bytes", "KiB", "MiB", "GiB"];
  const step = Math.min(3, bytes < 1 ? 0 : Math.floor(Math.log2(bytes) / 10));
  return `${tenths.format(bytes / 1024 ** step)} ${units[step]}`;
}

/** @param {number} value */
export const rate = (value) => (value < 10 ? tenths : whole).format(value);

const clock = new Intl.DateTimeFormat(CLOCK, { timeStyle: "medium" });
const dayAndMonth = new Intl.DateTimeFormat(CLOCK, { day: "numeric", month: "short" });
const date = new Intl.DateTimeFormat(CLOCK, { dateStyle: "medium" });
const month = new Intl.DateTimeFormat(CLOCK, { month: "long", year: "numeric" });

/**
 * Return the time of day here, with the day if it is another one: "14:02:11", "3 Oct 14:02:11".
 *
 * @param {Moment} when
 * @param {Date} [now]
 */
export function time(when, now = new Date()) {
  const moment = new Date(when);
  const days = daysBetween(moment, now);
  if (days === 0) return clock.format(moment);
  const day = moment.getFullYear() === now.getFullYear() ? dayAndMonth : date;
  return `${day.format(moment)}, ${clock.format(moment)}`;
}

/** @param {Moment} when */
export const day = (when) => date.format(new Date(when));

/**
 * Return the time in UTC, as titles have it.
 *
 * @param {Moment} when
 */
export const utc = (when) => `${new Date(when).toISOString().slice(0, 19).replace("T", " ")} UTC`;

/**
 * Return under which heading of a list a time stands.
 *
 * @param {Moment} when
 * @param {Date} [now]
 */
export function period(when, now = new Date()) {
  const moment = new Date(when);
  const days = daysBetween(moment, now);
  if (days <= 0) return "Today";
  if (days === 1) return "Yesterday";
  if (days < 7) return "Last 7 days";
  const isThisMonth = month.format(moment) === month.format(now);
  return isThisMonth ? "This month" : month.format(moment);
}

/**
 * @param {Date} earlier
 * @param {Date} later
 */
function daysBetween(earlier, later) {
  const [from, to] = [earlier, later].map((one) =>
    Date.UTC(one.getFullYear(), one.getMonth(), one.getDate())
  );
  return Math.round((to - from) / 86_400_000);
}
