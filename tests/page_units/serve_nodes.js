// @ts-check
/** Answers each line of the standard input, a text as JSON, with the HTML of its nodes. */

import { textNodes } from "../../llamakeep/page/text/nodes.js";
import { htmlOf, installDocument } from "./document.js";

installDocument();

const encoder = new TextEncoder();
let rest = "";
for await (const piece of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
  const lines = (rest + piece).split("\n");
  rest = lines.pop() ?? "";
  const answers = lines.map((line) => JSON.stringify(htmlOf(textNodes(JSON.parse(line)))) + "\n");
  await Deno.stdout.write(encoder.encode(answers.join("")));
}
