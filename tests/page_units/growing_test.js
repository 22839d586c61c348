// @ts-check
import assert from "node:assert/strict";
import { cpuUsage } from "node:process";

import { GrowingText } from "../../llamakeep/page/text/growing.js";
import { textNodes } from "../../llamakeep/page/text/nodes.js";
import { changesOf, drawFrame, htmlOf, installDocument } from "./document.js";
import { Chance } from "./random.js";

installDocument();

/** @param {GrowingText} growing */
function shown({ node }) {
  return [...node.childNodes].map(htmlOf).join("");
}

/** @param {string} text */
function whole(text) {
  return htmlOf(textNodes(text));
}

/**
 * @param {GrowingText} growing
 * @param {string} delta
 */
function write(growing, delta) {
  growing.append(delta);
  growing.flush();
}

/** @param {string} text */
function grown(text) {
  const growing = new GrowingText();
  write(growing, text);
  return growing;
}

/**
 * Write what is shown without the paragraph that comes last.
 *
 * @param {any} node
 */
function outline(node) {
  let last = node;
  while (last.lastChild !== null && !/^(P|H\d|TR)$/.test(last.tagName ?? "")) last = last.lastChild;
  const [html, end] = [htmlOf(node), htmlOf(last)];
  return html.slice(0, html.lastIndexOf(end)) + (last === node ? "" : last.tagName);
}

/**
 * @param {GrowingText} growing
 * @param {string} text
 */
function assertShows(growing, text) {
  const lines = text.split(/(?<=\n|\r(?!\n))/);
  const undecided = lines.slice(-2).join("").length;
  const expected = outline(growing.node).replace(/^<div class="text">/, "");
  for (let end = text.length; end >= text.length - undecided; end--) {
    if (outline(textNodes(text.slice(0, end))) === expected) return;
  }
  assert.equal(expected, outline(textNodes(text)), JSON.stringify(text));
}

Deno.test("for any cut of any text, all but the last lines are shown as of one piece", () => {
  for (let seed = 0; seed < 300; seed++) {
    const chance = new Chance(seed);
    const growing = new GrowingText();
    let text = "";
    for (const delta of chance.cut(chance.text(30))) {
      text += delta;
      write(growing, delta);
      assertShows(growing, text);
    }
    growing.finish();
    assert.equal(shown(growing), whole(text), JSON.stringify({ seed, text }));
  }
});

Deno.test("the cuts of a text make no difference in the end", () => {
  for (let seed = 1000; seed < 2000; seed++) {
    const chance = new Chance(seed);
    const text = chance.text(40);
    const growing = new GrowingText();
    for (const delta of chance.cut(text)) {
      growing.append(delta);
      if (chance.below(3) === 0) growing.flush();
    }
    growing.finish();
    assert.equal(shown(growing), whole(text), JSON.stringify({ seed, text }));
  }
});

/** @type {[string, string][]} */
const UNFINISHED = [
  ["some **bold", "some **bold**"],
  ["some **bold*", "some **bold**"],
  ["some **", "some"],
  ["some *slanted *", "some *slanted*"],
  ["**a *b", "**a *b***"],
  ["**a _b", "**a _b_**"],
  ["~~gone", "~~gone~~"],
  ["some `code", "some `code`"],
  ["some ``code `", "some ``code``"],
  ["**some `co", "**some `co`**"],
  ["a [link](https://b.c/d", "a [link](https://b.c/d)"],
  ["a [link](htt", "a [link]"],
  ["**a [link](https://b.c", "**a [link](https://b.c)**"],
  ["2 * 3", "2 * 3"],
  ["a_b", "a_b"],
  [`*${"a".repeat(200)}`, `*${"a".repeat(200)}`],
  ["- one\n- **tw", "- one\n- **tw**"],
  ["> # so **b", "> # so **b**"],
  ["|a|b|\n|-|-|\n|c|**d", "|a|b|\n|-|-|\n|c|**d**|"],
  ["one\n-", "one"],
  ["one\n=", "one"],
  ["one\n\n1.", "one"],
  ["one\n\n- [x", "one"],
  ["- [ ] a", "- [ ] a"],
  ["one\n```pyth", "one"],
  ["```\none\n``", "```\none"],
  ["| a | b |", "| a | b |"],
  ["| a | b |\n", ""],
  ["| a | b |\n|--", ""],
  ["| a | b |\n|--|--|\n", "| a | b |\n|--|--|"],
  ["| a | b |\nc", "| a | b |\nc"],
];

for (const [text, expected] of UNFINISHED) {
  Deno.test(`nothing flickers while it is written: ${JSON.stringify(text.slice(0, 40))}`, () => {
    const growing = grown(text);
    assert.equal(shown(growing), whole(expected));
    growing.finish();
    assert.equal(shown(growing), whole(text));
  });
}

Deno.test("blocks that are finished are never touched again", () => {
  for (let seed = 0; seed < 300; seed++) {
    const chance = new Chance(seed);
    const growing = new GrowingText();
    let text = "";
    for (const delta of chance.cut(chance.text(60))) {
      const lines = text.slice(0, text.search(/[^\n\r]*\r?$/));
      const finished = [...growing.node.childNodes].slice(
        0,
        textNodes(lines).childNodes.length - 1,
      );
      const before = finished.map(changesOf);
      text += delta;
      write(growing, delta);
      assert.deepEqual([...growing.node.childNodes].slice(0, finished.length), finished);
      assert.deepEqual(finished.map(changesOf), before, JSON.stringify({ seed, text }));
    }
  }
});

Deno.test("an open fence only gets text appended", () => {
  const growing = grown("```js\nlet a = 1;\n");
  const text = growing.node.querySelector("code")?.firstChild;

  write(growing, "let b");
  write(growing, " = 2;\nlet c");

  assert.equal(growing.node.querySelector("code")?.firstChild, text);
  assert.equal(text?.textContent, "let a = 1;\nlet b = 2;\nlet c\n");
});

Deno.test("a paragraph that grows keeps its nodes, so that a selection stays", () => {
  const growing = grown("See **this** and ");
  const [paragraph] = growing.node.childNodes;
  const nodes = [...paragraph.childNodes];

  write(growing, "that, *too*.");

  assert.equal(growing.node.firstChild, paragraph);
  assert.deepEqual([...paragraph.childNodes].slice(0, 3), nodes);
  assert.equal(nodes[2].textContent, " and that, ");
});

Deno.test("an item that is added leaves the items before it alone", () => {
  const growing = grown("- one\n- two\n- th");
  const [one, two] = growing.node.childNodes[0].childNodes;
  const before = [one, two].map(changesOf);

  write(growing, "ree\n- four\n\n- five");

  assert.deepEqual([...growing.node.childNodes[0].childNodes].slice(0, 2), [one, two]);
  assert.deepEqual([one, two].map(changesOf), before);
});

Deno.test("all that comes before a frame is drawn at once", () => {
  const growing = new GrowingText();

  growing.append("one ");
  growing.append("two");
  assert.equal(shown(growing), "");
  drawFrame();
  assert.equal(shown(growing), '<p dir="auto">one two</p>');

  const before = changesOf(growing.node);
  drawFrame();
  assert.equal(changesOf(growing.node), before);
});

Deno.test("another text replaces what is shown", () => {
  const growing = grown("# One\n\n- tw");

  growing.replace("> three");

  assert.equal(shown(growing), whole("> three"));
  assert.equal(growing.text, "> three");
});

Deno.test("what is shown stays when a text is replaced by one that begins with it", () => {
  const growing = grown("# One\n\ntw");
  const nodes = [...growing.node.childNodes];

  growing.replace("# One\n\ntwo");

  assert.deepEqual([...growing.node.childNodes], nodes);
  assert.equal(shown(growing), whole("# One\n\ntwo"));
});

Deno.test("nothing is drawn after a text is finished", () => {
  const growing = new GrowingText();
  growing.append("one");

  growing.finish();
  const before = changesOf(growing.node);
  drawFrame();

  assert.equal(changesOf(growing.node), before);
  assert.equal(shown(growing), whole("one"));
});

Deno.test("a very long text is shown over some frames", () => {
  const text = "Some words.\n\n".repeat(20_000);
  const growing = new GrowingText();
  growing.append(text);
  growing.finish();
  const counts = [];
  for (let frame = 0; frame < 6; frame++) {
    counts.push(growing.node.childNodes.length);
    drawFrame();
  }

  assert.equal(counts[0], 0);
  assert(counts[1] > 1000 && counts[1] < 10_000);
  assert.equal(growing.node.childNodes.length, 20_000);
});

Deno.test("a long paragraph is made again less often the longer it is", () => {
  const growing = new GrowingText();
  let changes = 0;
  for (let frame = 0; frame < 600; frame++) {
    growing.append("some words, and *more* ");
    const before = changesOf(growing.node);
    drawFrame();
    if (changesOf(growing.node) !== before) changes++;
  }
  assert(changes < 350, String(changes));

  growing.finish();
  assert.equal(shown(growing), whole("some words, and *more* ".repeat(600)));
});

const LONG = {
  paragraphs: "Some *words* in a paragraph.\n\n",
  list: "- an item with `code`\n",
  nested: "- an item\n  - with another\n\n    and a paragraph\n",
  code: "let a = 1; // some code\n",
  table: "| some | cells |\n",
  quote: "> some words\n>\n",
};

for (const [name, line] of Object.entries(LONG)) {
  Deno.test(`the end of a long text takes no longer than its beginning: ${name}`, () => {
    const first = { code: "```js\n", table: "| a | b |\n|---|---|\n" }[name] ?? "";
    const text = first + line.repeat(1600);
    const growing = new GrowingText();
    const times = Array.from({ length: 16 }, (_, part) => {
      const before = cpuUsage();
      const end = text.length * (part + 1) / 16;
      for (let at = growing.text.length; at < end; at = growing.text.length) {
        write(growing, text.slice(at, at + 10));
      }
      return cpuUsage(before).user;
    });
    // The first parts are slower, since the code is still compiled; 50 ms are chance.
    const [early, late] = [times[2] + times[3], times[14] + times[15]];
    assert(late < 3 * early + 50_000, String(times));
  });
}
