// @ts-check
/** Starts the page. */

import { call, Problem } from "./core/api.js";
import { startEvents } from "./core/events.js";
import { startKeys } from "./core/keys.js";
import { openLocal } from "./core/local.js";
import { resume } from "./core/outbox.js";
import { placeOf, startRouter } from "./core/router.js";
import { openSeen } from "./core/seen.js";
import { state } from "./core/state.js";
import { announcers } from "./parts/announce.js";
import { openFrame, scrolledTo, showView } from "./parts/frame.js";
import { globalKeys } from "./parts/global_keys.js";
import { guardLogin } from "./parts/login.js";
import { problemBox } from "./parts/problem.js";
import { showLogin } from "./views/log-in.js";

/** Views for those who are not logged in. */
const OPEN = new Set(["welcome", "reset"]);

async function start() {
  document.body.append(...announcers());
  const name = placeOf(new URL(location.href))?.name ?? "";
  const about = call("GET", "about/", { mayLogIn: false }).catch(() => null);
  if (OPEN.has(name)) {
    state.about.set(await about);
    document.body.append((await load(new URL(location.href))).node);
    return;
  }
  try {
    const [me] = await Promise.all([
      call("GET", "me/"),
      about.then((found) => state.about.set(found)),
    ]);
    open(me);
  } catch (error) {
    if (error instanceof Problem && error.code === "unauthenticated") showLogin(open);
    else document.body.append(problemBox(error, { retry: () => location.reload() }));
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
      throw new Problem({
        title: "A new version is here.",
        detail: "Load the page again: what you typed stays.",
      });
    }
    throw error;
  }
}

await start();
