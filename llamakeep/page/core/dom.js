// @ts-check
/**
 * Makes elements; no other module does.
 *
 * A string becomes text, never HTML.
 */

/** @typedef {Node | string | null | undefined | false} Child */
/** @typedef {Record<string, (event: any) => void>} Handlers */
/** @typedef {string | number | boolean | null | undefined} Value */
/** @typedef {{ on?: Handlers } & { [name: string]: Value | Handlers }} Attributes */

/**
 * Make an element.
 *
 * Attributes that are `true` are set without a value; those that are `false` or missing are left
 * out, as are such children. `on: { click: handler }` adds listeners.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Attributes | Child} [attributes]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  if (isAttributes(attributes)) {
    setAttributes(made, attributes);
  } else {
    children.unshift(attributes);
  }
  made.append(...present(children));
  return made;
}

/**
 * Make a button that does something other than sending a form.
 *
 * @param {Child} label
 * @param {(event: MouseEvent) => void} click
 * @param {Attributes} [attributes]
 */
export function button(label, click, attributes = {}) {
  return element("button", { type: "button", ...attributes, on: { click } }, label);
}

/**
 * Make something that is unfolded by a click on its label.
 *
 * @param {string} label
 * @param {...Child} content
 */
export function fold(label, ...content) {
  return element("details", { class: "fold" }, element("summary", {}, label), ...content);
}

/**
 * Set attributes by name, and add listeners.
 *
 * @param {Element} made
 * @param {Attributes} attributes
 */
export function setAttributes(made, { on = {}, ...attributes }) {
  for (const [name, value] of Object.entries(attributes)) {
    if (/^on|^style$/i.test(name)) {
      throw new TypeError(`The page's policy refuses the attribute ${name}.`);
    }
    if (value === false || value === null || value === undefined) {
      made.removeAttribute(name);
    } else {
      made.setAttribute(name, value === true ? "" : String(value));
    }
  }
  for (const [name, handler] of Object.entries(on)) made.addEventListener(name, handler);
}

/**
 * @param {...Child} children
 * @returns {DocumentFragment}
 */
export function fragment(...children) {
  const made = document.createDocumentFragment();
  made.append(...present(children));
  return made;
}

/**
 * @param {string} data
 * @returns {Text}
 */
export function textNode(data) {
  return document.createTextNode(data);
}

/**
 * @param {Child[]} children
 * @returns {(Node | string)[]}
 */
function present(children) {
  return children.filter((child) => child !== null && child !== undefined && child !== false);
}

/**
 * @param {Attributes | Child} value
 * @returns {value is Attributes}
 */
function isAttributes(value) {
  return typeof value === "object" && value !== null && !("nodeType" in value);
}

const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an element of SVG, as `element` makes those of HTML.
 *
 * @template {keyof SVGElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Attributes} attributes
 * @param {...Child} children
 * @returns {SVGElementTagNameMap[Tag]}
 */
export function svg(tag, attributes, ...children) {
  const made = document.createElementNS(SVG, tag);
  setAttributes(made, attributes);
  made.append(...present(children));
  return made;
}
