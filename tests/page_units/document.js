// @ts-check
/** A small document for tests that need no browser: what the page's modules use of one. */

class StandInNode {
  nodeType = 0;
  /** @type {StandInNode | null} */
  parentNode = null;
  /** @type {StandInNode[]} */
  childNodes = [];
  /** How often this node itself was changed. */
  changes = 0;

  /** @returns {StandInNode | null} */
  get firstChild() {
    return this.childNodes[0] ?? null;
  }

  /** @returns {StandInNode | null} */
  get lastChild() {
    return this.childNodes.at(-1) ?? null;
  }

  /** @returns {StandInNode | null} */
  get nextSibling() {
    const beside = this.parentNode?.childNodes ?? [];
    return beside[beside.lastIndexOf(this) + 1] ?? null;
  }

  /** @returns {string} */
  get textContent() {
    return this.childNodes.map((child) => child.textContent).join("");
  }

  set textContent(text) {
    this.replaceChildren(text);
  }

  /** @returns {StandInNode | null} */
  get firstElementChild() {
    return this.childNodes.find((child) => child instanceof StandInElement) ?? null;
  }

  /**
   * @param {string} selector a tag, perhaps with `[attribute]`
   * @returns {StandInElement[]}
   */
  querySelectorAll(selector) {
    return [...this.#found(selector)];
  }

  /**
   * @param {string} selector
   * @returns {StandInElement | null}
   */
  querySelector(selector) {
    return this.#found(selector).next().value ?? null;
  }

  /**
   * @param {string} selector
   * @returns {Generator<StandInElement, undefined>}
   */
  *#found(selector) {
    const [tag, attribute] = selector.replace("]", "").split("[");
    for (const child of this.childNodes) {
      if (!(child instanceof StandInElement)) continue;
      const isOne = child.tagName === tag.toUpperCase();
      if (isOne && (attribute === undefined || child.attributes.has(attribute))) yield child;
      yield* child.#found(selector);
    }
  }

  /**
   * @param {StandInNode} other
   * @returns {boolean}
   */
  isEqualNode(other) {
    return htmlOf(this) === htmlOf(other);
  }

  /** @param {...(StandInNode | string)} nodes */
  append(...nodes) {
    this.#insert(this.childNodes.length, nodes);
  }

  /** @param {...(StandInNode | string)} nodes */
  replaceChildren(...nodes) {
    for (const child of this.childNodes) child.parentNode = null;
    this.childNodes = [];
    this.changes++;
    this.append(...nodes);
  }

  /** @param {...(StandInNode | string)} nodes */
  replaceWith(...nodes) {
    const parent = this.parentNode;
    if (parent === null) return;
    const place = parent.childNodes.lastIndexOf(this);
    this.remove();
    parent.#insert(place, nodes);
  }

  /** @param {...(StandInNode | string)} nodes */
  before(...nodes) {
    const parent = this.parentNode;
    if (parent !== null) parent.#insert(parent.childNodes.lastIndexOf(this), nodes);
  }

  remove() {
    const beside = this.parentNode?.childNodes;
    beside?.splice(beside.lastIndexOf(this), 1);
    if (this.parentNode !== null) this.parentNode.changes++;
    this.parentNode = null;
  }

  /**
   * @param {number} place
   * @param {(StandInNode | string)[]} nodes
   */
  #insert(place, nodes) {
    const added = nodes.flatMap((node) => {
      if (typeof node === "string") return [new StandInText(node)];
      return node instanceof StandInFragment ? node.childNodes.splice(0) : [node];
    });
    for (const node of added) {
      if (node.parentNode !== null && !(node.parentNode instanceof StandInFragment)) node.remove();
      node.parentNode = this;
    }
    this.childNodes.splice(place, 0, ...added);
    this.changes++;
  }
}

class StandInText extends StandInNode {
  nodeType = 3;

  /** @param {string} data */
  constructor(data) {
    super();
    this.data = data;
  }

  get length() {
    return this.data.length;
  }

  /** @returns {string} */
  get textContent() {
    return this.data;
  }

  /** @param {string} data */
  appendData(data) {
    this.data += data;
    this.changes++;
  }

  /**
   * @param {number} offset
   * @param {number} count
   * @param {string} data
   */
  replaceData(offset, count, data) {
    this.data = this.data.slice(0, offset) + data + this.data.slice(offset + count);
    this.changes++;
  }
}

class StandInFragment extends StandInNode {
  nodeType = 11;
}

class StandInElement extends StandInNode {
  nodeType = 1;
  /** @type {Map<string, string>} */
  attributes = new Map();
  /** @type {Map<string, (event: unknown) => void>} */
  listeners = new Map();

  /** @param {string} tag */
  constructor(tag) {
    super();
    this.tagName = tag.toUpperCase();
  }

  /** @param {string} name */
  getAttribute(name) {
    return this.attributes.get(name) ?? null;
  }

  getAttributeNames() {
    return [...this.attributes.keys()];
  }

  /**
   * @param {string} name
   * @param {string} value
   */
  setAttribute(name, value) {
    this.attributes.set(name, value);
    this.changes++;
  }

  /** @param {string} name */
  removeAttribute(name) {
    this.attributes.delete(name);
  }

  /**
   * @param {string} name
   * @param {(event: unknown) => void} handler
   */
  addEventListener(name, handler) {
    this.listeners.set(name, handler);
  }

  /** @param {string} name */
  dispatch(name) {
    this.listeners.get(name)?.({ type: name, target: this });
  }
}

/** @type {(() => void)[]} */
let frames = [];

/** Let the browser draw a frame. */
export function drawFrame() {
  const due = frames;
  frames = [];
  for (const draw of due) draw();
}

/** @type {((entries: unknown[]) => void)[]} */
const observers = [];
/** @type {Set<unknown>} */
const observed = new Set();

class StandInObserver {
  /** @param {(entries: unknown[]) => void} callback */
  constructor(callback) {
    observers.push(callback);
  }

  /** @param {unknown} target */
  observe(target) {
    observed.add(target);
  }

  /** @param {unknown} target */
  unobserve(target) {
    observed.delete(target);
  }
}

/** Let all that is observed come near the screen. */
export function scrollToAll() {
  const entries = [...observed].map((target) => ({ isIntersecting: true, target }));
  for (const callback of observers) callback(entries);
}

/** Have `document` in this process, and frames that come when a test says so. */
export function installDocument() {
  Object.assign(globalThis, {
    IntersectionObserver: StandInObserver,
    requestAnimationFrame: (/** @type {() => void} */ draw) => frames.push(draw),
    cancelAnimationFrame: (/** @type {number} */ number) => {
      if (number > 0) frames[number - 1] = () => {};
    },
    document: {
      createElement: (/** @type {string} */ tag) => new StandInElement(tag),
      createTextNode: (/** @type {string} */ data) => new StandInText(data),
      createDocumentFragment: () => new StandInFragment(),
    },
  });
}

/**
 * How often a node, or anything in it, was changed.
 *
 * @param {any} node
 * @returns {number}
 */
export function changesOf(node) {
  return [...node.childNodes].reduce((sum, child) => sum + changesOf(child), node.changes);
}

/**
 * Write a node as HTML, with its attributes in alphabetical order.
 *
 * @param {any} node
 * @returns {string}
 */
export function htmlOf(node) {
  if (node.nodeType === 3) return escaped(node.data);
  const inner = [...node.childNodes].map(htmlOf).join("");
  if (node.nodeType === 11) return inner;
  const tag = node.tagName.toLowerCase();
  const attributes = [...node.getAttributeNames()].sort().map((name) =>
    ` ${name}="${escaped(node.getAttribute(name))}"`
  );
  const isVoid = ["br", "hr", "input"].includes(tag);
  return `<${tag}${attributes.join("")}>${inner}${isVoid ? "" : `</${tag}>`}`;
}

/** @param {string} text */
function escaped(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}
