// @ts-check
/** Addresses: which view shows what, and how one gets from one to the other. */

import { Watched } from "./state.js";

/**
 * What a view is made of.
 *
 * @typedef {object} Shown
 * @property {Node} node
 * @property {string} title
 * @property {Node[]} [actions] What stands beside the title.
 * @property {HTMLElement} [focus] What has the focus at first, instead of the heading.
 * @property {() => void} [opened] Called when it is in the document.
 * @property {() => void} [close] Called when another view takes its place.
 */
/**
 * @typedef {object} Place
 * @property {string} path Relative to the base, such as `c/conv_1`.
 * @property {string[]} parts What the pattern of the route has found in it.
 * @property {URLSearchParams} query
 * @property {string} hash Without the `#`.
 */
/** @typedef {(place: Place) => Shown | Promise<Shown>} View */
/** @typedef {{name: string, load: () => Promise<{default: View}>}} Route */

/** @type {[RegExp, string][]} */
const ROUTES = [
  [/^$/, "conversation"],
  [/^c\/([^/]+)$/, "conversation"],
  [/^r\/([^/]+)$/, "run"],
  [/^find$/, "find"],
  [/^compare$/, "compare"],
  [/^usage$/, "usage"],
  [/^settings$/, "account"],
  [/^settings\/keys$/, "keys"],
  [/^settings\/limits$/, "limits"],
  [/^manage\/users$/, "users"],
  [/^manage\/users\/([^/]+)\/keys$/, "keys"],
  [/^manage\/invitations$/, "invitations"],
  [/^manage\/usage$/, "all-usage"],
  [/^manage\/limits$/, "limits"],
  [/^manage\/audit$/, "audit"],
  [/^manage\/providers$/, "providers"],
  [/^terminal$/, "terminal"],
  [/^welcome$/, "welcome"],
  [/^reset$/, "reset"],
  [/^join$/, "join"],
];

const base = new URL(document.baseURI);

/** The address of what is shown. */
let shown = "";
/** The path of what is shown, relative to the base. */
export const here = new Watched("");

/** @param {URL} url */
function moved(url) {
  shown = url.href;
  here.set(url.pathname.slice(base.pathname.length));
}

/** Where the browser keeps that what is shown has got another address. */
const SETTLED = "llamakeep:settled";

/** @param {string} href Relative to the base. */
export const addressOf = (href) => new URL(href, base).href;

/** @param {URL} url */
const isOurs = (url) => url.origin === base.origin && url.pathname.startsWith(base.pathname);

/** @param {string} text As it is written in an address, perhaps with a lone `%`. */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/**
 * Return the place of an address, and its view's name; `null` if no view has it.
 *
 * @param {URL} url
 * @returns {{name: string, place: Place} | null}
 */
export function placeOf(url) {
  if (!isOurs(url)) return null;
  const path = url.pathname.slice(base.pathname.length);
  for (const [pattern, name] of ROUTES) {
    const match = pattern.exec(path);
    if (match === null) continue;
    const parts = match.slice(1).map(decoded);
    const hash = decoded(url.hash.slice(1));
    return { name, place: { path, parts, query: url.searchParams, hash } };
  }
  return null;
}

/** @type {(url: URL, scroll: number) => unknown} */
let show = () => null;
/** @type {() => number} */
let scrolled = () => 0;

/**
 * What the browser keeps for this entry of its history, until its tab is closed.
 *
 * @returns {{scroll?: number} & Record<string, unknown>}
 */
export const remembered = () => history.state ?? {};

/** @param {Record<string, unknown>} facts */
export function remember(facts) {
  history.replaceState({ ...remembered(), ...facts }, "");
}

const rememberScroll = () => remember({ scroll: scrolled() });

/**
 * Go to an address, as a click on a link does.
 *
 * @param {string} href Relative to the base.
 * @param {{replace?: boolean}} [how]
 */
export function go(href, how = {}) {
  const url = new URL(href, base);
  if (placeOf(url) === null) {
    location.assign(url);
    return;
  }
  if (how.replace || url.href === location.href) history.replaceState({}, "", url);
  else {
    rememberScroll();
    history.pushState({}, "", url);
  }
  open(url, 0);
}

/**
 * Change the address of what is shown, without showing anything else.
 *
 * @param {string} href Relative to the base.
 * @param {{push?: boolean}} [how]
 */
export function setAddress(href, how = {}) {
  const url = new URL(href, base);
  if (how.push) {
    rememberScroll();
    history.pushState({}, "", url);
  } else history.replaceState(history.state, "", url);
  moved(url);
}

/**
 * Change the address of what is shown to the one that it has from here on.
 *
 * A reload that has begun already still asks for the address before, and then shows this one.
 *
 * @param {string} href Relative to the base.
 */
export function settleAddress(href) {
  const from = location.href;
  setAddress(href);
  sessionStorage.setItem(SETTLED, JSON.stringify({ from, to: location.href }));
}

/** Where the browser keeps, in this tab, where one wants to be after signing in elsewhere. */
const WANTED = "llamakeep:wanted";

/** Have `takePlace` come back here from another site. */
export const rememberPlace = () => sessionStorage.setItem(WANTED, location.href);

/** Go to where one was before signing in, if that was elsewhere than at the beginning. */
export function takePlace() {
  const wanted = sessionStorage.getItem(WANTED);
  sessionStorage.removeItem(WANTED);
  const isBack = location.href === base.href;
  if (wanted && isBack && placeOf(new URL(wanted))) history.replaceState({}, "", wanted);
}

/** Go where a reload would have gone if it had begun a moment later. */
function catchUp() {
  const { from, to } = JSON.parse(sessionStorage.getItem(SETTLED) ?? "{}");
  const [how] = performance.getEntriesByType("navigation");
  const isReload = /** @type {PerformanceNavigationTiming} */ (how)?.type === "reload";
  if (isReload && from === location.href) history.replaceState({}, "", to);
}

/**
 * @param {URL} url
 * @param {number} scroll
 */
function open(url, scroll) {
  sessionStorage.removeItem(SETTLED);
  moved(url);
  show(url, scroll);
}

/** @param {MouseEvent} event */
function followLink(event) {
  const isPlain = event.button === 0 && !event.defaultPrevented &&
    !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey);
  const link = event.target instanceof Element ? event.target.closest("a[href]") : null;
  if (!isPlain || link === null) return;
  if (link.hasAttribute("target") || link.hasAttribute("download")) return;
  // A link in SVG has its address as an object.
  const url = new URL(link.getAttribute("href") ?? "", base);
  if (placeOf(url) === null) return;
  event.preventDefault();
  go(url.href);
}

/**
 * Begin to follow links and the browser's buttons, and show where we are.
 *
 * @param {(url: URL, scroll: number) => unknown} showing Shows an address, scrolled so far.
 * @param {() => number} scroll Returns how far what is shown is scrolled.
 */
export function startRouter(showing, scroll) {
  [show, scrolled] = [showing, scroll];
  history.scrollRestoration = "manual";
  document.addEventListener("click", followLink);
  addEventListener("popstate", () => {
    // An entry without an address of its own is of something that was opened above the view.
    if (location.href !== shown) open(new URL(location.href), remembered().scroll ?? 0);
  });
  addEventListener("pagehide", rememberScroll);
  catchUp();
  open(new URL(location.href), remembered().scroll ?? 0);
}
