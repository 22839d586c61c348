// @ts-check
/** The keys that work everywhere. */

import { bind } from "../../core/keys.js";
import { go } from "../../core/router.js";

/** Add them. */
export function globalKeys() {
  const group = "Everywhere";
  const to = (/** @type {string} */ href) => () => go(href);
  const search = () => {
    const field = document.querySelector("nav input[type=search]");
    if (!(field instanceof HTMLInputElement) || field.offsetParent === null) go("find");
    else field.select();
  };
  bind(
    { keys: "mod+k", label: "Go anywhere", group, run: () => void palette() },
    { keys: "/", label: "Search", group, run: search },
    { keys: "n", label: "New conversation", group, run: to("") },
    { keys: "g h", label: "History", group, run: to("find") },
    { keys: "g u", label: "Usage", group, run: to("usage") },
    { keys: "g k", label: "API keys", group, run: to("settings/keys") },
    { keys: "g s", label: "Settings", group, run: to("settings") },
    { keys: "?", label: "This list", group, run: () => void help() },
    { keys: "escape", label: "Close what is open, or leave the field", group, run: leave },
  );
}

function leave() {
  const focused = document.activeElement;
  if (
    !(focused instanceof HTMLElement) || focused === document.body ||
    focused.closest("dialog, [popover]")
  ) return false;
  focused.blur();
  return true;
}

async function help() {
  (await import("./help.js")).showHelp();
}

async function palette() {
  (await import("./palette.js")).openPalette();
}
