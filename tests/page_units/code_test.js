// @ts-check
import assert from "node:assert/strict";

import { familyOf } from "../../llamakeep/page/text/code/languages.js";
import { tokensOf } from "../../llamakeep/page/text/code/tokens.js";
import { GrowingText } from "../../llamakeep/page/text/growing.js";
import { textNodes } from "../../llamakeep/page/text/nodes.js";
import { computesWithin } from "./cpu.js";
import { drawFrame, htmlOf, installDocument, scrollToAll } from "./document.js";
import { Chance } from "./random.js";

installDocument();

/**
 * Write code with `‹colour:…›` around its coloured pieces.
 *
 * @param {string} language
 * @param {string} code
 */
function marked(language, code) {
  const family = familyOf(language);
  if (family === undefined) return code;
  let from = 0;
  let made = "";
  for (const { colour, end } of tokensOf(code, family)) {
    const piece = code.slice(from, end);
    made += colour === null ? piece : `‹${colour}:${piece}›`;
    from = end;
  }
  return made;
}

/** @type {[string, string, string][]} */
const EXAMPLES = [
  ["js", 'let a = "b\\"c"; // d', '‹word:let› a = ‹string:"b\\"c"›; ‹comment:// d›'],
  ["js", "`a\n${b}` + 0x1F", "‹string:`a\n${b}`› + ‹number:0x1F›"],
  ["rust", "fn a<'b>(c: &'b str)", "‹word:fn› a<'b>(c: &'b str)"],
  ["c", "/* a\nb */ int c = 1.5e-3;", "‹comment:/* a\nb */› ‹word:int› c = ‹number:1.5e-3›;"],
  ["c", "/* a", "‹comment:/* a›"],
  ["json", '{"a": [1, true]}', '{‹string:"a"›: [‹number:1›, ‹word:true›]}'],
  ["python", "def a(): # b", "‹word:def› a(): ‹comment:# b›"],
  ["python", '"""a\n"b\n""" + c1', '‹string:"""a\n"b\n"""› + c1'],
  ["python", "x = 'a\ny = 2", "x = 'a\ny = ‹number:2›"],
  ["ruby", 'puts "#{a}" unless b', 'puts ‹string:"#{a}"› ‹word:unless› b'],
  [
    "bash",
    'if [ "$#" -gt 0 ]; then # a',
    '‹word:if› [ ‹string:"$#"› -gt ‹number:0› ]; ‹word:then› ‹comment:# a›',
  ],
  [
    "sql",
    "SELECT 'a''b' FROM c -- d",
    "‹word:SELECT› ‹string:'a'›‹string:'b'› ‹word:FROM› c ‹comment:-- d›",
  ],
  [
    "html",
    '<a href="b">c "d"</a><!-- e -->',
    '‹word:<a› href=‹string:"b"›>c "d"‹word:</a›>‹comment:<!-- e -->›',
  ],
  ["yaml", "a-b: c # d\n- e: 'f'", "‹word:a-b›: c ‹comment:# d›\n- ‹word:e›: ‹string:'f'›"],
  ["ini", "; a\nb = 1", "‹comment:; a›\n‹word:b› = ‹number:1›"],
  ["css", "a { b-c: 1px } /* d */", "a { ‹word:b-c›: ‹number:1px› } ‹comment:/* d */›"],
  ["diff", "@@ a\n-b\n+c\n d", "‹comment:@@ a\n›‹number:-b\n›‹string:+c\n› d"],
  ["lua", "local a = nil -- b", "‹word:local› a = ‹word:nil› ‹comment:-- b›"],
  ["clojure", "(defn a [] ; b\n)", "(‹word:defn› a [] ‹comment:; b›\n)"],
  ["brainfuck", "+[-]", "+[-]"],
];

for (const [language, code, expected] of EXAMPLES) {
  Deno.test(`${language} has its colours: ${JSON.stringify(code)}`, () => {
    assert.equal(marked(language, code), expected);
  });
}

Deno.test("a name may have more with it", () => {
  assert.equal(familyOf("Python"), familyOf("py"));
  assert.equal(familyOf("js{1,3}"), familyOf("js"));
  assert.equal(familyOf("ts:a.ts"), familyOf("ts"));
  assert.equal(familyOf("constructor"), undefined);
  assert.equal(familyOf(""), undefined);
});

Deno.test("colours lose and add no character", () => {
  const languages = ["js", "py", "rb", "sh", "sql", "html", "yaml", "css", "diff", "lua", "lisp"];
  for (let seed = 0; seed < 500; seed++) {
    const chance = new Chance(seed);
    const code = chance.text(60);
    const family = familyOf(languages[chance.below(languages.length)]);
    assert(family);
    let from = 0;
    for (const { end } of tokensOf(code, family)) {
      assert(end > from);
      from = end;
    }
    assert.equal(from, code.length);
  }
});

Deno.test("code is coloured when it comes near the screen", () => {
  const made = textNodes("```js\nlet a\n```");

  assert.equal(made.querySelector("span.code-word"), null);
  scrollToAll();

  assert(htmlOf(made).includes('<span class="code-word">let</span> a\n</code>'));
});

Deno.test("unknown languages and very long code stay plain", () => {
  const made = textNodes(`\`\`\`what\nlet\n\`\`\`\n\`\`\`js\n${"let a\n".repeat(20_000)}\`\`\``);
  scrollToAll();
  assert(!htmlOf(made).includes("code-word"));
});

Deno.test("code that is being written is coloured when its fence is closed", () => {
  const growing = new GrowingText();
  growing.append("- ```js\n  let a\n");
  growing.flush();
  scrollToAll();
  assert(!htmlOf(growing.node).includes("code-word"));

  growing.append("  ```\n");
  growing.flush();
  scrollToAll();
  assert(htmlOf(growing.node).includes('<span class="code-word">let</span> a\n</code>'));
});

Deno.test("code that is never closed is coloured at the end", () => {
  const growing = new GrowingText();
  growing.append("```js\nlet a");
  growing.finish();
  scrollToAll();
  assert(htmlOf(growing.node).includes('<span class="code-word">let</span> a\n</code>'));
});

Deno.test("long code is coloured a part in each frame, and none is lost", () => {
  const code = "let a = 1;\n".repeat(1500);
  const made = textNodes(`\`\`\`js\n${code}\`\`\``);
  scrollToAll();
  const place = made.querySelector("code");
  const coloured = [place?.childNodes.length ?? 0];
  for (let frame = 0; frame < 30; frame++) {
    drawFrame();
    assert.equal(place?.textContent, code);
    coloured.push(place?.childNodes.length ?? 0);
  }

  assert(coloured[0] < 2000);
  assert.equal(coloured.at(-1), 1500 * 4);
});

Deno.test("no sign and no pair of signs takes long to colour", () => {
  const signs = [..."\"'`\\#-<> \na1", "/*", "<!--", '"""', "\\'"];
  for (const language of ["js", "sh", "html", "yaml", "diff"]) {
    const family = familyOf(language);
    assert(family);
    for (const one of signs) {
      for (const other of signs) {
        const pair = one + other;
        const code = pair.repeat(20_000 / pair.length);
        const isQuick = computesWithin(100, () => {
          for (const { end } of tokensOf(code, family)) void end;
        });
        assert(isQuick, `${language} ${JSON.stringify(pair)}`);
      }
    }
  }
});
