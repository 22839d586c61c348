// @ts-check
/** How the page looks and which keys it takes, in this browser. */

import { element } from "../../core/dom.js";
import { looks, setLooks } from "../../core/local.js";
import { check, group } from "../form.js";

/** Return what lets the user choose it. It counts at once. */
export function looksSection() {
  const { theme = "", enter = "", letters = true } = looks();
  const singles = element("input", {
    type: "checkbox",
    checked: letters,
    on: { change: () => setLooks({ letters: singles.checked }) },
  });
  return element(
    "div",
    {},
    element("p", { class: "soft" }, "This browser keeps these, whichever user logs in."),
    choice("Theme", "theme", theme, [["", "As the system"], ["light", "Light"], [
      "dark",
      "Dark",
    ]]),
    choice("Enter", "enter", enter, [
      ["", "Sends; on a touch screen, it begins a new line"],
      ["send", "Sends always"],
      ["line", "Begins a new line always; Ctrl+Enter or ⌘Enter sends"],
    ]),
    check("Shortcuts of single keys", singles, "Such as n for a new conversation. ? lists them."),
  );
}

/**
 * @param {string} label
 * @param {"theme" | "enter"} name
 * @param {string} value
 * @param {[string, string][]} options
 */
function choice(label, name, value, options) {
  return group(
    label,
    ...options.map(([option, text]) => {
      const change = () => setLooks({ [name]: option || undefined });
      const checked = option === value;
      return check(text, element("input", { type: "radio", name, checked, on: { change } }));
    }),
  );
}
