// @ts-check
/** Starts the page. */

import { call, noAnswer, Problem } from "./core/api.js";
import { startEvents } from "./core/events.js";
import { startKeys } from "./core/keys.js";
import { openLocal } from "./core/local.js";
import { resume } from "./core/outbox.js";
import { placeOf, startRouter, takePlace } from "./core/router.js";
import { openSeen } from "./core/seen.js";
import { state } from "./core/state.js";
import { announcers } from "./parts/announce.js";
import { openFrame, scrolledTo, showView } from "./parts/frame/frame.js";
import { globalKeys } from "./parts/frame/global_keys.js";
import { guardLogin } from "./parts/frame/login.js";
import { problemBox } from "./parts/problem.js";

/** Views for those who are not logged in. */
const OPEN = new Set(["welcome", "reset", "join"]);

async function start() {
  document.body.append(...announcers());
  const name = placeOf(new URL(location.href))?.name ?? "";
  // The view's module is loaded while the server says who is logged in.
  if (name) import(`./views/${name}.js`).catch(() => null);
  // The shell has the browser ask for both while it loads this.
  const about = call("GET", "about/", { mayLogIn: false }).catch(() => null)
    .then((found) => state.about.set(found));
  const asked = call("GET", "me/");
  if (OPEN.has(name)) {
    asked.catch(() => null);
    await about;
    document.body.append((await load(new URL(location.href))).node);
    return;
  }
  try {
    const [me] = await Promise.all([asked, about]);
    takePlace();
    open(me);
  } catch (error) {
    if (error instanceof Problem && error.code === "unauthenticated") {
      await about;
      (await import("./views/log-in.js")).showLogin(open);
    } else document.body.append(problemBox(error, { retry: () => location.reload() }));
  }
}

/** @param {import("./core/state.js").Me} me */
function open(me) {
  openLocal(me.id);
  openSeen();
  state.me.set(me);
  guardLogin();
  openFrame();
  startKeys();
  globalKeys();
  startEvents();
  let isFirst = true;
  startRouter(async (url, scroll) => {
    const wasFirst = isFirst;
    isFirst = false;
    await showView(() => load(url), { scroll, isFirst: wasFirst });
    // The view shows what becomes of prompts that a page before it has left.
    if (wasFirst) resume();
  }, scrolledTo);
}

/** @param {URL} url */
async function load(url) {
  const found = placeOf(url);
  if (found === null) {
    throw new Problem({ title: "There is no such page.", detail: "The address may be wrong." });
  }
  try {
    const view = (await import(`./views/${found.name}.js`)).default;
    return await view(found.place);
  } catch (error) {
    if (error instanceof TypeError && /import|module/i.test(error.message)) {
      throw await reasonOf(new URL(`./views/${found.name}.js`, import.meta.url));
    }
    throw error;
  }
}

/**
 * Return why a module could not be loaded.
 *
 * @param {URL} url
 */
async function reasonOf(url) {
  const response = await fetch(url).catch(() => null);
  if (response === null) return noAnswer();
  const isGone = response.status === 404;
  return new Problem({
    type: isGone ? "new-version" : "not-loaded",
    title: isGone ? "A new version is here." : "This part of the page could not be loaded.",
    detail: "Load the page again: what you typed stays.",
  });
}

// Not awaited: views import from the file that this module is in.
start();
