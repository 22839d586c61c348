// @ts-check
import assert from "node:assert/strict";

import { element, fragment } from "../../llamakeep/page/core/dom.js";
import { htmlOf, installDocument } from "./document.js";

installDocument();

Deno.test("an element has its attributes and children", () => {
  const made = element(
    "a",
    { href: "/c", class: "quiet", "aria-current": "page" },
    "New ",
    element("b", "run"),
  );

  assert.equal(htmlOf(made), '<a aria-current="page" class="quiet" href="/c">New <b>run</b></a>');
});

Deno.test("the first child may stand where attributes would", () => {
  assert.equal(htmlOf(element("p", "one", "two")), "<p>onetwo</p>");
  assert.equal(htmlOf(element("p", element("em", "one"))), "<p><em>one</em></p>");
  assert.equal(htmlOf(element("p", null, "one")), "<p>one</p>");
});

Deno.test("a string is text, whatever it looks like", () => {
  assert.equal(htmlOf(element("p", "<script>&")), "<p>&lt;script>&amp;</p>");
});

Deno.test("missing children and attributes are left out", () => {
  const made = element(
    "button",
    { disabled: true, hidden: false, title: null },
    null,
    false,
    undefined,
  );

  assert.equal(htmlOf(made), '<button disabled=""></button>');
});

Deno.test("an empty string is a child", () => {
  assert.equal(element("p", {}, "").childNodes.length, 1);
});

Deno.test("a listener is added rather than an attribute", () => {
  let clicks = 0;
  const made = element("button", { on: { click: () => clicks++ } });

  /** @type {any} */ (made).dispatch("click");

  assert.equal(clicks, 1);
  assert.equal(htmlOf(made), "<button></button>");
});

Deno.test("what the policy refuses is an error", () => {
  assert.throws(() => element("p", { style: "color: red" }), TypeError);
  assert.throws(() => element("p", { onclick: "alert(1)" }), TypeError);
});

Deno.test("a fragment gives its children away", () => {
  assert.equal(htmlOf(element("div", fragment("a", null, element("br")))), "<div>a<br></div>");
});
