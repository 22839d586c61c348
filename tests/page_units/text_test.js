// @ts-check
import assert from "node:assert/strict";

import { Blocks } from "../../llamakeep/page/text/blocks/blocks.js";
import { inline } from "../../llamakeep/page/text/inline/inline.js";
import { linesOf } from "../../llamakeep/page/text/lines.js";
import { textNodes } from "../../llamakeep/page/text/nodes.js";
import { computesWithin } from "./cpu.js";
import { htmlOf, installDocument } from "./document.js";
import { Chance } from "./random.js";

installDocument();

/**
 * Elements, and their attributes, that a text can become.
 *
 * @type {Map<string, string[]>}
 */
const ELEMENTS = new Map(Object.entries({
  a: ["href", "rel", "target", "title"],
  blockquote: [],
  br: [],
  button: ["class", "type"],
  code: ["data-language", "dir"],
  del: [],
  div: ["class", "dir", "tabindex"],
  em: [],
  h3: ["dir"],
  h4: ["dir"],
  h5: ["dir"],
  h6: ["dir"],
  hr: [],
  input: ["aria-label", "checked", "disabled", "type"],
  li: [],
  ol: ["class", "start"],
  p: ["dir"],
  pre: ["tabindex"],
  span: ["class"],
  strong: [],
  table: [],
  tbody: [],
  td: ["data-align", "dir"],
  th: ["data-align", "dir", "scope"],
  thead: [],
  tr: [],
  ul: ["class"],
}));

const HOSTILE = [
  "<script>alert(1)</script>",
  "<img src=x onerror=alert(1)>",
  "<svg/onload=alert(1)>",
  "<iframe src=javascript:alert(1)>",
  "<style>body{display:none}</style>",
  "<a href=javascript:alert(1) style=position:fixed>a</a>",
  "[a](javascript:alert(1))",
  "[a](JaVaScRiPt:alert(1))",
  "[a](<java script:alert(1)>)",
  "[a](java\tscript:alert(1))",
  "[a](&#106;avascript:alert(1))",
  "[a](javascript&colon;alert(1))",
  "[a](javascript&#58;alert(1))",
  "[a](\\javascript:alert(1))",
  "[a](&#1;javascript:alert(1))",
  "[a](\u0001javascript:alert(1))",
  "[a](\u00a0javascript:alert(1))",
  "[a](&#32;https:javascript:alert(1))",
  "[a](data:text/html,<script>alert(1)</script>)",
  "[a](DATA:text/html;base64,PHNjcmlwdD4=)",
  "[a](vbscript:msgbox(1))",
  "[a](file:///etc/passwd)",
  "[a](blob:https://a.b/c)",
  "[a](//a.b/c)",
  "[a](/logout/)",
  "[a](https:\\\\a.b)",
  "[a](https:a.b)",
  "![a](javascript:alert(1))",
  "![a](data:image/svg+xml,<svg/onload=alert(1)>)",
  "<javascript:alert(1)>",
  "<data:text/html,a>",
  '[a](https://b.c "d\\" onclick=alert(1) e=\\"")',
  '[a](https://b.c" onclick="alert(1))',
  '```js" onclick=alert(1)\nlet a\n```',
  "```\u202ejs <b>\nlet a\n```",
  "| <b> | a |\n|:-:|---|\n| <i onclick=a> | [b](javascript:c) |",
  "- [x] <input onfocus=alert(1) autofocus>",
];

/** @param {any} node */
function assertHarmless(node) {
  for (const child of node.childNodes) {
    if (child.nodeType !== 1) continue;
    const tag = child.tagName.toLowerCase();
    const allowed = ELEMENTS.get(tag);
    assert(allowed, tag);
    for (const name of child.getAttributeNames()) assert(allowed.includes(name), `${tag} ${name}`);
    if (tag === "a") {
      assert.match(child.getAttribute("href"), /^(?:https?:\/\/|mailto:)\S/i);
      assert.equal(child.getAttribute("rel"), "noopener noreferrer");
      assert.equal(child.getAttribute("target"), "_blank");
    }
    if (tag === "input") assert.equal(child.getAttribute("disabled"), "");
    assertHarmless(child);
  }
}

for (const text of HOSTILE) {
  Deno.test(`it is harmless: ${JSON.stringify(text)}`, () => assertHarmless(textNodes(text)));
}

Deno.test("no text becomes an element or an attribute outside the list", () => {
  for (let seed = 0; seed < 500; seed++) {
    const chance = new Chance(seed);
    const pieces = Array.from(
      { length: 8 },
      () => chance.below(2) === 0 ? chance.text(6) : HOSTILE[chance.below(HOSTILE.length)],
    );
    assertHarmless(textNodes(pieces.join("")));
  }
});

Deno.test("a picture is a link, since to load it would tell its host what was said", () => {
  const made = textNodes("![a *b*](https://c.d/e?f=secret)");
  assert.equal(
    htmlOf(made),
    '<p dir="auto"><a href="https://c.d/e?f=secret" rel="noopener noreferrer" target="_blank">' +
      "a <em>b</em></a></p>",
  );
});

/** @type {[string, string[]][]} */
const BARE = [
  ["see https://a.b/c.", ["https://a.b/c"]],
  ["https://a.b/c_d_e?f=g&h=i#j", ["https://a.b/c_d_e?f=g&h=i#j"]],
  ["(https://a.b/c)", ["https://a.b/c"]],
  ["https://a.b/c_(d)", ["https://a.b/c_(d)"]],
  ["(see https://a.b/c_(d)).", ["https://a.b/c_(d)"]],
  ["**https://a.b/c**", ["https://a.b/c"]],
  ["*https://a.b/c*, _https://d.e_", ["https://a.b/c", "https://d.e"]],
  ["~~http://a.b~~", ["http://a.b"]],
  ['"https://a.b/c"', ["https://a.b/c"]],
  ["<p>https://a.b</p>", ["https://a.b"]],
  ["见https://a.b/c。好", ["https://a.b/c"]],
  ["http://localhost:8000/docs and http://127.0.0.1", [
    "http://localhost:8000/docs",
    "http://127.0.0.1",
  ]],
  ["www.a.b/c, and WWW.d.e", ["http://www.a.b/c", "http://WWW.d.e"]],
  ["xhttps://a.b awww.a.b https:// www. https://. ://a.b", []],
  ["`https://a.b`", []],
  ["[c https://a.b d](https://e.f)", ["https://e.f"]],
  ["[https://a.b](https://a.b)", ["https://a.b"]],
  ["[https://a.b]", ["https://a.b"]],
  ["ftp://a.b file:///c", []],
  ["https://a.b/c|d", ["https://a.b/c"]],
];

for (const [text, addresses] of BARE) {
  Deno.test(`it has its bare addresses: ${text}`, () => {
    const links = [...textNodes(text).querySelectorAll("a")];
    assert.deepEqual(links.map((link) => link.getAttribute("href")), addresses);
  });
}

Deno.test("a bare address changes no character", () => {
  const text = "(https://a.b/c_(d)). **https://e.f/g** www.h.i, j";
  assert.equal(textNodes(text).textContent, text.replaceAll("**", ""));
});

Deno.test("deep quotes, lists and emphasis are text beyond some depth", () => {
  const deep = 10_000;
  const texts = [
    "> ".repeat(deep) + "a",
    "- ".repeat(deep) + "a",
    "1. ".repeat(deep) + "a",
    "> - ".repeat(deep) + "a",
    Array.from({ length: 300 }, (_, depth) => " ".repeat(2 * depth) + "- a").join("\n"),
    "*a ".repeat(deep) + "b" + "*".repeat(deep),
    "*a **b ".repeat(deep) + " c** d*".repeat(deep),
    "[".repeat(deep) + "a" + "](https://b.c)".repeat(deep),
    "![".repeat(deep) + "a" + "](https://b.c)".repeat(deep),
    "~~a ".repeat(deep) + "b" + "~~ ".repeat(deep),
  ];
  for (const text of texts) assert(depthOf(textNodes(text)) < 60, text.slice(0, 10));
});

/**
 * @param {any} node
 * @returns {number}
 */
function depthOf(node) {
  return 1 + [...node.childNodes].map(depthOf).reduce((most, one) => Math.max(most, one), 0);
}

/** @param {string} text */
function read(text) {
  const blocks = new Blocks();
  for (const line of linesOf(text)) blocks.add(line);
  const left = [blocks.document];
  for (let block; (block = left.pop()) !== undefined;) {
    if (block.kind !== "fence" && block.kind !== "indented") inline(block.text);
    block.cells.forEach(inline);
    left.push(...block.children);
  }
}

const LENGTH = 20_000;
const SIGNS = [..."*_`~[]()<!\\|-&\n "];
const STARTS = [
  ...["](mailto:a", '](mailto:a "', "](mailto:a '", "](<", "![", "[](", "&#", "<a@", "<a:"],
  ...["http://", "www.", "- ", "1. ", "> ", "```", "|-|", "| a ", "\n- ", "\n|-|\n", "a**", "*a "],
];

/** @param {string} text */
function assertQuick(text) {
  const repeated = text.repeat(Math.ceil(LENGTH / text.length));
  assert(computesWithin(100, () => read(repeated)), JSON.stringify(text));
}

Deno.test("no sign, and no pair of signs, takes long to read", () => {
  const all = [...SIGNS, ...STARTS];
  for (const one of all) {
    assertQuick(one);
    for (const other of SIGNS) assertQuick(one + other);
  }
});

Deno.test("no three signs take long to read", () => {
  const signs = [..."*_`[](\n"];
  for (const one of signs) {
    for (const two of signs) {
      for (const three of signs) assertQuick(one + two + three);
    }
  }
});

Deno.test("many signs of one kind before many of another take no longer", () => {
  const all = ["*", "_", "`", "[", "![", "](mailto:a)", "<", "\\", "|", "> ", "- ", "**", "a*"];
  for (const one of all) {
    for (const other of all) {
      const text = one.repeat(5000) + other.repeat(5000);
      assert(computesWithin(100, () => read(text)), JSON.stringify([one, other]));
    }
  }
});

Deno.test("a short table cannot have a million cells", () => {
  const columns = 5000;
  const text = `${"|a".repeat(columns)}\n${"|-".repeat(columns)}\n${"|b\n".repeat(1000)}`;
  const cells = textNodes(text).querySelectorAll("td");
  assert(cells.length < 100_000);
});

Deno.test("a megabyte of text is read in a second", () => {
  const text = "Some *words* and `code` in a [link](https://a.b).\n\n- one\n- two\n\n".repeat(
    16_000,
  );
  assert(computesWithin(1000, () => read(text)));
});
