// @ts-check
/** Bars, each of which leads somewhere; a table beside them says the same. */

import { svg } from "../core/dom.js";

/** @typedef {{name: string, value: number}} Part */
/** @typedef {{label: string, title: string, href?: string, parts: Part[]}} Group */

/** Colours in the order of the tokens; beyond them, the rest is the last one. */
const COLOURS = ["accent", "info", "good", "word", "warn", "soft"];
const HEIGHT = 160;
const WIDTH = 24;
const GAP = 6;

/**
 * Return bars, one for each group, made of parts.
 *
 * @param {{caption: string, groups: Group[], names: string[]}} content
 *   The names of parts, in the order of their colours.
 */
export function bars({ caption, groups, names }) {
  const total = (/** @type {Group} */ { parts }) =>
    parts.reduce((sum, { value }) => sum + value, 0);
  const most = Math.max(1e-12, ...groups.map(total));
  const width = Math.max(1, groups.length * (WIDTH + GAP));
  const colour = (/** @type {string} */ name) =>
    `bar ${COLOURS[Math.min(Math.max(0, names.indexOf(name)), COLOURS.length - 1)]}`;
  const columns = groups.map((group, index) => {
    let top = HEIGHT;
    const pieces = group.parts.filter(({ value }) => value > 0).map(({ name, value }) => {
      const height = Math.max(1, (value / most) * HEIGHT);
      top -= height;
      const place = { x: index * (WIDTH + GAP), y: top, width: WIDTH, height };
      return svg(
        "rect",
        { class: colour(name), ...place },
        svg("title", {}, `${group.title}, ${name}: ${value}`),
      );
    });
    const hit = svg("rect", {
      class: "hit",
      x: index * (WIDTH + GAP),
      y: 0,
      width: WIDTH + GAP,
      height: HEIGHT,
    });
    const label = svg("text", {
      x: index * (WIDTH + GAP) + WIDTH / 2,
      y: HEIGHT + 16,
      "text-anchor": "middle",
    }, group.label);
    if (group.href === undefined) {
      return svg("g", { role: "img", "aria-label": group.title }, hit, ...pieces, label);
    }
    return svg("a", { href: group.href, "aria-label": group.title }, hit, ...pieces, label);
  });
  return svg(
    "svg",
    { class: "bars", viewBox: `0 0 ${width} ${HEIGHT + 24}`, role: "group", "aria-label": caption },
    ...columns,
  );
}
