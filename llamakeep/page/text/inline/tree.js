// @ts-check
/** Makes what a paragraph says, as a tree, of the tokens that were found in it. */

/** @typedef {import("./emphasis.js").Emphasis} Emphasis */
/** @typedef {import("./emphasis.js").Run} Run */
/** @typedef {import("./links.js").Target} Target */
/** @typedef {{ kind: "bracket", isPicture: boolean, target: Target | null }} Bracket */
/**
 * @typedef {string | Run | Bracket | { kind: "end" } | { kind: "break" } |
 *   { kind: "code", text: string } | { kind: "address", href: string, text: string }} Token
 */
/**
 * @typedef {string | { kind: "break" } | { kind: "code", text: string } |
 *   { kind: Emphasis, children: Piece[] } |
 *   { kind: "link", href: string, title: string, children: Piece[] }} Piece
 */
/** @typedef {{ children: Piece[], sign: string, isInLink: boolean }} Level */

/** Emphasis in emphasis; deeper signs are text. */
const DEEPEST = 16;

/**
 * @param {Token[]} tokens
 * @returns {Piece[]}
 */
export function treeOf(tokens) {
  const root = { children: [], sign: "", isInLink: false };
  /** @type {Level[]} */
  const levels = [root];
  for (const token of tokens) addToken(levels, token);
  return root.children;
}

/**
 * @param {Level[]} levels
 * @param {Token} token
 */
function addToken(levels, token) {
  const { children, isInLink } = levels[levels.length - 1];
  if (typeof token === "string") return addText(children, token);
  switch (token.kind) {
    case "run":
      return addRun(levels, token);
    case "bracket":
      return addBracket(levels, token);
    case "end":
      levels.pop();
      return;
    case "address":
      if (isInLink) return addText(children, token.text);
      children.push({ kind: "link", href: token.href, title: "", children: [token.text] });
      return;
    default:
      children.push(token);
  }
}

/**
 * @param {Piece[]} children
 * @param {string} text
 */
function addText(children, text) {
  const last = children.length - 1;
  if (text === "") return;
  if (typeof children[last] === "string") children[last] += text;
  else children.push(text);
}

/**
 * @param {Level[]} levels
 * @param {Run} run
 */
function addRun(levels, { sign, left, opens, closes }) {
  for (let count = closes.length; count > 0; count--) {
    const closed = /** @type {Level} */ (levels.pop());
    addText(levels[levels.length - 1].children, closed.sign);
  }
  addText(levels[levels.length - 1].children, sign.repeat(left));
  for (const kind of opens.toReversed()) {
    const { children, isInLink } = levels[levels.length - 1];
    if (levels.length > DEEPEST) {
      const written = kind === "em" ? sign : sign + sign;
      addText(children, written);
      levels.push({ children, sign: written, isInLink });
    } else {
      /** @type {{ kind: Emphasis, children: Piece[] }} */
      const made = { kind, children: [] };
      children.push(made);
      levels.push({ children: made.children, sign: "", isInLink });
    }
  }
}

/**
 * A link in a link, as a picture in one is, is its text alone.
 *
 * @param {Level[]} levels
 * @param {Bracket} bracket
 */
function addBracket(levels, { isPicture, target }) {
  const { children, isInLink } = levels[levels.length - 1];
  if (target === null) return addText(children, isPicture ? "![" : "[");
  if (isInLink) return levels.push({ children, sign: "", isInLink });
  const { href, title } = target;
  /** @type {Piece[]} */
  const inner = [];
  children.push({ kind: "link", href, title, children: inner });
  levels.push({ children: inner, sign: "", isInLink: true });
}
