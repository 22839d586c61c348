// @ts-check
/** Bars, each of which leads somewhere; a table beside them has the same as text. */

import { element, svg } from "../core/dom.js";

/** @typedef {{name: string, value: number}} Part */
/** @typedef {{label: string, title: string, href?: string, parts: Part[]}} Group */
/**
 * @typedef {object} Chart
 * @property {Group[]} groups From left to right.
 * @property {string[]} names Of the parts, from the bottom up.
 * @property {(value: number) => string} write
 */

/** Colours in the order of the tokens; what comes after them has the last one. */
const COLOURS = ["accent", "info", "good", "word", "warn", "soft"];
const HEIGHT = 180;
const ABOVE = 16;
const BELOW = 20;
const WIDEST = 40;
/** Room for the label of a bar, in px. */
const LABEL = 52;

/**
 * Return bars, one for each group, made of parts, with what their colours mean.
 *
 * @param {Chart} chart
 */
export function bars(chart) {
  const drawing = element("div", { "aria-hidden": "true" });
  let width = 0;
  new ResizeObserver(([{ contentRect }]) => {
    if (Math.round(contentRect.width) === width) return;
    width = Math.round(contentRect.width);
    drawing.replaceChildren(draw(chart, width));
  }).observe(drawing);
  const legend = element(
    "ul",
    { class: "legend" },
    ...chart.names.map((name) =>
      element(
        "li",
        {},
        svg(
          "svg",
          { width: 12, height: 12, "aria-hidden": "true" },
          svg("rect", { class: colourOf(chart, name), width: 12, height: 12, rx: 3 }),
        ),
        name,
      )
    ),
  );
  return element("div", { class: "chart" }, drawing, chart.names.length > 1 ? legend : null);
}

/**
 * @param {Chart} chart
 * @param {string} name
 */
function colourOf({ names }, name) {
  const at = Math.max(0, names.indexOf(name));
  return `bar ${COLOURS[Math.min(at, COLOURS.length - 1)]}`;
}

/**
 * @param {Chart} chart
 * @param {number} width
 */
function draw(chart, width) {
  const { groups, write } = chart;
  const most = roundUp(Math.max(...groups.map(sum)));
  const step = width / Math.max(1, groups.length);
  const every = Math.max(1, Math.ceil(LABEL / step));
  // There is no half of a run.
  const lines = (most % 2 === 1 ? [0, 1] : [0, 0.5, 1]).map((part) => {
    const y = ABOVE + (1 - part) * HEIGHT;
    return svg(
      "g",
      { class: "line" },
      svg("line", { x1: 0, x2: width, y1: y, y2: y }),
      part ? svg("text", { x: 0, y: y - 4 }, write(part * most)) : null,
    );
  });
  return svg(
    "svg",
    { class: "bars", width, height: ABOVE + HEIGHT + BELOW },
    ...lines,
    ...groups.map((group, index) => {
      // The last one has a label, too.
      const isLabelled = (groups.length - 1 - index) % every === 0;
      return bar(chart, group, { x: index * step, step, most, isLabelled });
    }),
  );
}

/**
 * @param {Chart} chart
 * @param {Group} group
 * @param {{x: number, step: number, most: number, isLabelled: boolean}} place
 */
function bar(chart, group, { x, step, most, isLabelled }) {
  const width = Math.min(WIDEST, step * 0.72);
  let y = ABOVE + HEIGHT;
  const pieces = group.parts.filter(({ value }) => value > 0).map(({ name, value }) => {
    const height = Math.max(1, (value / most) * HEIGHT);
    y -= height;
    const at = { x: x + (step - width) / 2, y, width, height };
    return svg("rect", { class: colourOf(chart, name), ...at });
  });
  const lines = group.parts.filter(({ value }) => value > 0).map(({ name, value }) =>
    `${name}: ${chart.write(value)}`
  );
  const content = [
    svg("title", {}, [group.title, ...lines].join("\n")),
    svg("rect", { class: "hit", x, y: ABOVE, width: step, height: HEIGHT }),
    ...pieces,
    isLabelled
      ? svg(
        "text",
        { x: x + step / 2, y: ABOVE + HEIGHT + 15, "text-anchor": "middle" },
        group.label,
      )
      : null,
  ];
  // The table has the same links for those who use no pointer.
  return group.href === undefined
    ? svg("g", {}, ...content)
    : svg("a", { href: group.href, tabindex: "-1" }, ...content);
}

/** @param {Group} group */
const sum = ({ parts }) => parts.reduce((total, { value }) => total + value, 0);

/**
 * Return the next number above a value whose half is easily read, too.
 *
 * @param {number} value
 */
export function roundUp(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  const found = [1, 2, 3, 4, 5, 6, 8, 10].find((times) => times * power >= value * (1 - 1e-9)) ??
    10;
  return found * power;
}
