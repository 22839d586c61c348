// @ts-check
import assert from "node:assert/strict";

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

/** @param {...string} deltas */
function grown(...deltas) {
  const growing = new GrowingText();
  for (const delta of deltas) {
    growing.append(delta);
    growing.flush();
  }
  return growing;
}

Deno.test("for any cut of any text, what is shown is always the same as of one piece", () => {
  for (let seed = 0; seed < 1000; seed++) {
    const chance = new Chance(seed);
    const growing = new GrowingText();
    let text = "";
    for (const delta of chance.cut(chance.text(30))) {
      text += delta;
      growing.append(delta);
      growing.flush();
      assert.equal(shown(growing), whole(text), JSON.stringify({ seed, text }));
    }
    growing.finish();
    assert.equal(shown(growing), whole(text), JSON.stringify({ seed, text }));
  }
});

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
      growing.append(delta);
      growing.flush();
      assert.deepEqual([...growing.node.childNodes].slice(0, finished.length), finished);
      assert.deepEqual(finished.map(changesOf), before, JSON.stringify({ seed, text }));
    }
  }
});

Deno.test("an open fence only gets text appended", () => {
  const growing = grown("```js\nlet a = 1;\n");
  const text = growing.node.querySelector("code")?.firstChild;

  growing.append("let b");
  growing.flush();
  growing.append(" = 2;\nlet c");
  growing.flush();

  assert.equal(growing.node.querySelector("code")?.firstChild, text);
  assert.equal(text?.textContent, "let a = 1;\nlet b = 2;\nlet c\n");
});

Deno.test("a paragraph that grows keeps its nodes, so that a selection stays", () => {
  const growing = grown("See **this** and ");
  const [paragraph] = growing.node.childNodes;
  const nodes = [...paragraph.childNodes];

  growing.append("that, *too*.");
  growing.flush();

  assert.equal(growing.node.firstChild, paragraph);
  assert.deepEqual([...paragraph.childNodes].slice(0, 3), nodes);
  assert.equal(nodes[2].textContent, " and that, ");
});

Deno.test("an item that is added leaves the items before it alone", () => {
  const growing = grown("- one\n- two\n- th");
  const [one, two] = growing.node.childNodes[0].childNodes;
  const before = [one, two].map(changesOf);

  growing.append("ree\n- four\n\n- five");
  growing.flush();

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

Deno.test("a text that only goes on keeps what is shown", () => {
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
